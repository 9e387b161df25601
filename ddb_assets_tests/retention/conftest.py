"""A loaded chain that a test may wreck."""

from ddb_assets_tests.status.conftest import definitions, made, sandboxed, standing

__all__ = ["definitions", "made", "sandboxed", "standing"]
