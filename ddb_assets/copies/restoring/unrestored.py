"""What a restored table lacks of what the table before it had, with the commands that set it.

Facts: API reference, RestoreTableFromBackup (auto scaling, IAM, alarms, tags, stream and time to live are set by hand).
Measured on AWS, published as `ack-api-quirks`: deletion protection, the resource policy, the table class and point-in-time
recovery are not restored either, and the backup of a deleted table describes none of this.
"""

from collections.abc import Iterator

from ddb_assets.copies.restoring.backups import Backup


def unrestored(backup: Backup, table: str) -> list[str]:
    """A line for people about each of them. `table` is the name of the restored table."""
    return list(_lines(backup, f"--table-name {table} --region {backup.table_arn.split(':')[3]}"))


def _lines(backup: Backup, where: str) -> Iterator[str]:
    yield (
        f"point-in-time recovery is off: aws dynamodb update-continuous-backups {where} "
        "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
    )
    yield (f"deletion protection is off: aws dynamodb update-table {where} --deletion-protection-enabled")
    expiry = backup.features.get("TimeToLiveDescription", {})
    attribute = expiry.get("AttributeName")
    said = f"time to live ({attribute}) is off" if attribute else "time to live is off, if it was on"
    yield (
        f"{said}: aws dynamodb update-time-to-live {where} "
        f"--time-to-live-specification Enabled=true,AttributeName={attribute or 'ATTRIBUTE'}"
    )
    view = backup.features.get("StreamDescription", {}).get("StreamViewType")
    said = f"the stream ({view}) is off" if view else "the stream is off, if it was on"
    yield (
        f"{said}: aws dynamodb update-table {where} "
        f"--stream-specification StreamEnabled=true,StreamViewType={view or 'NEW_AND_OLD_IMAGES'}"
    )
    yield f"a Kinesis stream gets no changes: ddb-assets stream enable {where.split()[1]} STREAM"
    yield "tags, the resource policy, the table class, auto scaling and replicas are not restored: set them as they were"
    yield "alarms and IAM policies that name the table by its ARN hold for the new table too, as long as it has the old name"
