"""`ddb-assets stream enable`: has a table write its changes to a stream."""

from ddb_assets.aws.clients import AWS
from ddb_assets.cli.output import say
from ddb_assets.streams.calls import StreamCalls
from ddb_assets.streams.destination import enable as enable_destination


def enable(table: str, stream: str) -> None:
    """Asks DynamoDB, and prints what it says."""
    aws = AWS()
    arn = StreamCalls(aws.kinesis(stream), stream).describe().arn
    found = enable_destination(aws.dynamodb(table), table, arn)
    say(f"{table} writes to {found.stream}: {found.status}{f' ({found.reason})' if found.reason else ''}")
