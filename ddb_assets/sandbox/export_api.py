"""The export operations of DynamoDB's API, with the checks and errors of AWS.

They are ExportTableToPointInTime, DescribeExport and ListExports; moto has none of them. `exporter` runs the exports. Facts:
API reference of these operations, and the AWS page S3DataExport_Requesting.
"""

import math
import re
from collections.abc import Callable, Mapping

from ddb_assets.sandbox.api_error import Answer, ApiError
from ddb_assets.sandbox.backend import SandboxBackend
from ddb_assets.sandbox.clock import MICROS, Clock
from ddb_assets.sandbox.exporter import Exporter, ExportPeriod, ExportTask
from ddb_assets.sandbox.json_api import Caller, Operation
from ddb_assets.sandbox.tables import SandboxTable

SHORTEST_WINDOW = 15 * 60 * MICROS
LONGEST_WINDOW = 24 * 3600 * MICROS
TOKEN_LIFETIME = 8 * 3600 * MICROS
PAGE_SIZE = 25
CONCURRENT_EXPORTS = 300
MAX_KEY_ID = 2048
VIEWS = ("NEW_IMAGE", "NEW_AND_OLD_IMAGES")


class ExportApi:
    """The operations. `backend_of` finds the DynamoDB backend of an account and Region.

    `former` has the descriptions of the exports of earlier sandboxes, by ARN.
    """

    def __init__(
        self,
        exporter: Exporter,
        clock: Clock,
        backend_of: Callable[[str, str], SandboxBackend | None],
        former: Mapping[str, Answer],
    ) -> None:
        self._former = former
        self._exporter = exporter
        self._clock = clock
        self._backend_of = backend_of
        self._by_token: dict[str, ExportTask] = {}

    def operations(self) -> dict[str, Operation]:
        return {
            "ExportTableToPointInTime": self._export,
            "DescribeExport": self._describe,
            "ListExports": self._list,
        }

    def _export(self, _: Caller, request: Answer) -> Answer:
        for name in ("TableArn", "S3Bucket"):
            if not request.get(name):
                raise ApiError("ValidationException", f"1 validation error detected: Value null at '{name}' is missing")
        token = request.get("ClientToken")
        earlier = self._by_token.get(token) if token else None
        if earlier and not self._expired(earlier):
            if earlier.request != request:
                raise ApiError("ExportConflictException", f"The client token {token} was used with other parameters")
            return {"ExportDescription": _description(earlier)}
        export = self._checked(request)
        if sum(other.status == "IN_PROGRESS" for other in self._exporter.exports.values()) >= CONCURRENT_EXPORTS:
            raise ApiError("LimitExceededException", f"More than {CONCURRENT_EXPORTS} concurrent exports")
        if token:
            self._by_token[token] = export
        self._exporter.start(export)
        return {"ExportDescription": _description(export)}

    def _expired(self, export: ExportTask) -> bool:
        """Whether the export's token is no longer valid: it is valid until 8 hours after the export has ended."""
        return export.ended is not None and self._clock.micros() > export.ended + TOKEN_LIFETIME

    def _checked(self, request: Answer) -> ExportTask:
        """The export of a valid request. Raises ApiError for what AWS refuses and for what the sandbox cannot do."""
        kind = request.get("ExportType", "FULL_EXPORT")
        if kind not in ("FULL_EXPORT", "INCREMENTAL_EXPORT"):
            raise ApiError(
                "ValidationException", f"1 validation error detected: Value '{kind}' at 'exportType' is unknown"
            )
        _check_place(request)
        if request.get("ExportFormat", "DYNAMODB_JSON") != "DYNAMODB_JSON":
            raise ApiError("ValidationException", "The sandbox exports DYNAMODB_JSON only")
        if "FilterSpecification" in request:
            raise ApiError("ValidationException", "The sandbox does not filter exports: leave FilterSpecification out")
        table, (earliest, latest) = self._table(request["TableArn"])
        # Export times are whole milliseconds; rounding up includes every write that was answered before this request.
        now = math.ceil(self._clock.micros() / 1000) * 1000
        if kind == "FULL_EXPORT":
            moment = _micros(request["ExportTime"]) if "ExportTime" in request else now
            if "ExportTime" in request and not earliest <= moment <= latest:
                raise ApiError(
                    "InvalidExportTimeException",
                    "The specified ExportTime is outside of the point in time recovery window",
                )
            return ExportTask(table, request, now, moment, None)
        window = _window(request.get("IncrementalExportSpecification") or {}, earliest, latest)
        return ExportTask(table, request, now, now, window)

    def _table(self, arn: str) -> tuple[SandboxTable, tuple[int, int]]:
        """The table, and its earliest and latest restorable time (microseconds). Raises ApiError."""
        region, account, name = (arn.split(":", 5) + [""] * 6)[3:6]
        backend = self._backend_of(account, region)
        table = backend.tables.get(name.removeprefix("table/")) if backend else None
        if backend is None or not isinstance(table, SandboxTable) or table.table_arn != arn:
            raise ApiError("TableNotFoundException", f"Table not found: {arn}")
        restorable = backend.restorable(table)
        if restorable is None:
            raise ApiError(
                "PointInTimeRecoveryUnavailableException",
                f"Point in time recovery is not enabled for table '{table.name}'",
            )
        return table, restorable

    def _describe(self, _: Caller, request: Answer) -> Answer:
        arn = request.get("ExportArn", "")
        if arn in self._former:
            return {"ExportDescription": self._former[arn]}
        export = self._exporter.exports.get(arn)
        if export is None:
            raise ApiError("ExportNotFoundException", f"Export not found: {arn}")
        return {"ExportDescription": _description(export)}

    def completed(self) -> dict[str, Answer]:
        """The descriptions of all completed exports, also of earlier sandboxes, by ARN."""
        made = {arn: _description(e) for arn, e in self._exporter.exports.items() if e.status == "COMPLETED"}
        return {**self._former, **made}

    def _list(self, _: Caller, request: Answer) -> Answer:
        """The exports in reverse order of their ARNs, at most 25 per page; the token is the last ARN of a page."""
        size = request.get("MaxResults", PAGE_SIZE)
        if not 1 <= size <= PAGE_SIZE:
            raise ApiError(
                "ValidationException", f"1 validation error detected: Value '{size}' at 'maxResults' is not 1..25"
            )
        table_arn, after = request.get("TableArn"), request.get("NextToken")
        arns = sorted(
            (
                arn
                for arn, export in self._exporter.exports.items()
                if (table_arn is None or export.table.table_arn == table_arn) and (after is None or arn < after)
            ),
            reverse=True,
        )
        summaries = [
            {"ExportArn": arn, "ExportStatus": export.status, "ExportType": export.kind}
            for arn in arns[:size]
            for export in [self._exporter.exports[arn]]
        ]
        return {"ExportSummaries": summaries} | ({"NextToken": arns[size - 1]} if len(arns) > size else {})


