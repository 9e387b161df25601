"""The settled time of a table whose stream the warehouse reads itself: exports have said everything from before it.

Such a table has no tail of ours. Records stay in the warehouse's own view of the stream, and views over that show which of
them are newer than the table. `_ddb_settled__<root>` has one row, with the settled time. Loads of exports move it in their own
transaction, and records from before it are no longer shown. So the promises of `settling.py` hold here too.

The row also says when the stream was read last. Redshift does not say when records expired before it read them, so a gap is
known by that time and by how long the stream keeps its records.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

from collections.abc import Collection
from dataclasses import dataclass

from ddb_assets.contract.column_type import SqlType
from ddb_assets.microseconds import to_micros
from ddb_assets.streams.calls import Stream
from ddb_assets.streams.not_sent import unsent
from ddb_assets.streams.position import Gap
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql import gaps, statements
from ddb_assets.warehouse.sql.engine import NOTHING, SqlEngine
from ddb_assets.warehouse.sql.settling import covered_until, recorded, settled_before
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets.warehouse.sql.tables import evolve
from ddb_assets.warehouse.times import stored_micros, timestamp_value

MARK = "settled_before"
TYPES = {
    "stream": SqlType("VARCHAR", 2048),
    MARK: SqlType("BIGINT"),
    "made": SqlType("VARCHAR", 64),
    "created_at": SqlType("TIMESTAMP"),
    "read_at": SqlType("TIMESTAMP"),
    **gaps.TYPES,
}


@dataclass(frozen=True)
class Settled:
    """The row: which stream, the settled time (None without an export), and which views were made (a hash).

    `created` is when the stream was created that was read up to `read_at`; both are None before the first refresh. `gap` is one
    that exports do not cover yet. Times are in microseconds since 1970.
    """

    stream: str
    limit: int | None
    made: str | None = None
    created: int | None = None
    read_at: int | None = None
    gap: Gap | None = None


def provide(engine: SqlEngine, root: TableName, stream: str) -> Settled:
    """The row, which is created if it is not there. Raises LoadError for a table that has a tail of its own."""
    table = statements.settled(root)
    check_no_tail(engine, root)
    there = engine.layouts(str(root.schema), [table.name])
    evolve(engine, table, TYPES, mark=MARK, seen=there.get(table.name, NOTHING))
    known = read(engine, root)
    if known is None or known.stream != stream:
        with engine.transaction(table):
            engine.execute(statements.delete_all(table))
            engine.execute(Statement(f"INSERT INTO {table} (stream) VALUES (?)", (stream,)))
            move(engine, root)
    return read(engine, root) or Settled(stream, None)


def read(engine: SqlEngine, root: TableName) -> Settled | None:
    """The row of a table that is there."""
    for row in engine.fetch(Statement(f"SELECT {', '.join(TYPES)} FROM {statements.settled(root)}")):
        found = dict(zip(TYPES, row, strict=True))
        limit, made = found[MARK], found["made"]
        return Settled(
            str(found["stream"]),
            None if limit is None else int(str(limit)),
            None if made is None else str(made),
            stored_micros(found["created_at"]),
            stored_micros(found["read_at"]),
            gaps.stored(found),
        )
    return None


def move(engine: SqlEngine, root: TableName) -> None:
    """Within a transaction: moves the settled time to what exports cover by now, and ends a gap that they cover."""
    covered = covered_until(recorded(engine, root))
    limit = None if covered is None else to_micros(settled_before(covered))
    table = statements.settled(root)
    engine.execute(Statement(f"UPDATE {table} SET {MARK} = CAST(? AS BIGINT)", (limit,)))
    if limit is not None:
        gaps.end(engine, table, limit)


def note_read(
    engine: SqlEngine, root: TableName, source: Stream, began: int, ended: int, *, sends: bool | None
) -> Gap | None:
    """After a refresh that took from `began` to `ended`: the stream has been read up to `began`. Returns the table's gap.

    There is one if records may have expired since the refresh before: those that arrived after it began, and before what
    the stream still had when this one ended. Of a stream that was created again, all records since may be lost.
    There is one, too, while the table does not write to the stream (`sends`, None if that is not known).
    """
    before = read(engine, root)
    if before is None:
        return None
    gap, found, horizon = before.gap, None, ended - source.retention
    if before.read_at is not None and before.created != source.created:
        found = Gap(before.read_at, began, f"{source.arn} was created again")
    elif before.read_at is not None and before.read_at < horizon:
        found = Gap(before.read_at, horizon, "records expired before they were read")
    for one in (found, unsent(before.gap, before.read_at, sends=sends, began=began)):
        gap = gap.joined(one) if gap else one
    values = {"created_at": timestamp_value(source.created), "read_at": timestamp_value(began), **gaps.values(gap)}
    given = ", ".join(f"{name} = CAST(? AS {TYPES[name]})" for name in values)
    engine.execute(Statement(f"UPDATE {statements.settled(root)} SET {given}", tuple(values.values())))
    return gap


def note_made(engine: SqlEngine, root: TableName, made: str) -> None:
    """Remembers which views were made."""
    engine.execute(Statement(f"UPDATE {statements.settled(root)} SET made = CAST(? AS VARCHAR(64))", (made,)))


def check_no_tail(engine: SqlEngine, root: TableName) -> None:
    """Raises LoadError if drains have made a tail for the table: two tails would not agree."""
    position = statements.streams(root)
    # guard: no view of a stream beside a tail
    if position.name in engine.layouts(str(root.schema), [position.name]):
        raise LoadError(
            f"{root} has a tail that drains of its stream have filled, and the contract says `tail: materialized_view`: drop "
            f"it (DROP VIEW {statements.live(root)}; DROP TABLE {statements.tail(root)}, {position}, "
            f"{statements.tombstones(statements.tail(root))}, and those of its lists), or take `tail` out of the contract"
        )


def check_no_settled(root: TableName, there: Collection[str]) -> None:
    """Raises LoadError if the warehouse reads the table's stream itself, and records are drained now.

    `there` has the names of the tables that are there.
    """
    table = statements.settled(root)
    # guard: no tail beside a view of a stream
    if table.name in there:
        raise LoadError(
            f"Redshift reads the stream of {root} itself, and the contract no longer says `tail: materialized_view`: drop that "
            f"(DROP VIEW {statements.live(root)}; DROP VIEW {statements.tail(root)} CASCADE; DROP TABLE {table} CASCADE), or "
            "put `tail: materialized_view` back into the contract"
        )
