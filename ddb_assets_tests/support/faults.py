"""The faults that a request can meet on its way to DynamoDB and back, and seeded random schedules of them.

`fault_proxy.py` does them to requests.
"""

import random
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """The faults. Those about a part of a request need a request with several parts."""

    UNPROCESSED_SOME = "unprocessed_some"  # 200, and some of the operations or keys come back unprocessed
    UNPROCESSED_ALL = "unprocessed_all"  # 200, and all of them come back
    THROTTLED = "throttled"  # ProvisionedThroughputExceededException with ThrottlingReasons
    THROTTLING = "throttling"  # ThrottlingException with throttlingReasons
    REQUEST_LIMIT = "request_limit"  # RequestLimitExceeded
    ERROR_BEFORE = "error_before"  # 500, nothing was done
    ERROR_AFTER = "error_after"  # 500 after it was done
    RESET_BEFORE = "reset_before"  # the connection is reset before anything was done
    RESET_AFTER = "reset_after"  # and after it was done
    CUT_OFF = "cut_off"  # done, but the answer ends in the middle
    SLOW = "slow"  # done, and answered late


WHOLE = tuple(fault for fault in Fault if not fault.startswith("unprocessed"))
POSSIBLE = {
    "BatchWriteItem": tuple(Fault),
    "BatchGetItem": tuple(Fault),
    "PutItem": WHOLE,
    "DeleteItem": WHOLE,
    "Scan": WHOLE,
}
"""Operations that can meet faults. All others pass, so that a schedule's faults are used where they are of interest."""


@dataclass
class Schedule:
    """Which requests meet which faults. `rate` is a request's chance of a fault, `budget` the number of faults in all.

    Without a budget there is no end of faults. The first `spared` requests meet none. `page_limit` caps the items of a page of
    a Scan, so that little data has many pages and, with a filter, empty ones.
    """

    seed: int = 0
    rate: float = 0.0
    budget: int | None = None
    spared: int = 0
    faults: frozenset[Fault] = frozenset(Fault)
    operations: frozenset[str] = frozenset(POSSIBLE)
    page_limit: int | None = None
    delay: float = 0.02  # seconds that a slow answer takes
    _random: random.Random = field(init=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def draw(self, operation: str) -> Fault | None:
        """The fault of the next request of this operation, if any."""
        possible = [fault for fault in POSSIBLE.get(operation, ()) if fault in self.faults]
        if not possible or operation not in self.operations:
            return None
        with self._lock:
            if self.spared:
                self.spared -= 1
                return None
            if self.budget == 0 or self._random.random() >= self.rate:
                return None
            if self.budget is not None:
                self.budget -= 1
            return self._random.choice(possible)

    def some(self, members: list[Any]) -> list[Any]:
        """At least one of them and, if there are more, not all."""
        with self._lock:
            return self._random.sample(members, self._random.randint(1, max(1, len(members) - 1)))


@dataclass
class BusyAtFirst(Schedule):
    """The first request of every operation, whatever it is, is throttled, and no other. `seen` are the operations."""

    seen: set[str] = field(default_factory=set)

    def draw(self, operation: str) -> Fault | None:
        """What happens to the next request of this operation."""
        with self._lock:
            first = operation not in self.seen
            self.seen.add(operation)
        return Fault.THROTTLING if first else None
