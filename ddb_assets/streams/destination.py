"""The stream that a DynamoDB table writes its changes to: what DynamoDB says of it, and switching it on.

Facts (DynamoDB Developer Guide, "Using Kinesis Data Streams to capture changes"; API reference): a table has one active
destination at most. Several tables may have the same one. Records carry milliseconds unless microseconds are asked for.
DynamoDB retries for 168 hours and then switches the destination off.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ddb_assets.aws.errors import AwsError, explained
from ddb_assets.errors import DdbAssetsError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

logger = logging.getLogger(__name__)

MICROSECOND: Final = "MICROSECOND"
LATEST_ARRIVAL = timedelta(hours=168, minutes=1)
"""A record arrives at most so long after its write; the minute is for clocks that differ."""
WORKING = frozenset({"ACTIVE", "ENABLING", "UPDATING"})


class DestinationError(DdbAssetsError):
    """A table cannot write to the stream as it is."""


@dataclass(frozen=True)
class Destination:
    """A stream that a table writes to, or once did: its ARN, status and reason, and whether records have microseconds."""

    stream: str
    status: str
    reason: str
    exact: bool

    @property
    def works(self) -> bool:
        """Whether changes are sent, or soon will be."""
        return self.status in WORKING


def destinations(client: "DynamoDBClient", table: str) -> list[Destination]:
    """All destinations of a table, also those that were switched off. Raises AwsError."""
    with explained("dynamodb:DescribeKinesisStreamingDestination", table):
        found = client.describe_kinesis_streaming_destination(TableName=table)["KinesisDataStreamDestinations"]
        return [
            Destination(
                one["StreamArn"],
                one["DestinationStatus"],
                one.get("DestinationStatusDescription", ""),
                one.get("ApproximateCreationDateTimePrecision") == MICROSECOND,
            )
            for one in found
        ]


def destination(client: "DynamoDBClient", table: str, stream_arn: str) -> Destination | None:
    """What the table has as this stream; None if it never wrote to it."""
    return next((one for one in destinations(client, table) if one.stream == stream_arn), None)


def sends_to(client: "DynamoDBClient", table: str, stream_arn: str) -> bool | None:
    """Whether a table writes to a Kinesis stream; None if that cannot be asked."""
    try:
        found = destination(client, table, stream_arn)
    except AwsError as error:
        logger.warning("table %s: whether it writes to %s could not be asked: %s", table, stream_arn, error)
        return None
    return found is not None and found.works


def enable(client: "DynamoDBClient", table: str, stream_arn: str) -> Destination:
    """Has the table write its changes to the stream, with microseconds. Does nothing if it does so already.

    Raises DestinationError when it writes to another stream, AwsError otherwise.
    """
    known = destinations(client, table)
    found = next((one for one in known if one.stream == stream_arn), None)
    if other := next((one for one in known if one.works and one.stream != stream_arn), None):
        raise DestinationError(
            f"table {table} writes to {other.stream} already, and a table writes to one stream at most: name that stream, or "
            "disable it first"
        )
    if found is None or not found.works:
        with explained("dynamodb:EnableKinesisStreamingDestination", table):
            client.enable_kinesis_streaming_destination(
                TableName=table,
                StreamArn=stream_arn,
                EnableKinesisStreamingConfiguration={"ApproximateCreationDateTimePrecision": MICROSECOND},
            )
    elif not found.exact:
        with explained("dynamodb:UpdateKinesisStreamingDestination", table):
            client.update_kinesis_streaming_destination(
                TableName=table,
                StreamArn=stream_arn,
                UpdateKinesisStreamingConfiguration={"ApproximateCreationDateTimePrecision": MICROSECOND},
            )
    return destination(client, table, stream_arn) or Destination(stream_arn, "ENABLING", "", exact=True)
