"""Which assets a table has, by their keys, because `post_processing` may change groups, tags and kinds."""

import dagster as dg

from ddb_assets.contract.table import Table
from ddb_assets.flatten.names import relations
from ddb_assets.orchestration import metadata

BASELINE = "baseline"
"""The job that exports every table in full."""
OF_ITEMS: frozenset[metadata.Stage] = frozenset({"dynamodb", "snapshots", "exports"})
"""Stages in which a table is one asset; in the others each of its relations is one."""


def stage_keys(table: Table, *stages: metadata.Stage) -> list[dg.AssetKey]:
    """All assets of the table in these stages, its child relations included."""
    names = list(relations(table).values())
    return [
        metadata.asset_key(stage, name) for stage in stages for name in ([table.name] if stage in OF_ITEMS else names)
    ]


def stage_assets(table: Table, *stages: metadata.Stage) -> dg.AssetSelection:
    """The same as a selection."""
    return dg.AssetSelection.assets(*stage_keys(table, *stages))


def whole_assets(table: Table) -> dg.AssetSelection:
    """What a full export of the table passes through, from the snapshot to the warehouse."""
    loaded: metadata.Stage = "warehouse" if table.load == "replace" else "warehouse_baseline"
    return stage_assets(table, "snapshots", "baseline", loaded)
