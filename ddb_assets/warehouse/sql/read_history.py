"""Reads what a load knows about its table from the table's ledger (`warehouse/history.py` says what that is)."""
# ruff: noqa: S608  -- names come from quoted(), values are bound

import json
from typing import cast

from pydantic import ValidationError

from ddb_assets.contract.identity import Identity
from ddb_assets.contract.report import Report
from ddb_assets.contract.scan import is_scan
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.sql.engine import SqlEngine
from ddb_assets.warehouse.sql.ledger import FORMAT, STREAM, VERSION, ledger, newest_of
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets.warehouse.times import end, stored_micros, timestamp_value

_MISSED = "quarantined - COALESCE(without_row, 0)"  # as `Report.missed`


def read_history(engine: SqlEngine, schema: str, report: Report) -> History:
    """Reads what the ledger knows about the table and the export of a report.

    Raises NewerFormatError when a newer ddb_assets has taken the ledger over.
    """
    table, relation = ledger(schema, report.root.name), report.root.name
    summary = engine.fetch(
        Statement(
            f"SELECT MAX(sequence), MAX(table_arn), MAX(deletes_forgotten_before), "
            f"MAX(CASE WHEN {_MISSED} > 0 THEN COALESCE(to_time, export_time) END), "
            f"MAX(CASE WHEN export_type = '{STREAM}' THEN table_id END), MAX(ledger_id), MAX({VERSION}) "
            f"FROM {table} WHERE relation = ? OR relation IS NULL",
            (relation,),
        )
    )[0]
    # guard: a ledger that was migrated meanwhile
    FORMAT.check(summary[6], str(table))
    full = engine.fetch(
        Statement(
            f"SELECT export_time, table_id, export_id, {_MISSED}, COALESCE(unkeyed, quarantined) FROM {table} "
            "WHERE relation = ? AND export_type = 'FULL_EXPORT' ORDER BY export_time, sequence",
            (relation,),
        )
    )
    loads = {(cast("int", stored_micros(time)), name): (unread, blind) for time, _, name, unread, blind in full}
    initial_loads = tuple(sorted({time for time, _ in loads}))
    unread, blind = (
        frozenset(initial_loads) - {t for (t, _), counts in loads.items() if not counts[n]} for n in (0, 1)
    )
    newest = max((time for time in initial_loads if time not in blind), default=0)
    applied = newest_of(engine, schema, relation, report.export_id)
    return History(
        sequence=cast("int", summary[0] or 0),
        table_arn=cast("str | None", summary[1]),
        applied=applied.result if applied else None,
        digest=applied.digest if applied else None,
        initial_loads=initial_loads,
        initial_load_table_id=cast("str", full[-1][1]) if full else None,
        inner_end=_inner_end(engine, table, report, newest),
        spanned_by=_spanning(engine, table, report, newest),
        deletes_forgotten_before=stored_micros(summary[2]),
        columns=filled(engine, table, relation),
        identity=_identity(engine, table, relation),
        unread=unread,
        blind=blind,
        missed_until=stored_micros(summary[3]),
        streamed=cast("str | None", summary[4]),
        ledger_id=cast("str | None", summary[5]),
        scanned=bool(full) and is_scan(cast("str", full[-1][2])),
    )


def filled(engine: SqlEngine, table: TableName, relation: str) -> dict[str, frozenset[str]]:
    """The relations that any load has filled, with the columns of all loads that name them."""
    said = engine.fetch(
        Statement(
            "SELECT DISTINCT relation_columns, CASE WHEN relation_columns IS NULL THEN relation_rows END "
            f"FROM {table} WHERE relation = ?",
            (relation,),
        )
    )
    found: dict[str, frozenset[str]] = {}
    for columns, rows in said:
        named = (
            json.loads(cast("str", columns))
            if columns is not None
            else dict.fromkeys(json.loads(cast("str", rows)), ())
        )
        for name, names in named.items():
            found[name] = found.get(name, frozenset()) | frozenset(names)
    return found


def _identity(engine: SqlEngine, table: TableName, relation: str) -> Identity | None:
    said = engine.fetch(
        Statement(
            f"SELECT row_identity FROM {table} WHERE relation = ? AND row_identity IS NOT NULL ORDER BY sequence DESC LIMIT 1",
            (relation,),
        )
    )
    if not said:
        return None
    try:
        identity = Identity.model_validate_json(cast("str", said[0][0]))
    except ValidationError as error:
        raise LoadError(
            f"the ledger {table} names an identity of the rows of {relation!r} that this version of ddb_assets cannot read: "
            f"{said[0][0]}; update ddb_assets if a newer version wrote it"
        ) from error
    identity.check_format(str(table))
    return identity


def _inner_end(engine: SqlEngine, table: TableName, report: Report, initial_load: int) -> int | None:
    if report.from_time is None or report.to_time is None:
        return None
    # guard: table id of beginnings
    # guard: table id of ends
    ends = engine.fetch(
        Statement(
            "SELECT MIN(ends.moment) FROM (SELECT COALESCE(to_time, export_time) AS moment "
            f"FROM {table} WHERE relation = ? AND table_id = ?) AS ends "
            "WHERE ends.moment > ? AND ends.moment < ? AND ends.moment >= ? "
            f"AND NOT EXISTS (SELECT 1 FROM {table} WHERE relation = ? AND table_id = ? AND from_time = ends.moment)",
            (
                *(report.root.name, report.table_id),
                *(timestamp_value(report.from_time), timestamp_value(report.to_time), timestamp_value(initial_load)),
                *(report.root.name, report.table_id),
            ),
        )
    )
    return stored_micros(ends[0][0])


def _spanning(engine: SqlEngine, table: TableName, report: Report, initial_load: int) -> tuple[int, int] | None:
    if end(report) <= initial_load:
        return None  # the initial load says what became of every item
    windows = engine.fetch(
        Statement(
            f"SELECT from_time, to_time FROM {table} WHERE relation = ? AND table_id = ? "
            "AND from_time < ? AND to_time > ? "
            f"AND NOT EXISTS (SELECT 1 FROM {table} WHERE relation = ? AND table_id = ? AND from_time = ?) "
            "ORDER BY from_time, to_time LIMIT 1",
            (
                *(report.root.name, report.table_id, timestamp_value(end(report)), timestamp_value(end(report))),
                *(report.root.name, report.table_id, timestamp_value(end(report))),
            ),
        )
    )
    return cast("tuple[int, int]", tuple(map(stored_micros, windows[0]))) if windows else None
