"""A shard of a Kinesis stream: a range of hashes, and the records that arrived for it. `kinesis_stream` has the facts."""

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from ddb_assets.sandbox.clock import MICROS

FIRST_SEQUENCE, SEQUENCES_PER_MICRO = 496 * 10**53, 10**30
CALLS_PER_SECOND = 5
MIB = 1 << 20
MAX_RECORDS, MAX_ANSWER = 10_000, 10 * MIB

_SEQUENCE, _ARRIVED = attrgetter("sequence"), attrgetter("arrived")


def first_sequence(micros: int) -> int:
    """The least sequence number, in any shard, of a time (microseconds since 1970). It has 56 digits."""
    return FIRST_SEQUENCE + micros * SEQUENCES_PER_MICRO


class Record(NamedTuple):
    """One record: its sequence number, when it arrived (microseconds since 1970), its partition key and its data."""

    sequence: int
    arrived: int
    partition_key: str
    data: bytes


class Rate:
    """Counts calls, of which `CALLS_PER_SECOND` are allowed."""

    def __init__(self) -> None:
        self._calls: deque[int] = deque()

    def takes(self, now: int) -> bool:
        """Counts a call, or returns False when there were too many."""
        while self._calls and self._calls[0] <= now - MICROS:
            self._calls.popleft()
        allowed = len(self._calls) < CALLS_PER_SECOND
        if allowed:
            self._calls.append(now)
        return allowed


@dataclass(eq=False)
class Shard:
    """A range of hashes, with the records that arrived for it, oldest first; times are in microseconds.

    A sequence number contains its time and the shard's `mark`. As AWS does, a shard refuses numbers of other shards and
    streams, also of an earlier stream of the same name.
    """

    id: str
    mark: int
    first_hash: int
    last_hash: int
    opened: int
    parent: str | None = None
    adjacent_parent: str | None = None
    closed: int | None = None
    records: list[Record] = field(default_factory=list)
    reads: Rate = field(default_factory=Rate)
    iterators: Rate = field(default_factory=Rate)
    paused_until: int = 0

    @property
    def is_open(self) -> bool:
        return self.closed is None

    def was_open(self, moment: int) -> bool:
        return self.opened <= moment and (self.closed is None or moment < self.closed)

    def sequence(self, micros: int) -> int:
        """The sequence number of this time."""
        return first_sequence(micros) + self.mark

    def gave(self, sequence: int, now: int) -> bool:
        """Whether it may have given this sequence number."""
        last = now if self.closed is None else self.closed
        own = sequence % SEQUENCES_PER_MICRO == self.mark
        return own and self.sequence(self.opened) <= sequence <= self.sequence(last)

    def trim(self, horizon: int) -> None:
        """Forgets the records that arrived before this time."""
        if self.records and self.records[0].arrived < horizon:
            del self.records[: bisect_left(self.records, horizon, key=_ARRIVED)]

    def page(self, start: int, limit: int) -> tuple[list[Record], Record | None]:
        """The records of one answer, from a sequence number on, and the record that follows them."""
        place = bisect_left(self.records, start, key=_SEQUENCE)
        size = 0
        some: list[Record] = []
        for record in self.records[place : place + min(limit, MAX_RECORDS)]:
            size += len(record.data)
            if some and size > MAX_ANSWER:
                break
            some.append(record)
        end = place + len(some)
        return some, self.records[end] if end < len(self.records) else None
