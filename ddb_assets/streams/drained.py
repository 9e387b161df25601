"""What one drain of a stream read: the records, and where each table's position is afterwards.

Pure. `drain.py` reads, `landing.py` writes the records of each table.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ddb_assets.streams.calls import Stream, StreamRecord
from ddb_assets.streams.position import BEGINNING, Gap, Position
from ddb_assets.streams.shards import Shard


@dataclass(frozen=True)
class Look:
    """One answer of a shard; times in microseconds since 1970.

    What arrived before `horizon` had expired. `first`: when its first record arrived, or the time of the answer if it had
    none. After it the shard has been read up to `read_at`.
    """

    horizon: int
    first: int
    read_at: int


@dataclass(frozen=True)
class Stretch:
    """What a drain read of one shard: to which position, with which answers. `behind_millis`: how far that was from its end."""

    to: str
    looks: tuple[Look, ...]
    behind_millis: int


@dataclass(frozen=True)
class Drained:
    """The records that a drain read, by sequence number and parents before children, and what it read of each shard.

    `listed` are all shards that the stream had at last. `began` and `ended` are in microseconds since 1970. `caught_up`: all
    that had arrived when the drain began has been read, no limit ended it. `throttled` counts calls that were tried again.
    """

    stream: Stream
    records: list[StreamRecord]
    stretches: Mapping[str, Stretch]
    listed: Mapping[str, Shard]
    began: int
    ended: int
    caught_up: bool
    throttled: int

    @property
    def behind_millis(self) -> int:
        """How far the shard that is furthest behind was from its end, in milliseconds."""
        return max((stretch.behind_millis for stretch in self.stretches.values()), default=0)

    @property
    def newest_age(self) -> float | None:
        """Seconds from the arrival of the newest record to the end of the drain; None without records."""
        newest = max((record.arrived for record in self.records), default=None)
        return None if newest is None else (self.ended - newest) / 1_000_000

    def moved(self, position: Position) -> Position:
        """A table's position after it has all that was read.

        It has the shards that are listed, so it does not grow. It has a gap if something may have expired before this drain
        read it; gaps that were known before are the warehouse's.
        """
        again = position.created is not None and position.created != self.stream.created
        before = Position({}) if again else position
        reached = before.moved({shard: stretch.to for shard, stretch in self.stretches.items()})
        read_at = self._read_at(before)
        gap: Gap | None = None
        for found in self._gaps(position, again=again):
            gap = found if gap is None else gap.joined(found)
        return Position(
            {shard: reached.shards.get(shard, BEGINNING) for shard in sorted(self.listed)},
            {shard: read_at[shard] for shard in sorted(self.listed)},
            self.stream.created,
            gap,
        )

    def _read_at(self, before: Position) -> dict[str, int]:
        """Until when each shard was read. A child begins where its parents ended, and the first shards when reading began."""
        found = dict(before.read_at)
        for shard in sorted(self.listed):  # the ids are numbered, so parents come first
            stretch = self.stretches.get(shard)
            read = max(found.get(shard, 0), stretch.looks[-1].read_at if stretch else 0)
            parents = (found[parent] for parent in self.listed[shard].parents if parent in found)
            found[shard] = read or min(parents, default=self.began)
        return found

    def _gaps(self, position: Position, *, again: bool) -> list[Gap]:
        if again:
            since = min(position.read_at.values(), default=self.began)
            return [Gap(since, self.began, f"{self.stream.arn} was created again")]
        unread = [shard for shard in position.read_at if not position.is_closed(shard)]
        found = []
        for shard in sorted({*unread, *self.stretches}):
            stretch = self.stretches.get(shard)
            if stretch:
                looks = stretch.looks
            elif shard not in self.listed:
                looks = (Look(self.began - self.stream.retention, self.began, self.began),)
            else:
                continue
            if not position.is_closed(shard):
                found += _lost(shard, position.read_at.get(shard), looks)
        return found


def _lost(shard: str, read_at: int | None, looks: tuple[Look, ...]) -> list[Gap]:
    """The times of which records may have expired before these looks at the shard, read before up to `read_at`."""
    found = []
    for look in looks:
        if read_at is not None and read_at < look.horizon:
            found.append(Gap(read_at, max(look.first, read_at), f"records of {shard} expired before they were read"))
        read_at = max(read_at or 0, look.read_at) or None  # 0: nothing was read yet
    return found
