"""A writer into a table that exists: items are staged on S3, and StartBulkPutItems of DynamoDB puts them.

An import that is killed finds its operation again and never begins a second one while the first may run. It reads its files
again, because its report and its reject file are of all rows. Facts: API reference, BulkOperationDescription (failed items are
processed items, too; partial writes of a cancelled or failed operation stay); Developer Guide, "Bulk put items" (the order of
items is not kept, so of two items with one key either may win).
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

from ddb_assets.aws.errors import AwsError, AwsUnavailableError, meaning
from ddb_assets.aws.owned_folder import refuse_others
from ddb_assets.aws.pauses import looks
from ddb_assets.aws.storage import Storage, join
from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.rows import SourceError
from ddb_assets.bulk.writing.operation import Operation
from ddb_assets.bulk.writing.outcome import Stop, Totals, WriterStoppedError
from ddb_assets.dynamodb.item import Key
from ddb_assets.imports.bulk_put.calls import ENDED, BulkPutCalls, Description
from ddb_assets.imports.bulk_put.failed_items import FailedItems
from ddb_assets.imports.bulk_put.state import BulkPutState, start_request
from ddb_assets.imports.opening.file_bytes import opened
from ddb_assets.imports.read_back import KeySet
from ddb_assets.imports.tables.staged_items import StagedItems, delete_staged

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FIRST_LOOK = 5.0  # seconds after which the operation is looked at again
ATTEMPTS = 4  # to have it begun, each of which the client tries again by itself
TOKEN_LIFETIME = timedelta(hours=8) - timedelta(minutes=30)  # as long as AWS certainly knows a token


@dataclass(frozen=True)
class BulkPut:
    """Where items are staged, in whose account (empty: the caller's), and a client that tries again by itself."""

    client: "DynamoDBClient"
    staging: str
    owner: str = ""


def _ignore(*_: object) -> None:
    """For a caller that needs no callback."""


class BulkPutWriter:
    """Has the methods of `BulkWriter` that a job uses.

    `state` is what an earlier run has saved; it is None again when the next run must start over. `save` saves it, durably.
    `arn` is that of the operation, and `put_bytes` what AWS counts as bytes that it has put, once it has begun.

    `units` is the most that AWS may write in a second. The operation's state may be unknown for `unanswered` seconds. `on_look`
    is called whenever it is known again. `dry`: everything is checked, nothing is staged. It keeps 8 bytes of each item in
    memory, to find two items with one key.
    """

    def __init__(
        self,
        place: BulkPut,
        storage: Storage,
        target: TableDescription,
        state: BulkPutState | None = None,
        save: Callable[[], object] = _ignore,
        *,
        units: int | None = None,
        unanswered: float = 600.0,
        on_look: Callable[[], object] = _ignore,
        on_operation: Callable[[str], object] = _ignore,
        dry: bool = False,
    ) -> None:
        self.totals = Totals()
        self.failed: dict[Key, str] = {}
        self.arn: str | None = None
        self.put_bytes = 0
        self.state = state
        self._calls = BulkPutCalls(place.client)
        self._place, self._storage, self._target = place, storage, target
        self._save, self._units, self._unanswered, self._dry = save, units, unanswered, dry
        self._on_look, self._on_operation = on_look, on_operation
        self._stop = Stop()
        self._keys = KeySet()
        self._items = 0
        self._staged: StagedItems | None = None

    def begin(self) -> None:
        """Makes the place for the items, unless they are staged already. Raises StorageError."""
        if self._dry or (self.state and self.state.request):
            return
        if self.state:
            delete_staged(self._storage, self.state.input)  # of a run that was killed while it staged them
        token = uuid.uuid4().hex
        folder = join(self._place.staging, f"{self._target.name}-{token}")
        self.state = BulkPutState(folder=folder, token=token)
        self._save()
        self._staged = StagedItems(self._storage, self.state.input)

    def write(self, operation: Operation) -> None:
        """Stages an item. Raises WriterStoppedError for all operations that are not puts."""
        self._stop.check()
        if operation.kind != "put":
            self.stop(f"a bulk put only puts items, and this is a {operation.kind}: leave --method bulk-put out")
            self._stop.check()
        self._items += 1
        self._keys.add(operation.key)
        if self._staged is not None:
            self._staged.add(operation.body)

    def flush(self) -> None:
        """There is nothing to wait for."""

    def close(self) -> Totals:
        """Has AWS put the items and waits for it; then `failed` has those that AWS could not put.

        Raises WriterStoppedError, which says what is in the table and what goes on, and AwsError if nothing was begun.
        """
        try:
            self._stop.check()
            if twice := self._keys.repeated():
                self._fail(
                    f"{twice:,} items have a key that another item has, and a bulk put would keep any of them: leave --method "
                    "bulk-put out, then the last one wins"
                )
            if self._dry or not self._items:
                self.totals.written = self._items
            else:
                self._put()
        except BaseException:
            self.totals.unprocessed = self._items - self.totals.written
            raise
        finally:
            self._clean_up()
        return self.totals

    def stop(self, reason: str) -> None:
        """Takes nothing more, and waits no longer. AWS continues an operation that has begun."""
        self._stop.set(WriterStoppedError(reason))

    def discard(self) -> None:
        """Deletes the staged items, when the job is done and needs them no more. What AWS wrote stays."""
        if self.state:
            delete_staged(self._storage, self.state.input)

    def _clean_up(self) -> None:
        """What was staged for an operation that AWS was never asked for is deleted."""
        if self._staged is None:
            return
        staged, self._staged = self._staged, None
        staged.close()
        if self.state is None or self.state.request is None:
            staged.delete()

    def _put(self) -> None:
        state = self.state
        assert state is not None  # noqa: S101 -- `begin` has made it
        if self._staged is not None:
            self._staged.finish()
            present = [entry.uri for entry in self._storage.list(state.input)]
            refuse_others(state.input, present, set(self._staged.uris).__contains__)
            if missing := set(self._staged.uris).difference(present):
                self._fail(
                    f"{min(missing)} was staged and is not there: does something delete files in {self._place.staging}?"
                )
            state.items = self._items
            state.request = start_request(state, self._target.address, self._place.owner, self._units)
        elif state.items != self._items:
            self._fail(
                f"{state.items:,} items were staged for the {state.called}, and the same files have {self._items:,} now; "
                "when it has ended, start over with --restart"
            )
        found = self._waited_for(state, self._begun(state))
        self._judge(state, found)

    def _begun(self, state: BulkPutState) -> Description:
        """The operation. A request without an answer is made again: the token makes it the same operation."""
        if state.arn:
            self.arn = state.arn
            self._on_operation(state.arn)
            return self._described(state, state.arn)
        found = None
        if state.asked and datetime.now(UTC) - state.asked > TOKEN_LIFETIME:
            found = self._calls.find(state.token, state.asked)
        found = found or self._started(state)
        state.arn = self.arn = str(found["BulkOperationArn"])
        self._save()
        self._on_operation(state.arn)
        return found

    def _started(self, state: BulkPutState) -> Description:
        asked_before, state.asked = state.asked, state.asked or datetime.now(UTC)
        self._save()
        attempts, pauses = 0, looks(FIRST_LOOK)
        while True:
            try:
                return self._calls.start(state.request or {})
            except AwsError as error:
                attempts += 1
                busy = isinstance(error, AwsUnavailableError)
                if not busy:
                    return self._in_spite_of(error, state, uncertain=attempts > 1 or asked_before is not None)
                if attempts == ATTEMPTS or self._stop.event.wait(next(pauses)):
                    self._fail(f"{self._stop.error or error}; AWS may have begun the {state.called}")

    def _in_spite_of(self, error: AwsError, state: BulkPutState, *, uncertain: bool) -> Description:
        """The operation that an earlier request has begun although this one is refused. Raises the error if there is none."""
        if uncertain and (found := self._calls.find(state.token, state.asked or datetime.now(UTC))):
            return found
        self._forget(state)
        raise error

    def _waited_for(self, state: BulkPutState, found: Description) -> Description:
        """The operation when it has ended."""
        pauses = looks(FIRST_LOOK)
        while True:
            self._count(found)
            if found["BulkOperationStatus"] in ENDED:
                return found
            if self._stop.event.wait(next(pauses)):
                self._fail(f"{self._stop.error}; {self._continues(state)}")
            found = self._described(state, str(state.arn))

    def _described(self, state: BulkPutState, arn: str) -> Description:
        """Its present state. Requests without an answer are made again."""
        began, pauses = time.monotonic(), looks(FIRST_LOOK)
        while True:
            try:
                return self._calls.describe(arn)
            except AwsError as error:
                missing = meaning(error.code) == "missing"  # it may be unknown for a moment
                if (
                    not (missing or isinstance(error, AwsUnavailableError))
                    or time.monotonic() - began > self._unanswered
                ):
                    more = "; if AWS no longer knows it, start over with --restart" if missing else ""
                    self._fail(f"{error}; {self._continues(state)}{more}")
                if self._stop.event.wait(next(pauses)):
                    self._fail(f"{self._stop.error}; {self._continues(state)}")

    def _count(self, found: Description) -> None:
        self.totals.written = int(found.get("ProcessedItemCount", 0)) - int(found.get("FailedItemCount", 0))
        self.put_bytes = sum(int(used.get("BulkPutBytes", 0)) for used in found.get("BulkOperationUsage") or ())
        self._on_look()

    def _continues(self, state: BulkPutState) -> str:
        return (
            f"AWS continues the {state.called}, which has put {self.totals.written:,} of {self._items:,} items (to cancel it: "
            f"{self._calls.cancel_command(str(state.arn))})"
        )

    def _judge(self, state: BulkPutState, found: Description) -> None:
        """Counts must agree, and every failed item must be known by its key."""
        processed, failed = int(found.get("ProcessedItemCount", 0)), int(found.get("FailedItemCount", 0))
        status = found["BulkOperationStatus"]
        if status not in {"COMPLETED", "COMPLETED_WITH_ERRORS"} or processed != self._items:
            self._forget(state)
            why = ": ".join(filter(None, (found.get("FailureCode"), found.get("FailureMessage")))) or "no reason given"
            self._fail(
                f"the {state.called} ended {status} ({why}): of {self._items:,} items {self.totals.written:,} were put and "
                f"stay, {failed:,} failed and {self._items - processed:,} were not processed. What AWS says of them is in "
                f"{state.output}"
            )
        self.failed = self._failed(state, failed) if failed else {}

    def _failed(self, state: BulkPutState, count: int) -> dict[Key, str]:
        found = FailedItems()
        for entry in self._storage.list(state.output):
            try:
                with opened(self._storage, entry.uri) as lines:
                    found.see(lines, self._target.key)
            except SourceError:  # no text
                found.unread += 1
        if len(found.reasons) != count:
            self._fail(
                f"{count:,} items failed, and {len(found.reasons):,} of them are known by their keys, because {found.unread:,} "
                f"records in {state.output} cannot be read. All other items are in the table: see there which are not"
            )
        return found.reasons

    def _forget(self, state: BulkPutState) -> None:
        """The next run must start over: nothing runs, and nothing reads the staged items."""
        delete_staged(self._storage, state.input)
        self.state = None
        self._save()

    def _fail(self, reason: str) -> NoReturn:
        error = WriterStoppedError(reason)
        self._stop = Stop()
        self._stop.set(error)
        raise error
