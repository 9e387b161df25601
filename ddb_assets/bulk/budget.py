"""One rate of reading and one of writing for several jobs that run at once.

Each job still counts for itself what it consumes.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.rate import Bucket, WriteRate
from ddb_assets.bulk.scan import ReadRate


class SharedBucket(Bucket):
    """A bucket of several jobs. Thread-safe. Each of them may overdraw it by one request, and then all wait."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(rate, clock)
        self._guard = threading.Lock()

    def wait_for(self) -> float:
        """Seconds until it is no longer overdrawn."""
        with self._guard:
            return super().wait_for()

    def take(self, units: float) -> None:
        """Takes units out, or puts them back when negative."""
        with self._guard:
            super().take(units)


class _SharedReadRate(ReadRate):
    def __init__(self, table: TableDescription, bucket: SharedBucket) -> None:
        super().__init__(table, bucket.rate)
        self._bucket = bucket


class _SharedWriteRate(WriteRate):
    def __init__(self, target: TableDescription, bucket: SharedBucket) -> None:
        super().__init__(target, max_wcu=bucket.rate)
        self._buckets = [(bucket, tuple(range(1 + len(target.indexes))))]


@dataclass(frozen=True)
class Budget:
    """What several jobs may consume together in a second. None: each table has the rate that it would have alone."""

    reading: SharedBucket | None = None
    writing: SharedBucket | None = None

    @classmethod
    def of(cls, max_rcu: float | None, max_wcu: float | None) -> "Budget":
        """In capacity units per second, indexes included."""
        return cls(SharedBucket(max_rcu) if max_rcu else None, SharedBucket(max_wcu) if max_wcu else None)

    def read_rate(self, table: TableDescription, max_rcu: float | None) -> ReadRate:
        """How fast one of the jobs reads this table. `max_rcu` is for a job alone."""
        return _SharedReadRate(table, self.reading) if self.reading else ReadRate(table, max_rcu)

    def write_rate(self, target: TableDescription, max_wcu: float | None) -> WriteRate:
        """How fast one of the jobs writes this table. `max_wcu` is for a job alone."""
        return _SharedWriteRate(target, self.writing) if self.writing else WriteRate(target, max_wcu=max_wcu)


ALONE = Budget()
"""For a job that shares nothing."""
