"""The ledger of a table, `_ddb_loads__<relation>`: one row for each applied load, written in the load's transaction.

Each table has its own ledger, so that loads of different tables never write to the same one: Redshift would report a
conflict (error 1023). The view `_ddb_loads` shows all of them to people; `ledgers.py` creates them.

The ledger says whether an export is already loaded, what the newest initial load is, and what became of every row of an export.
An export that is applied again (forced, or with another digest) gets another row; the newest one counts.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Annotated, Any, get_type_hints

from ddb_assets.contract.column_type import MAX_VARCHAR, SqlType
from ddb_assets.contract.durable import DurableFormat
from ddb_assets.contract.report import Report
from ddb_assets.microseconds import from_micros
from ddb_assets.warehouse.results import Load, LoadCounts, LoadResult
from ddb_assets.warehouse.sql.engine import SqlEngine, number
from ddb_assets.warehouse.sql.statements import Statement, TableName, quoted
from ddb_assets.warehouse.times import aware, timestamp_value

LEDGER = "_ddb_loads"
VERSION = "ledger_format"
"""The column of the row without a relation that says the version of the ledger, and of all tables beside a table's own."""
FORMAT = DurableFormat("the ledger of loads", key=VERSION)
STREAM = "STREAM"
"""The export type of the row of all records that streams have brought to a table itself. The newest load replaces it."""
PREFIX = f"{LEDGER}__"

_Number = Annotated[int, SqlType("BIGINT")]
_Time = Annotated[datetime | None, SqlType("TIMESTAMP")]
_Rows = Annotated[dict[str, int], SqlType("VARCHAR", MAX_VARCHAR)]
_Columns = Annotated[dict[str, list[str]] | None, SqlType("VARCHAR", MAX_VARCHAR)]


@dataclass(frozen=True, kw_only=True)
class LedgerRow:
    """One load as the ledger keeps it: a field is a column, and its annotation has the column's type.

    A field with a default was added later: it is NULL in older rows, which are read as if they had the default. If older code
    would do wrong without a new field, or if anything else changes, the version of FORMAT must be raised. Dictionaries
    are kept as JSON. `relation_columns` is None if their text is too long for the column: then dropped columns are not
    noticed (`dropped.py`).
    """

    relation: Annotated[str, SqlType("VARCHAR", 127)]
    sequence: _Number
    export_id: Annotated[str, SqlType("VARCHAR", 256)]
    export_arn: Annotated[str, SqlType("VARCHAR", 2048)]
    export_type: Annotated[str, SqlType("VARCHAR", 32)]
    digest: Annotated[str, SqlType("VARCHAR", 256)]
    table_name: Annotated[str, SqlType("VARCHAR", 256)]
    table_arn: Annotated[str, SqlType("VARCHAR", 2048)]
    table_id: Annotated[str, SqlType("VARCHAR", 64)]
    export_time: _Time = None
    from_time: _Time = None
    to_time: _Time = None
    schema_version: _Number
    items: _Number
    rows_in: _Number
    upserted: _Number
    deleted: _Number
    stale: _Number
    quarantined: _Number
    extra_values: _Number
    relation_rows: _Rows
    table_rows: _Rows = field(default_factory=dict)
    relation_columns: _Columns = None
    deletes_forgotten_before: _Time = None
    loaded_at: Annotated[datetime, SqlType("TIMESTAMP")]
    seconds: Annotated[float, SqlType("DOUBLE PRECISION")]
    row_identity: Annotated[str | None, SqlType("VARCHAR", MAX_VARCHAR)] = None
    unkeyed: Annotated[int | None, SqlType("BIGINT")] = None
    kept_stale: _Number = 0
    without_row: _Number = 0
    billed_bytes: _Number = 0
    load_id: Annotated[str | None, SqlType("VARCHAR", 64)] = None
    ledger_id: Annotated[str | None, SqlType("VARCHAR", 64)] = None

    @property
    def result(self) -> LoadResult:
        """The result of finding that this load was done before; the rows that the tables have now are still to be counted."""
        counts = {one.name: getattr(self, one.name) for one in fields(LoadCounts)} | {"table_rows": {}}
        return LoadResult(applied=False, rows=self.relation_rows, **counts)


