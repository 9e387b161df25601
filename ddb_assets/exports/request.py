"""Requests exports from DynamoDB and never requests the same one twice.

An export is found again by its content (table, window or time, destination) or by its ClientToken. So a run that crashed
or is repeated continues with the export that it started. `windows/` decides which windows to request, `follow.py` waits for
an export, `manifest.py` reads what it wrote.

Facts (API reference, ExportTableToPointInTime and ListExports): a ClientToken is valid until 8 hours after its export
completed; ListExports goes back 90 days, newest first, 25 per page; an export's id begins with its start in epoch
milliseconds; a table that is dropped and created again keeps its ARN, but not its TableId.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.errors import ODD_ANSWER, AwsError, explained
from ddb_assets.aws.table import describe_table
from ddb_assets.contract.export_target import ExportTarget
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import Window
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.billed import check_month
from ddb_assets.exports.follow import ExportRef, describe, same_time, started_at, status
from ddb_assets.exports.manifest import View

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import ExportDescriptionTypeDef

logger = logging.getLogger(__name__)

CLOCK_SKEW = timedelta(minutes=1)  # export periods follow a clock of DynamoDB that may differ by this much
PAGE = 25


class RequestError(DdbAssetsError):
    """DynamoDB cannot make the requested export."""


class PitrDisabledError(RequestError):
    """The table's point-in-time recovery is off; exports need it."""


class NotRestorableError(RequestError):
    """The time or window is not in the table's point-in-time recovery period, or not yet."""


_REFUSALS: dict[str | None, tuple[type[RequestError], str]] = {
    "PointInTimeRecoveryUnavailableException": (PitrDisabledError, "Switch point-in-time recovery on, then try again"),
    "InvalidExportTimeException": (NotRestorableError, "Try again in a minute: DynamoDB's clock may differ by as much"),
    "LimitExceededException": (RequestError, "at most 300 exports, or 100 TB, may run at once: try again later"),
}


@dataclass(frozen=True)
class FullExport:
    """A request for the whole table as of `time` or, if None, of the latest restorable time.

    A request without a time finds only the export that was requested with the same `request_id`. A request with a time
    finds any export of that time.
    """

    request_id: str
    time: datetime | None = None


@dataclass(frozen=True)
class Increment:
    """A request for the changes of one window."""

    window: Window
    view: View


