"""Where a stream has been read to: one sequence number for each shard.

Facts: Kinesis Data Streams API, "SequenceNumber": a decimal number of up to 129 digits, unique in its shard, which grows with
time. It is text in the API and in the warehouse. Texts of different lengths compare wrongly, so it is compared as a number.
Times are in microseconds since 1970.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ddb_assets.microseconds import from_micros, to_micros

CLOSED = "closed"
"""The position of a shard that was read to its end."""
BEGINNING = "0"
"""The position of a shard of which no record was read. It is less than every sequence number."""
OPEN = to_micros(datetime(9999, 1, 1, tzinfo=UTC))
"""The end of a gap that goes on."""
_END = 10**129


@dataclass(frozen=True)
class Gap:
    """Records that arrived between these times may have been lost, and why. Until OPEN, it goes on."""

    since: int
    until: int
    reason: str

    def __str__(self) -> str:
        """What may be missing, in words."""
        since, until = (from_micros(time).isoformat(timespec="seconds") for time in (self.since, self.until))
        return (
            f"{self.reason}: since {since}, and it goes on"
            if self.until == OPEN
            else f"{self.reason} between {since} and {until}"
        )

    def joined(self, later: "Gap | None") -> "Gap":
        """One gap that covers both, with the reason of the later one, which also says whether it goes on."""
        if later is None:
            return self
        until = later.until if self.until == OPEN else max(self.until, later.until)
        return Gap(min(self.since, later.since), until, later.reason)


@dataclass(frozen=True)
class Position:
    """The last sequence number that was applied, by shard id; `CLOSED` for a shard that has no further records.

    What arrived in a shard before its `read_at` has been read, or had arrived before the stream was read at all. `created`
    is when the stream was created: a stream that was created again has other records under the same names. `gap` is the one
    that reading found, or the one that the warehouse knows and that exports do not cover yet. Two positions are equal when
    the same records have been applied.
    """

    shards: Mapping[str, str]
    read_at: Mapping[str, int] = field(default_factory=dict, compare=False)
    created: int | None = field(default=None, compare=False)
    gap: Gap | None = field(default=None, compare=False)

    @property
    def read_until(self) -> int | None:
        """The time until which every shard that can have further records has been read; None if none was read."""
        return min((time for shard, time in self.read_at.items() if not self.is_closed(shard)), default=None)

    def after(self, shard: str) -> str | None:
        """The sequence number after which a shard is to be read; None to read it from its oldest record."""
        found = self.shards.get(shard)
        return None if found in (CLOSED, BEGINNING) else found

    def is_closed(self, shard: str) -> bool:
        return self.shards.get(shard) == CLOSED

    def last(self, shard: str) -> int:
        """The last sequence number of the shard that was applied, as a number: every record up to it has been."""
        found = self.shards.get(shard, BEGINNING)
        return _END if found == CLOSED else int(found)

    def moved(self, read: Mapping[str, str]) -> "Position":
        """The position after these shards were read to there. It never moves back."""
        shards = {**self.shards, **{shard: later(self.shards.get(shard), to) for shard, to in read.items()}}
        return Position(shards, self.read_at, self.created, self.gap)


BEGINNING_OF_STREAM = Position({})
"""The position of a table that has nothing of the stream: it is read from its oldest record."""


def later(one: str | None, other: str) -> str:
    """The later of two positions in one shard."""
    if one is None or other == CLOSED:
        return other
    return one if one == CLOSED or int(one) > int(other) else other


def least(positions: Iterable[Position]) -> Position:
    """From where the tables of one stream are read together: what each of these positions still lacks comes after it.

    A position in a stream that was created again since has nothing of the stream of today.
    """
    found = list(positions)
    created = max((one.created for one in found if one.created is not None), default=None)
    of_today = [one if one.created == created else Position({}) for one in found]
    common = set.intersection(*(set(one.shards) for one in of_today)) if of_today else set()
    shards = {shard: min((one.shards[shard] for one in of_today), key=_number) for shard in sorted(common)}
    read_at = {
        shard: min(one.read_at[shard] for one in of_today)
        for shard in shards
        if all(shard in one.read_at for one in of_today)
    }
    return Position(shards, read_at, created)


def _number(position: str) -> int:
    return _END if position == CLOSED else int(position)
