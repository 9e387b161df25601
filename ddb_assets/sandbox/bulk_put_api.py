"""The bulk operations of DynamoDB's API, with the checks and errors of AWS.

They are StartBulkPutItems, DescribeBulkOperation, ListBulkOperations and CancelBulkOperation; moto has none of them.
`bulk_put` runs them. Facts: API reference of these operations; Developer Guide, "Bulk put items" (the table's state, global
tables). How many operations a table may have at once is not known to us: the sandbox takes one.
"""

import re
from collections.abc import Callable

from ddb_assets.sandbox.api_error import Answer, ApiError
from ddb_assets.sandbox.backend import SandboxBackend
from ddb_assets.sandbox.bulk_put import BulkPut, BulkPutRunner, seconds, waiting
from ddb_assets.sandbox.clock import MICROS, Clock
from ddb_assets.sandbox.json_api import Caller, Operation
from ddb_assets.sandbox.tables import SandboxTable

TOKEN_LIFETIME = 8 * 3600 * MICROS
LISTED = 90 * 86_400 * MICROS
PAGE_SIZE, LONGEST_PAGE = 10, 25
LEAST_UNITS = 1024
CONCURRENT_PER_TABLE = 1
ALLOWED = {
    ("InputS3Configuration", "InputFormat"): ("DYNAMODB_JSON", "ION"),
    ("InputS3Configuration", "InputCompressionType"): ("GZIP", "ZSTD", "NONE"),
    ("OutputS3Configuration", "S3SseAlgorithm"): ("AES256", "KMS"),
    ("", "PerformanceTier"): ("STANDARD", "ACCELERATED"),
}
REQUIRED = {
    "": ("TableName", "InputS3Configuration", "OutputS3Configuration"),
    "InputS3Configuration": ("S3Bucket", "InputFormat"),
    "OutputS3Configuration": ("S3Bucket", "OutputType"),
}
OUTPUTS = {"ERROR", "CONDITION_CHECK_FAILURE"}


class BulkPutApi:
    """The operations. `backend_of` finds the DynamoDB backend of an account and Region."""

    def __init__(
        self, runner: BulkPutRunner, clock: Clock, backend_of: Callable[[str, str], SandboxBackend | None]
    ) -> None:
        self._runner, self._clock, self._backend_of = runner, clock, backend_of
        self._by_token: dict[tuple[Caller, str], BulkPut] = {}

    def operations(self) -> dict[str, Operation]:
        return {
            "StartBulkPutItems": self._start,
            "DescribeBulkOperation": self._describe,
            "ListBulkOperations": self._list,
            "CancelBulkOperation": self._cancel,
        }

    def _start(self, caller: Caller, request: Answer) -> Answer:
        _check_form(request)
        token = (caller, str(request.get("ClientToken", "")))
        earlier = self._by_token.get(token) if token[1] else None
        if earlier and self._clock.micros() <= earlier.started + TOKEN_LIFETIME:
            if earlier.request != request:
                raise ApiError(
                    "IdempotentParameterMismatchException", f"The token {token[1]} was used with other parameters"
                )
            return {"BulkOperationDescription": _description(earlier)}
        table = self._table(caller, request["TableName"])
        _check_state(table)
        if waiting(other for other in self._runner.operations.values() if other.table is table) >= CONCURRENT_PER_TABLE:
            raise ApiError("LimitExceededException", f"Table {table.name} has a bulk operation in progress")
        operation = BulkPut(table, request, self._clock.tick())
        if token[1]:
            self._by_token[token] = operation
        answer = {"BulkOperationDescription": _description(operation)}
        self._runner.start(operation)
        return answer

    def _table(self, caller: Caller, name: str) -> SandboxTable:
        account, region = caller.account, caller.region
        if name.startswith("arn:"):
            region, account, name = (name.split(":", 5) + [""] * 6)[3:6]
        backend = self._backend_of(account, region)
        table = backend.tables.get(name.removeprefix("table/")) if backend else None
        if not isinstance(table, SandboxTable):
            raise ApiError("ResourceNotFoundException", f"Requested resource not found: Table: {name} not found")
        return table

    def _found(self, request: Answer) -> BulkPut:
        operation = self._runner.operations.get(request.get("BulkOperationArn", ""))
        if operation is None:
            raise ApiError("ResourceNotFoundException", f"Bulk operation not found: {request.get('BulkOperationArn')}")
        return operation

    def _describe(self, _: Caller, request: Answer) -> Answer:
        return {"BulkOperationDescription": _description(self._found(request))}

    def _cancel(self, _: Caller, request: Answer) -> Answer:
        """One that has ended stays as it is."""
        operation = self._found(request)
        if operation.status == "IN_PROGRESS":
            operation.status = "CANCELLING"
            operation.cancelled.set()
        return {"BulkOperationArn": operation.arn, "BulkOperationStatus": operation.status}

    def _list(self, caller: Caller, request: Answer) -> Answer:
        """Those of the account and Region in the last 90 days, the most recent first."""
        size = request.get("MaxResults", PAGE_SIZE)
        if not 1 <= size <= LONGEST_PAGE:
            raise _invalid(f"Value '{size}' at 'maxResults' is not 1..{LONGEST_PAGE}")
        before = int(request["NextToken"], 16) if "NextToken" in request else 1 << 62
        since = self._clock.micros() - LISTED
        place = f":{caller.region}:{caller.account}:"
        known = sorted(self._runner.operations.values(), key=lambda one: one.started, reverse=True)
        found = [one for one in known if since <= one.started < before and place in one.arn]
        summaries = [_without_nothing(_summary(one)) for one in found[:size]]
        more = {"NextToken": f"{found[size - 1].started:016x}"} if len(found) > size else {}
        return {"BulkOperationsSummaryList": summaries} | more


