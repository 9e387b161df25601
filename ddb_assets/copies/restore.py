"""Restores a table as it was at an earlier time under another name, to copy it back from there after an accident.

The temporary table is recognized by its name and by RestoreSummary in DescribeTable. No other table is ever deleted.
`copy_job.py` copies. Facts: API reference, RestoreTableToPointInTime (same account and Region, a new table, CREATING until all
is there; its indexes can be left out) and DescribeContinuousBackups; a restore takes minutes to hours.
"""

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice

from ddb_assets.aws.errors import AwsError, AwsUnavailableError, explained, meaning
from ddb_assets.aws.pauses import looks
from ddb_assets.contract.moment import parse_moment
from ddb_assets.copies.attribute_mapping import CopyRefusedError
from ddb_assets.copies.sides import Side
from ddb_assets.errors import DdbAssetsError, RetryableError

FIRST_LOOK = 0.1  # seconds
LOOKS = 15  # about 90 seconds, for a table that must exist
MAX_NAME = 255
MARK = "-restored-"


class KeptTableError(DdbAssetsError):
    """A copy from a point in time ended early. The temporary table still exists, and the message says so."""


class UnansweredRestoreError(KeptTableError, RetryableError):
    """AWS did not answer while a table was restored: the same copy may find it a moment later."""


def restorable_moment(text: str) -> datetime:
    """An ISO 8601 time with its zone, in whole seconds. Raises ValueError."""
    moment = parse_moment(text)
    if moment.microsecond:
        raise ValueError(f"{text!r} has a fraction: DynamoDB restores to whole seconds")
    return moment


def temporary_name(source: Side, moment: datetime) -> str:
    """The name is the same for the same table and time, so a second run finds what the first one began."""
    named = f"{source.identity} {moment.timestamp():.0f}"
    tail = f"{MARK}{moment.astimezone(UTC):%Y%m%dT%H%M%S}-{hashlib.blake2b(named.encode(), digest_size=4).hexdigest()}"
    return source.name[: MAX_NAME - len(tail)] + tail


def check_restorable(source: Side, moment: datetime) -> None:
    """Raises CopyRefusedError, which names the possible times, unless the table can be restored to this time."""
    with explained("dynamodb:DescribeContinuousBackups", source.name):
        found = source.client.describe_continuous_backups(TableName=source.address)["ContinuousBackupsDescription"]
    recovery = found.get("PointInTimeRecoveryDescription", {})
    earliest, latest = recovery.get("EarliestRestorableDateTime"), recovery.get("LatestRestorableDateTime")
    if recovery.get("PointInTimeRecoveryStatus") != "ENABLED" or earliest is None or latest is None:
        raise CopyRefusedError(
            f"point-in-time recovery of {source.name} is off: there is no earlier state to copy from"
        )
    if not earliest.replace(microsecond=0) <= moment <= latest:
        raise CopyRefusedError(
            f"{source.name} can be restored to a time from {earliest.isoformat()} to {latest.isoformat()}, not to "
            f"{moment.isoformat()}"
        )


def existing(source: Side, moment: datetime) -> Side | None:
    """The temporary table of an earlier run, in any state. Raises CopyRefusedError if the name belongs to another table."""
    try:
        side = Side.of(source.client, source.bulk, temporary_name(source, moment))
    except AwsError as error:
        if meaning(error.code) != "missing":
            raise
        return None
    _check_ours(side, source)
    return side


def restored(
    source: Side, moment: datetime, wait: Callable[[float], object] = time.sleep, *, on_wait: Callable[[str], object]
) -> Side:
    """The temporary table, ACTIVE: that of an earlier run, or a new one. `moment` is in whole seconds.

    A new one has no indexes and is on demand, because it is only scanned. Raises CopyRefusedError, AwsError; KeptTableError
    once the table exists.
    """
    side = existing(source, moment)
    if side is None:
        check_restorable(source, moment)
        with explained("dynamodb:RestoreTableToPointInTime", source.name):
            source.client.restore_table_to_point_in_time(
                SourceTableArn=source.arn,
                TargetTableName=temporary_name(source, moment),
                RestoreDateTime=moment,
                BillingModeOverride="PAY_PER_REQUEST",
                GlobalSecondaryIndexOverride=[],
                LocalSecondaryIndexOverride=[],
            )
    name = temporary_name(source, moment)
    try:
        return _active(source, name, wait, on_wait)
    except (AwsError, KeyboardInterrupt) as error:
        said = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        kind = UnansweredRestoreError if isinstance(error, AwsUnavailableError) else KeptTableError
        raise kind(
            f"{said}. AWS may still be making {name}: run the same copy again, which waits for it; delete it if it is no "
            "longer needed"
        ) from error


def _active(source: Side, name: str, wait: Callable[[float], object], on_wait: Callable[[str], object]) -> Side:
    side = _described(source, name)
    _check_ours(side, source)
    pauses = looks(FIRST_LOOK)
    while side.description.status == "CREATING":
        on_wait(f"{name} is being restored")
        wait(next(pauses))
        side = _described(source, name)
    side.description.check_active()
    return side


def drop(side: Side, source: Side) -> None:
    """Deletes the temporary table of this source. Raises CopyRefusedError for any other table, AwsError."""
    _check_ours(side, source)
    with explained("dynamodb:DeleteTable", side.name):
        side.client.delete_table(TableName=side.name)


def _check_ours(side: Side, source: Side) -> None:
    origin = side.table.get("RestoreSummary", {}).get("SourceTableArn")
    if MARK not in side.name or origin != source.arn or side.arn == source.arn:
        raise CopyRefusedError(
            f"{side.name} exists and is not a restored copy of {source.arn}: rename or delete it first"
        )


def _described(source: Side, name: str) -> Side:
    """Describes a table that exists. AWS may need a moment to find a new one, or be busy during a long wait."""
    for pause in islice(looks(FIRST_LOOK), LOOKS):
        try:
            return Side.of(source.client, source.bulk, name)
        except AwsError as error:
            if meaning(error.code) != "missing" and not isinstance(error, AwsUnavailableError):
                raise
            time.sleep(pause)
    return Side.of(source.client, source.bulk, name)
