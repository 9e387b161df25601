"""What became of the operations that a writer accepted: counted, and reported to the job.

`writer.py` defines the words. Thread-safe: batches end in several threads.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ddb_assets.bulk.writing.operation import Operation
from ddb_assets.errors import DdbAssetsError

Fate = Literal["rejected", "unprocessed"]


class WriterStoppedError(DdbAssetsError):
    """The writer gave up or was stopped. What it had accepted and not written is unprocessed."""


@dataclass(frozen=True, slots=True)
class Unwritten:
    """An operation that is not in the table, and why. A rejected one will never be; an unprocessed one may be, later."""

    operation: Operation
    fate: Fate
    reason: str


@dataclass
class Totals:
    """How many operations ended how, and what it cost. `consumed` is WCUs of the table and its indexes together."""

    written: int = 0
    deleted: int = 0
    existed: int = 0
    superseded: int = 0
    rejected: int = 0
    unprocessed: int = 0
    requests: int = 0
    retried: int = 0
    consumed: float = 0.0
    throttles: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Totals") -> None:
        """Adds what another part of the job did."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class Outcome:
    """Counts, and calls the job's callbacks one at a time."""

    def __init__(
        self,
        on_unwritten: Callable[[Unwritten], object],
        on_settled: Callable[[Sequence[object]], object],
        on_existed: Callable[[Operation], object],
    ) -> None:
        self._on_unwritten = on_unwritten
        self._on_settled = on_settled
        self._on_existed = on_existed
        self._counting = threading.Lock()
        self._reporting = threading.Lock()
        self._totals = Totals()

    @property
    def totals(self) -> Totals:
        """A copy of what has been done up to now."""
        with self._counting:
            return replace(self._totals, throttles=Counter(self._totals.throttles))

    def count(self, **more: Any) -> None:
        """Adds to the fields of `Totals`."""
        with self._counting:
            self._totals.add(Totals(**more))

    def existed(self, operation: Operation) -> None:
        """The table's item is not as the condition of this operation says."""
        with self._reporting:
            self._on_existed(operation)
        self.count(existed=1)

    def settled(self, operations: Sequence[Operation]) -> None:
        """These operations need not be done again."""
        with self._reporting:
            self._on_settled([operation.token for operation in operations])

    def rejected(self, operation: Operation, reason: str) -> None:
        """DynamoDB will never take this operation."""
        with self._reporting:
            self._on_unwritten(Unwritten(operation, "rejected", reason))
        self.count(rejected=1)
        self.settled([operation])

    def unprocessed(self, operations: Iterable[Operation], reason: str) -> None:
        """These operations were not written, and are not settled."""
        left = list(operations)
        self.count(unprocessed=len(left))
        with self._reporting:
            for operation in left:
                self._on_unwritten(Unwritten(operation, "unprocessed", reason))


class Stop:
    """Whether, since when (by `time.monotonic`) and why a writer takes nothing more. The first reason stays."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.error: BaseException | None = None
        self.at = 0.0

    def set(self, error: BaseException) -> None:
        """Stops, unless it has stopped before."""
        if not self.event.is_set():
            self.error, self.at = error, time.monotonic()
            self.event.set()

    def check(self) -> None:
        """Raises the reason when stopped."""
        if self.error is not None:
            raise self.error

    def check_defect(self) -> None:
        """Raises the reason when it is a defect, ours or a callback's, and not a `WriterStoppedError`."""
        if not isinstance(self.error, WriterStoppedError):
            self.check()
