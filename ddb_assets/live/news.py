"""Whether a stream has something new. Only the stream is asked, so the warehouse can sleep while nothing happens.

No dagster. The sensor and `ddb-assets follow` remember the positions that the warehouse had when it was asked last.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING

from ddb_assets.bulk.raw_call import BULK_CLIENT
from ddb_assets.live.follow import positions
from ddb_assets.live.streams import FollowedStream
from ddb_assets.streams.drain import Limits, drain
from ddb_assets.streams.position import Position, least
from ddb_assets.streams.sources import connected, stream_calls
from ddb_assets.warehouse.protocol import Warehouse

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS

PEEK = Limits(records=1, seconds=10.0)
SILENCE = timedelta(hours=1)
"""After this time a stream is followed although nothing new is in it, so that a long silence is never taken for a gap."""


def known_positions(
    aws: "AWS", opened: Callable[[], AbstractContextManager[Warehouse]], stream: FollowedStream
) -> list[Position]:
    """Where the warehouse says that the stream has been read to: for each table, or once if it reads the stream itself."""
    if stream.reads_in_warehouse:
        with opened() as warehouse:
            return [warehouse.refreshed_to(stream.stream)]
    client, named = connected(aws, stream.stream, stream.tables[0].table)
    return [*positions(opened, stream_calls(client, named).describe().arn, stream.tables).values()]


def has_news(aws: "AWS", stream: FollowedStream, known: Sequence[Position]) -> bool:
    """Whether following the stream from these positions would bring anything: a record, a gap, or a shard that has ended."""
    if stream.reads_in_warehouse:
        return has_unread(aws, stream.stream, known[0])
    client, named = connected(aws, stream.stream, stream.tables[0].table)
    drained = drain(client, named, least(known), PEEK)
    return bool(drained.records) or any(drained.moved(one) != one for one in known)


def has_unread(aws: "AWS", stream: str, known: Position) -> bool:
    """Whether a Kinesis stream has records after this position."""
    return bool(drain(aws.kinesis(stream, BULK_CLIENT), stream, known, PEEK).records)
