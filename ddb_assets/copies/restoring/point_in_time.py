"""A table as it was at an earlier time, which point-in-time recovery can restore.

Facts: API reference, RestoreTableToPointInTime (same account and Region, a new table, whole seconds; its indexes can be left
out) and DescribeContinuousBackups.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.errors import explained
from ddb_assets.aws.table import TableDescription
from ddb_assets.contract.moment import parse_moment
from ddb_assets.copies.attribute_mapping import AttributeMapping, CopyRefusedError
from ddb_assets.copies.sides import Side

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def restorable_moment(text: str) -> datetime:
    """An ISO 8601 time with its zone, in whole seconds. Raises ValueError."""
    moment = parse_moment(text)
    if moment.microsecond:
        raise ValueError(f"{text!r} has a fraction: DynamoDB restores to whole seconds")
    return moment


@dataclass(frozen=True)
class PointInTime:
    """The table `source` at `moment`, which is in whole seconds. An `Origin` of a restore."""

    source: Side
    moment: datetime

    @property
    def client(self) -> "DynamoDBClient":
        """Reaches the table that is made."""
        return self.source.client

    @property
    def bulk(self) -> "DynamoDBClient":
        """The same, for items."""
        return self.source.bulk

    @property
    def table_name(self) -> str:
        """The name of the table that is restored."""
        return self.source.name

    @property
    def table_arn(self) -> str:
        """Its ARN."""
        return self.source.arn

    @property
    def key(self) -> str:
        """The same for the same table and time, however the time is written."""
        return f"{self.source.identity} {self.moment.timestamp():.0f}"

    def check(self) -> None:
        """Raises CopyRefusedError, which names the possible times, unless the table can be restored to this time."""
        with explained("dynamodb:DescribeContinuousBackups", self.source.name):
            found = self.client.describe_continuous_backups(TableName=self.source.address)[
                "ContinuousBackupsDescription"
            ]
        recovery = found.get("PointInTimeRecoveryDescription", {})
        earliest, latest = recovery.get("EarliestRestorableDateTime"), recovery.get("LatestRestorableDateTime")
        if recovery.get("PointInTimeRecoveryStatus") != "ENABLED" or earliest is None or latest is None:
            raise CopyRefusedError(
                f"point-in-time recovery of {self.source.name} is off: there is no earlier state to copy from"
            )
        if not earliest.replace(microsecond=0) <= self.moment <= latest:
            raise CopyRefusedError(
                f"{self.source.name} can be restored to a time from {earliest.isoformat()} to {latest.isoformat()}, not to "
                f"{self.moment.isoformat()}"
            )

    def begin(self, name: str, overrides: Mapping[str, Any]) -> str:
        """Has the table made, and returns its id. Raises AwsError."""
        with explained("dynamodb:RestoreTableToPointInTime", self.source.name):
            answer = self.client.restore_table_to_point_in_time(
                SourceTableArn=self.source.arn, TargetTableName=name, RestoreDateTime=self.moment, **overrides
            )
            return answer["TableDescription"].get("TableId", "")

    def made(self, summary: Mapping[str, Any]) -> bool:
        """Whether a table with this RestoreSummary is restored from here."""
        return summary.get("SourceTableArn") == self.source.arn

    def described_for(self, destination: TableDescription, mapping: AttributeMapping) -> TableDescription:  # noqa: ARG002
        """The table as its items will be read."""
        return self.source.description
