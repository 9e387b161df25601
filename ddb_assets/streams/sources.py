"""The two kinds of streams: Kinesis data streams, and the own streams of tables (DynamoDB Streams).

Both give the same change records. Everything but the calls is the same for them.
"""

from typing import TYPE_CHECKING, Any, Protocol

from ddb_assets.bulk.raw_call import BULK_CLIENT
from ddb_assets.streams.calls import Page, Stream, StreamCalls
from ddb_assets.streams.own_stream import OWN_STREAM, readable_stream
from ddb_assets.streams.shards import Shard
from ddb_assets.streams.table_calls import TableStreamCalls

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS


class Calls(Protocol):
    """The calls that reading a stream takes; see `StreamCalls`."""

    def describe(self) -> Stream: ...

    def shards(self) -> dict[str, Shard]: ...

    def iterator(self, shard: str, after: str | None) -> str: ...

    def page(self, shard: str, iterator: str, limit: int, /) -> Page: ...


def stream_calls(client: Any, stream: str) -> Calls:
    """The calls about a stream, by its name or ARN; only an ARN can be that of a table's own stream."""
    return TableStreamCalls(client, stream) if ":dynamodb:" in stream else StreamCalls(client, stream)


def connected(aws: "AWS", stream: str, table: str) -> tuple[Any, str]:
    """A client for a stream as a contract of this table names it, and the stream's name or ARN.

    Raises DestinationError if the table has no stream of its own, AwsError otherwise.
    """
    if stream != OWN_STREAM:
        return aws.kinesis(stream, BULK_CLIENT), stream
    arn = readable_stream(aws.dynamodb(table), table)
    return aws.dynamodb_streams(arn, BULK_CLIENT), arn
