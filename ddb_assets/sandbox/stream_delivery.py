"""Delivers the changes of tables to their Kinesis streams: at once and in their order, unless a stream has faults.

AWS delivers after a moment. Like AWS it skips a record of more than 1 MiB, and a write that changes nothing has no record.
`destination_api` says which tables have a stream.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ddb_assets.sandbox.change_log import Change
from ddb_assets.sandbox.change_record import Source, change_record, partition_key
from ddb_assets.sandbox.kinesis_shard import MIB
from ddb_assets.sandbox.kinesis_streams import KinesisStreams
from ddb_assets.sandbox.stream_faults import Faults, FaultyWay


@dataclass(frozen=True)
class Route:
    """Where the changes of a table go, from a time on (microseconds), and whether their times have milliseconds only."""

    source: Source
    stream_arn: str
    since: int
    milliseconds: bool


class Sent(NamedTuple):
    """A record on its way to a stream."""

    key: str
    data: bytes


class StreamDelivery:
    """The listener of the change log: called with each change of a table. `routes` are by the numbers of their tables.

    `skipped` counts the records that were too large, by the stream's ARN.
    """

    def __init__(self, streams: KinesisStreams) -> None:
        self.routes: dict[int, Route] = {}
        self.skipped: Counter[str] = Counter()
        self._streams = streams
        self._ways: dict[str, FaultyWay[Sent]] = {}

    def __call__(self, number: int, change: Change) -> None:
        route = self.routes.get(number)
        if route is None or change.micros < route.since or change.new == change.old:
            return
        with self._streams.lock:
            way = self._ways.setdefault(route.stream_arn, FaultyWay(Faults()))
            micros, milliseconds = way.stamp(change.micros)
            data = change_record(route.source, change, micros, milliseconds=milliseconds or route.milliseconds)
            sent = Sent(partition_key(route.source, change), data)
            self._put(route.stream_arn, way.arriving(sent))

    def set_faults(self, stream_arn: str, faults: Faults) -> None:
        """From now on the way to this stream has these faults. Late records of before arrive first."""
        with self._streams.lock:
            if former := self._ways.get(stream_arn):
                self._put(stream_arn, former.rest())
            self._ways[stream_arn] = FaultyWay(faults)

    def _put(self, stream_arn: str, records: Iterable[Sent]) -> None:
        stream = self._streams.get(stream_arn)
        if stream is None or not stream.takes_records:
            return
        for record in records:
            if len(record.data) > MIB:
                self.skipped[stream_arn] += 1
            else:
                stream.put(*record)