_HINTS = get_type_hints(LedgerRow, include_extras=True)
_JSON = {name for name, hint in _HINTS.items() if hint in (_Rows, _Columns)}
TYPES: dict[str, SqlType] = {name: hint.__metadata__[0] for name, hint in _HINTS.items()}
"""The columns of a load's row."""
COLUMNS = {**TYPES, VERSION: SqlType("BIGINT")}
"""All columns of a ledger."""


def ledger(schema: str, relation: str) -> TableName:
    """The ledger of a table; `relation` is its root's name. A row without one is not a load: see `ledgers.py`."""
    # guard: a ledger for each table
    return TableName(schema, PREFIX + relation)


def check_version(engine: SqlEngine, table: TableName, columns: Collection[str]) -> bool:
    """Raises NewerFormatError for a ledger that a newer ddb_assets has made or migrated; `columns` are those that it has.

    Returns whether the ledger says its version.
    """
    if VERSION not in columns:
        return False
    found = engine.fetch(Statement(f"SELECT MAX({quoted(VERSION)}) FROM {table} WHERE relation IS NULL"))
    FORMAT.check(found[0][0], str(table))
    return found[0][0] is not None


def loads(engine: SqlEngine, schema: str, relation: str) -> list[Load]:
    """Every load of a table, in the order in which they came; none when there is no ledger. Nothing is changed."""
    names = [one.name for one in fields(Load)]
    return [Load(**found) for found in _there(engine, schema, relation, names, "ORDER BY sequence")]


def newest_rows(engine: SqlEngine, schema: str, relation: str) -> dict[str, int]:
    """The rows that each of a table's relations had after its newest load; empty where the ledger does not say."""
    found = _there(engine, schema, relation, ["table_rows"], "ORDER BY sequence DESC LIMIT 1")
    return found[0].get("table_rows", {}) if found else {}  # NULL in older ledgers


def newest_of(engine: SqlEngine, schema: str, relation: str, export_id: str) -> LedgerRow | None:
    """The newest load of an export, if there is one. The ledger must have been provided (`ledgers.py`)."""
    rest = "AND export_id = ? ORDER BY sequence DESC LIMIT 1"
    found = _read(engine, ledger(schema, relation), TYPES, rest, relation, export_id)
    return LedgerRow(**found[0]) if found else None


def of_streams(engine: SqlEngine, schema: str, relation: str) -> LedgerRow | None:
    """The row of what streams have brought to a table itself, if any has."""
    found = _read(engine, ledger(schema, relation), TYPES, "AND export_type = ?", relation, STREAM)
    return LedgerRow(**found[0]) if found else None


def record(schema: str, report: Report, result: LoadResult, deletes_forgotten_before: int | None) -> Statement:
    """Writes the ledger row of a load."""
    return _insert(schema, row_of(report, result, deletes_forgotten_before))


def record_stream(
    engine: SqlEngine,
    schema: str,
    report: Report,
    result: LoadResult,
    filled: Mapping[str, Collection[str]],
    deletes_forgotten_before: int | None,
) -> None:
    """Replaces the row of streams. `filled` has the columns that earlier loads have filled, by relation."""
    row = row_of(report, result, deletes_forgotten_before)
    own = row.relation_columns
    columns = own and {name: sorted({*own.get(name, ()), *filled.get(name, ())}) for name in {**filled, **own}}
    table = ledger(schema, row.relation)
    engine.execute(Statement(f"DELETE FROM {table} WHERE relation = ? AND export_type = ?", (row.relation, STREAM)))
    engine.execute(_insert(schema, replace(row, export_type=STREAM, relation_columns=columns)))


