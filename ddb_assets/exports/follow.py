"""The status of a requested export, and waiting until it ends.

`request.py` requests exports; `manifest.py` reads what they wrote.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from ddb_assets.aws.errors import AwsUnavailableError, explained
from ddb_assets.aws.pauses import looks
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.manifest import SUMMARY

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ExportDescriptionTypeDef

logger = logging.getLogger(__name__)

FIRST_LOOK = 0.5  # seconds between the first two calls of DescribeExport
_ROUNDED = timedelta(milliseconds=1)  # the API gives times as floating-point seconds

Status = Literal["IN_PROGRESS", "COMPLETED", "FAILED"]


class ExportFailedError(DdbAssetsError):
    """The export failed; the message has DynamoDB's code and reason."""


class ExportTimeoutError(DdbAssetsError):
    """The export was not complete within the time to wait."""


@dataclass(frozen=True)
class ExportRef:
    """An export as DynamoDB describes it. Once it is COMPLETED, its manifest is at `summary_uri`.

    `item_count` and `billed_bytes` are None while AWS does not report them. `failure` is AWS's code and reason if the export
    FAILED, else empty.
    """

    arn: str
    id: str
    status: Status
    summary_uri: str
    item_count: int | None
    billed_bytes: int | None
    failure: str = ""

    @property
    def started(self) -> datetime:
        """When the export started (UTC)."""
        return started_at(self.arn)

    @classmethod
    def of(cls, description: "ExportDescriptionTypeDef") -> "ExportRef":
        """The export of an `ExportDescription`, as DescribeExport and ExportTableToPointInTime return it."""
        arn = description["ExportArn"]
        export_id = arn.rpartition("/")[2]
        prefix = description.get("S3Prefix", "").strip("/")
        manifest = description.get("ExportManifest") or f"AWSDynamoDB/{export_id}/{SUMMARY}"
        if prefix and not manifest.lstrip("/").startswith(f"{prefix}/"):
            manifest = f"{prefix}/{manifest}"
        return cls(
            arn=arn,
            id=export_id,
            status=status(description),
            summary_uri=f"s3://{description['S3Bucket']}/{manifest}",
            item_count=description.get("ItemCount"),
            billed_bytes=description.get("BilledSizeBytes"),
            failure=_failure(description) if status(description) == "FAILED" else "",
        )


def started_at(export: str) -> datetime:
    """When an export started (UTC), by its id or ARN: the id begins with the time. An id of another form counts as new."""
    digits = export.rpartition("/")[2].partition("-")[0]
    try:
        return datetime.fromtimestamp(int(digits) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def _failure(description: "ExportDescriptionTypeDef") -> str:
    code, reason = description.get("FailureCode", "no code"), description.get("FailureMessage", "no reason given")
    return f"{code}: {reason}"


def status(description: "ExportDescriptionTypeDef") -> Status:
    """The export's status. One that the API reference does not list, such as the guide's PENDING, means IN_PROGRESS."""
    state = description.get("ExportStatus")
    return state if state in ("COMPLETED", "FAILED") else "IN_PROGRESS"


def describe(client: "DynamoDBClient", arn: str) -> "ExportDescriptionTypeDef":
    """The answer of DescribeExport. Raises AwsError."""
    with explained("dynamodb:DescribeExport", arn):
        description = client.describe_export(ExportArn=arn)["ExportDescription"]
        ExportRef.of(description)  # raises here, where it is explained, if a member is missing
        return description


def wait(
    client: "DynamoDBClient",
    arn: str,
    *,
    timeout: timedelta,
    on_progress: Callable[[ExportRef, timedelta], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> ExportRef:
    """Waits until the export is COMPLETED and returns it. Exports take 5 to 30 minutes; AWS guarantees no limit.

    `on_progress` gets the export and the time waited after each call of DescribeExport. While AWS cannot be reached, the
    wait continues. Raises ExportFailedError with AWS's reason, ExportTimeoutError, AwsError.
    """
    begun = clock()
    of = {"export": arn.rpartition("/")[2]}
    logger.info("waiting up to %.0f s for export %s", timeout.total_seconds(), arn, extra=of)
    for pause in looks(FIRST_LOOK):
        waited = timedelta(seconds=clock() - begun)
        try:
            description = describe(client, arn)
        except AwsUnavailableError as error:
            logger.warning(
                "export %s: AWS cannot be reached after %.0f s: %s", arn, waited.total_seconds(), error, extra=of
            )
            if waited >= timeout:
                raise ExportTimeoutError(_timed_out(arn, waited, str(error))) from error
        else:
            export = ExportRef.of(description)
            logger.info("export %s is %s after %.0f s", arn, export.status, waited.total_seconds(), extra=of)
            if export.status == "COMPLETED":
                return export
            if export.status == "FAILED":
                raise ExportFailedError(
                    f"DynamoDB could not make the export {arn}: {export.failure}. "
                    "Fix the cause and run this again: that requests a new export"
                )
            if on_progress:
                on_progress(export, waited)
            if waited >= timeout:
                raise ExportTimeoutError(_timed_out(arn, waited, "it is still running"))
        sleep(min(pause, max((timeout - waited).total_seconds(), 0)))
    raise AssertionError("looks never end")


def _timed_out(arn: str, waited: timedelta, why: str) -> str:
    return (
        f"the export {arn} was not done after {waited.total_seconds():.0f} s: {why}. AWS continues with it: "
        "run this again later; it finds the same export, so no second one is paid for"
    )


def same_time(one: datetime | None, other: datetime | None) -> bool:
    """Whether two times of exports are the same as far as DynamoDB's API says them; an absent one is like no other."""
    return one is not None and other is not None and abs(one - other) <= _ROUNDED
