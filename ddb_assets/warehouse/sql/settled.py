"""Before when exports have settled what a stream says about a table, where the warehouse reads the stream itself.

Such a table has no tail of ours: records stay in the warehouse's own view of the stream, and views over that show which of them
are newer than the table. `_ddb_settled__<root>` has one row with the limit. Loads of exports move it in their own
transaction, and records from before it are no longer shown. So the promises of `settling.py` hold here too.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

from collections.abc import Collection
from dataclasses import dataclass

from ddb_assets.contract.column_type import SqlType
from ddb_assets.microseconds import to_micros
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql import statements
from ddb_assets.warehouse.sql.engine import NOTHING, SqlEngine
from ddb_assets.warehouse.sql.settling import covered_until, recorded, settled_before
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets.warehouse.sql.tables import evolve

MARK = "settled_before"
TYPES = {"stream": SqlType("VARCHAR", 2048), MARK: SqlType("BIGINT"), "made": SqlType("VARCHAR", 64)}


@dataclass(frozen=True)
class Settled:
    """The row: which stream, the limit in microseconds (None without an export), and which views were made (a hash)."""

    stream: str
    limit: int | None
    made: str | None


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
    return read(engine, root) or Settled(stream, None, None)


def read(engine: SqlEngine, root: TableName) -> Settled | None:
    """The row of a table that is there."""
    for stream, limit, made in engine.fetch(Statement(f"SELECT stream, {MARK}, made FROM {statements.settled(root)}")):
        return Settled(str(stream), None if limit is None else int(str(limit)), None if made is None else str(made))
    return None


def move(engine: SqlEngine, root: TableName) -> None:
    """Within a transaction: moves the limit to what exports cover by now."""
    covered = covered_until(recorded(engine, root))
    limit = None if covered is None else to_micros(settled_before(covered))
    engine.execute(Statement(f"UPDATE {statements.settled(root)} SET {MARK} = CAST(? AS BIGINT)", (limit,)))


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