def _check_place(request: Answer) -> None:
    """Raises ApiError for a bucket owner, an algorithm or a KMS key id that the API does not allow."""
    owner, algorithm = request.get("S3BucketOwner", "0" * 12), request.get("S3SseAlgorithm", "AES256")
    wrong = None
    if not re.fullmatch("[0-9]{12}", owner):
        wrong = (
            f"Value '{owner}' at 's3BucketOwner' failed to satisfy constraint: regular expression pattern: [0-9]{{12}}"
        )
    elif algorithm not in ("AES256", "KMS"):
        wrong = f"Value '{algorithm}' at 's3SseAlgorithm' failed to satisfy constraint: enum value set: [AES256, KMS]"
    elif len(request.get("S3SseKmsKeyId", "a key")) > MAX_KEY_ID:
        wrong = f"Value at 's3SseKmsKeyId' failed to satisfy constraint: length less than or equal to {MAX_KEY_ID}"
    if wrong:
        raise ApiError("ValidationException", f"1 validation error detected: {wrong}")


def _window(specification: Answer, earliest: int, latest: int) -> ExportPeriod:
    """The period of an incremental export. Raises ApiError for one beyond the limits or the restorable times."""
    if "ExportFromTime" not in specification:
        raise ApiError(
            "ValidationException", "An incremental export needs IncrementalExportSpecification.ExportFromTime"
        )
    view = specification.get("ExportViewType", "NEW_AND_OLD_IMAGES")
    if view not in VIEWS:
        raise ApiError(
            "ValidationException", f"1 validation error detected: Value '{view}' at 'exportViewType' is unknown"
        )
    start = _micros(specification["ExportFromTime"])
    end = _micros(specification["ExportToTime"]) if "ExportToTime" in specification else latest // 1000 * 1000
    refusal = None
    if start < earliest:
        refusal = "Incremental export start time outside PITR window"
    elif end > latest:
        refusal = "Incremental export end time outside PITR window"
    elif not SHORTEST_WINDOW <= end - start <= LONGEST_WINDOW:
        refusal = "Incremental export period must be at least 15 minutes and at most 24 hours"
    if refusal:
        raise ApiError("InvalidExportTimeException", refusal)
    return ExportPeriod(start, end, view)


def _micros(seconds: float) -> int:
    return round(seconds * 1000) * 1000


def _description(export: ExportTask) -> Answer:
    """The ExportDescription of the export in its present state, without empty fields."""
    request, window = export.request, export.window
    done = export.status == "COMPLETED"
    code, message = (export.status == "FAILED" and export.failure) or (None, None)
    fields = {
        "ExportArn": export.arn,
        "ExportStatus": export.status,
        "StartTime": export.started / MICROS,
        "EndTime": export.ended / MICROS if export.ended and export.status != "IN_PROGRESS" else None,
        "ExportManifest": export.summary_key if done else None,
        "TableArn": export.table.table_arn,
        "TableId": export.table.table_id,
        "ExportTime": None if window else export.export_time / MICROS,
        "ClientToken": request.get("ClientToken"),
        "S3Bucket": request["S3Bucket"],
        "S3BucketOwner": request.get("S3BucketOwner"),
        "S3Prefix": request.get("S3Prefix"),
        "S3SseAlgorithm": export.sse,
        "S3SseKmsKeyId": request.get("S3SseKmsKeyId"),
        "FailureCode": code,
        "FailureMessage": message,
        "ExportFormat": "DYNAMODB_JSON",
        "BilledSizeBytes": export.billed_bytes if done else None,
        "ItemCount": export.item_count if done else None,
        "ExportType": export.kind,
        "IncrementalExportSpecification": window
        and {
            "ExportFromTime": window.start / MICROS,
            "ExportToTime": window.end / MICROS,
            "ExportViewType": window.view,
        },
    }
    return {name: value for name, value in fields.items() if value is not None}
