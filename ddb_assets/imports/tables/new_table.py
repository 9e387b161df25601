"""A writer into a table that does not exist yet: items are staged on S3, and ImportTable of DynamoDB makes the table of them.

It costs no WCUs and has no limit of rate. Items are staged as DynamoDB JSON, so every type survives; `close` returns when the
table is there. Facts: API reference, ImportTable and DescribeImport; Developer Guide, "DynamoDB data import from Amazon S3"
(of two items with one key either may win; items that are refused are only logged, and the import then ends FAILED) and
"Validating your import" (CloudWatch log group `/aws-dynamodb/imports`, stream `<import id>/error`, one JSON message per item).
"""

import json
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from ddb_assets.aws.errors import AwsError, AwsUnavailableError, explained, meaning
from ddb_assets.aws.pauses import looks
from ddb_assets.aws.storage import Storage, join, split_s3
from ddb_assets.aws.table import UnfitTableError, describe_table
from ddb_assets.bulk.writing.operation import Operation
from ddb_assets.bulk.writing.outcome import Stop, Totals, WriterStoppedError
from ddb_assets.imports.read_back import KeySet
from ddb_assets.imports.tables.staged_items import StagedItems
from ddb_assets.imports.tables.table_plan import planned

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


FIRST_LOOK = 5.0  # seconds after which the import is looked at again
UNANSWERED_SECONDS = 600.0  # for which the state of the import may be unknown
ATTEMPTS = 4  # to have the import begun, each of which the client tries again by itself
BEGUN_ALREADY = {"ImportConflictException", "ResourceInUseException"}
"""Refusals that an attempt gets when an earlier one, whose answer was lost, has begun the import."""
ENDED = {"COMPLETED", "FAILED", "CANCELLED"}


def check_absent(client: "DynamoDBClient", name: str) -> None:
    """Raises UnfitTableError when the table exists."""
    try:
        describe_table(client, name)
    except AwsError as error:
        if meaning(error.code) == "missing":
            return
        raise
    raise UnfitTableError(f"table {name} exists already: leave --new-table out to write into it")


