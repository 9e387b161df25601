"""What Dagster shows of a table in the warehouse after a load."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import dagster as dg

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Relation
from ddb_assets.markdown import code, prose
from ddb_assets.orchestration import metadata
from ddb_assets.warehouse.bookkeeping import DELETED_AT
from ddb_assets.warehouse.results import Load, LoadResult


def load_facts(
    result: LoadResult, relation: Relation, table_name: str, sources: Sequence[dg.AssetKey], *, soft_delete: bool
) -> metadata.Metadata:
    """The facts of one table after a load, or after a load that found the export already applied.

    `sources` are the assets with columns of the same names.
    """
    in_table = result.table_rows.get(relation.name, 0)
    stored = {column.name for column in relation.columns if column.is_stored}
    columns = [column for column in metadata.columns(relation) if column.name in stored]
    if soft_delete and not relation.path:
        columns.append(
            dg.TableColumn(DELETED_AT, "TIMESTAMP", "bookkeeping: when the item was deleted, NULL if it is there")
        )
    facts: metadata.Metadata = {
        metadata.COLUMNS: dg.MetadataValue.table_schema(dg.TableSchema(columns=columns)),
        metadata.ROWS: dg.MetadataValue.int(in_table),
        metadata.TABLE_NAME: dg.MetadataValue.text(table_name),
        metadata.LINEAGE: metadata.column_lineage(
            [column.name for column in relation.columns if column.is_stored], sources
        ),
        "export_id": dg.MetadataValue.text(result.export_id),
        "applied": dg.MetadataValue.bool(result.applied),
        "rows_loaded": dg.MetadataValue.int(result.rows.get(relation.name, 0)),
    }
    if result.applied:
        facts["copy_bytes"] = dg.MetadataValue.int(sum(part.bytes for part in relation.parts))
    if relation.name in result.queries:
        facts["copy_query_id"] = dg.MetadataValue.int(result.queries[relation.name])
    if not relation.path:
        counts = {
            "items": result.items,
            "rows_in": result.rows_in,
            "upserted": result.upserted,
            "deleted": result.deleted,
            "stale": result.stale,
            "quarantined": result.quarantined,
            "extra_values": result.extra_values,
            "kept_stale": result.kept_stale,
        }
        settled = {"agreed": result.agreed, "healed": result.healed, "stream_missed": result.stream_missed}
        counts |= {name: count for name, count in settled.items() if count is not None}
        if result.history:
            counts |= {
                "history_rows": result.history.rows,
                "history_added": result.history.added,
                "broken_chain": result.history.broken,
            }
            if result.history.resolution is not None:
                counts["history_resolution"] = result.history.resolution
        facts |= {name: dg.MetadataValue.int(count) for name, count in counts.items()}
        facts["seconds"] = dg.MetadataValue.float(result.seconds)
        facts[metadata.SUMMARY] = metadata.markdown(
            ("Table", "Rows now", "Loaded from this export"),
            [(code(name), f"{rows:,}", f"{result.rows.get(name, 0):,}") for name, rows in result.table_rows.items()],
            f"Export {code(result.export_id)} {'applied' if result.applied else 'was already applied'} "
            f"(load {result.sequence}, {result.loaded_at.isoformat(timespec='seconds')}). {prose(' '.join(result.remarks))}",
        )
    return facts


def initial_load_facts(time: datetime, load: Load) -> metadata.Metadata:
    """What the windows of a table start from: the newest full export, its time and its table."""
    return {
        metadata.INITIAL_LOAD_TIME: dg.MetadataValue.timestamp(time),
        metadata.INITIAL_LOAD_EXPORT_ID: dg.MetadataValue.text(load.export_id),
        metadata.TABLE_ARN: dg.MetadataValue.text(load.table_arn),
        metadata.TABLE_ID: dg.MetadataValue.text(load.table_id),
    }


def of_table(facts: metadata.Metadata, columns: Mapping[str, SqlType]) -> metadata.Metadata:
    """A load's facts with all columns of the table, also those that its newest export did not fill."""
    shown = facts[metadata.COLUMNS]
    if not columns or not isinstance(shown, dg.TableSchemaMetadataValue):
        return facts
    known = {column.name: column for column in shown.schema.columns}
    schema = dg.TableSchema(
        [
            dg.TableColumn(name, str(kind), known[name].description, known[name].constraints)
            if name in known
            else dg.TableColumn(name, str(kind))
            for name, kind in columns.items()
        ]
    )
    return facts | {metadata.COLUMNS: dg.MetadataValue.table_schema(schema)}
