"""How each of the two tables of a copy is reached, and from what earlier state the source is taken."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.errors import AwsUnavailableError
from ddb_assets.bulk.raw_call import BULK_CLIENT
from ddb_assets.copies.attribute_mapping import CopyRefusedError
from ddb_assets.copies.copy_config import CopyConfig, TableAt
from ddb_assets.copies.restoring.backups import backup_from, backup_of_deleted
from ddb_assets.copies.restoring.point_in_time import PointInTime
from ddb_assets.copies.restoring.restore import Origin
from ddb_assets.copies.sides import Side
from ddb_assets.errors import DdbAssetsError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True)
class Reached:
    """The clients that reach a table. `which` is the side that messages name."""

    which: str
    client: "DynamoDBClient"
    bulk: "DynamoDBClient"
    table: str

    def side(self) -> Side:
        """Describes the table. Raises CopyRefusedError, or AwsUnavailableError while AWS is out of reach."""
        try:
            return Side.of(self.client, self.bulk, self.table)
        except AwsUnavailableError as error:
            raise AwsUnavailableError(f"{self.which}: {error}", error.code) from error
        except DdbAssetsError as error:
            raise CopyRefusedError(f"{self.which}: {error}") from error


def reached(which: str, at: TableAt, default: AWS | None = None, *, named: str = "") -> Reached:
    """How the table is reached. `default` has the settings that it leaves empty. An ARN, also `named`, says the Region.

    Raises CopyRefusedError.
    """
    rest = default or AWS()
    aws = AWS(
        region=at.region or rest.region,
        profile=at.profile or rest.profile,
        endpoint=at.endpoint or rest.endpoint,
        role_arn=at.role or rest.role_arn,
    )
    try:
        named = named or at.table
        return Reached(which, aws.dynamodb(named), aws.dynamodb(named, BULK_CLIENT), at.table)
    except DdbAssetsError as error:
        raise CopyRefusedError(f"{which}: {error}") from error


@dataclass(frozen=True)
class Deleted:
    """The state of a table when it was deleted: the last time, or at this time."""

    at: datetime | None = None


@dataclass(frozen=True)
class FromBackup:
    """The state that a backup has."""

    arn: str


Earlier = datetime | Deleted | FromBackup
"""The state of the source that is copied: at a time in whole seconds, when it was deleted, or that of a backup."""


def origin_of(
    config: CopyConfig, earlier: Earlier | None, default: AWS | None = None
) -> tuple[Origin | None, list[str]]:
    """What the source is restored from, None for the source as it is; and, in words, what else there would be to restore.

    Raises CopyRefusedError, AwsError.
    """
    if earlier is None:
        return None, []
    if isinstance(earlier, datetime):
        return PointInTime(reached("source", config.source, default).side(), earlier), []
    if isinstance(earlier, FromBackup):
        source = reached("source", config.source, default, named=earlier.arn)
        return backup_from(source.client, source.bulk, earlier.arn, source.table), []
    source = reached("source", config.source, default)
    return backup_of_deleted(source.client, source.bulk, source.table, earlier.at)
