"""The ledger of a table, `_ddb_loads__<relation>`: one row for each applied load, written in the load's transaction.

Each table has its own ledger, so that loads of different tables never write to the same one: Redshift would report a
conflict (error 1023). The view `_ddb_loads` shows all of them to people; `ledgers.py` creates them.

The ledger says whether an export is already loaded, what the newest baseline is, and what became of every row of an export.
An export that is applied again (forced, or with another digest) gets another row; the newest one counts.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

import json
from typing import Any, cast

from ddb_assets.contract.column_type import MAX_VARCHAR, SqlType
from ddb_assets.contract.report import Report
from ddb_assets.warehouse.results import Load, LoadResult
from ddb_assets.warehouse.sql.engine import SqlEngine
from ddb_assets.warehouse.sql.statements import Statement, TableName, quoted
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
        "without_row": "BIGINT",
    }.items()
}


def loads(engine: SqlEngine, schema: str, relation: str) -> list[Load]:
    """Every load of a table, in the order in which they came; none when there is no ledger. Nothing is changed."""
    columns = "sequence, export_id, export_type, table_arn, table_id, export_time, from_time, to_time"
    found = _fetch(engine, schema, relation, columns, "ORDER BY sequence")
    return [
        Load(
            **cast("dict[str, Any]", dict(zip(columns.split(", "), ids, strict=False))),
            export_time=aware(export_time),
            from_time=aware(from_time),
            to_time=aware(to_time),
        )
        for *ids, export_time, from_time, to_time in found
    ]


def newest_rows(engine: SqlEngine, schema: str, relation: str) -> dict[str, int]:
    """The rows that each of a table's relations had after its newest load; empty where the ledger does not say."""
    found = _fetch(engine, schema, relation, "table_rows", "ORDER BY sequence DESC LIMIT 1")
    text = found[0][0] if found else None  # older ledgers have NULL
    return {} if text is None else cast("dict[str, int]", json.loads(str(text)))


def _fetch(engine: SqlEngine, schema: str, relation: str, columns: str, order: str) -> list[tuple[object, ...]]:
    own, shared = ledger(schema, relation), TableName(schema, LEDGER)  # all tables had one before
    there = engine.layouts(schema, [own.name, shared.name])
    table = own if own.name in there else shared
    if table.name not in there:
        return []
    return engine.fetch(Statement(f"SELECT {columns} FROM {table} WHERE relation = ? {order}", (relation,)))


def ledger(schema: str, relation: str) -> TableName:
    """The ledger of a table; `relation` is its root's name. A row without one is no load: see `ledgers.py`."""
    return TableName(schema, PREFIX + relation)


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
        "extra_values": result.extra_values,
        "relation_rows": json.dumps(result.rows, ensure_ascii=False),
        "table_rows": json.dumps(result.table_rows, ensure_ascii=False),
        "relation_columns": _columns(report),
        "deletes_forgotten_before": timestamp_value(deletes_forgotten_before),
        "loaded_at": timestamp_value(result.loaded_at),
        "seconds": result.seconds,
        "row_identity": report.identity.model_dump_json() if report.identity else None,
        "unkeyed": report.unkeyed,
        "kept_stale": result.kept_stale,
        "without_row": report.without_row,
    }
    names = ", ".join(map(quoted, values))
    marks = ", ".join("?" * len(values))
    return Statement(
        f"INSERT INTO {ledger(schema, report.root.name)} ({names}) VALUES ({marks})", tuple(values.values())
    )


def forget(schema: str, report: Report) -> Statement:
    """Deletes all ledger rows of a report's relation."""
    return Statement(f"DELETE FROM {ledger(schema, report.root.name)} WHERE relation = ?", (report.root.name,))


def _columns(report: Report) -> str | None:
    """The columns of each relation, as the ledger keeps them.

    None if the text is too long for the ledger's column: then dropped columns are not noticed (`dropped.py`).
    """
    said = {r.name: [c.name for c in r.columns if c.role != "deleted"] for r in report.relations}
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    return text if len(text.encode()) <= MAX_VARCHAR else None