@dataclass(frozen=True)
class Destination:
    """Where DynamoDB writes an export. `prefix` is normalized: `a`, `a/` and `/a` are the same. Raises RequestError.

    `bucket_owner` and `kms_key` are those of the contract's `export`.
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
        """The destination of a contract's `export`."""
        return cls(target.bucket, target.prefix, target.bucket_owner, target.kms_key)

    @property
    def place(self) -> tuple[str, str]:
        """Bucket and prefix."""
        return self.bucket, self.prefix

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments for ExportTableToPointInTime."""
        named = {"S3Bucket": self.bucket, "S3Prefix": self.prefix, "S3BucketOwner": self.bucket_owner}
        kms = {"S3SseAlgorithm": "KMS" if self.kms_key else "AES256", "S3SseKmsKeyId": self.kms_key}
        return {name: value for name, value in (named | kms).items() if value}


@dataclass(frozen=True)
class Restorable:
    """The restorable period of a table: the earliest and the latest time (UTC) that can be exported."""

    earliest: datetime
    latest: datetime


@dataclass(frozen=True)
class Found:
    """The running or completed export of a request, if any, and the failed ones that we started, newest first."""

    export: ExportRef | None
    failed: tuple[ExportRef, ...]


class TableExports:
    """The exports of one table, given by name or ARN.

    It caches the descriptions of finished exports, so use an instance for one run or one tick of a sensor, not longer.
    Every method raises AwsError, which names the IAM action if a permission is missing.
    """

    def __init__(self, client: "DynamoDBClient", table: str, max_usd: float | None = None) -> None:
        """`max_usd` is what all exports of the table may cost in a calendar month."""
        self._client = client
        self._table = table
        self._max_usd = max_usd
        self._finished: dict[str, ExportDescriptionTypeDef] = {}
        described = describe_table(client, table)
        if described.id is None:
            raise AwsError(f"dynamodb:DescribeTable on {table}: the answer without a TableId {ODD_ANSWER}")
        self.arn, self.table_id, self._size_bytes = described.arn, described.id, described.size_bytes

    def restorable(self) -> Restorable:
        """The period that can be exported now. Raises PitrDisabledError, or NotRestorableError while it is just starting."""
        with explained("dynamodb:DescribeContinuousBackups", self._table):
            answer = self._client.describe_continuous_backups(TableName=self._table)["ContinuousBackupsDescription"]
        recovery = answer.get("PointInTimeRecoveryDescription", {})
        if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
            raise PitrDisabledError(
                f"table {self._table} has point-in-time recovery switched off, but exports need it. Switch it on: "
                f"aws dynamodb update-continuous-backups --region {self._client.meta.region_name} --table-name "
                f"{self._table} --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
            )
        earliest, latest = recovery.get("EarliestRestorableDateTime"), recovery.get("LatestRestorableDateTime")
        if earliest is None or latest is None:
            raise NotRestorableError(f"point-in-time recovery of table {self._table} is just starting: try again soon")
        return Restorable(earliest.astimezone(UTC), latest.astimezone(UTC))

    def request(self, what: FullExport | Increment, destination: Destination, *, attempt: int = 0) -> ExportRef:
        """The export of `what`: the one that is running or completed, else a new one.

        If all earlier ones failed, a new one is requested. Increase `attempt` to request a new export although there is
        one, for example because its files were lost. Raises RequestError: PitrDisabledError, NotRestorableError, or for too
        many exports at once; CostLimitError if it would cost more than `max_usd`.
        """
        found = self.find(what, destination, attempt=attempt)
        if found.export is not None:
            logger.info(
                "table %s: found export %s of %s, %s", self._table, found.export.arn, _named(what), found.export.status
            )
            return found.export
        token = f"{self._token_stem(what, destination, attempt)}-{len(found.failed)}"
        started = self._start(what, destination, token)
        logger.info(
            "table %s: requested export %s of %s, %d earlier ones failed",
            self._table,
            started.arn,
            _named(what),
            len(found.failed),
        )
        return started

    def find(self, what: FullExport | Increment, destination: Destination, *, attempt: int = 0) -> Found:
        """The exports of this request that AWS knows; requests nothing."""
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

    def newest_window(self, destination: Destination) -> datetime | None:
        """The end of the newest window that was exported to there, among the newest exports: a page of the list."""
        with explained("dynamodb:ListExports", self._table):
            page = self._client.list_exports(TableArn=self.arn, MaxResults=PAGE).get("ExportSummaries", [])
        ends: list[datetime] = []
        for listed in page:
            if listed.get("ExportType") != "INCREMENTAL_EXPORT" or listed.get("ExportStatus") != "COMPLETED":
                continue
            found = self._described(listed["ExportArn"])
            end = found.get("IncrementalExportSpecification", {}).get("ExportToTime")
            if end and found.get("TableId") == self.table_id and _place(found) == destination.place:
                ends.append(end.astimezone(UTC))
        return max(ends, default=None)

    def completed(
        self, destination: Destination, since: datetime | None = None
    ) -> Iterator["ExportDescriptionTypeDef"]:
        """The complete exports of this table to there, of either kind and without a filter, newest first.

        They go back to those that were requested before `since`, or as far as DynamoDB lists them.
        """
        for found in self._listed(None, since):
            if status(found) == "COMPLETED" and self._usable(found, destination):
                yield found

    def _described(self, arn: str) -> "ExportDescriptionTypeDef":
        """The export, which is remembered once it has ended."""
        found = self._finished.get(arn) or describe(self._client, arn)
        if status(found) != "IN_PROGRESS":
            self._finished[arn] = found
        return found

    def _start(self, what: FullExport | Increment, destination: Destination, token: str) -> ExportRef:
        self._check_restorable(what)
        if self._max_usd is not None:
            least = None if isinstance(what, Increment) else self._size_bytes
            check_month(self._client, self.arn, least, self._max_usd)
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

    def _check_restorable(self, what: FullExport | Increment) -> None:
        restorable = self.restorable()
        if isinstance(what, Increment):
            first, last = what.window.start, what.window.end
        elif what.time is not None:
            first = last = what.time
        else:
            return
        if first < restorable.earliest:
            raise NotRestorableError(
                f"table {self._table} cannot be exported for {_named(what)}: its history begins at "
                f"{restorable.earliest.isoformat()}; make a new full export and continue from there"
            )
        if last > restorable.latest:
            raise NotRestorableError(
                f"table {self._table} cannot be exported for {_named(what)} yet: it is restorable until "
                f"{restorable.latest.isoformat()}, about 5 minutes behind now; try again later"
            )

    def _token_stem(self, what: FullExport | Increment, destination: Destination, attempt: int) -> str:
        """The start of the ClientToken: the same for the same request only. It is hex, because a token must not have a `$`."""
        if isinstance(what, Increment):
            request = ["INCREMENTAL", what.window.start.isoformat(), what.window.end.isoformat(), what.view]
        else:
            request = ["FULL", what.time.astimezone(UTC).isoformat() if what.time else what.request_id]
        parts = [self.table_id, *request, sorted(destination.arguments.items()), attempt]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def _exports(self, what: FullExport | Increment) -> Iterator["ExportDescriptionTypeDef"]:
        """The table's exports of the same kind, newest first, back to the time before which `what` was not possible."""
        if isinstance(what, Increment):
            return self._listed("INCREMENTAL_EXPORT", what.window.end)
        return self._listed("FULL_EXPORT", what.time)

    def _listed(self, kind: str | None, since: datetime | None) -> Iterator["ExportDescriptionTypeDef"]:
        """The table's exports of a kind, or of both, newest first, back to those that were requested before `since`."""
        arguments: dict[str, Any] = {"TableArn": self.arn, "MaxResults": PAGE}
        while True:
            with explained("dynamodb:ListExports", self._table):
                page = self._client.list_exports(**arguments)
                summaries = {listed["ExportArn"]: listed for listed in page.get("ExportSummaries", [])}
            for arn, listed in summaries.items():
                if since is not None and started_at(arn) < since - CLOCK_SKEW:
                    return
                if kind and listed.get("ExportType", "FULL_EXPORT") != kind:
                    continue
                yield self._described(arn)
            if not page.get("NextToken"):
                return
            arguments["NextToken"] = page["NextToken"]

    def _usable(self, found: "ExportDescriptionTypeDef", destination: Destination) -> bool:
        """Whether this export is of this table, at this place, and has all items in the form that is read."""
        return (
            found.get("TableId") == self.table_id
            and _place(found) == destination.place
            and found.get("ExportFormat") == "DYNAMODB_JSON"
            and not found.get("FilterSpecification")
        )

    def _same(self, found: "ExportDescriptionTypeDef", what: FullExport | Increment, destination: Destination) -> bool:
        """Whether this export is what the request asks for, no matter who requested it.

        An export with a filter is not, because it lacks items. If the contract names a KMS key, an export without KMS
        encryption is not either.
        """
        if not self._usable(found, destination) or (destination.kms_key and found.get("S3SseAlgorithm") != "KMS"):
            return False
        if isinstance(what, FullExport):
            return same_time(found.get("ExportTime"), what.time)
        window = found.get("IncrementalExportSpecification", {})
        return (
            same_time(window.get("ExportFromTime"), what.window.start)
            and same_time(window.get("ExportToTime"), what.window.end)
            and window.get("ExportViewType", "NEW_AND_OLD_IMAGES") == what.view
        )


def _place(found: "ExportDescriptionTypeDef") -> tuple[str | None, str]:
    """Bucket and normalized prefix of an export."""
    return found.get("S3Bucket"), "/".join(part for part in found.get("S3Prefix", "").split("/") if part)


def _named(what: FullExport | Increment) -> str:
    """The request in words, for messages."""
    if isinstance(what, Increment):
        return f"the window {what.window}"
    return f"the time {what.time.isoformat()}" if what.time else "the latest time"


def key_schema(client: "DynamoDBClient", table: Table) -> KeySchema:
    """The key of the contract, else of the DynamoDB table. Raises AwsError, which names a missing permission."""
    if table.key is not None:
        return table.key
    return KeySchema.of(describe_table(client, table.table).key_names)
