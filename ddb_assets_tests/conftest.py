"""Settings of all tests, and the marker of those that need a server.

Property tests have no deadline, because a busy machine is not a defect.
"""

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SERVERS = frozenset(
    {
        *{"account", "sandbox", "sandboxed", "s3", "bucket"},  # moto, and the sandbox around it
        *{
            "redshift",
            "over_redshift",
            "redshift_world",
            "db",
            "files",
            "lake",
        },  # PostgreSQL behind Redshift's wire protocol
        *{"chain", "based", "definitions", "project", "installed"},  # Dagster, with processes or its own instance
        "world",  # what copies read and write
    }
)
"""Fixtures that start a server or a process. A test that uses one is not part of `make test-fast`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives the marker `server` to every test that uses such a fixture, by its name or as a parameter."""
    for item in items:
        chosen = getattr(item, "callspec", None)
        used = {*getattr(item, "fixturenames", ()), *(map(str, chosen.params.values()) if chosen else ())}
        if used & SERVERS:
            item.add_marker("server")
