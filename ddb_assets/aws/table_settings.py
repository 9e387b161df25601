"""What a table has besides its key, indexes and capacity: tags, time to live, point-in-time recovery.

Facts: API reference, DescribeTimeToLive, ListTagsOfResource (in pages), DescribeContinuousBackups.
"""

from typing import TYPE_CHECKING, Any

from ddb_assets.aws.errors import explained

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

WORKS = frozenset({"ENABLED", "ENABLING"})
DAYS = 35
"""How far recovery reaches back unless it was set."""


def time_to_live(client: "DynamoDBClient", table: str) -> str:
    """The attribute that has the time of expiry; empty while time to live is off. Raises AwsError."""
    with explained("dynamodb:DescribeTimeToLive", table):
        found = client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
        return str(found.get("AttributeName", "")) if found.get("TimeToLiveStatus") in WORKS else ""


def tags(client: "DynamoDBClient", arn: str) -> dict[str, str]:
    """The tags of the table with this ARN. Raises AwsError."""
    found: dict[str, str] = {}
    request: dict[str, Any] = {"ResourceArn": arn}
    while True:
        with explained("dynamodb:ListTagsOfResource", arn):
            page = client.list_tags_of_resource(**request)
            found |= {tag["Key"]: tag["Value"] for tag in page.get("Tags", [])}
            after = page.get("NextToken")
        if not after:
            return found
        request["NextToken"] = after


def recovery_days(client: "DynamoDBClient", table: str) -> int | None:
    """How many days point-in-time recovery reaches back; None while it is off. Raises AwsError."""
    with explained("dynamodb:DescribeContinuousBackups", table):
        found = client.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
        recovery = found.get("PointInTimeRecoveryDescription", {})
        on = recovery.get("PointInTimeRecoveryStatus") == "ENABLED"
        return int(recovery.get("RecoveryPeriodInDays", DAYS)) if on else None
