"""The entry point of the Dagster code location: it loads everything that the YAML below `defs/` declares.

Add tables as YAML in `defs/`, never here. Tests call `build_defs` with another project folder or other resources.
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
    """The definitions of this package, or those of the dg project that contains `project`.

    `resources` replace the declared resources of the same names.
    """
    tree = dg.ComponentTree.for_project(path_within_project=project) if project else _own_tree()
    with warnings.catch_warnings(), _nothing_to_collect():
        # Dagster marks its code references as beta and warns about them for every file at every load
        warnings.simplefilter("ignore", dg.BetaWarning)
        return replacing(tree.build_defs(), resources or {})


def replacing(declared: dg.Definitions, resources: Mapping[str, object]) -> dg.Definitions:
    """The definitions with these resources in place of those of the same names; `Definitions.merge` refuses that."""
    return record_replace(declared, resources={**(declared.resources or {}), **resources})


def _own_tree() -> dg.ComponentTree:
    """The component tree of the `defs/` folder beside this file.

    The tree is not found by `pyproject.toml`: an installed package has none, or finds that of the project that contains
    the virtual environment.
    """
    defs_module = importlib.import_module("ddb_assets.defs")
    return dg.ComponentTree.from_module(defs_module=defs_module, project_root=Path(__file__).parents[1])


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """Pauses garbage collection: two hundred tables make a million objects that all stay alive.

    Scanning them for garbage takes a quarter of the load time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions that Dagster loads."""
    return build_defs()
