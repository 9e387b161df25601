"""The entry point of the Dagster code location: every table below `defs/`, and what they share: resources, jobs, sensors.

A table is added as YAML in `defs/`, never here. `build_defs` takes another project folder or other resources in tests.
"""

import gc
import importlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from operator import or_
from pathlib import Path

import dagster as dg

from ddb_assets.components import DynamoDBTable
from ddb_assets.components.relation_names import check_relation_names
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.windows.automation import AUTOMATION
from ddb_assets.windows.sensor import manifest_sensors
from ddb_assets.windows.table_assets import INITIAL_LOAD, whole_assets


def build_defs(project: Path | None = None, resources: Mapping[str, object] | None = None) -> dg.Definitions:
    """Our own definitions, or those of the dg project that contains `project`; `resources` replace those of the same name."""
    own = {"aws": AWSResource(), "lake": Lake(), "warehouse": WarehouseTarget()}
    tree = dg.ComponentTree.for_project(path_within_project=project) if project else _own_tree()
    with warnings.catch_warnings(), _nothing_to_collect():
        # Dagster's own code references are beta, and it says so for every file at every load
        warnings.simplefilter("ignore", dg.BetaWarning)
        declared = tree.build_defs()
    tables = [component.table for component in tree.get_all_components(of_type=DynamoDBTable)]
    check_relation_names(tables)
    baseline = dg.define_asset_job(
        INITIAL_LOAD,
        selection=reduce(or_, map(whole_assets, tables), dg.AssetSelection.assets()),
        description="Export every table in full, flatten it and load it into the warehouse.",
    )
    return dg.Definitions.merge(
        declared,
        dg.Definitions(
            resources={**own, **(resources or {})},
            jobs=[baseline] if tables else [],
            sensors=[AUTOMATION, *manifest_sensors(tables)],
        ),
    )


def _own_tree() -> dg.ComponentTree:
    """What is below `defs/` beside this file.

    An installed package has no pyproject.toml, or has another project's above it, as when that project contains .venv.
    """
    defs_module = importlib.import_module("ddb_assets.defs")
    return dg.ComponentTree.from_module(defs_module=defs_module, project_root=Path(__file__).parents[1])


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """Two hundred tables are a million objects that all stay; walking them for garbage takes a quarter of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    return build_defs()
