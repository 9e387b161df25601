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
from datetime import UTC, datetime, timedelta
from typing import cast

from pydantic import ValidationError

from ddb_assets.column_type import SqlType
from ddb_assets.parquet.identity import Identity
from ddb_assets.parquet.report import Report
from ddb_assets.warehouse.dropped import said_columns
from ddb_assets.warehouse.protocol import LoadError, Warehouse
from ddb_assets.warehouse.sql import Statement, Table, quoted

LEDGER = "_ddb_loads"
PREFIX = f"{LEDGER}__"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

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
class History:
    """What the ledger knows before a load. Times are microseconds since 1970 UTC, as `_ddb_version` is.

    `applied` is the newest load of this very export and `digest` its digest; `baselines` are the export times of all
    full exports, oldest first, `baseline_table_id` is the newest one's. Deletes older than `deletes_forgotten_before`
    have no tombstone any more. `relations` are all that any load of this table has filled. `identity` is that of the rows
    which the newest load brought; None when no load has said one.

    `unread` are the times of those full exports that had items which could not be read, `blind` of those among them in
    which the key of one could not be read either: such an export does not say which items were gone. `quarantined` says
    whether any load of the table had such items.

    `inner_end` and `spanned_by` are where the export and the applied ones do not join: the newest baseline or the end of
    a window at or after it, strictly inside the export's window; an applied window that strictly contains the export's
    end. Not those times at which an applied window starts: that one tells what became of every item until then.
    """

    sequence: int
    table_arn: str | None
    applied: LoadResult | None
    digest: str | None
    baselines: tuple[int, ...]
    baseline_table_id: str | None
    inner_end: int | None
    spanned_by: tuple[int, int] | None
    deletes_forgotten_before: int | None
    relations: frozenset[str]
    identity: Identity | None
    unread: frozenset[int] = frozenset()
    blind: frozenset[int] = frozenset()
    quarantined: bool = False

    def started_over(self) -> "History":
        """What is known once all rows and records of loads are forgotten: how many loads there were, and into what."""
        return History(
            self.sequence,
            None,
            None,
            None,
            (),
            None,
            None,
            None,
            None,
            self.relations,
            None,
            quarantined=self.quarantined,
        )

    @property
    def baseline(self) -> int | None:
        """The newest baseline's time."""
        return self.baselines[-1] if self.baselines else None

    @property
    def clean(self) -> int | None:
        """The time of the newest baseline of which every item could be read."""
        return max((time for time in self.baselines if time not in self.unread), default=None)


@dataclass(frozen=True)
class LedgerRow:
    """One load as the ledger has it; `table_rows` are the rows of each table after it, empty where it does not say."""

    sequence: int
    export_id: str
    export_type: str
    table_arn: str
    table_id: str
    export_time: datetime | None
    from_time: datetime | None
    to_time: datetime | None
    table_rows: dict[str, int]


def loads(warehouse: Warehouse, schema: str, relation: str) -> list[LedgerRow]:
    """Every load of a table, in the order in which they came; none when there is no ledger. Nothing is changed."""
    table = ledger(schema, relation)
    if not warehouse.catalog(table):
        table = Table(schema, LEDGER)  # the one that all tables had before
    if not warehouse.catalog(table):
        return []
    columns = "sequence, export_id, export_type, table_arn, table_id, export_time, from_time, to_time, table_rows"
    found = warehouse.fetch(
        Statement(f"SELECT {columns} FROM {table} WHERE relation = ? ORDER BY sequence", (relation,))
    )
    return [
        LedgerRow(
            *cast("tuple[int, str, str, str, str]", ids),
            export_time=_read(export_time),
            from_time=_read(from_time),
            to_time=_read(to_time),
            table_rows=_counts(table_rows),
        )
        for *ids, export_time, from_time, to_time, table_rows in found
    ]


def micros(time: datetime | None, field: str) -> int:
    """Microseconds since 1970 UTC, exactly. Raises LoadError for a time that is missing or has no zone."""
    if time is None or time.tzinfo is None:
        raise LoadError(f"the report's {field} is {time}: a time with its zone is needed; flatten the export again")
    return (time - EPOCH) // timedelta(microseconds=1)


def ledger(schema: str, relation: str) -> Table:
    """The ledger of a table; `relation` is its root's name. A row without one is no load: see `ledgers.py`."""
    return Table(schema, PREFIX + relation)


def history(warehouse: Warehouse, schema: str, report: Report) -> History:
    """Reads what the ledger knows about the table and the export of a report."""
    table, relation = ledger(schema, report.root.name), report.root.name
    summary = warehouse.fetch(
        Statement(
            f"SELECT MAX(sequence), MAX(table_arn), MAX(deletes_forgotten_before), MAX(quarantined) FROM {table} "
            "WHERE relation = ?",
            (relation,),
        )
    )[0]
    full = warehouse.fetch(
        Statement(
            f"SELECT export_time, table_id, export_id, quarantined, COALESCE(unkeyed, quarantined) FROM {table} "
            "WHERE relation = ? AND export_type = 'FULL_EXPORT' ORDER BY export_time, sequence",
            (relation,),
        )
    )
    loads = {(cast("int", _read_micros(time)), name): (unread, blind) for time, _, name, unread, blind in full}
    baselines = tuple(sorted({time for time, _ in loads}))
    unread, blind = (frozenset(baselines) - {t for (t, _), counts in loads.items() if not counts[n]} for n in (0, 1))
    newest = max((time for time in baselines if time not in blind), default=0)
    filled = warehouse.fetch(Statement(f"SELECT DISTINCT relation_rows FROM {table} WHERE relation = ?", (relation,)))
    applied, digest = _applied(warehouse, table, report)
    return History(
        sequence=cast("int", summary[0] or 0),
        table_arn=cast("str | None", summary[1]),
        applied=applied,
        digest=digest,
        baselines=baselines,
        baseline_table_id=cast("str", full[-1][1]) if full else None,
        inner_end=_inner_end(warehouse, table, report, newest),
        spanned_by=_spanning(warehouse, table, report, newest),
        deletes_forgotten_before=_read_micros(summary[2]),
        relations=frozenset(name for (rows,) in filled for name in json.loads(cast("str", rows))),
        identity=_identity(warehouse, table, relation),
        unread=unread,
        blind=blind,
        quarantined=bool(summary[3]),
    )


