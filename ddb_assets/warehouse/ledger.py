"""The ledger of a table, `_ddb_loads__<relation>`: one row for every load that was applied, in its rows' transaction.

Each table has its own, so that loads of different tables never write to the same one, which Redshift would take for a
conflict (error 1023). People read all of them in the view `_ddb_loads`; how they are made is `ledgers.py`.

It answers whether an export is in the tables already, what the newest baseline is, and where every row of an export
went. An export that is applied again (forced, or at another digest) gets a further row; the newest one counts. How rows
are loaded is `load.py`.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from ddb_assets.column_type import SqlType
from ddb_assets.parquet.report import Report
from ddb_assets.warehouse.dropped import said_columns
from ddb_assets.warehouse.protocol import Warehouse
from ddb_assets.warehouse.sql import Statement, Table, quoted
from ddb_assets.warehouse.times import aware, timestamp_value

LEDGER = "_ddb_loads"
PREFIX = f"{LEDGER}__"

TYPES = {
    name: SqlType.parse(kind)
    for name, kind in {
        "relation": "VARCHAR(127)",
        "sequence": "BIGINT",
        "export_id": "VARCHAR(256)",
        "export_arn": "VARCHAR(2048)",
        "export_type": "VARCHAR(32)",
        "digest": "VARCHAR(256)",
        "table_name": "VARCHAR(256)",
        "table_arn": "VARCHAR(2048)",
        "table_id": "VARCHAR(64)",
        "export_time": "TIMESTAMP",
        "from_time": "TIMESTAMP",
        "to_time": "TIMESTAMP",
        "schema_version": "BIGINT",
        "items": "BIGINT",
        "rows_in": "BIGINT",
        "upserted": "BIGINT",
        "deleted": "BIGINT",
        "stale": "BIGINT",
        "quarantined": "BIGINT",
        "filtered": "BIGINT",
        "extra_values": "BIGINT",
        "relation_rows": "VARCHAR(65535)",
        "table_rows": "VARCHAR(65535)",
        "relation_columns": "VARCHAR(65535)",
        "deletes_forgotten_before": "TIMESTAMP",
        "loaded_at": "TIMESTAMP",
        "seconds": "DOUBLE PRECISION",
        "row_identity": "VARCHAR(65535)",
        "unkeyed": "BIGINT",
        "kept_stale": "BIGINT",
    }.items()
}


@dataclass(frozen=True)
class LoadResult:
    """What became of an export's rows.

    `applied` is False when the export was in the tables already; the numbers are then those of the load that put it
    there. `items` (of the manifest) = `rows_in` + `quarantined` + `filtered`, and `rows_in` = `upserted` + `deleted` +
    `stale`, all of the root relation; stale rows were older than what the tables know. `rows` are the rows inserted per
    relation, `table_rows` the rows each table has now. `sequence` counts the loads of a relation from 1. `queries` are the
    numbers that the warehouse gave the queries which staged each relation, if it has such; `remarks` say what did not
    work beside the load itself. `kept_stale` are rows that stay as they were, marked, because the export has their items
    but nobody could read them.
    """

    applied: bool
    sequence: int
    export_id: str
    items: int
    rows_in: int
    upserted: int
    deleted: int
    stale: int
    quarantined: int
    filtered: int
    extra_values: int
    rows: dict[str, int]
    table_rows: dict[str, int]
    loaded_at: datetime
    seconds: float
    queries: dict[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    kept_stale: int = 0


@dataclass(frozen=True)
class LedgerRow:
    """One load as the ledger has it."""

    sequence: int
    export_id: str
    export_type: str
    table_arn: str
    table_id: str
    export_time: datetime | None
    from_time: datetime | None
    to_time: datetime | None


def loads(warehouse: Warehouse, schema: str, relation: str) -> list[LedgerRow]:
    """Every load of a table, in the order in which they came; none when there is no ledger. Nothing is changed."""
    columns = "sequence, export_id, export_type, table_arn, table_id, export_time, from_time, to_time"
    found = _fetch(warehouse, schema, relation, columns, "ORDER BY sequence")
    return [
        LedgerRow(
            *cast("tuple[int, str, str, str, str]", ids),
            export_time=aware(export_time),
            from_time=aware(from_time),
            to_time=aware(to_time),
        )
        for *ids, export_time, from_time, to_time in found
    ]


def newest_rows(warehouse: Warehouse, schema: str, relation: str) -> dict[str, int]:
    """The rows that each of a table's relations had after its newest load; empty where the ledger does not say."""
    found = _fetch(warehouse, schema, relation, "table_rows", "ORDER BY sequence DESC LIMIT 1")
    text = found[0][0] if found else None  # older ledgers have NULL
    return {} if text is None else cast("dict[str, int]", json.loads(str(text)))


def _fetch(warehouse: Warehouse, schema: str, relation: str, columns: str, order: str) -> list[tuple[object, ...]]:
    table = ledger(schema, relation)
    if not warehouse.catalog(table):
        table = Table(schema, LEDGER)  # the one that all tables had before
    if not warehouse.catalog(table):
        return []
    return warehouse.fetch(Statement(f"SELECT {columns} FROM {table} WHERE relation = ? {order}", (relation,)))


def ledger(schema: str, relation: str) -> Table:
    """The ledger of a table; `relation` is its root's name. A row without one is no load: see `ledgers.py`."""
    return Table(schema, PREFIX + relation)


def record(schema: str, report: Report, result: LoadResult, deletes_forgotten_before: int | None) -> Statement:
    """The ledger row of a load."""
    values: dict[str, object] = {
        "relation": report.root.name,
        "sequence": result.sequence,
        "export_id": report.export_id,
        "export_arn": report.export_arn,
        "export_type": report.export_type,
        "digest": report.digest,
        "table_name": report.table,
        "table_arn": report.table_arn,
        "table_id": report.table_id,
        "export_time": timestamp_value(report.export_time),
        "from_time": timestamp_value(report.from_time),
        "to_time": timestamp_value(report.to_time),
        "schema_version": report.schema_version,
        "items": result.items,
        "rows_in": result.rows_in,
        "upserted": result.upserted,
        "deleted": result.deleted,
        "stale": result.stale,
        "quarantined": result.quarantined,
        "filtered": result.filtered,
        "extra_values": result.extra_values,
        "relation_rows": json.dumps(result.rows, ensure_ascii=False),
        "table_rows": json.dumps(result.table_rows, ensure_ascii=False),
        "relation_columns": said_columns(report),
        "deletes_forgotten_before": timestamp_value(deletes_forgotten_before),
        "loaded_at": timestamp_value(result.loaded_at),
        "seconds": result.seconds,
        "row_identity": report.identity.model_dump_json() if report.identity else None,
        "unkeyed": report.unkeyed,
        "kept_stale": result.kept_stale,
    }
    names = ", ".join(map(quoted, values))
    marks = ", ".join("?" * len(values))
    return Statement(
        f"INSERT INTO {ledger(schema, report.root.name)} ({names}) VALUES ({marks})", tuple(values.values())
    )


def forget(schema: str, report: Report) -> Statement:
    """Deletes the records of all loads of a report's relation."""
    return Statement(f"DELETE FROM {ledger(schema, report.root.name)} WHERE relation = ?", (report.root.name,))
