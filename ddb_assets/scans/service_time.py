"""The time by DynamoDB's clock, as the header of an answer says it.

The clock of this machine may be wrong by any amount, and boto3 hides that. The header has whole seconds and was written before
it arrived, so the time is never later than DynamoDB's own. That is the side on which a scan must err (docs/scan.md).
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from ddb_assets.aws.errors import ODD_ANSWER, AwsError, explained
from ddb_assets.aws.table import TableDescription

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def described_at(client: "DynamoDBClient", table: str) -> tuple[TableDescription, datetime]:
    """The table of this name or ARN, and the time (UTC, a whole second) when DynamoDB described it. Raises AwsError."""
    with explained("dynamodb:DescribeTable", table):
        answer = client.describe_table(TableName=table)
        described = TableDescription.of(answer["Table"], table)
    header = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        return described, parsedate_to_datetime(header).astimezone(UTC)
    except ValueError as error:
        raise AwsError(
            f"dynamodb:DescribeTable on {table}: the answer with the header Date {header!r} {ODD_ANSWER}"
        ) from error
