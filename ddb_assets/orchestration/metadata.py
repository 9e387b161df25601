"""Dagster's metadata keys, and what all stages share: asset keys, groups, kinds, owners, columns.

Only this module makes asset keys and spells metadata keys. The module `facts` of each stage has what its
materializations show.
Facts: metadata keys with a meaning for the UI, Dagster API reference "Metadata".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import dagster as dg

from ddb_assets.contract.identity import code_version
from ddb_assets.contract.report import Column, Relation
from ddb_assets.contract.stages import Stage, asset_path
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import LOAD_MAY_TAKE
from ddb_assets.errors import DdbAssetsError
from ddb_assets.markdown import code
from ddb_assets.markdown import table as table_of
from ddb_assets.orchestration.reported import newest

Metadata = dict[str, dg.MetadataValue]

KINDS: Mapping[Stage, frozenset[str]] = {
    "dynamodb": frozenset({"dynamodb"}),
    "full_export": frozenset({"dynamodb", "s3"}),
    "scan": frozenset({"dynamodb", "s3"}),
    "full_parquet": frozenset({"s3", "parquet"}),
    "initial_load": frozenset(),
    "initial_changes": frozenset({"iceberg"}),
    "window_export": frozenset({"dynamodb", "s3"}),
    "window_parquet": frozenset({"s3", "parquet"}),
    "warehouse": frozenset(),
    "changes": frozenset({"iceberg"}),
    "upkeep": frozenset({"iceberg"}),
    "stream": frozenset({"kinesis"}),
    "live": frozenset(),
    "history": frozenset(),
    "cold": frozenset({"iceberg"}),
    "status": frozenset(),
    "retention": frozenset({"s3"}),
    "import": frozenset({"dynamodb"}),
    "copy": frozenset({"dynamodb"}),
}
LOADED: frozenset[Stage] = frozenset({"initial_load", "warehouse"})
"""The stages that are tables of the warehouse."""
OF_ROWS: frozenset[Stage] = LOADED | {"full_parquet", "window_parquet", "initial_changes", "changes"}
"""The stages whose rows depend on the contract."""
MAX_ROWS = 200
"""Rows of a Markdown table: definitions and events must stay small."""
URI, KEY, FOLDER = "dagster/uri", "key_schema", "export_folder"
COLUMNS, ROWS, TABLE_NAME = "dagster/column_schema", "dagster/row_count", "dagster/table_name"
LINEAGE = "dagster/column_lineage"
EXPORT_ID, TABLE_ARN, TABLE_ID = "export_id", "table_arn", "table_id"
INITIAL_LOAD_TIME, INITIAL_LOAD_EXPORT_ID = "initial_load_time", "initial_load_export_id"
COVERED, WINDOW, SUMMARY = "covered", "window", "summary"
LOAD_TAG = "ddb_assets/load"
"""The tag that says how an asset's table is loaded: upsert or replace."""


class UpstreamError(DdbAssetsError):
    """An asset needs the result of another one that has not been materialized yet."""


def asset_key(stage: Stage, name: str) -> dg.AssetKey:
    """`orders` in stage `full_export` -> `exports/orders_full_export`."""
    return dg.AssetKey(asset_path(stage, name))


def key_of(table: Table, stage: Stage, relation: str = "") -> dg.AssetKey:
    """The key of the asset of a table's relation, by default the root, in a stage; a `translation` may have changed it."""
    return dg.AssetKey(table.asset_path(stage, relation))


def op_name(stage: Stage, table: Table) -> str:
    """The name of a stage's step: the usual key of its asset as an identifier, so that no other project has it."""
    return asset_key(stage, table.name).to_python_identifier()


def asset_spec(
    stage: Stage,
    table: Table,
    relation: str,
    *,
    description: str,
    upstream: Iterable[dg.AssetKey] = (),
    kinds: Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
    condition: dg.AutomationCondition[Any] | None = None,
    partitions: dg.PartitionsDefinition[str] | None = None,
) -> dg.AssetSpec:
    """The spec of one relation of a table in one stage; all of a table's assets are one group.

    `facts` is the metadata that is known before the asset is materialized, under the keys of its materializations.
    """
    return dg.AssetSpec(
        key_of(table, stage, relation),
        deps=upstream,
        description=description,
        group_name=table.name,
        kinds={*KINDS[stage], *kinds},
        owners=table.owners,
        tags={LOAD_TAG: table.load},
        metadata={"table": table.table, **(facts or {})},
        code_version=code_version(table, loaded=stage in LOADED) if stage in OF_ROWS else None,
        automation_condition=condition,
        partitions_def=partitions,
        freshness_policy=_freshness(table) if stage == "warehouse" else None,
    )


def columns(relation: Relation) -> list[dg.TableColumn]:
    """A relation's columns with their types and where in an item each comes from."""
    return [
        dg.TableColumn(
            column.name,
            column.type,
            description=code(".".join(column.path)) or f"bookkeeping: {column.role}",
            constraints=_constraints(column, relation),
        )
        for column in relation.columns
    ]


def _constraints(column: Column, relation: Relation) -> dg.TableColumnConstraints:
    """What holds for every row, although warehouses do not enforce it: keys and versions are never NULL, keys are unique."""
    key = column in relation.identity
    alone = key and len(relation.identity) == 1
    return dg.TableColumnConstraints(
        nullable=not key and column.role != "version",
        unique=alone,
        other=["part of the key"] if key and not alone else [],
    )


def column_lineage(names: Iterable[str], sources: Sequence[dg.AssetKey]) -> dg.MetadataValue:
    """That each of these columns comes from the column of the same name in the sources."""
    return dg.MetadataValue.column_lineage(
        dg.TableColumnLineage({name: [dg.TableColumnDep(source, name) for source in sources] for name in names})
    )


def uri(where: Callable[[], str]) -> dict[str, str]:
    """The location of an asset's files; empty if a setting for it is missing or wrong."""
    with suppress(DdbAssetsError):
        return {URI: where()}
    return {}


def _freshness(table: Table) -> dg.FreshnessPolicy:
    return dg.FreshnessPolicy.time_window(fail_window=table.windows.length + LOAD_MAY_TAKE[table.load])


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> dg.MetadataValue:
    """A Markdown table of cells that are Markdown, and a sentence below it."""
    return dg.MetadataValue.md(table_of(header, rows, note))


def upstream(context: dg.AssetExecutionContext, key: dg.AssetKey, *needed: str) -> Mapping[str, dg.MetadataValue]:
    """The metadata of an asset's newest materialization with all keys of `needed`. Raises UpstreamError if there is none."""
    if facts := newest(context.instance, key, *needed):
        return facts
    raise UpstreamError(
        f"{key.to_user_string()} has never been materialized: materialize it first, or the whole group (a "
        "materialization that was only reported by hand holds nothing)"
    )
