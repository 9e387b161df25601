"""How the load of an export settles what a stream said: the tail forgets what exports cover, and is compared before that.

The stream's clock and that of exports may differ by MARGIN, so what the tail says about a time is settled when exports cover
MARGIN more. From then on only the exports speak, and records of that time no longer enter the tail (`load_tail.py`). So
whatever a stream loses, repeats, disorders or stamps wrongly is gone when exports cover its time.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

from dataclasses import dataclass
from datetime import datetime, timedelta

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Report
from ddb_assets.microseconds import to_micros
from ddb_assets.warehouse.bookkeeping import DELETED_AT
from ddb_assets.warehouse.errors import InterruptedLoadError
from ddb_assets.warehouse.guards import same_identity
from ddb_assets.warehouse.results import Recorded
from ddb_assets.warehouse.sql import gaps, statements, streams
from ddb_assets.warehouse.sql.engine import SqlEngine, number
from ddb_assets.warehouse.sql.ledger import loads
from ddb_assets.warehouse.sql.statements import LoadTarget, Statement, TableName
from ddb_assets.warehouse.sql.streams import Streams
from ddb_assets.warehouse.sql.tables import Tables
from ddb_assets.warehouse.sql.tail import is_lost, start_over

MARGIN = timedelta(seconds=60)
"""By how much clocks may differ: exports follow one of DynamoDB's own, up to a minute apart (S3DataExport_Requesting)."""


@dataclass(frozen=True)
class Settled:
    """The counts of `LoadResult` about a tail."""

    agreed: int | None = None
    healed: int | None = None
    stream_missed: int | None = None


def recorded(engine: SqlEngine, root: TableName) -> Recorded:
    """What the ledger says about the loads of exports."""
    return Recorded(tuple(loads(engine, str(root.schema), root.name)), {})


def covered_until(known: Recorded) -> datetime | None:
    """The moment until which no change is missing in the table."""
    # guard: only what is covered is settled
    return known.coverage.until if known.coverage else None


def settled_before(covered: datetime) -> datetime:
    """The moment before which the table knows every write, by whichever clock."""
    # guard: clocks differ
    covered -= MARGIN
    return covered


def begin(engine: SqlEngine, tables: Tables, tail: Tables | None, report: Report, *, restart: bool) -> datetime | None:
    """Before an export's rows are merged: until when earlier exports cover everything.

    The tail starts over with the table, or if its rows have another identity than the export's: their keys and masks would
    not match. Its streams are read from their oldest records again, because the records since the export's time are not
    in the export.
    """
    root = tables.root.table
    said = streams.read(engine, root)
    _check_unchanged(engine, root, tail, said)
    # guard: a tail of other keys or masks
    if restart or not same_identity(report, said.identities):
        start_over(engine, root, {*said.relations, *(relation.name for relation in report.relations)})
    return covered_until(recorded(engine, tables.root.table))


def settle(engine: SqlEngine, tables: Tables, tail: Tables, report: Report, before: datetime | None) -> Settled:
    """After the export's row in the ledger: forgets what is settled in the tail, and ends gaps of its streams."""
    known = recorded(engine, tables.root.table)
    covered = covered_until(known)
    if covered is None or covered == before:
        return Settled()
    limit = settled_before(covered)
    found = Settled()
    if tables.root.relation.keys and _is_read(engine, tables, known, report):
        found = _compared(engine, tables, tail, report, before, to_micros(limit))
    for table in (tail.root.table, *(table for table, _ in tail.below), tail.tombstones):
        # guard: the tail forgets
        engine.execute(statements.delete_until(table, tail.version, to_micros(limit) - 1))
    gaps.end(engine, statements.streams(tables.root.table), limit)
    return found


def _check_unchanged(engine: SqlEngine, root: TableName, tail: Tables | None, said: Streams) -> None:
    """Raises InterruptedLoadError when a load has created tables of the tail since `tail` was looked at."""
    known = {table.name for table in (tail.root.table, *(table for table, _ in tail.below))} if tail else set()
    created = {statements.tail(TableName(None, name)).name for name in said.relations} - known
    # guard: relations of the tail as they are now
    if created and not is_lost(engine, root, said):
        raise InterruptedLoadError(f"another load has created {TableName(root.schema, min(created))}")


