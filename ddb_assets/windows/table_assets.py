"""The assets of a table, by their keys, because `post_processing` may change groups, tags and kinds."""

import dagster as dg

from ddb_assets.changes.chosen import full_changes, keeps_changes, window_changes
from ddb_assets.contract.keep import deletes, keep_of
from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.flatten.names import relations
from ddb_assets.orchestration import metadata
from ddb_assets.resources.shared import WAREHOUSE
from ddb_assets.warehouse.url import has_cold_tier, in_iceberg

INITIAL_LOAD = "ddb_assets_initial_load"
"""The job that exports every table in full."""
OF_ITEMS: frozenset[Stage] = frozenset(
    {"dynamodb", "full_export", "scan", "window_export", "cold", "upkeep", "status", "retention"}
)
"""Stages in which a table is one asset; in the others each of its relations is one."""
WINDOW_STAGES: tuple[Stage, ...] = ("window_export", "window_parquet", "warehouse")
"""The stages that every window passes."""


def stage_keys(table: Table, *stages: Stage) -> list[dg.AssetKey]:
    """All assets of the table in these stages, its child relations included."""
    names = list(relations(table).values())
    return [
        metadata.key_of(table, stage, name)
        for stage in stages
        for name in ([table.name] if stage in OF_ITEMS else names)
    ]


def stage_assets(table: Table, *stages: Stage) -> dg.AssetSelection:
    """These assets as a selection."""
    return dg.AssetSelection.assets(*stage_keys(table, *stages))


def all_keys(table: Table) -> list[dg.AssetKey]:
    """Every asset of the table that a run can materialize."""
    return stage_keys(table, *(stage for stage in stages(table) if stage != "dynamodb"))


def stages(table: Table) -> tuple[Stage, ...]:
    """The stages that a table of this contract has."""
    shared: tuple[Stage, ...] = ("status", "retention") if deletes(keep_of(table)) else ("status",)
    if table.source == "stream":
        return ("dynamodb", "warehouse", *shared)
    if table.load == "replace":
        return ("dynamodb", *whole_stages(table), *upkeep(table), *shared)
    cold: tuple[Stage, ...] = ("cold",) if table.warehouse.retain else ()
    return ("dynamodb", *whole_stages(table), *window_stages(table), *cold, *upkeep(table), *shared)


def upkeep(table: Table) -> tuple[Stage, ...]:
    """The stage of the upkeep of its Iceberg tables; none if it has none."""
    loaded = in_iceberg(WAREHOUSE.address) and table.source != "stream"
    return ("upkeep",) if keeps_changes(table) or loaded or has_cold_tables(table, WAREHOUSE.address) else ()


def has_cold_tables(table: Table, address: str) -> bool:
    """Whether rows of the table move from the warehouse of this URL to Iceberg tables."""
    return table.warehouse.retain is not None and has_cold_tier(address)


def whole_stages(table: Table) -> tuple[Stage, ...]:
    """The stages that a full export of the table passes, or a scan of it."""
    return (*table.full_stages, *full_changes(table))


def window_stages(table: Table) -> tuple[Stage, ...]:
    """The stages that a window of the table passes."""
    return (*WINDOW_STAGES, *window_changes(table))


def after_export(table: Table) -> tuple[Stage, ...]:
    """The stages that a window passes once its export is there."""
    return window_stages(table)[1:]


def whole_assets(table: Table) -> dg.AssetSelection:
    """What a full export of the table passes through, from the export to the warehouse."""
    return stage_assets(table, *whole_stages(table))