def _check_form(request: Answer) -> None:
    """Raises ApiError for what is missing or not allowed."""
    for place, names in REQUIRED.items():
        part = request.get(place, {}) if place else request
        if missing := [name for name in names if not part.get(name)]:
            raise _invalid(f"Value null at '{missing[0]}' failed to satisfy constraint: Member must not be null")
    for (place, name), allowed in ALLOWED.items():
        value = (request[place] if place else request).get(name, allowed[0])
        if value not in allowed:
            raise _invalid(f"Value '{value}' at '{name}' failed to satisfy constraint: enum value set: {list(allowed)}")
    for place in ("InputS3Configuration", "OutputS3Configuration"):
        if not re.fullmatch("[0-9]{12}", request[place].get("S3BucketOwner", "0" * 12)):
            raise _invalid(
                "Value at 's3BucketOwner' failed to satisfy constraint: regular expression pattern: [0-9]{12}"
            )
    if not set(request["OutputS3Configuration"]["OutputType"]) <= OUTPUTS:
        raise _invalid(f"Value at 'outputType' failed to satisfy constraint: enum value set: {sorted(OUTPUTS)}")
    if request.get("MaxWriteRequestUnits", LEAST_UNITS) < LEAST_UNITS:
        raise _invalid(f"Value at 'maxWriteRequestUnits' must be greater than or equal to {LEAST_UNITS}")
    if request["InputS3Configuration"]["InputFormat"] != "DYNAMODB_JSON":
        raise ApiError("ValidationException", "The sandbox reads DYNAMODB_JSON only")


def _check_state(table: SandboxTable) -> None:
    """Raises ApiError for a table that takes no bulk puts now, or never."""
    described = table.describe()["TableDescription"]
    indexes = described.get("GlobalSecondaryIndexes") or []
    if described["TableStatus"] not in ("ACTIVE", "UPDATING") or any(
        i.get("IndexStatus") == "CREATING" for i in indexes
    ):
        raise ApiError(
            "ResourceInUseException", f"Attempt to change a resource which is still in use: Table: {table.name}"
        )
    if described.get("Replicas"):
        raise ApiError("ValidationException", f"Bulk put items does not support global tables: {table.name}")


def _invalid(constraint: str) -> ApiError:
    return ApiError("ValidationException", f"1 validation error detected: {constraint}")


def _summary(operation: BulkPut) -> Answer:
    return {
        "BulkOperationArn": operation.arn,
        "BulkOperationStatus": operation.status,
        "StartTime": seconds(operation.started),
        "EndTime": seconds(operation.ended) if operation.ended else None,
    }


def _description(operation: BulkPut) -> Answer:
    """The BulkOperationDescription in its present state, without empty fields."""
    request, table = operation.request, operation.table
    failure = operation.failure if operation.status in ("FAILED", "CANCELLED") else None
    fields = {
        **_summary(operation),
        "TableDetails": [{"TableName": table.table_arn, "TableId": table.table_id}],
        "ClientToken": request.get("ClientToken"),
        "InputS3Configuration": request["InputS3Configuration"],
        "OutputS3Configuration": request["OutputS3Configuration"],
        "ProcessedItemCount": operation.processed,
        "ProcessedInputBytes": operation.read_bytes,
        "TotalInputBytes": operation.total_bytes,
        "BulkOperationUsage": [
            {
                "TableName": table.table_arn,
                "BulkPutBytes": operation.put_bytes,
                "Table": {"BulkPutBytes": operation.put_bytes},
            }
        ],
        "FailedItemCount": operation.failed,
        "FailureCode": failure[0] if failure else None,
        "FailureMessage": failure[1] if failure else None,
        "MaxWriteRequestUnits": request.get("MaxWriteRequestUnits"),
        "PerformanceTier": request.get("PerformanceTier", "STANDARD"),
    }
    return _without_nothing(fields)


def _without_nothing(fields: Answer) -> Answer:
    return {name: value for name, value in fields.items() if value is not None}