def _is_read(engine: SqlEngine, tables: Tables, known: Recorded, report: Report) -> bool:
    """Whether the streams have been read as far as exports reach: else the tail does not know yet what they know.

    A scan knows writes until its end.
    """
    read_at = streams.read(engine, tables.root.table).read_at
    newest = max(time for load in known.loads if (time := load.to_time or load.export_time))
    return read_at is not None and read_at >= max(newest, report.scan.ended if report.scan else newest)


def _compared(
    engine: SqlEngine, tables: Tables, tail: Tables, report: Report, before: datetime | None, limit: int
) -> Settled:
    """What the tail says before `limit`, against the table."""
    healed = number(engine, _count_otherwise(tables, tail, limit))
    said = sum(
        number(engine, statements.count_until(table, tail.version, limit - 1))
        for table in (tail.root.table, tail.tombstones)
    )
    missed = None
    if not report.is_full and before is not None:
        missed = number(engine, _count_missed(tables, tail, to_micros(before)))
    return Settled(said - healed, healed, missed)


def _count_missed(tables: Tables, tail: Tables, since: int) -> Statement:
    """How many staged keys, written since then, the tail has neither as a row nor as a delete."""
    root = tables.root
    never = [
        f"NOT EXISTS (SELECT 1 FROM {table} WHERE {root.matches(table, types)})"
        for table, types in ((tail.root.table, tail.root.types), (tail.tombstones, tail.tombstone_types))
    ]
    version = root.stage.column(tables.version)
    return Statement(f"SELECT COUNT(*) FROM {root.stage} WHERE {version} >= ? AND {' AND '.join(never)}", (since,))


def _count_otherwise(tables: Tables, tail: Tables, limit: int) -> Statement:
    """How many keys the tail knows otherwise than the table, of those that it knows of a time before `limit`."""
    pairs = list(zip(tables.relations, tail.relations, strict=True))
    root, said = pairs[0]
    present = f" AND {root.table.column(DELETED_AT)} IS NULL" if DELETED_AT in root.types else ""
    keys = [key.name for key in root.relation.keys]
    found = [_rows(keys, said.table, tail.version) + _without_equal(root, said, present)]
    for own, other in pairs[1:]:
        found.append(_rows(keys, other.table, tail.version) + _without_equal(own, other))
        same = _same([c.name for c in own.relation.identity], own.table, other.table)
        item = _same(keys, own.table, said.table)
        found.append(
            f"{_names(keys, own.table)} FROM {own.table} INNER JOIN {said.table} ON {item} "
            f"WHERE {said.table.column(tail.version)} < ? AND NOT EXISTS (SELECT 1 FROM {other.table} WHERE {same})"
        )
    gone = _same(keys, root.table, tail.tombstones)
    found.append(
        f"{_rows(keys, tail.tombstones, tail.version)} AND EXISTS (SELECT 1 FROM {root.table} WHERE {gone}{present})"
    )
    union = " UNION ".join(f"SELECT {one}" for one in found)
    return Statement(f'SELECT COUNT(*) FROM ({union}) AS "otherwise"', (limit,) * len(found))


def _rows(keys: list[str], table: TableName, version: str) -> str:
    return f"{_names(keys, table)} FROM {table} WHERE {table.column(version)} < ?"


def _names(keys: list[str], table: TableName) -> str:
    return ", ".join(map(table.column, keys))


def _same(columns: list[str], one: TableName, other: TableName) -> str:
    return " AND ".join(f"{one.column(name)} = {other.column(name)}" for name in columns)


def _without_equal(own: LoadTarget, said: LoadTarget, present: str = "") -> str:
    """The condition that the table has no row that equals the tail's in all columns but the version."""
    identity = [column.name for column in own.relation.identity]
    version = own.relation.column("version").name
    equal = [
        f" AND {_equal(_comparable(own.table, name, kind), _comparable(said.table, name, kind))}"
        for name, kind in said.types.items()
        if name not in {*identity, version}
    ]
    same = _same(identity, own.table, said.table) + "".join(equal) + present
    return f" AND NOT EXISTS (SELECT 1 FROM {own.table} WHERE {same})"


def _comparable(table: TableName, name: str, kind: SqlType) -> str:
    """A value that `=` compares; JSON as its text, of any length."""
    return f"JSON_SERIALIZE_TO_VARBYTE({table.column(name)})" if kind.name == "SUPER" else table.column(name)


def _equal(one: str, other: str) -> str:
    return f"COALESCE({one} = {other}, {one} IS NULL AND {other} IS NULL)"
