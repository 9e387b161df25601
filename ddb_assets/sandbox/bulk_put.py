"""Runs bulk puts, each in a separate thread: reads the input objects and puts their items into a table that exists.

`bulk_put_api` checks requests and starts them. Facts: API reference, StartBulkPutItems and BulkOperationDescription (the
counts); Developer Guide, "Bulk put items" (limits). The form of the records in the output is not known to us: the sandbox
writes JSON lines with the record, its place in the input and the errors.
"""

import gzip
import secrets
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
from botocore.exceptions import ClientError
from moto.s3.models import s3_backends

from ddb_assets.aws.table import TableDescription
from ddb_assets.dynamodb.attribute_value import AttributeValueError
from ddb_assets.dynamodb.item import MAX_ITEM_BYTES, attribute_sizes, item_key, key_value
from ddb_assets.sandbox.change_log import ChangeLog
from ddb_assets.sandbox.clock import MICROS
from ddb_assets.sandbox.tables import SandboxTable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MAX_OBJECTS = 50_000
MAX_OBJECT_BYTES = 5 << 30
UNIT_BYTES = 1024
ENDED = frozenset({"COMPLETED", "COMPLETED_WITH_ERRORS", "CANCELLED", "FAILED"})


@dataclass
class BulkPut:
    """One operation; its times are in microseconds. `failure` has the code and the message."""

    table: SandboxTable
    request: dict[str, Any]
    started: int
    id: str = field(init=False)
    status: str = "IN_PROGRESS"
    ended: int | None = None
    processed: int = 0
    failed: int = 0
    read_bytes: int = 0
    total_bytes: int | None = None
    put_bytes: int = 0
    failure: tuple[str, str] | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    problems: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.id = f"{self.started // 1000:014d}-{secrets.token_hex(4)}"

    @property
    def arn(self) -> str:
        return f"{self.table.table_arn}/bulk-operation/{self.id}"


class _FailedError(Exception):
    """The operation ends as FAILED, with this code and message."""


