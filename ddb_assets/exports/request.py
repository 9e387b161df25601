"""Asks DynamoDB for exports, without ever asking twice for the same one, and waits for them.

An export is found again by what it is (table, window or time, destination) or by its ClientToken, so a crashed or
repeated run goes on with the export it started. `windows/` decides which windows to ask for,
`manifest.py` reads what was written.

Facts (API reference, ExportTableToPointInTime and ListExports): a ClientToken is remembered until 8 hours after its
export completed; ListExports goes back 90 days, newest first, 25 a page; an export's id begins with its start in epoch
milliseconds; a table dropped and created again keeps its ARN, but not its TableId.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.errors import ODD_ANSWER, AwsError, explained
from ddb_assets.aws.table import describe_table
from ddb_assets.contract.table import ExportTarget, KeySchema, Table
from ddb_assets.contract.windows import Window
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.follow import ExportRef, describe, same_time, started_at, status
from ddb_assets.exports.manifest import View

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ExportDescriptionTypeDef

CLOCK_SKEW = timedelta(minutes=1)  # export periods follow a clock of DynamoDB's that may differ by as much
PAGE = 25


class RequestError(DdbAssetsError):
    """The export cannot be made as asked for."""


class PitrDisabledError(RequestError):
    """The table has no point-in-time recovery, which exports are made from."""


class NotRestorableError(RequestError):
    """The time or window is not, or not yet, in the table's point-in-time recovery period."""


_REFUSALS: dict[str | None, tuple[type[RequestError], str]] = {
    "PointInTimeRecoveryUnavailableException": (PitrDisabledError, "Switch point-in-time recovery on, then try again"),
    "InvalidExportTimeException": (NotRestorableError, "Try again in a minute: DynamoDB's clock may differ by as much"),
    "LimitExceededException": (RequestError, "300 exports, or 100 TB, may be under way at once: try again later"),
}


@dataclass(frozen=True)
class Snapshot:
    """The whole table, at `time` or, if None, at the latest restorable one.

    `request_id` names one wish for a snapshot: asked again with the same id, the same export is the answer. With a
    time, any export of that time will do.
    """

    request_id: str
    time: datetime | None = None


@dataclass(frozen=True)
class Increment:
    """The changes of one window."""

    window: Window
    view: View


@dataclass(frozen=True)
class Destination:
    """Where DynamoDB writes to; `""`, `a`, `a/` and `/a` are one prefix each way. Raises RequestError.

    `bucket_owner` and `kms_key` are as in the contract's `export`.
    """

    bucket: str
    prefix: str = ""
    bucket_owner: str | None = None
    kms_key: str | None = None

    def __post_init__(self) -> None:
        parts = [part for part in self.prefix.split("/") if part]
        if {".", ".."} & set(parts):
            raise RequestError(f"the export prefix {self.prefix!r} has a part that is only dots: choose another")
        object.__setattr__(self, "prefix", "/".join(parts))

    @classmethod
    def of(cls, target: ExportTarget) -> "Destination":
        """What the contract says."""
        return cls(target.bucket, target.prefix, target.bucket_owner, target.kms_key)

    @property
    def arguments(self) -> dict[str, Any]:
        """As ExportTableToPointInTime takes it."""
        named = {"S3Bucket": self.bucket, "S3Prefix": self.prefix, "S3BucketOwner": self.bucket_owner}
        kms = {"S3SseAlgorithm": "KMS" if self.kms_key else "AES256", "S3SseKmsKeyId": self.kms_key}
        return {name: value for name, value in (named | kms).items() if value}


@dataclass(frozen=True)
class Restorable:
    """The first and the last moment that an export can show."""

    earliest: datetime
    latest: datetime


@dataclass(frozen=True)
class Found:
    """The export that runs or has completed, if any, and those of ours that failed, newest first."""

    export: ExportRef | None
    failed: tuple[ExportRef, ...]


