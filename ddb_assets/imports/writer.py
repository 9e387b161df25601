"""The one writer into DynamoDB: bounded, rate-limited, never silent about what it did not write.

What is sent and how an answer is read is `transport.py`'s, retries are `delivery.py`'s; where items come from, and where
those go that could not be written, is the job's (`files/job.py`, `copy/job.py`).

Every operation that `put` or `delete` accepted ends as exactly one of: written, deleted, existed (a conditional put found
an item), superseded (a later operation on its key took its place before it was sent), rejected (DynamoDB refuses it) or
unprocessed (not written when the writer stopped). The last two are handed to `on_unwritten`, whole; every one but
unprocessed is `settled`, so that what was settled need not be done again after a crash, and what was not must be.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ddb_assets.dynamodb.item import Key
from ddb_assets.imports.delivery import Delivery
from ddb_assets.imports.operation import Operation
from ddb_assets.imports.operation import delete as delete_operation
from ddb_assets.imports.operation import put as put_operation
from ddb_assets.imports.outcome import Outcome, Stop, Totals, Unwritten, WriterStoppedError
from ddb_assets.imports.rate import WriteRate
from ddb_assets.imports.target import Target
from ddb_assets.imports.transport import Transport

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BATCH_OPERATIONS = 25
BATCH_BYTES = 15_000_000  # DynamoDB takes 16 MB; the rest is for what stands around the items
IN_FLIGHT = 8
DEADLINE_SECONDS = 300.0


def _ignore(_: object) -> None:
    """For a caller whom it does not concern."""


class BulkWriter:
    """Writes operations in batches, several at a time, in the order of the calls for each key.

    `client` is made with `transport.WRITER_CLIENT`. `put` and `delete` are called from one thread and block while
    `in_flight` batches are under way. `deadline` is for how many seconds a batch is retried before its operations are
    unprocessed and the writer stops. `on_unwritten` and `on_settled` are called in the writer's threads, one call at a
    time, an operation's `on_unwritten` before its `on_settled`; `on_settled` gets the tokens of `put` and `delete`.

    As a context manager it is closed at the end; after an exception it stops, finishing what is in flight.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        target: Target,
        *,
        rate: WriteRate | None = None,
        in_flight: int = IN_FLIGHT,
        deadline: float = DEADLINE_SECONDS,
        on_unwritten: Callable[[Unwritten], object] = _ignore,
        on_settled: Callable[[Sequence[object]], object] = _ignore,
    ) -> None:
        self._target = target
        self._in_flight = in_flight
        self._outcome = Outcome(on_unwritten, on_settled)
        self._stop = Stop()
        self._delivery = Delivery(
            target, Transport(client, target), rate or WriteRate(target), deadline, self._outcome, self._stop
        )
        self._pool = ThreadPoolExecutor(in_flight, thread_name_prefix="writer")
        self._changed = threading.Condition()  # guards the four below; reentrant, so `stop` may be a signal handler's
        self._buffer: dict[Key, Operation] = {}
        self._under_way: set[Key] = set()
        self._batches = 0
        self._abandoned: list[Operation] = []

    def put(self, item: Mapping[str, Any], token: object = None, *, if_absent: bool = False) -> None:
        """Accepts an item in DynamoDB JSON (binary as base64 text); `if_absent`: leave an item that is there as it is.

        Raises RejectedItemError, before anything is sent, for what DynamoDB would refuse: that item is not accepted.
        Raises WriterStoppedError when the writer has stopped; the item may then have been accepted, and be unprocessed.
        """
        self.write(put_operation(self._target, item, token, if_absent=if_absent))

    def delete(self, key: Mapping[str, Any], token: object = None) -> None:
        """Accepts the deletion of an item, given its key or the whole of it. Raises as `put` does."""
        self.write(delete_operation(self._target, key, token))

    def write(self, operation: Operation) -> None:
        """Accepts an operation made by `operation.py` for this table. Raises WriterStoppedError as `put` does."""
        superseded: Operation | None = None
        with self._changed:
            self._stop.check()
            before = self._buffer.get(operation.key)
            if before and "put_if_absent" in (before.kind, operation.kind):  # the first of these wins, so both are sent
                while operation.key in self._buffer:
                    self._dispatch_or_wait()
            else:
                superseded = self._buffer.pop(operation.key, None)
            self._buffer[operation.key] = operation
            while len(self._buffer) >= BATCH_OPERATIONS:
                self._dispatch_or_wait()
        self._tell_abandoned()
        if superseded:
            self._outcome.count(superseded=1)
            self._outcome.settled([superseded])

    def flush(self) -> None:
        """Waits until everything accepted is settled or unprocessed. Raises WriterStoppedError when it has stopped."""
        self._drain()
        self._stop.check()

    def close(self) -> Totals:
        """`flush`, then the end. Raises WriterStoppedError when not everything could be written; see `totals`."""
        try:
            self._drain()
        finally:
            self._pool.shutdown()
        self._stop.check()
        return self.totals

    def stop(self, reason: str) -> None:
        """Takes nothing more; what is in flight gets some seconds, the rest is unprocessed. `close` then raises."""
        self._stop_for(WriterStoppedError(reason))

    @property
    def totals(self) -> Totals:
        """A copy of what has been done up to now."""
        return self._outcome.totals

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        self.stop(f"the job ended with {type(error).__name__}")
        try:
            self._drain()
        finally:
            self._pool.shutdown()

    def _drain(self) -> None:
        with self._changed:
            while self._buffer:
                self._dispatch_or_wait()
            while self._batches:
                self._changed.wait()
        self._tell_abandoned()
        self._stop.check_defect()

    def _tell_abandoned(self) -> None:
        """Not while the lock is held: what the job does when it hears of it may need the lock in another thread."""
        with self._changed:
            left, self._abandoned = self._abandoned, []
        if left:
            self._outcome.unprocessed(left, str(self._stop.error))

    def _dispatch_or_wait(self) -> None:
        """Sends a batch on its way, or waits for something to change. The lock is held."""
        if self._stop.event.is_set():
            self._abandoned += self._buffer.values()
            self._buffer.clear()
            return
        batch = self._next_batch() if self._batches < self._in_flight else []
        if not batch:
            self._changed.wait()
            return
        self._under_way.update(operation.key for operation in batch)
        self._batches += 1
        self._pool.submit(self._deliver, batch)

    def _next_batch(self) -> list[Operation]:
        """Takes the oldest operations whose keys are not under way; a conditional put is a batch of its own."""
        batch: list[Operation] = []
        size = 0
        for operation in self._buffer.values():
            if operation.key in self._under_way:
                continue
            size += len(operation.body)
            if batch and (size > BATCH_BYTES or operation.kind == "put_if_absent"):
                break
            batch.append(operation)
            if len(batch) == BATCH_OPERATIONS or operation.kind == "put_if_absent":
                break
        for operation in batch:
            del self._buffer[operation.key]
        return batch

    def _deliver(self, batch: list[Operation]) -> None:
        """In a thread of the pool."""
        try:
            self._delivery.deliver(batch)
        except BaseException as error:
            self._stop_for(error)  # raised again in the caller's thread
        finally:
            with self._changed:
                self._under_way.difference_update(operation.key for operation in batch)
                self._batches -= 1
                self._changed.notify_all()

    def _stop_for(self, error: BaseException) -> None:
        with self._changed:
            self._stop.set(error)
            self._changed.notify_all()
