"""Where the streams of a table have been read to: `_ddb_stream__<relation>`, moved in the transaction that loads what was read.

One row for each shard, and one without a shard for each stream: when the stream was created, its gap, and which relations
and which identity the rows have that it brought to the tail. The rows of a stream are replaced as a whole, so their number does
not grow. A load gives the position from which its records were read. Under the table's lock this is compared with the stored
one, so records are applied once however often they are read.
"""
# ruff: noqa: S608  -- names come from quoted(), values are bound

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ddb_assets.contract.column_type import MAX_VARCHAR, SqlType
from ddb_assets.contract.identity import Identity
from ddb_assets.contract.report import Report
from ddb_assets.microseconds import from_micros
from ddb_assets.streams.position import BEGINNING_OF_STREAM, Gap, Position
from ddb_assets.warehouse.errors import StreamMovedError
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.sql import gaps, statements
from ddb_assets.warehouse.sql.engine import NOTHING, Layout, SqlEngine
from ddb_assets.warehouse.sql.statements import Statement, TableName, quoted
from ddb_assets.warehouse.sql.tables import evolve
from ddb_assets.warehouse.times import stored_micros, timestamp_value

MARK = "sequence"
ROWS = 100
"""Rows in one INSERT: the driver sends at most 32,767 values with a statement."""
TYPES = {
    "stream": SqlType("VARCHAR", 2048),
    "shard": SqlType("VARCHAR", 256),
    MARK: SqlType("VARCHAR", 256),
    "read_at": SqlType("TIMESTAMP"),
    "created_at": SqlType("TIMESTAMP"),
    **gaps.TYPES,
    "relations": SqlType("VARCHAR", MAX_VARCHAR),
    "row_identity": SqlType("VARCHAR", MAX_VARCHAR),
}


@dataclass(frozen=True)
class Streams:
    """The positions of a table by stream, and what the table's tail has: which relations, and rows of which identities."""

    positions: dict[str, Position]
    relations: frozenset[str]
    identities: frozenset[Identity]

    def position(self, stream: str) -> Position:
        """The position in a stream."""
        return self.positions.get(stream, BEGINNING_OF_STREAM)

    @property
    def read_at(self) -> datetime | None:
        """The time until which every shard has been read; None if nothing was."""
        times = (position.read_until for position in self.positions.values())
        least = min((time for time in times if time is not None), default=None)
        return None if least is None else from_micros(least)


NONE = Streams({}, frozenset(), frozenset())


def provide(engine: SqlEngine, root: TableName, there: Mapping[str, Layout]) -> None:
    """Creates the table of positions, unless it is there."""
    table = statements.streams(root)
    evolve(engine, table, TYPES, mark=MARK, seen=there.get(table.name, NOTHING))


def read(engine: SqlEngine, root: TableName) -> Streams:
    """Everything that the table of positions says."""
    names = ", ".join(map(quoted, TYPES))
    positions: dict[str, tuple[int | None, Gap | None]] = {}
    shards: dict[str, dict[str, str]] = {}
    read_at: dict[str, dict[str, int]] = {}
    relations: set[str] = set()
    identities: set[Identity] = set()
    for row in engine.fetch(Statement(f"SELECT {names} FROM {statements.streams(root)}")):
        found = dict(zip(TYPES, row, strict=True))
        stream = str(found["stream"])
        if found["shard"] is not None:
            shard = str(found["shard"])
            shards.setdefault(stream, {})[shard] = str(found[MARK])
            if (time := stored_micros(found["read_at"])) is not None:
                read_at.setdefault(stream, {})[shard] = time
            continue
        positions[stream] = stored_micros(found["created_at"]), gaps.stored(found)
        relations.update(json.loads(str(found["relations"])))
        if found["row_identity"] is not None:
            identities.add(Identity.model_validate_json(str(found["row_identity"])))
    whole = {
        name: Position(shards.get(name, {}), read_at.get(name, {}), created, gap)
        for name, (created, gap) in positions.items()
    }
    return Streams(whole, frozenset(relations), frozenset(identities))


def is_done(position: Position, moved: Moved) -> bool:
    """Whether the records are applied already. Raises StreamMovedError when they do not follow the position."""
    # guard: records that follow the position
    if position == moved.start:
        return False
    if position == moved.end:
        return True
    raise StreamMovedError(
        f"the position in {moved.stream} is another one than that from which it was read: another run has moved it, or the "
        "table has started over; read the stream again from the table's position"
    )


def move(engine: SqlEngine, root: TableName, before: Streams, moved: Moved, report: Report | None = None) -> None:
    """Within a load's transaction: replaces the stream's rows; `report` is of the records that the tail got, if any."""
    old = before.position(moved.stream).gap
    gap = old.joined(moved.end.gap) if old else moved.end.gap
    relations = {*before.relations, *([relation.name for relation in report.relations] if report else [])}
    identity = report.identity if report else next(iter(before.identities), None)
    rows: list[dict[str, object]] = [
        {
            "stream": moved.stream,
            "shard": shard,
            MARK: sequence,
            "read_at": timestamp_value(moved.end.read_at.get(shard)),
        }
        for shard, sequence in sorted(moved.end.shards.items())
    ]
    rows.append(
        {
            "stream": moved.stream,
            "created_at": timestamp_value(moved.end.created),
            **gaps.values(gap),
            "relations": json.dumps(sorted(relations)),
            "row_identity": identity.model_dump_json() if identity else None,
        }
    )
    table = statements.streams(root)
    engine.execute(Statement(f"DELETE FROM {table} WHERE stream = ?", (moved.stream,)))
    names, marks = ", ".join(map(quoted, TYPES)), ", ".join(f"CAST(? AS {kind})" for kind in TYPES.values())
    for start in range(0, len(rows), ROWS):
        chunk = rows[start : start + ROWS]
        values = tuple(row.get(name) for row in chunk for name in TYPES)
        engine.execute(
            Statement(f"INSERT INTO {table} ({names}) VALUES {', '.join([f'({marks})'] * len(chunk))}", values)
        )


def reset(engine: SqlEngine, root: TableName) -> None:
    """Forgets every position, so that streams are read from their oldest records again."""
    engine.execute(statements.delete_all(statements.streams(root)))
