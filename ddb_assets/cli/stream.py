"""`ddb-assets stream enable`: has a table write its changes to a stream."""

from ddb_assets.aws.clients import AWS
from ddb_assets.cli.output import say
from ddb_assets.streams.calls import StreamCalls
from ddb_assets.streams.destination import enable as enable_destination
from ddb_assets.streams.own_stream import OWN_STREAM, enable_own


def enable(table: str, stream: str) -> None:
    """Asks DynamoDB, and prints what it says."""
    aws = AWS()
    if stream == OWN_STREAM:
        say(f"{table} has the stream {enable_own(aws.dynamodb(table), table).arn}")
        return
    arn = StreamCalls(aws.kinesis(stream), stream).describe().arn
    found = enable_destination(aws.dynamodb(table), table, arn)
    say(f"{table} writes to {found.stream}: {found.status}{f' ({found.reason})' if found.reason else ''}")
