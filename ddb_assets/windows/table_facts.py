"""What a table's page shows, whichever window came last: the table's own columns, rows and name, not the window's."""

from collections.abc import Mapping

import dagster as dg

from ddb_assets.contract.column_type import SqlType
from ddb_assets.orchestration.metadata import COLUMNS, ROWS, TABLE_NAME, Metadata
from ddb_assets.orchestration.reported import newest_of


def of_table(facts: Metadata, columns: Mapping[str, SqlType]) -> Metadata:
    """A load's facts with all columns of the table, also those that its newest export did not fill."""
    shown = facts[COLUMNS]
    if not columns or not isinstance(shown, dg.TableSchemaMetadataValue):
        return facts
    descriptions = {column.name: column.description for column in shown.schema.columns}
    schema = dg.TableSchema([dg.TableColumn(name, str(kind), descriptions.get(name)) for name, kind in columns.items()])
    return facts | {COLUMNS: dg.MetadataValue.table_schema(schema)}


def standing(instance: dg.DagsterInstance, asset: dg.AssetKey) -> Metadata:
    """What an asset's page keeps showing when nothing was done for a window: columns, rows and name of the table."""
    stage, name = asset.path
    baseline = dg.AssetKey(["warehouse_baseline" if stage == "warehouse" else "baseline", name])
    facts = newest_of(instance, (baseline, asset), COLUMNS)
    shown = (COLUMNS, ROWS, TABLE_NAME) if stage == "warehouse" else (COLUMNS,)
    return {name: facts[name] for name in shown if name in facts}