def row_of(report: Report, result: LoadResult, deletes_forgotten_before: int | None) -> LedgerRow:
    """The ledger row of a load."""
    return LedgerRow(
        relation=report.root.name,
        export_arn=report.export_arn,
        export_type=report.export_type,
        digest=report.digest,
        table_name=report.table,
        table_arn=report.table_arn,
        table_id=report.table_id,
        export_time=report.export_time,
        from_time=report.from_time,
        to_time=report.to_time,
        schema_version=report.schema_version,
        relation_rows=result.rows,
        relation_columns=_columns(report),
        deletes_forgotten_before=None if deletes_forgotten_before is None else from_micros(deletes_forgotten_before),
        row_identity=report.identity.model_dump_json() if report.identity else None,
        unkeyed=report.unkeyed,
        without_row=report.without_row,
        billed_bytes=report.billed_bytes,
        **{one.name: getattr(result, one.name) for one in fields(LoadCounts)},
    )


def _insert(schema: str, row: LedgerRow) -> Statement:
    values = {name: stored_value(value) for name, value in vars(row).items()}
    names, marks = ", ".join(map(quoted, values)), ", ".join("?" * len(values))
    return Statement(f"INSERT INTO {ledger(schema, row.relation)} ({names}) VALUES ({marks})", tuple(values.values()))


def recount(engine: SqlEngine, schema: str, relation: str, relations: Collection[str]) -> None:
    """Within a transaction: notes in the newest load's row how many rows the tables have now, as rows have left them."""
    table = ledger(schema, relation)
    newest = number(engine, Statement(f"SELECT MAX(sequence) FROM {table} WHERE relation = ?", (relation,)))
    then = newest_rows(engine, schema, relation)
    now = engine.counted([TableName(schema, name) for name in relations])
    values = (_text({name: now.get(name, rows) for name, rows in then.items()}), relation, newest)
    if then:
        # guard: counts of the ledger follow a move
        engine.execute(Statement(f"UPDATE {table} SET table_rows = ? WHERE relation = ? AND sequence = ?", values))


def forget(schema: str, report: Report) -> Statement:
    """Deletes all ledger rows of a report's relation."""
    return Statement(f"DELETE FROM {ledger(schema, report.root.name)} WHERE relation = ?", (report.root.name,))


def _there(engine: SqlEngine, schema: str, relation: str, names: Collection[str], rest: str) -> list[dict[str, Any]]:
    """Reads these columns from the ledger, those that it has; nothing if there is none."""
    own, shared = ledger(schema, relation), TableName(schema, LEDGER)  # earlier versions had one for all tables
    there = engine.layouts(schema, [own.name, shared.name])
    table = own if own.name in there else shared
    if table.name not in there:
        return []
    # guard: a newer ledger is not read
    check_version(engine, table, there[table.name].types)
    return _read(engine, table, [name for name in names if name in there[table.name].types], rest, relation)


def _read(
    engine: SqlEngine, table: TableName, names: Collection[str], rest: str, relation: str, *values: object
) -> list[dict[str, Any]]:
    """These columns of the rows of a relation, without those that are NULL."""
    columns = ", ".join(map(quoted, names))
    rows = engine.fetch(Statement(f"SELECT {columns} FROM {table} WHERE relation = ? {rest}", (relation, *values)))
    return [
        {name: read_value(name, value) for name, value in zip(names, row, strict=True) if value is not None}
        for row in rows
    ]


def read_value(name: str, value: object) -> object:
    """A field of a ledger row from what the warehouse gave, which is not NULL."""
    if name in _JSON:
        return json.loads(str(value))
    return aware(value) if TYPES[name].name == "TIMESTAMP" else value


def stored_value(value: object) -> object:
    """A field of a ledger row as a value for the warehouse."""
    if isinstance(value, dict):
        return _text(value)
    return timestamp_value(value) if isinstance(value, datetime) else value


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _columns(report: Report) -> dict[str, list[str]] | None:
    """The columns of each relation, if the ledger's column has room for their text."""
    said = {r.name: [c.name for c in r.columns if c.is_stored] for r in report.relations}
    return said if len(_text(said).encode()) <= MAX_VARCHAR else None