def _identity(warehouse: Warehouse, table: Table, relation: str) -> Identity | None:
    said = warehouse.fetch(
        Statement(
            f"SELECT row_identity FROM {table} WHERE relation = ? AND row_identity IS NOT NULL ORDER BY sequence DESC LIMIT 1",
            (relation,),
        )
    )
    try:
        return Identity.model_validate_json(cast("str", said[0][0])) if said else None
    except ValidationError as error:
        raise LoadError(
            f"the ledger {table} names an identity of the rows of {relation!r} that this version of ddb_assets cannot read: "
            f"{said[0][0]}; update ddb_assets if a newer version wrote it"
        ) from error


def _inner_end(warehouse: Warehouse, table: Table, report: Report, baseline: int) -> int | None:
    if report.from_time is None or report.to_time is None:
        return None
    ends = warehouse.fetch(
        Statement(
            "SELECT MIN(ends.moment) FROM (SELECT COALESCE(to_time, export_time) AS moment "
            f"FROM {table} WHERE relation = ? AND table_id = ?) AS ends "
            "WHERE ends.moment > ? AND ends.moment < ? AND ends.moment >= ? "
            f"AND NOT EXISTS (SELECT 1 FROM {table} WHERE relation = ? AND table_id = ? AND from_time = ends.moment)",
            (
                *(report.root.name, report.table_id),
                *(_bound(report.from_time), _bound(report.to_time), _bound(EPOCH + timedelta(microseconds=baseline))),
                *(report.root.name, report.table_id),
            ),
        )
    )
    return _read_micros(ends[0][0])


def _spanning(warehouse: Warehouse, table: Table, report: Report, baseline: int) -> tuple[int, int] | None:
    end = report.to_time or report.export_time
    if micros(end, "end") <= baseline:
        return None  # the baseline says what became of every item
    windows = warehouse.fetch(
        Statement(
            f"SELECT from_time, to_time FROM {table} WHERE relation = ? AND table_id = ? "
            "AND from_time < ? AND to_time > ? "
            f"AND NOT EXISTS (SELECT 1 FROM {table} WHERE relation = ? AND table_id = ? AND from_time = ?) "
            "ORDER BY from_time, to_time LIMIT 1",
            (
                *(report.root.name, report.table_id, _bound(end), _bound(end)),
                *(report.root.name, report.table_id, _bound(end)),
            ),
        )
    )
    return cast("tuple[int, int]", tuple(map(_read_micros, windows[0]))) if windows else None


def _applied(warehouse: Warehouse, table: Table, report: Report) -> tuple[LoadResult | None, str | None]:
    columns = (
        "sequence, export_id, items, rows_in, upserted, deleted, stale, quarantined, filtered, extra_values, "
        "COALESCE(kept_stale, 0), relation_rows, loaded_at, seconds, digest"
    )
    rows = warehouse.fetch(
        Statement(
            f"SELECT {columns} FROM {table} WHERE relation = ? AND export_id = ? ORDER BY sequence DESC LIMIT 1",
            (report.root.name, report.export_id),
        )
    )
    if not rows:
        return None, None
    *counts, relation_rows, loaded_at, seconds, digest = rows[0]
    sequence, export_id, *numbers = counts
    items, rows_in, upserted, deleted, stale, quarantined, filtered, extra_values, kept = cast("list[int]", numbers)
    result = LoadResult(
        applied=False,
        sequence=cast("int", sequence),
        export_id=cast("str", export_id),
        items=items,
        rows_in=rows_in,
        upserted=upserted,
        deleted=deleted,
        stale=stale,
        quarantined=quarantined,
        filtered=filtered,
        extra_values=extra_values,
        rows=json.loads(cast("str", relation_rows)),
        table_rows={},
        loaded_at=cast("datetime", loaded_at).replace(tzinfo=UTC),
        seconds=cast("float", seconds),
        kept_stale=kept,
    )
    return result, cast("str", digest)


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
        "export_time": _bound(report.export_time),
        "from_time": _bound(report.from_time),
        "to_time": _bound(report.to_time),
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
        "deletes_forgotten_before": None
        if deletes_forgotten_before is None
        else _bound(EPOCH + timedelta(microseconds=deletes_forgotten_before)),
        "loaded_at": _bound(result.loaded_at),
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


def _bound(time: datetime | None) -> datetime | None:
    """A TIMESTAMP value: UTC without a zone."""
    return None if time is None else time.astimezone(UTC).replace(tzinfo=None)


def _read(value: object) -> datetime | None:
    return None if value is None else cast("datetime", value).replace(tzinfo=UTC)


def _counts(text: object) -> dict[str, int]:
    return {} if text is None else cast("dict[str, int]", json.loads(str(text)))


def _read_micros(value: object) -> int | None:
    return None if value is None else micros(cast("datetime", value).replace(tzinfo=UTC), "time")
