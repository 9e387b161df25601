"""The stream of a table that a copy follows: which one it is, from where it is read, and whether it still has all changes.

Facts: Developer Guide, "Change data capture" (a table's own stream has every change once and in order for each key; Kinesis may
repeat records and change their order, and then their times in microseconds tell which is newer).
"""

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.errors import explained
from ddb_assets.copies.attribute_mapping import CopyRefusedError
from ddb_assets.copies.sides import Side
from ddb_assets.microseconds import now_micros, to_micros
from ddb_assets.streams.destination import destination
from ddb_assets.streams.own_stream import OWN_STREAM, check_images, own_stream
from ddb_assets.streams.position import BEGINNING, Position
from ddb_assets.streams.sources import connected, stream_calls

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SKEW = 300_000_000
"""Microseconds by which the clocks of DynamoDB's machines may differ. Changes of that time are applied once more."""


@dataclass(frozen=True)
class FollowedStream:
    """`arn` is the stream's, `client` reads it. `ordered`: it has the changes of each key in order, and each once."""

    source: Side
    client: Any
    arn: str
    ordered: bool

    @classmethod
    def of(cls, aws: AWS, source: Side, stream: str) -> "FollowedStream":
        """The stream of this name or ARN, or the table's own one. Raises DestinationError, AwsError."""
        client, named = connected(aws, stream, source.address)
        own = stream == OWN_STREAM
        return cls(source, client, named if own else stream_calls(client, named).describe().arn, ordered=own)

    def check(self) -> None:
        """Raises CopyRefusedError unless the table writes its changes to this stream, whole and with their order.

        Raises DestinationError for an own stream that never had items.
        """
        name = self.source.name
        if self.ordered:
            own = own_stream(self.source.client, self.source.address)
            if own is None or own.arn != self.arn or own.view is None:
                raise CopyRefusedError(
                    f"the stream {self.arn} of {name} is disabled, so later changes are missing in it: enable one with "
                    f"ddb-assets stream enable {name} {OWN_STREAM}, then begin again with --restart"
                )
            check_images(name, own.view)
            return
        found = destination(self.source.client, self.source.address, self.arn)
        if found is None or found.status not in ("ACTIVE", "UPDATING"):
            said = f"is {found.status} there" if found else "does not write to it"
            raise CopyRefusedError(
                f"{name} {said}: {self.arn}. Run ddb-assets stream enable {name} {self.arn}, wait until it is ACTIVE, then "
                "begin the copy (again, with --restart)"
            )
        if not found.exact:
            raise CopyRefusedError(
                f"the changes of {name} have milliseconds in {self.arn}, which does not tell the order of two of them: run "
                f"ddb-assets stream enable {name} {self.arn}"
            )

    def start(self) -> tuple[int, Position]:
        """The time (microseconds) before which a scan that begins now has all changes, and where reading begins.

        Raises AwsError.
        """
        calls = stream_calls(self.client, self.arn)
        since = _aws_now(self.source.client, self.source.address) - SKEW
        shards = calls.shards()
        return since, Position(dict.fromkeys(shards, BEGINNING), dict.fromkeys(shards, since), calls.describe().created)


def _aws_now(client: "DynamoDBClient", table: str) -> int:
    """The time by AWS's clock, in microseconds: this machine's may be wrong."""
    with explained("dynamodb:DescribeTable", table):
        said = client.describe_table(TableName=table)["ResponseMetadata"]["HTTPHeaders"].get("date")
    return to_micros(parsedate_to_datetime(said).astimezone(UTC)) if said else now_micros()
