"""The bookkeeping of moves, `_ddb_moves__<root>`: one row for each move that has begun, in the order of their numbers.

A number is given once, unless its move had nothing to write and nothing to delete. A move that does not end, because its
process died, is abandoned when the next one begins: from then on its last transaction is refused, so nobody will ever need
the rows that it wrote.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from ddb_assets.contract.column_type import MAX_VARCHAR, SqlType
from ddb_assets.warehouse.bookkeeping import MOVE
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.sql import statements
from ddb_assets.warehouse.sql.engine import SqlEngine, number
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets.warehouse.times import timestamp_value

TYPES = {
    MOVE: SqlType("BIGINT"),
    "begun_at": SqlType("TIMESTAMP"),
    "moved_at": SqlType("TIMESTAMP"),
    "by_column": SqlType("VARCHAR", 127),
    "moved_before": SqlType("TIMESTAMP"),
    "item_rows": SqlType("VARCHAR", MAX_VARCHAR),
    "bytes": SqlType("BIGINT"),
    "owner": SqlType("VARCHAR", 64),
}
MARK = "begun_at"


@dataclass(frozen=True)
class Move:
    """A move that has begun. `owner` is the name of the table's cold tier, which no other has, and which never changes."""

    number: int
    owner: str

    def folder(self, number: int | None = None) -> str:
        """The name of the folder for the files of this move, or of another."""
        return f"{self.owner}-{number or self.number:06}"


def begin(engine: SqlEngine, root: TableName, by: str, before: datetime, stored: int) -> Move:
    """Within a transaction that holds the lock of loads: a new move. Earlier ones that run are abandoned.

    `stored` is the highest number in the Iceberg tables, which know moves that a warehouse restored from a backup does not.
    """
    place, keys = statements.moves(root), statements.cold(root)
    known = [number(engine, Statement(f"SELECT COALESCE(MAX({MOVE}), 0) FROM {table}")) for table in (place, keys)]
    # guard: numbers of moves that a backup does not know
    known.append(stored)
    newest = max(known)
    whose = owner(engine, root) or uuid.uuid4().hex
    values = (newest + 1, _now(), by, timestamp_value(before), whose)
    names = f"{MOVE}, begun_at, by_column, moved_before, owner"
    engine.execute(Statement(f"INSERT INTO {place} ({names}) VALUES (?, ?, ?, ?, ?)", values))
    return Move(newest + 1, whose)


def check_newest(engine: SqlEngine, root: TableName, move: int) -> None:
    """Within a transaction that holds the lock of loads. Raises WarehouseError if a later move has begun."""
    newest = number(engine, Statement(f"SELECT MAX({MOVE}) FROM {statements.moves(root)}"))
    # guard: one move at a time
    if newest != move:
        raise WarehouseError(
            f"move {newest} of {root} to the cold tier has begun while move {move} was running, so move {move} stops: it has "
            "moved nothing. Wait for the other one"
        )


def abandoned(engine: SqlEngine, root: TableName, move: int) -> list[int]:
    """The moves before this one that did not end."""
    found = engine.fetch(
        Statement(
            f"SELECT {MOVE} FROM {statements.moves(root)} WHERE moved_at IS NULL AND {MOVE} < ? ORDER BY {MOVE}",
            (move,),
        )
    )
    return [cast("int", one) for (one,) in found]


@dataclass(frozen=True)
class Open:
    """The moves that have begun and not ended, and the newest one of all; later ones may begin at any time."""

    newest: int
    unended: tuple[int, ...]


def open_ones(engine: SqlEngine, root: TableName) -> Open:
    """Those of now."""
    newest = number(engine, Statement(f"SELECT COALESCE(MAX({MOVE}), 0) FROM {statements.moves(root)}"))
    return Open(newest, tuple(abandoned(engine, root, newest + 1)))


def owner(engine: SqlEngine, root: TableName) -> str:
    """The name of a table's cold tier; empty if no move has begun."""
    return str(engine.fetch(Statement(f"SELECT MAX(owner) FROM {statements.moves(root)}"))[0][0] or "")


def end(engine: SqlEngine, root: TableName, move: int, rows: Mapping[str, int], size: int) -> None:
    """Records what a move has moved: within its last transaction, or on its own if that is nothing."""
    values = (_now(), json.dumps(dict(rows))[:MAX_VARCHAR], size, move)
    place = statements.moves(root)
    engine.execute(Statement(f"UPDATE {place} SET moved_at = ?, item_rows = ?, bytes = ? WHERE {MOVE} = ?", values))


def withdraw(engine: SqlEngine, root: TableName, move: int) -> None:
    """Forgets a move that has written nothing and taken nothing away."""
    engine.execute(Statement(f"DELETE FROM {statements.moves(root)} WHERE {MOVE} = ?", (move,)))


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
