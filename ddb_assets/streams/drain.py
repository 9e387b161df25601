"""Reads a stream once, from a position to what had arrived when it began, or to a limit.

There are no leases: who calls this sees to it that a stream is drained once at a time. A position is the only state. It moves
over records that are in the result, and over nothing else. A first drain begins with the oldest record, never with the latest.
Several shards are asked at once, and their answers are taken in the order of the questions.

Facts: Kinesis Data Streams API and guide, "Quotas and limits". An empty answer is normal in the middle of a shard; its end
has been reached when MillisBehindLatest is 0, too. A shard answers five times and with 2 MiB a second. An iterator is valid for
five minutes. A shard whose last record has expired is no longer there. DynamoDB Streams says TrimmedDataAccessException where
Kinesis says InvalidArgumentException, or nothing.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ddb_assets.aws.errors import AwsError, AwsUnavailableError, meaning
from ddb_assets.aws.pauses import backoff
from ddb_assets.microseconds import now_micros
from ddb_assets.streams.calls import MAX_RECORDS, Page, Stream, StreamRecord
from ddb_assets.streams.drained import Drained, Look, Stretch
from ddb_assets.streams.position import BEGINNING, CLOSED, Position
from ddb_assets.streams.shards import Shard, after_parents, readable
from ddb_assets.streams.sources import Calls, stream_calls

SECOND = 1_000_000
PACE = SECOND // 5
BYTES_PER_SECOND = 2 << 20
LONGEST_ANSWER = 10 << 20
AT_ONCE = 4
"""How many shards are asked at once: one answer is parsed while the next ones arrive."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Limits:
    """What ends a drain early, when at least so many records or bytes are in it, or after so many seconds.

    Bytes are exceeded by one answer at most (LONGEST_ANSWER). A drain and its landing take about four times as much memory.
    """

    records: int = 200_000
    bytes: int = 128 << 20
    seconds: float = 30.0


def drain(
    client: Any,
    stream: str,
    start: Position,
    limits: Limits = Limits(),
    *,
    now: Callable[[], int] = now_micros,
    pause: Callable[[float], object] = time.sleep,
) -> Drained:
    """What the stream of this name or ARN has after the position.

    `client` is made with BULK_CLIENT. `now` gives microseconds since 1970, `pause` waits for seconds. Raises AwsError;
    AwsUnavailableError if no shard could be read before the limit of seconds.
    """
    return _Drain(stream_calls(client, stream), limits, now, pause).run(start)


@dataclass
class _Reader:
    """One shard while it is read. `due`: when it may be asked next; `after`: the last sequence number, None before any."""

    shard: str
    after: str | None
    read_at: int
    due: int
    iterator: str | None = None
    failures: int = 0
    behind_millis: int = 0
    closed: bool = False
    lost: bool = False
    records: list[StreamRecord] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)

    def stretch(self) -> Stretch:
        to = CLOSED if self.closed else self.after or BEGINNING
        return Stretch(to, tuple(self.looks), self.behind_millis)


