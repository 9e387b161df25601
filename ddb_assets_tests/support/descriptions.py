"""Dagster describes all installed components, for its UI, whenever a project is loaded. A test process does it once."""

from functools import cache
from typing import Any

import dagster as dg
from dagster.components.core import load_defs

_describe = load_defs.get_library_json_enriched_defs


@cache
def _metadata() -> Any:
    return _describe(None).metadata


def describe_once() -> None:
    """Loading a project takes 0.03 s afterwards, not 0.17 s."""
    load_defs.get_library_json_enriched_defs = lambda tree: dg.Definitions(metadata=_metadata(), component_tree=tree)
