"""The backups of a table: the one that AWS makes by itself when a table is deleted, and those that were asked for.

Facts: Developer Guide, "Enable point-in-time recovery" (a table that is deleted while recovery is on leaves a backup of its
last state for 35 days) and API reference, ListBackups, DescribeBackup, RestoreTableFromBackup. Measured on AWS, published as
`ack-api-quirks`: that backup appears about ten seconds after the deletion; two tables of one name have the same ARN, and only
TableId tells them apart.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.errors import AwsError, explained
from ddb_assets.aws.table import TableDescription
from ddb_assets.copies.attribute_mapping import AttributeMapping, CopyRefusedError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BACKUP_ARN = re.compile(r"arn:[\w-]+:dynamodb:[\w-]+:\d{12}:table/[\w.-]+/backup/[\w-]+", re.ASCII)
SHOWN = 20


@dataclass(frozen=True)
class Backup:
    """A backup that can be restored. An `Origin` of a restore.

    `details` is its BackupDetails, `source` its SourceTableDetails and `features` its SourceTableFeatureDetails, which may
    be empty although the table had some.
    """

    client: "DynamoDBClient"
    bulk: "DynamoDBClient"
    details: Mapping[str, Any]
    source: Mapping[str, Any]
    features: Mapping[str, Any]

    @classmethod
    def of(cls, client: "DynamoDBClient", bulk: "DynamoDBClient", arn: str) -> "Backup":
        """Asks for the backup with this ARN. Raises AwsError."""
        with explained("dynamodb:DescribeBackup", arn):
            found = client.describe_backup(BackupArn=arn)["BackupDescription"]
            return cls(
                client,
                bulk,
                found["BackupDetails"],
                found["SourceTableDetails"],
                found.get("SourceTableFeatureDetails", {}),
            )

    @property
    def arn(self) -> str:
        """Its ARN."""
        return str(self.details["BackupArn"])

    @property
    def moment(self) -> datetime:
        """When it was made: for a deleted table, the time of the deletion."""
        made: datetime = self.details["BackupCreationDateTime"]
        return made

    @property
    def expires(self) -> datetime | None:
        """When AWS deletes it; None if it stays."""
        return self.details.get("BackupExpiryDateTime")

    @property
    def table_name(self) -> str:
        """The name of the table that was backed up."""
        return str(self.source["TableName"])

    @property
    def table_arn(self) -> str:
        """Its ARN."""
        return self.arn.partition("/backup/")[0]

    @property
    def key(self) -> str:
        """Identifies it."""
        return self.arn

    def check(self) -> None:
        """Raises CopyRefusedError unless it can be restored."""
        status = self.details["BackupStatus"]
        if status != "AVAILABLE":
            raise CopyRefusedError(f"the backup {self.arn} is {status}: wait until it is AVAILABLE")

    def begin(self, name: str, overrides: Mapping[str, Any]) -> str:
        """Has the table made, and returns its id. Raises AwsError."""
        with explained("dynamodb:RestoreTableFromBackup", self.arn):
            answer = self.client.restore_table_from_backup(BackupArn=self.arn, TargetTableName=name, **overrides)
            return answer["TableDescription"].get("TableId", "")

    def made(self, summary: Mapping[str, Any]) -> bool:
        """Whether a table with this RestoreSummary is restored from here."""
        return summary.get("SourceBackupArn") == self.arn

    def described_for(self, destination: TableDescription, mapping: AttributeMapping) -> TableDescription:
        """The table as its items will be read, as far as is known: a backup does not say the types of its key attributes.

        They are taken to be those of the destination. The restored table shows whether they are.
        """
        types = destination.attribute_types
        names = [element["AttributeName"] for element in self.source["KeySchema"]]
        return TableDescription.of(
            {
                **self.source,
                "TableArn": self.table_arn,
                "TableStatus": "ACTIVE",
                "AttributeDefinitions": [
                    {"AttributeName": name, "AttributeType": types.get(mapping.rename.get(name, name), "S")}
                    for name in names
                ],
            }
        )


def backup_of_deleted(
    client: "DynamoDBClient", bulk: "DynamoDBClient", table: str, deleted_at: datetime | None
) -> tuple[Backup, list[str]]:
    """The backup of the deleted table of this name or ARN, the newest unless a time is given, and the others in words.

    `deleted_at` is as the list of them shows it, with or without the fraction of its second. Raises CopyRefusedError, which
    lists what there is; AwsError.
    """
    found = sorted(_system_backups(client, table), key=lambda one: one["BackupCreationDateTime"], reverse=True)
    name = table.rpartition("/")[2]
    if not found:
        raise CopyRefusedError(
            f"there is no backup of a deleted table {name} in this account and Region: AWS makes one only if point-in-time "
            "recovery was on, about ten seconds after the deletion, and keeps it for 35 days"
        )
    chosen = [one for one in found if deleted_at is None or _is_at(one["BackupCreationDateTime"], deleted_at)]
    if not chosen:
        raise CopyRefusedError(
            f"no table {name} was deleted at {deleted_at:%Y-%m-%dT%H:%M:%SZ}. {_listed(name, found)}"
        )
    if deleted_at is not None and len(chosen) > 1:
        raise CopyRefusedError(
            f"several tables {name} were deleted in that second: name one of them with --from-backup ARN. "
            f"{_listed(name, chosen)}"
        )
    others = [_shown(one) for one in found if one is not chosen[0]]
    return Backup.of(client, bulk, chosen[0]["BackupArn"]), others


def _system_backups(client: "DynamoDBClient", table: str) -> list[Any]:
    found: list[Any] = []
    request: dict[str, Any] = {"TableName": table, "BackupType": "SYSTEM"}
    while True:
        with explained("dynamodb:ListBackups", table):
            page = client.list_backups(**request)
            found += page["BackupSummaries"]
            after = page.get("LastEvaluatedBackupArn")
        if not after:
            return found
        request["ExclusiveStartBackupArn"] = after


def _is_at(made: datetime, asked: datetime) -> bool:
    return made == asked or (not asked.microsecond and made.replace(microsecond=0) == asked)


def _listed(name: str, found: list[Any]) -> str:
    more = f"; and {len(found) - SHOWN:,} earlier ones" if len(found) > SHOWN else ""
    return f"Deleted tables {name}: {'; '.join(_shown(one) for one in found[:SHOWN])}{more}"


def _shown(one: Mapping[str, Any]) -> str:
    return f"deleted at {shown_time(one['BackupCreationDateTime'])} ({one['BackupArn']})"


def shown_time(moment: datetime) -> str:
    """In UTC, to the millisecond."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def backup_from(client: "DynamoDBClient", bulk: "DynamoDBClient", arn: str, table: str) -> Backup:
    """The backup with this ARN, which must be one of the table of this name or ARN. Raises CopyRefusedError, AwsError."""
    try:
        backup = Backup.of(client, bulk, arn)
    except AwsError as error:
        if error.code == "BackupNotFoundException":
            raise CopyRefusedError(f"there is no backup {arn} in this account and Region") from error
        raise
    if table not in (backup.table_name, backup.table_arn):
        raise CopyRefusedError(f"{backup.arn} is a backup of {backup.table_arn}, not of {table}")
    return backup
