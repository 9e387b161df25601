"""The one writer into DynamoDB: bounded, rate-limited, never silent about what it did not write.

`transport.py` sends batches and reads answers, `delivery.py` retries, `waiting.py` keeps the order. The job decides where
items come from, and where those go that could not be written.

Every operation that `write` accepted ends as exactly one of: written, deleted, existed (its condition does not hold
for the item that is there), superseded (a later operation on its key took its place before it was sent), rejected (DynamoDB
refuses it) or unprocessed (not written when the writer stopped). The last two are handed to `on_unwritten`, whole. All but
unprocessed operations are settled: after a crash they need not be done again, and all others must be.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.limits import DEADLINE_SECONDS, IN_FLIGHT
from ddb_assets.bulk.rate import WriteRate
from ddb_assets.bulk.writing.delivery import Delivery
from ddb_assets.bulk.writing.operation import Operation
from ddb_assets.bulk.writing.outcome import Outcome, Stop, Totals, Unwritten, WriterStoppedError
from ddb_assets.bulk.writing.transport import Transport
from ddb_assets.bulk.writing.waiting import Waiting

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BATCHES_PER_PLACE = 4
"""A batch that rests leaves its place to another one. This is the largest number of batches for each place."""


def _ignore(_: object) -> None:
    """For a caller that needs no callback."""


class BulkWriter:
    """Writes operations in batches, several at a time, in the order of the calls for each key.

    `client` is made with `raw_call.BULK_CLIENT`. `write` is called from one thread and blocks while `in_flight` batches are
    under way. `deadline`: for how many seconds a batch is retried while none of it is written; then its operations are
    unprocessed and the writer stops. `on_unwritten` and `on_settled` are called in the writer's threads, one call at a time,
    an operation's `on_unwritten` or `on_existed` before its `on_settled`. `on_settled` gets the tokens of the operations.
    `before` is called in these threads, several calls at a time, with the operations of each batch before any is sent, and
    while none of the others on their keys is under way. If it raises a DdbAssetsError, the batch is unprocessed and the writer
    stops.

    As a context manager it is closed at the end; after an exception it stops, finishing what is in flight.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        target: TableDescription,
        *,
        rate: WriteRate | None = None,
        in_flight: int = IN_FLIGHT,
        deadline: float = DEADLINE_SECONDS,
        on_unwritten: Callable[[Unwritten], object] = _ignore,
        on_settled: Callable[[Sequence[object]], object] = _ignore,
        on_existed: Callable[[Operation], object] = _ignore,
        before: Callable[[Sequence[Operation]], object] = _ignore,
    ) -> None:
        self._in_flight = in_flight
        self._outcome = Outcome(on_unwritten, on_settled, on_existed)
        self._stop = Stop()
        self._delivery = Delivery(
            target,
            Transport(client, target),
            rate or WriteRate(target),
            deadline,
            self._outcome,
            self._stop,
            self._resting,
            before,
        )
        self._pool = ThreadPoolExecutor(BATCHES_PER_PLACE * in_flight, thread_name_prefix="writer")
        self._changed = (
            threading.Condition()
        )  # guards what is below; reentrant, so that a signal handler may call `stop`
        self._waiting = Waiting()
        self._batches = self._at_rest = self._returning = 0  # of the batches, those that rest, or wait for their place
        self._abandoned: list[Operation] = []

    def write(self, operation: Operation) -> None:
        """Accepts an operation made by `operation.py` for this table.

        Raises WriterStoppedError when the writer has stopped; this operation is not accepted then.
        """
        with self._changed:
            self._stop.check()
            superseded = self._waiting.add(operation)
            while self._waiting.full:
                self._dispatch_or_wait()
        self._report_abandoned()
        if superseded:
            self._outcome.count(superseded=1)
            self._outcome.settled([superseded])

    def flush(self) -> None:
        """Waits until everything accepted is settled or unprocessed. Raises WriterStoppedError when it has stopped."""
        self._drain()
        self._stop.check()

    def close(self) -> Totals:
        """Flushes, and ends the writer. Raises WriterStoppedError when not everything could be written; see `totals`."""
        try:
            self._drain()
        finally:
            self._pool.shutdown()
        self._stop.check()
        return self.totals

    def stop(self, reason: str) -> None:
        """Takes nothing more. What is in flight gets some seconds, the rest is unprocessed. `close` then raises."""
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
            while self._waiting:
                self._dispatch_or_wait()
            while self._batches:
                self._changed.wait()
        self._report_abandoned()
        self._stop.check_defect()

    def _report_abandoned(self) -> None:
        """Not while the lock is held: the job's callback may wait for a thread that needs the lock."""
        with self._changed:
            left, self._abandoned = self._abandoned, []
        if left:
            self._outcome.unprocessed(left, str(self._stop.error))

    def _dispatch_or_wait(self) -> None:
        """Sends a batch on its way, or waits for something to change. The lock is held."""
        if self._stop.event.is_set():
            self._abandoned += self._waiting.clear()
            return
        free = self._place_free and not self._returning and self._batches < BATCHES_PER_PLACE * self._in_flight
        batch = self._waiting.next_batch() if free else []
        if not batch:
            self._changed.wait()
            return
        self._batches += 1
        self._pool.submit(self._deliver, batch)

    def _deliver(self, batch: list[Operation]) -> None:
        """In a thread of the pool."""
        try:
            self._delivery.deliver(batch)
        except BaseException as error:
            self._stop_for(error)  # raised again in the caller's thread
        finally:
            with self._changed:
                self._waiting.ended(batch)
                self._batches -= 1
                self._changed.notify_all()

    @property
    def _place_free(self) -> bool:
        return self._batches - self._at_rest - self._returning < self._in_flight

    @contextmanager
    def _resting(self) -> Iterator[None]:
        """In a thread of the pool: its batch is not in flight until the block ends and a place is free."""
        with self._changed:
            self._at_rest += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._at_rest -= 1
                self._returning += 1
                while not self._place_free and not self._stop.event.is_set():
                    self._changed.wait()
                self._returning -= 1
                self._changed.notify_all()

    def _stop_for(self, error: BaseException) -> None:
        with self._changed:
            self._stop.set(error)
            self._changed.notify_all()


class DryWriter:
    """Has the methods of `BulkWriter` that a job uses. Its `consumed` is what the operations are expected to cost."""

    def __init__(self) -> None:
        self.totals = Totals()
        self.units: list[int] = []
        self._stop = Stop()

    def write(self, operation: Operation) -> None:
        """Counts it."""
        self._stop.check()
        if operation.kind == "delete":
            self.totals.deleted += 1
        else:
            self.totals.written += 1
        self.totals.consumed += sum(operation.units)
        if len(self.units) < len(operation.units):
            self.units = [0] * len(operation.units)
        for place, units in enumerate(operation.units):
            self.units[place] += units

    def seconds_at(self, rate: WriteRate) -> float:
        """How long writing what was counted would take at least."""
        return rate.seconds_for(self.units) if self.units else 0.0

    def flush(self) -> None:
        """Raises WriterStoppedError when it was stopped."""
        self._stop.check()

    def close(self) -> Totals:
        """As `flush`."""
        self._stop.check()
        return self.totals

    def stop(self, reason: str) -> None:
        """Takes nothing more."""
        self._stop.set(WriterStoppedError(reason))
