"""The entry point of the Dagster code location: everything that the YAML below `defs/` declares.

Add a table as YAML in `defs/`, not here. In tests, `build_defs` takes another project folder or other resources.
"""

import gc
import importlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster_shared.record import replace as record_replace

from ddb_assets.orchestration.executor import windows_in_process


def build_defs(project: Path | None = None, resources: Mapping[str, object] | None = None) -> dg.Definitions:
    """Our own definitions, or those of the dg project that contains `project`. `resources` are replaced as by `replacing`."""
    tree = dg.ComponentTree.for_project(path_within_project=project) if project else _own_tree()
    with warnings.catch_warnings(), _nothing_to_collect():
        # Dagster's own code references are beta, so it would warn for every file at every load
        warnings.simplefilter("ignore", dg.BetaWarning)
        declared = tree.build_defs()
        return record_replace(replacing(declared, resources or {}), executor=declared.executor or windows_in_process)


def replacing(declared: dg.Definitions, resources: Mapping[str, object]) -> dg.Definitions:
    """The definitions with these resources instead of those of the same names. `Definitions.merge` refuses equal names.

    This changes only what uses the resources: steps, schedules, sensors and checks, when they run. Each definition has read its
    pool, kind, `dagster/table_name` and `dagster/uri` from the environment (`DDB_ASSETS_WAREHOUSE`, `DDB_ASSETS_LAKE`) before.
    So set these variables to the same warehouse and lake.
    """
    return record_replace(declared, resources={**(declared.resources or {}), **resources})


def _own_tree() -> dg.ComponentTree:
    """The component tree of `defs/` beside this file.

    An installed package has no pyproject.toml of its own. If another project contains .venv, that project's file is above it.
    """
    defs_module = importlib.import_module("ddb_assets.defs")
    return dg.ComponentTree.from_module(defs_module=defs_module, project_root=Path(__file__).parents[1])


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """Pauses garbage collection: two hundred tables make a million objects that all stay alive.

    Scanning them for garbage takes a quarter of the load time.

    Objects made in the block are not scanned afterwards either, as when Dagster makes its repository, until the next load.
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
    """The definitions that Dagster loads."""
    return build_defs()