class _Drain:
    """The state of one drain: `readers` are read in turn; those that reach the end of what there is leave them."""

    def __init__(self, calls: Calls, limits: Limits, now: Callable[[], int], pause: Callable[[float], object]) -> None:
        self.calls, self.limits, self.now, self.pause = calls, limits, now, pause
        self.began = now()
        self.deadline = self.began + round(limits.seconds * SECOND)
        self.known: dict[str, Shard] = {}
        self.position = Position({})
        self.readers: list[_Reader] = []
        self.all: dict[str, _Reader] = {}
        self.records = self.bytes = self.throttled = 0
        self.error: AwsUnavailableError | None = None

    def run(self, start: Position) -> Drained:
        stream = self._insist(self.calls.describe)
        self.position = Position({}) if start.created not in (None, stream.created) else start
        self.known = self._insist(self.calls.shards)
        self._open()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while self.readers and self._within_limits():
                if self._wait_until(min(reader.due for reader in self.readers)):
                    self._step(pool, stream)
        read = {name: self.all[name] for name in sorted(self.all) if self.all[name].looks}
        if self.error and not read:
            raise self.error
        records = [record for reader in read.values() for record in reader.records]
        last = {name: reader.records[-1].sequence for name, reader in read.items() if reader.records}
        after = after_parents(self.known, last)

        def place(record: StreamRecord) -> tuple[int, int, int]:
            greatest, ancestors = after.get(record.shard, (0, 0))
            return max(record.sequence, greatest), ancestors, record.sequence

        records.sort(key=place)  # stable: those with equal numbers stay ordered by shard
        return Drained(
            stream=stream,
            records=records,
            stretches={name: reader.stretch() for name, reader in read.items()},
            listed=self.known,
            began=self.began,
            ended=self.now(),
            caught_up=not self.readers,
            throttled=self.throttled,
        )

    def _open(self) -> None:
        """Begins with the shards that have become readable."""
        for shard in readable(self.known, self.position):
            if shard not in self.all:
                read_at = self.position.read_at.get(shard, 0)
                self.all[shard] = _Reader(shard, self.position.after(shard), read_at, self.now())
                self.readers.append(self.all[shard])

    def _within_limits(self) -> bool:
        return self.records < self.limits.records and self.bytes < self.limits.bytes and self.now() < self.deadline

    def _wait_until(self, due: int) -> bool:
        """Waits; False when the time of the drain ends before."""
        left = min(due, self.deadline) - self.now()
        if left > 0:
            self.pause(left / SECOND)
        return due < self.deadline

    def _step(self, pool: ThreadPoolExecutor, stream: Stream) -> None:
        """Asks each of the shards that may be asked now once, as many as the limits allow."""
        asked = self.now()
        left = self.limits.records - self.records
        answers = max(1, (self.limits.bytes - self.bytes) // LONGEST_ANSWER)
        first, *others = sorted(self.readers, key=lambda one: one.due)
        due = [first, *(one for one in others if one.due <= asked)][: min(AT_ONCE, answers, left)]
        limit = min(MAX_RECORDS, left // len(due))
        for reader, answer in [(reader, pool.submit(self._ask, reader, limit)) for reader in due]:
            self._take(reader, answer, asked, stream)

    def _ask(self, reader: _Reader, limit: int) -> Page:
        reader.iterator = reader.iterator or self._iterator(reader)
        return self.calls.page(reader.shard, reader.iterator, limit)

    def _take(self, reader: _Reader, answer: Future[Page], asked: int, stream: Stream) -> None:
        try:
            page = answer.result()
        except AwsUnavailableError as error:
            self._later(reader, error)
        except AwsError as error:
            if error.code == "ExpiredIteratorException":
                reader.iterator, reader.due = None, asked + PACE
            elif error.code == "TrimmedDataAccessException":
                reader.iterator, reader.after, reader.lost, reader.due = None, None, True, asked + PACE
            elif meaning(error.code) == "missing" and reader.shard in self.known:
                self._gone(reader)
            else:
                raise
        else:
            self._keep(reader, page, asked, stream)

    def _iterator(self, reader: _Reader) -> str:
        """An iterator after the last record; from the oldest one that is left if Kinesis no longer knows that record."""
        try:
            return self.calls.iterator(reader.shard, reader.after)
        except AwsError as error:
            if error.code != "InvalidArgumentException" or reader.after is None:
                raise
            reader.after, reader.lost = None, True
            return self.calls.iterator(reader.shard, None)

    def _later(self, reader: _Reader, error: AwsUnavailableError) -> None:
        self.error = error
        self.throttled += meaning(error.code) == "throttled"
        reader.failures += 1
        reader.due = self.now() + max(PACE, round(backoff(reader.failures) * SECOND))

    def _gone(self, reader: _Reader) -> None:
        """The shard has expired since it was listed: its children can be read. If the whole stream is gone, listing says so."""
        listed = self._insist(self.calls.shards)
        self.known = {name: shard for name, shard in listed.items() if name != reader.shard}
        self.readers.remove(reader)
        self._open()

    def _keep(self, reader: _Reader, page: Page, asked: int, stream: Stream) -> None:
        size = sum(len(record.data) for record in page.records)
        ended = not page.records and page.behind_millis == 0
        if page.records:
            reader.after = str(page.records[-1].sequence)
            reader.read_at = max(reader.read_at, page.records[-1].arrived)
        elif ended and page.iterator is not None:  # a closed shard ended earlier, and its children have gone on since
            reader.read_at = max(reader.read_at, asked)
        horizon = asked if reader.lost else asked - stream.retention
        first = page.records[0].arrived if page.records else asked
        reader.looks.append(Look(horizon, first, reader.read_at))
        reader.records += page.records
        reader.iterator, reader.behind_millis = page.iterator, page.behind_millis
        reader.failures, reader.lost = 0, False
        reader.due = max(asked + PACE, self.now() + size * SECOND // BYTES_PER_SECOND)
        self.records += len(page.records)
        self.bytes += size
        if page.iterator is None:
            self._close(reader)
        elif ended or reader.read_at >= self.began:
            self.readers.remove(reader)

    def _close(self, reader: _Reader) -> None:
        """The shard was read to its end: its children can be read, if their other parents were, too.

        All shards are listed again. ChildShards in the answer would not do: the other parent of a child may be new as well. If
        they cannot be listed, the next drain reads the children.
        """
        reader.closed = True
        self.readers.remove(reader)
        self.position = self.position.moved({reader.shard: CLOSED})
        with suppress(AwsUnavailableError):
            self.known = self._insist(self.calls.shards)
        self._open()

    def _insist(self, call: Callable[[], _T]) -> _T:
        """The answer to a call, which is tried again until the time of the drain ends."""
        attempt = 0
        while True:
            try:
                return call()
            except AwsUnavailableError as error:
                attempt += 1
                if not self._wait_until(self.now() + round(backoff(attempt) * SECOND)):
                    raise
                self.throttled += meaning(error.code) == "throttled"
