"""One export that DynamoDB was asked for: how it stands, and waiting for its end.

`request.py` asks for it, and `manifest.py` reads what it wrote.
"""

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

FIRST_LOOK = 0.5  # seconds after which the export is looked at again
_ROUNDED = timedelta(milliseconds=1)  # the API gives times as floating-point seconds

Status = Literal["IN_PROGRESS", "COMPLETED", "FAILED"]


class ExportFailedError(DdbAssetsError):
    """DynamoDB gave the export up."""


class ExportTimeoutError(DdbAssetsError):
    """The export was still running when the time to wait was over."""


@dataclass(frozen=True)
class ExportRef:
    """An export as DynamoDB describes it. Once it is COMPLETED, its manifest is at `summary_uri`.

    `failure` is AWS's code and reason when it FAILED, else empty.
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
        """When AWS began with it."""
        return started_at(self.arn)

    @classmethod
    def of(cls, description: "ExportDescriptionTypeDef") -> "ExportRef":
        """From the answer of DescribeExport or ExportTableToPointInTime."""
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
    """When an export, given by id or ARN, was started: its id says so; one of another form counts as new."""
    digits = export.rpartition("/")[2].partition("-")[0]
    try:
        return datetime.fromtimestamp(int(digits) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def _failure(description: "ExportDescriptionTypeDef") -> str:
    code, reason = description.get("FailureCode", "no code"), description.get("FailureMessage", "no reason given")
    return f"{code}: {reason}"


def status(description: "ExportDescriptionTypeDef") -> Status:
    """The export's status; any that the API does not list (the guide speaks of PENDING) means that it is not done."""
    state = description.get("ExportStatus")
    return state if state in ("COMPLETED", "FAILED") else "IN_PROGRESS"


def describe(client: "DynamoDBClient", arn: str) -> "ExportDescriptionTypeDef":
    """DescribeExport. Raises AwsError."""
    with explained("dynamodb:DescribeExport", arn):
        description = client.describe_export(ExportArn=arn)["ExportDescription"]
        ExportRef.of(description)  # raises if a member that readers need is missing
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
    """The export, once it is COMPLETED; exports take 5 to 30 minutes, and AWS promises no limit.

    `on_progress` gets the export after each look, and the time waited. If AWS is out of reach, that is waited for too. Raises
    ExportFailedError with AWS's reason, ExportTimeoutError, AwsError.
    """
    begun = clock()
    for pause in looks(FIRST_LOOK):
        waited = timedelta(seconds=clock() - begun)
        try:
            description = describe(client, arn)
        except AwsUnavailableError as error:
            if waited >= timeout:
                raise ExportTimeoutError(_timed_out(arn, waited, str(error))) from error
        else:
            export = ExportRef.of(description)
            if export.status == "COMPLETED":
                return export
            if export.status == "FAILED":
                raise ExportFailedError(
                    f"DynamoDB could not make the export {arn}: {export.failure}. "
                    "Mend that and run this again: a new export is asked for then"
                )
            if on_progress:
                on_progress(export, waited)
            if waited >= timeout:
                raise ExportTimeoutError(_timed_out(arn, waited, "it is still running"))
        sleep(min(pause, max((timeout - waited).total_seconds(), 0)))
    raise AssertionError("looks never end")


def _timed_out(arn: str, waited: timedelta, why: str) -> str:
    return (
        f"the export {arn} was not done after {waited.total_seconds():.0f} s: {why}. It goes on at AWS: "
        "run this again later, the same export is found and no second one is paid for"
    )


def same_time(one: datetime | None, other: datetime | None) -> bool:
    """Whether two times of exports are the same as far as DynamoDB's API says them; an absent one is like no other."""
    return one is not None and other is not None and abs(one - other) <= _ROUNDED
