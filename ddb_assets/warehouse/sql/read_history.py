"""Reads what a load knows about its table from the table's ledger (`warehouse/history.py` says what that is)."""
# ruff: noqa: S608  -- names come from quoted(), values are bound

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from pydantic import ValidationError

from ddb_assets.contract.identity import Identity
from ddb_assets.contract.report import Report
from ddb_assets.contract.scan import is_scan
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.history import History
from ddb_assets.warehouse.sql.engine import SqlEngine
from ddb_assets.warehouse.sql.ledger import FORMAT, STREAM, VERSION, ledger, newest_of
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets.warehouse.times import end, start, stored_micros, timestamp_value

_MISSED = "quarantined - COALESCE(without_row, 0)"  # as `Report.missed`
_STATE = f"MAX(sequence), COUNT(relation), MAX(ledger_id), MAX(loaded_at), MAX({VERSION})"
"""Every load takes the next number, and a ledger that is made again has another id: two loads never leave the same."""


@dataclass(frozen=True)
class _Summary:
    """The ledger as a whole: a query of one row, which says what else is worth a query.

    `this`, `ends` and `around` are the numbers of loads of this export, of ends inside its window, and of windows around
    its end.
    """

    sequence: int | None
    loads: int
    ledger_id: str | None
    newest: datetime | None
    version: object
    table_arn: str | None
    deletes_forgotten_before: datetime | None
    missed_until: datetime | None
    streamed: str | None
    full: int
    this: int
    ends: int
    around: int

    @property
    def state(self) -> tuple[object, ...]:
        """The values of `_STATE`."""
        return self.sequence, self.loads, self.ledger_id, self.newest, self.version


def _summary(engine: SqlEngine, table: TableName, report: Report) -> _Summary:
    begin, until = timestamp_value(start(report)), timestamp_value(end(report))
    (found,) = engine.fetch(
        Statement(
            f"SELECT {_STATE}, MAX(table_arn), MAX(deletes_forgotten_before), "
            f"MAX(CASE WHEN {_MISSED} > 0 THEN COALESCE(to_time, export_time) END), "
            f"MAX(CASE WHEN export_type = '{STREAM}' THEN table_id END), "
            "COUNT(CASE WHEN export_type = 'FULL_EXPORT' THEN 1 END), "
            "COUNT(CASE WHEN export_id = ? THEN 1 END), "
            "COUNT(CASE WHEN table_id = ? AND COALESCE(to_time, export_time) > ? AND COALESCE(to_time, export_time) < ? "
            "THEN 1 END), COUNT(CASE WHEN table_id = ? AND from_time < ? AND to_time > ? THEN 1 END) "
            f"FROM {table} WHERE relation = ? OR relation IS NULL",
            (report.export_id, *(report.table_id, begin, until), *(report.table_id, until, until), report.root.name),
        )
    )
    return _Summary(*cast("tuple[Any, ...]", found))


def _state(engine: SqlEngine, table: TableName, relation: str) -> tuple[object, ...]:
    where = "WHERE relation = ? OR relation IS NULL"
    return tuple(engine.fetch(Statement(f"SELECT {_STATE} FROM {table} {where}", (relation,)))[0])


def read_history(engine: SqlEngine, schema: str, report: Report, before: History | None = None) -> History:
    """Reads what the ledger knows about the table and the export of a report.

    `before` is what was read a moment ago. It is returned if no load has changed the ledger since.

    Raises NewerFormatError when a newer ddb_assets has taken the ledger over.
    """
    table, relation = ledger(schema, report.root.name), report.root.name
    if before is not None and before.state == _state(engine, table, relation):
        return before
    summary = _summary(engine, table, report)
    # guard: a ledger that was migrated meanwhile
    FORMAT.check(summary.version, str(table))
    full = []
    if summary.full:
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
    applied = newest_of(engine, schema, relation, report.export_id) if summary.this else None
    said = _said(engine, table, relation) if summary.loads else []
    return History(
        sequence=summary.sequence or 0,
        table_arn=summary.table_arn,
        applied=applied.result if applied else None,
        digest=applied.digest if applied else None,
        initial_loads=initial_loads,
        initial_load_table_id=cast("str", full[-1][1]) if full else None,
        inner_end=_inner_end(engine, table, report, newest) if summary.ends else None,
        spanned_by=_spanning(engine, table, report, newest) if summary.around else None,
        deletes_forgotten_before=stored_micros(summary.deletes_forgotten_before),
        columns=_filled(said),
        identity=_identity(table, relation, said),
        unread=unread,
        blind=blind,
        missed_until=stored_micros(summary.missed_until),
        streamed=summary.streamed,
        ledger_id=summary.ledger_id,
        scanned=bool(full) and is_scan(cast("str", full[-1][2])),
        state=summary.state,
    )


def filled(engine: SqlEngine, table: TableName, relation: str) -> dict[str, frozenset[str]]:
    """The relations that any load has filled, with the columns of all loads that name them."""
    return _filled(_said(engine, table, relation))


def _said(engine: SqlEngine, table: TableName, relation: str) -> list[tuple[object, ...]]:
    """What loads say of the relations, which is the same in most: columns, or rows without them, the rows' identity.

    The newest load that says the same is the last field.
    """
    rows = "CASE WHEN relation_columns IS NULL THEN relation_rows END"
    return engine.fetch(
        Statement(
            f"SELECT relation_columns, {rows}, row_identity, MAX(sequence) FROM {table} WHERE relation = ? "
            f"GROUP BY relation_columns, {rows}, row_identity",
            (relation,),
        )
    )


def _filled(said: Iterable[tuple[object, ...]]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for columns, rows, *_ in said:
        named = (
            json.loads(cast("str", columns))
            if columns is not None
            else dict.fromkeys(json.loads(cast("str", rows)), ())
        )
        for name, names in named.items():
            found[name] = found.get(name, frozenset()) | frozenset(names)
    return found


def _identity(table: TableName, relation: str, said: Iterable[tuple[object, ...]]) -> Identity | None:
    texts = {cast("int", sequence): cast("str", text) for *_, text, sequence in said if text is not None}
    if not texts:
        return None
    newest = texts[max(texts)]
    try:
        identity = Identity.model_validate_json(newest)
    except ValidationError as error:
        raise LoadError(
            f"the ledger {table} names an identity of the rows of {relation!r} that this version of ddb_assets cannot read: "
            f"{newest}; update ddb_assets if a newer version wrote it"
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