class BulkPutRunner:
    """Starts operations and remembers them. `stop` ends those that run, and waits for them."""

    def __init__(self, log: ChangeLog, s3: "S3Client", delay: timedelta) -> None:
        self._log, self._s3, self._delay = log, s3, delay
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.operations: dict[str, BulkPut] = {}  # by ARN

    def start(self, operation: BulkPut) -> None:
        """Registers the operation and runs it after the delay."""
        self.operations[operation.arn] = operation
        thread = threading.Thread(target=self._run, args=(operation,), name=f"bulk put {operation.id}", daemon=True)
        self._threads = [running for running in self._threads if running.is_alive()] + [thread]
        thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for operation in self.operations.values():
            operation.cancelled.set()
        for thread in self._threads:
            thread.join()

    def _run(self, operation: BulkPut) -> None:
        operation.cancelled.wait(self._delay.total_seconds())
        if self._stopping.is_set():
            return
        status = "COMPLETED"
        try:
            self._put_all(operation)
            self._report(operation)
            if operation.cancelled.is_set():
                status, operation.failure = "CANCELLED", ("Cancelled", "The operation was cancelled")
            elif operation.failed:
                status = "COMPLETED_WITH_ERRORS"
        except _FailedError as error:
            status, operation.failure = "FAILED", error.args
        except ClientError as error:
            found = error.response["Error"]
            status, operation.failure = "FAILED", (f"S3{found['Code']}", found.get("Message", ""))
        except Exception as error:  # a bug must end the operation as FAILED, so that nobody polls it forever
            status, operation.failure = "FAILED", ("UNKNOWN", f"{type(error).__name__}: {error}")
        operation.ended = self._log.clock.micros()
        operation.status = status

    def _put_all(self, operation: BulkPut) -> None:
        place = operation.request["InputS3Configuration"]
        for kind in ("InputS3Configuration", "OutputS3Configuration"):
            _check_owner(operation, operation.request[kind])
        objects = self._objects(place["S3Bucket"], place.get("S3KeyPrefix", ""))
        operation.total_bytes = sum(size for _, size in objects)
        target = TableDescription.of(operation.table.describe()["TableDescription"])
        for key, size in objects:
            body = self._s3.get_object(Bucket=place["S3Bucket"], Key=key)["Body"].read()
            try:
                text = _unpacked(body, place.get("InputCompressionType", "NONE"))
            except (OSError, EOFError, zlib.error) as error:
                operation.problems.append(
                    _problem(place["S3Bucket"], key, None, None, f"The object is damaged: {error}")
                )
                operation.failed += 1
                operation.processed += 1
                continue
            for index, line in enumerate(text.splitlines()):
                if operation.cancelled.is_set():
                    return
                if line.strip():
                    self._put(operation, target, key, index, line)
            operation.read_bytes += size

    def _objects(self, bucket: str, prefix: str) -> list[tuple[str, int]]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        objects = [(found["Key"], found["Size"]) for page in pages for found in page.get("Contents", [])]
        if not objects:
            raise _FailedError("InvalidInput", f"There are no objects under s3://{bucket}/{prefix}")
        if len(objects) > MAX_OBJECTS:
            raise _FailedError("InvalidInput", f"{len(objects)} input objects exceed the limit of {MAX_OBJECTS}")
        if large := [key for key, size in objects if size > MAX_OBJECT_BYTES]:
            raise _FailedError("InvalidInput", f"Object {large[0]} exceeds the limit of {MAX_OBJECT_BYTES} bytes")
        return objects

    def _put(self, operation: BulkPut, target: TableDescription, key: str, index: int, line: bytes) -> None:
        """Puts the item of one record, at the rate that is allowed, or notes why it cannot be."""
        record: Any = None
        units = 1
        try:
            record = orjson.loads(line)
            item = _item(record)
            size = _checked(target, item)
            units = -(-size // UNIT_BYTES)
            stored_key, image, stored_size = operation.table.encode(item)
            self._log.append(operation.table.number, stored_key, image, stored_size)
            operation.put_bytes += size
        except (ValueError, AttributeValueError, KeyError, TypeError) as error:
            bucket = operation.request["InputS3Configuration"]["S3Bucket"]
            operation.problems.append(_problem(bucket, key, index, record, str(error)))
            operation.failed += 1
        operation.processed += 1
        if rate := operation.request.get("MaxWriteRequestUnits"):
            operation.cancelled.wait(units / rate)

    def _report(self, operation: BulkPut) -> None:
        """Writes the records that failed, if that was asked for."""
        place = operation.request["OutputS3Configuration"]
        if "ERROR" not in place["OutputType"] or not operation.problems:
            return
        lines = b"".join(orjson.dumps(problem, option=orjson.OPT_APPEND_NEWLINE) for problem in operation.problems)
        prefix = place.get("S3KeyPrefix", "").rstrip("/")
        key = "/".join([*([prefix] if prefix else []), "AWSDynamoDB", operation.id, "ERROR", "000000.json.gz"])
        self._s3.put_object(Bucket=place["S3Bucket"], Key=key, Body=gzip.compress(lines))


def _check_owner(operation: BulkPut, place: dict[str, Any]) -> None:
    """Raises AccessDenied, as S3 does, unless the bucket is of the account in the request, by default the table's."""
    _, account = s3_backends.bucket_accounts.get(place["S3Bucket"], ("", None))
    expected = place.get("S3BucketOwner", operation.table.table_arn.split(":")[4])
    if account not in (None, expected):
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}, "GetObject")


def _unpacked(body: bytes, compression: str) -> bytes:
    if compression == "GZIP":
        return gzip.decompress(body)
    if compression == "ZSTD":
        return bytes(pa.CompressedInputStream(pa.BufferReader(body), "zstd").read())
    return body


def _item(record: Any) -> dict[str, Any]:
    """The item of a record. Raises ValueError for another form."""
    if not isinstance(record, dict) or not isinstance(record.get("Item"), dict):
        raise ValueError("The record has no Item")
    if more := record.keys() - {"Item"}:
        raise ValueError(f"The sandbox knows no {min(more)} of a record: it evaluates no conditions")
    item: dict[str, Any] = record["Item"]
    return item


def _checked(target: TableDescription, item: dict[str, Any]) -> int:
    """The size of an item. Raises AttributeValueError for one that the table, or an index of it, does not take."""
    size = sum(attribute_sizes(item).values())
    if size > MAX_ITEM_BYTES:
        raise AttributeValueError("Item size has exceeded the maximum allowed size")
    item_key(item, target.key)
    for index in target.indexes:
        for attribute in index.key:
            if attribute.name in item:
                key_value(item[attribute.name], attribute)
    return size


def _problem(bucket: str, key: str, index: int | None, record: Any, message: str) -> dict[str, Any]:
    pointer: dict[str, Any] = {"bucket": bucket, "key": key} | ({} if index is None else {"itemIndex": index})
    item = record.get("Item") if isinstance(record, dict) else None
    return {"itemS3Pointer": pointer, "errorMessages": [message]} | ({"Item": item} if item else {})


def seconds(micros: int) -> float:
    """For the API, whose times are in seconds."""
    return micros / MICROS


def waiting(operations: Iterator[BulkPut]) -> int:
    """How many of these have not ended."""
    return sum(operation.status not in ENDED for operation in operations)