class TableExports:
    """The exports of one table, given by name or ARN.

    It remembers what AWS said of finished exports, so keep one for a run or a sensor's tick, not longer. Every method
    raises AwsError, which names the IAM action when one is not allowed.
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table
        self._finished: dict[str, ExportDescriptionTypeDef] = {}
        described = describe_table(client, table)
        if described.id is None:
            raise AwsError(f"dynamodb:DescribeTable on {table}: the answer without a TableId {ODD_ANSWER}")
        self.arn, self.table_id = described.arn, described.id

    def restorable(self) -> Restorable:
        """The period that can be exported now. Raises PitrDisabledError when there is none."""
        with explained("dynamodb:DescribeContinuousBackups", self._table):
            answer = self._client.describe_continuous_backups(TableName=self._table)["ContinuousBackupsDescription"]
        recovery = answer.get("PointInTimeRecoveryDescription", {})
        if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
            raise PitrDisabledError(
                f"table {self._table} has point-in-time recovery switched off, and exports need it. Switch it on: "
                f"aws dynamodb update-continuous-backups --region {self._client.meta.region_name} --table-name "
                f"{self._table} --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
            )
        earliest, latest = recovery.get("EarliestRestorableDateTime"), recovery.get("LatestRestorableDateTime")
        if earliest is None or latest is None:
            raise NotRestorableError(f"point-in-time recovery of table {self._table} is just starting: try again soon")
        return Restorable(earliest.astimezone(UTC), latest.astimezone(UTC))

    def request(self, what: Snapshot | Increment, destination: Destination, *, attempt: int = 0) -> ExportRef:
        """The export of `what`: the one that runs or has completed, else a new one.

        One that failed is asked for again. Raise `attempt` to have it made again although there is one (its files were
        lost, say). Raises PitrDisabledError and NotRestorableError.
        """
        found = self.find(what, destination, attempt=attempt)
        if found.export is not None:
            return found.export
        return self._start(what, destination, f"{self._token_stem(what, destination, attempt)}-{len(found.failed)}")

    def find(self, what: Snapshot | Increment, destination: Destination, *, attempt: int = 0) -> Found:
        """What AWS knows of this very wish, without asking for anything."""
        stem = self._token_stem(what, destination, attempt)
        failed: list[ExportRef] = []
        for found in self._exports(what):
            ours = found.get("ClientToken", "").startswith(f"{stem}-")
            if not ours and (attempt > 0 or not self._same(found, what, destination)):
                continue
            if status(found) != "FAILED":
                return Found(ExportRef.of(found), tuple(failed))
            if ours:
                failed.append(ExportRef.of(found))
        return Found(None, tuple(failed))

    def _start(self, what: Snapshot | Increment, destination: Destination, token: str) -> ExportRef:
        self._check_restorable(what)
        arguments: dict[str, Any] = {"TableArn": self.arn, "ClientToken": token, "ExportFormat": "DYNAMODB_JSON"}
        if isinstance(what, Increment):
            arguments["ExportType"] = "INCREMENTAL_EXPORT"
            arguments["IncrementalExportSpecification"] = {
                "ExportFromTime": what.window.start,
                "ExportToTime": what.window.end,
                "ExportViewType": what.view,
            }
        else:
            arguments["ExportType"] = "FULL_EXPORT"
            if what.time is not None:
                arguments["ExportTime"] = what.time
        try:
            with explained("dynamodb:ExportTableToPointInTime", self._table):
                answer = self._client.export_table_to_point_in_time(**arguments, **destination.arguments)
                return ExportRef.of(answer["ExportDescription"])
        except AwsError as error:
            if error.code not in _REFUSALS:
                raise
            refusal, advice = _REFUSALS[error.code]
            raise refusal(f"{error}. {advice}") from error

    def _check_restorable(self, what: Snapshot | Increment) -> None:
        restorable = self.restorable()
        if isinstance(what, Increment):
            first, last, asked = what.window.start, what.window.end, f"the window {what.window}"
        elif what.time is not None:
            first, last, asked = what.time, what.time, f"the time {what.time.isoformat()}"
        else:
            return
        if first < restorable.earliest:
            raise NotRestorableError(
                f"table {self._table} cannot be exported for {asked}: its history begins at "
                f"{restorable.earliest.isoformat()}; take a new snapshot and go on from there"
            )
        if last > restorable.latest:
            raise NotRestorableError(
                f"table {self._table} cannot be exported for {asked} yet: restorable until "
                f"{restorable.latest.isoformat()}, about 5 minutes behind; ask again later"
            )

    def _token_stem(self, what: Snapshot | Increment, destination: Destination, attempt: int) -> str:
        """Hex, so without the `$` that a ClientToken must not have; equal wishes, and only they, give equal ones."""
        if isinstance(what, Increment):
            wish = ["INCREMENTAL", what.window.start.isoformat(), what.window.end.isoformat(), what.view]
        else:
            wish = ["FULL", what.time.astimezone(UTC).isoformat() if what.time else what.request_id]
        parts = [self.table_id, *wish, sorted(destination.arguments.items()), attempt]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def _exports(self, what: Snapshot | Increment) -> Iterator["ExportDescriptionTypeDef"]:
        """This table's exports of that kind that AWS knows, newest first, back to when `what` was not yet possible."""
        kind = "INCREMENTAL_EXPORT" if isinstance(what, Increment) else "FULL_EXPORT"
        since = what.window.end if isinstance(what, Increment) else what.time
        arguments: dict[str, Any] = {"TableArn": self.arn, "MaxResults": PAGE}
        while True:
            with explained("dynamodb:ListExports", self._table):
                page = self._client.list_exports(**arguments)
                summaries = {listed["ExportArn"]: listed for listed in page.get("ExportSummaries", [])}
            for arn, listed in summaries.items():
                if since is not None and started_at(arn) < since - CLOCK_SKEW:
                    return
                if listed.get("ExportType", "FULL_EXPORT") != kind:
                    continue
                found = self._finished.get(arn) or describe(self._client, arn)
                if status(found) != "IN_PROGRESS":
                    self._finished[arn] = found
                yield found
            if not page.get("NextToken"):
                return
            arguments["NextToken"] = page["NextToken"]

    def _same(self, found: "ExportDescriptionTypeDef", what: Snapshot | Increment, destination: Destination) -> bool:
        """Whether this export, whoever asked for it, is what would be asked for.

        A filtered one is not, because it lacks items; nor is one that no KMS key encrypts where the contract names one.
        """
        place = (found.get("S3Bucket"), "/".join(part for part in found.get("S3Prefix", "").split("/") if part))
        if (
            found.get("TableId") != self.table_id
            or place != (destination.bucket, destination.prefix)
            or found.get("ExportFormat") != "DYNAMODB_JSON"
            or found.get("FilterSpecification")
            or (destination.kms_key and found.get("S3SseAlgorithm") != "KMS")
        ):
            return False
        if isinstance(what, Snapshot):
            return same_time(found.get("ExportTime"), what.time)
        window = found.get("IncrementalExportSpecification", {})
        return (
            same_time(window.get("ExportFromTime"), what.window.start)
            and same_time(window.get("ExportToTime"), what.window.end)
            and window.get("ExportViewType", "NEW_AND_OLD_IMAGES") == what.view
        )


def key_schema(client: "DynamoDBClient", table: Table) -> KeySchema:
    """The contract's key, else the table's own. Raises AwsError, naming the missing permission."""
    if table.key is not None:
        return table.key
    return KeySchema.of(describe_table(client, table.table).key_names)
