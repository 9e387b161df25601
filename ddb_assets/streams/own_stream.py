"""The stream that every DynamoDB table can have of its own (DynamoDB Streams): which one it is, and switching it on.

Facts: DynamoDB API reference, UpdateTable (StreamSpecification) and DescribeTable; Developer Guide, "Change data capture for
DynamoDB Streams". The view type of a stream never changes. A disabled stream can be read for 24 hours. Enabling it again makes
another one.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ddb_assets.aws.errors import explained
from ddb_assets.aws.table import describe
from ddb_assets.streams.destination import DestinationError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

OWN_STREAM: Final = "dynamodb"
"""What a contract names instead of a Kinesis stream."""
VIEW: Final = "NEW_IMAGE"
WITH_IMAGES = frozenset({VIEW, "NEW_AND_OLD_IMAGES"})


@dataclass(frozen=True)
class OwnStream:
    """The newest stream of a table: its ARN, and what its records have; None if it is disabled."""

    arn: str
    view: str | None


def own_stream(client: "DynamoDBClient", table: str) -> OwnStream | None:
    """The newest stream of the table of this name or ARN; None if it never had one. Raises AwsError."""
    found = describe(client, table)
    if "LatestStreamArn" not in found:
        return None
    specified = found.get("StreamSpecification", {})
    return OwnStream(
        found["LatestStreamArn"], specified.get("StreamViewType") if specified.get("StreamEnabled") else None
    )


def readable_stream(client: "DynamoDBClient", table: str) -> str:
    """The ARN of the newest stream. Raises DestinationError if the table never had one, AwsError otherwise."""
    found = own_stream(client, table)
    if found is None:
        raise DestinationError(f"table {table} has no stream: run: ddb-assets stream enable {table} {OWN_STREAM}")
    return found.arn


def check_images(table: str, view: str) -> None:
    """Raises DestinationError for a stream whose records do not have the item after the write."""
    if view not in WITH_IMAGES:
        raise DestinationError(
            f"the stream of table {table} is {view}, so its records do not have items, and this cannot be changed: disable "
            f"the stream, then run: ddb-assets stream enable {table} {OWN_STREAM}"
        )


def enable_own(client: "DynamoDBClient", table: str) -> OwnStream:
    """Switches the table's stream on, with the item after each write. Does nothing if it is on with items.

    Raises DestinationError if it is on without them, AwsError otherwise.
    """
    found = own_stream(client, table)
    if found and found.view:
        check_images(table, found.view)
        return found
    with explained("dynamodb:UpdateTable", table):
        answer = client.update_table(
            TableName=table, StreamSpecification={"StreamEnabled": True, "StreamViewType": VIEW}
        )
    return OwnStream(answer["TableDescription"]["LatestStreamArn"], VIEW)
