"""The entry point of the Dagster code location: all that the YAML below `defs/` declares.

A table is added as YAML in `defs/`, never here. `build_defs` takes another project folder or other resources in tests.
"""

import gc
import importlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster_shared.record import replace as record_replace


def build_defs(project: Path | None = None, resources: Mapping[str, object] | None = None) -> dg.Definitions:
    """Our own definitions, or those of the dg project that contains `project`; `resources` replace those of the same name."""
    tree = dg.ComponentTree.for_project(path_within_project=project) if project else _own_tree()
    with warnings.catch_warnings(), _nothing_to_collect():
        # Dagster's own code references are beta, and it says so for every file at every load
        warnings.simplefilter("ignore", dg.BetaWarning)
        return replacing(tree.build_defs(), resources or {})


def replacing(declared: dg.Definitions, resources: Mapping[str, object]) -> dg.Definitions:
    """The definitions with these resources in the place of those of the same names, which merging refuses."""
    return record_replace(declared, resources={**(declared.resources or {}), **resources})


def _own_tree() -> dg.ComponentTree:
    """What is below `defs/` beside this file.

    An installed package has no pyproject.toml, or has another project's above it, as when that project contains .venv.
    """
    defs_module = importlib.import_module("ddb_assets.defs")
    return dg.ComponentTree.from_module(defs_module=defs_module, project_root=Path(__file__).parents[1])


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """Two hundred tables are a million objects that all stay; walking them for garbage takes a quarter of the time.

    What the block has made is not walked afterwards either, as when Dagster makes its repository of it, until the next load.
    """
    collecting = gc.isenabled()
    gc.unfreeze()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if collecting:
            gc.enable()


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    return build_defs()
