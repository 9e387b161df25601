"""Whether a table can be brought back to the moment before an import: point-in-time recovery must be on by then."""

from typing import TYPE_CHECKING

from ddb_assets.aws.table import TableDescription, UnfitTableError
from ddb_assets.aws.table_settings import recovery_days

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def check_recoverable(client: "DynamoDBClient", target: TableDescription) -> None:
    """Raises UnfitTableError while point-in-time recovery is off; AwsError."""
    if recovery_days(client, target.address) is None:
        raise UnfitTableError(
            f"nothing is written: point-in-time recovery of {target.name} is off, so it could not undo this import. Switch it "
            f"on: aws dynamodb update-continuous-backups --region {client.meta.region_name} --table-name {target.name} "
            "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
        )