class NewTableWriter:
    """Has the methods of `BulkWriter` that a job uses. `parameters`: ImportTable's TableCreationParameters.

    `client` tries again by itself. `staging` is a folder on S3, in a bucket of the account `owner` if that is given; the staged
    files are deleted when AWS has read them. `logs` makes a client for CloudWatch Logs. `dry`: everything is checked, nothing
    is staged. It keeps 8 bytes of each item in memory, to find two items with one key.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        storage: Storage,
        parameters: dict[str, Any],
        staging: str,
        logs: Callable[[], Any],
        *,
        owner: str = "",
        dry: bool = False,
    ) -> None:
        self.totals = Totals()
        self._client = client
        self._logs = logs
        self._dry = dry
        self._parameters = parameters
        self._target = planned(parameters)
        self._owner = owner
        self._folder = join(staging, f"{self._target.name}-{uuid.uuid4().hex}")
        self._staged = StagedItems(storage, self._folder)
        self._read = False  # whether AWS may be reading the files
        self._stop = Stop()
        self._keys = KeySet()
        self._items = 0

    def write(self, operation: Operation) -> None:
        """Stages an item. Raises WriterStoppedError for all operations that are not puts."""
        self._stop.check()
        if operation.kind != "put":
            self.stop(f"ImportTable only puts items, and this is a {operation.kind}: give --method batch-write")
            self._stop.check()
        self._items += 1
        self._keys.add(operation.key)
        if not self._dry:
            self._staged.add(operation.body)

    def flush(self) -> None:
        """There is nothing to wait for."""

    def close(self) -> Totals:
        """Has AWS make the table and waits for it. Raises WriterStoppedError, which says what exists when the import failed."""
        try:
            self._stop.check()
            self._check_items()
            if self._dry:
                self.totals.written = self._items
            else:
                self._staged.finish()
                self._import()
        except BaseException:
            self.totals.unprocessed = self._items - self.totals.written
            raise
        finally:
            if not self._read:
                self._staged.delete()
            self._staged.close()
        return self.totals

    def stop(self, reason: str) -> None:
        """Takes nothing more."""
        self._stop.set(WriterStoppedError(reason))

    def _check_items(self) -> None:
        if not self._items:
            self._fail("there is no item to make the table of: it is not made")
        if twice := self._keys.repeated():
            self._fail(
                f"{twice:,} items have a key that another item has, and ImportTable would keep any of them: give --method "
                "batch-write, where the last one wins"
            )

    def _import(self) -> None:
        self._read = True  # from the first request until the import has ended
        try:
            found = self._begun()
        except AwsError:
            self._read = False
            raise
        found = self._waited_for(found["ImportArn"], found)
        self._read = False
        self._judge(found["ImportArn"], found)

    def _begun(self) -> Any:
        """The description of the import. A request without an answer is made again: the token makes it the same import.

        Raises AwsError only if no attempt can have begun the import.
        """
        attempts, pauses = 0, looks(FIRST_LOOK)
        while True:
            try:
                with explained("dynamodb:ImportTable", self._target.name):
                    return self._client.import_table(**self._request())["ImportTableDescription"]
            except AwsError as error:
                attempts += 1
                busy = isinstance(error, AwsUnavailableError)
                if not busy and attempts == 1 and error.code not in BEGUN_ALREADY:
                    raise
                if not busy or attempts == ATTEMPTS or self._stop.event.wait(next(pauses)):
                    self._fail(
                        f"{self._stop.error or error}; AWS may still have begun the import, so its files stay in "
                        f"{self._folder}. If there is a table {self._target.name} in some minutes, wait until it is ACTIVE; "
                        "otherwise delete the files and import again"
                    )

    def _request(self) -> Any:
        bucket, prefix = split_s3(self._folder)
        return {
            "ClientToken": self._folder[-32:],
            "S3BucketSource": {
                "S3Bucket": bucket,
                "S3KeyPrefix": f"{prefix}/",
                **({"S3BucketOwner": self._owner} if self._owner else {}),
            },
            "InputFormat": "DYNAMODB_JSON",
            "InputCompressionType": "GZIP",
            "TableCreationParameters": self._parameters,
        }

    def _waited_for(self, arn: str, found: Any) -> Any:
        """The description of the import when it has ended. Requests without an answer are made again."""
        answered, pauses = time.monotonic(), looks(FIRST_LOOK)
        continues = f"AWS continues the import {arn}, whose files are in {self._folder}: delete them when it has ended"
        while found["ImportStatus"] not in ENDED:
            if self._stop.event.wait(next(pauses)):
                self._fail(f"{self._stop.error}; {continues}")
            try:
                with explained("dynamodb:DescribeImport", arn):
                    found = self._client.describe_import(ImportArn=arn)["ImportTableDescription"]
                answered = time.monotonic()
            except AwsError as error:
                if not isinstance(error, AwsUnavailableError) or time.monotonic() - answered > UNANSWERED_SECONDS:
                    self._fail(f"{error}; {continues}")
        return found

    def _judge(self, arn: str, found: Any) -> None:
        """Most often a FAILED import has made the table, with all items but a few."""
        imported, errors = found.get("ImportedItemCount", 0), found.get("ErrorCount", 0)
        self.totals.written = imported
        if found["ImportStatus"] == "COMPLETED" and imported == self._items and not errors:
            return
        why = ": ".join(filter(None, (found.get("FailureCode"), found.get("FailureMessage")))) or "no reason given"
        there = (
            f"the table exists, with {imported:,} of {self._items:,} items: import into it, without --new-table, to add "
            "the rest, or delete it"
            if imported
            else "no item was imported: if there is a table now, delete it"
        )
        logged = f". Of {errors:,} errors: {logged_errors(self._logs(), arn)}" if errors else ""
        self._fail(f"the import {arn} ended {found['ImportStatus']} ({why}); {there}{logged}")

    def _fail(self, reason: str) -> NoReturn:
        error = WriterStoppedError(reason)
        self._stop = Stop()
        self._stop.set(error)
        raise error


LOG_GROUP = "/aws-dynamodb/imports"
SHOWN = 5


def log_stream(arn: str) -> str:
    """The stream of this import's errors."""
    return f"{arn.rpartition('/')[2]}/error"


def logged_errors(logs: Any, arn: str) -> str:
    """The first errors in words, or where they are and why they cannot be read. `logs` is a client for CloudWatch Logs."""
    stream = log_stream(arn)
    where = f"CloudWatch log group {LOG_GROUP}, stream {stream}"
    try:
        with explained("logs:GetLogEvents", f"stream {stream} of {LOG_GROUP}"):
            found = logs.get_log_events(
                logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True, limit=SHOWN + 1
            )["events"]
    except AwsError as error:
        return f"the log cannot be read ({error}); see {where}"
    if not found:
        return f"nothing is logged; see {where}"
    shown = "; ".join(_said(event["message"]) for event in found[:SHOWN])
    return f"{shown}{'; …' if len(found) > SHOWN else ''} ({where})"


def _said(message: str) -> str:
    try:
        entry = json.loads(message)
        pointer = entry["itemS3Pointer"]
        place = f"item {pointer['itemIndex']} of s3://{pointer['bucket']}/{pointer['key']}"
        return f"{place}: {', '.join(map(str, entry['errorMessages']))}"
    except (ValueError, KeyError, TypeError):
        return message.strip()
