"""Where the streams of a table have been read to: `_ddb_stream__<root>`, whose newest row says everything.

Each move adds a row, so one insert decides. The row of a load into the tail (`load_tail.py`) names that load: from then on
views show the rows of it. A load into the table itself has its row in its plan, and `publish.py` adds it. Older rows stay while
the tail has rows of their load (`tidying.py`).
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from ddb_assets.contract.identity import Identity
from ddb_assets.contract.report import Report
from ddb_assets.microseconds import from_micros
from ddb_assets.streams.position import BEGINNING_OF_STREAM, Gap, Position
from ddb_assets.warehouse.clickhouse.ledger import FORMAT
from ddb_assets.warehouse.clickhouse.lock import Lock
from ddb_assets.warehouse.clickhouse.server import UNKNOWN_TABLE, Server, StatementError
from ddb_assets.warehouse.clickhouse.sql import STREAM, literal, table
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.sql.ledger import VERSION

NEVER = 0
"""The load of a row that brought nothing to the tail."""


@dataclass(frozen=True)
class Streams:
    """The newest row: its number, 0 without one; the position in each stream; and what is in the tail.

    The tail has tables of these `relations`, and rows with these `keys` and this `identity`, in which these paths are `hidden`.
    It shows nothing from before the time `settled`, in microseconds since 1970, and no load with a number below `since`.
    """

    number: int = 0
    positions: Mapping[str, Position] = field(default_factory=dict)
    relations: frozenset[str] = frozenset()
    keys: tuple[str, ...] = ()
    identity: Identity | None = None
    hidden: Mapping[str, str] = field(default_factory=dict)
    settled: int = 0
    since: int = 0

    def position(self, stream: str) -> Position:
        """The position in a stream."""
        return self.positions.get(stream, BEGINNING_OF_STREAM)

    @property
    def read_at(self) -> datetime | None:
        """The time until which every shard has been read; None if nothing was."""
        times = (position.read_until for position in self.positions.values())
        least = min((time for time in times if time is not None), default=None)
        return None if least is None else from_micros(least)

    def moved(self, moved: Moved, report: Report | None = None) -> "Streams":
        """After a move; `report` is of the records that the tail got, if any."""
        old = self.position(moved.stream).gap
        gap = old.joined(moved.end.gap) if old else moved.end.gap
        end = Position(moved.end.shards, moved.end.read_at, moved.end.created, gap)
        after = replace(self, number=self.number + 1, positions={**self.positions, moved.stream: end})
        if report is None:
            return after
        relations = self.relations | {relation.name for relation in report.relations}
        hidden = {one.path: one.how for one in report.hidden}
        keys = tuple(column.name for column in report.root.keys) or self.keys
        return replace(after, relations=relations, keys=keys, identity=report.identity, hidden=hidden)

    def started_over(self) -> "Streams":
        """Without positions, and without anything in the tail."""
        return Streams(number=self.number + 1, keys=self.keys, since=first_load(self.number + 1))

    def covered(self, limit: int | None) -> "Streams":
        """After exports cover all from before this time: gaps that they cover end."""
        positions = {
            stream: replace(one, gap=None) if one.gap and limit is not None and one.gap.until <= limit else one
            for stream, one in self.positions.items()
        }
        return replace(self, number=self.number + 1, settled=limit or 0, positions=positions)

    def text(self) -> str:
        """As a plan keeps it."""
        said = asdict(self) | {"relations": sorted(self.relations)}
        identity = self.identity.model_dump(mode="json") if self.identity else None
        return json.dumps(said | {"identity": identity}, ensure_ascii=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From what a plan or a row keeps."""
        found: dict[str, Any] = json.loads(text)
        positions = {
            stream: Position(**one | {"gap": Gap(**one["gap"]) if one["gap"] else None})
            for stream, one in found["positions"].items()
        }
        identity = Identity.model_validate(found["identity"]) if found["identity"] else None
        sets = {"relations": frozenset(found["relations"]), "keys": tuple(found["keys"])}
        return cls(**found | sets | {"positions": positions, "identity": identity})


NONE = Streams()


def first_load(number: int) -> int:
    """The lowest number of a load whose row has this number. Each load adds 32 random bits."""
    return number << 32


def provide(server: Server, root: str) -> None:
    """Creates the table of positions."""
    server.execute(
        f"CREATE TABLE IF NOT EXISTS {table(STREAM, root)} (number Int64, load UInt64, settled Int64, since UInt64, said "
        f"String CODEC(ZSTD), {VERSION} Int64) ENGINE = MergeTree ORDER BY number "
        "SETTINGS non_replicated_deduplication_window = 1000"
    )


def read(server: Server, root: str) -> Streams | None:
    """What the newest row says; None without a table. Raises NewerFormatError if a newer ddb_assets has written to it."""
    place = table(STREAM, root)
    try:
        found = server.fetch(
            f"SELECT said, (SELECT max({VERSION}) FROM {place}) FROM {place} ORDER BY number DESC LIMIT 1"
        )
    except StatementError as error:
        if error.code != UNKNOWN_TABLE:
            raise
        return None
    for said, version in found:
        # guard: ClickHouse: a newer table of positions is not read
        FORMAT.check(version, f"{STREAM}{root}")
        return Streams.parse(said)
    return NONE


def decide(server: Server, lock: Lock, root: str, streams: Streams, load: int = NEVER) -> None:
    """Adds a row, if the lock is still held when the server adds it; else raises InterruptedLoadError."""
    # guard: ClickHouse: a position moves with the lock
    add(server, root, streams, lock.held(), load)
    own = f"number = {streams.number} AND load = {load} AND said = {literal(streams.text())}"
    if not server.value(f"SELECT count() FROM {table(STREAM, root)} WHERE {own}"):
        raise lock.lost()


def add(server: Server, root: str, streams: Streams, condition: str, load: int = NEVER) -> None:
    """Adds a row under this condition. The same one that is added twice counts once."""
    values = {
        "number": streams.number,
        "load": load,
        "settled": streams.settled,
        "since": streams.since,
        "said": streams.text(),
        VERSION: FORMAT.version,
    }
    server.execute(
        f"INSERT INTO {table(STREAM, root)} ({', '.join(values)}) SETTINGS async_insert = 0 "
        f"SELECT {', '.join(map(literal, values.values()))} WHERE {condition}"
    )
