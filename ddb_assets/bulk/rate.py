"""The rate of writing: token buckets in write capacity units, for the whole job and for each resource of the table.

Pure except for the clock. Units are in the order of `Operation.units`: the table, then the indexes of `TableDescription`.
A local index spends the table's capacity, a global one its own.
Facts: DynamoDB Developer Guide, "Provisioned capacity mode" and "Best practices for global secondary indexes" (an index
that is throttled throttles the table's writes); API reference, ConsumedCapacity.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.limits import PROVISIONED_SHARE

BURST_SECONDS = 1.0
ROUNDING = 1e-6  # units; the wait for less could be too short to be measured
NEW_TABLE_WCU = 4000
"""What a new on-demand table serves at once: Developer Guide, "On-demand capacity mode"."""


class Bucket:
    """Fills with `rate` units a second, up to one second's worth. While it is overdrawn, nothing passes."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self.rate = rate
        self._clock = clock
        self._level = rate * BURST_SECONDS
        self._at = clock()

    def wait_for(self) -> float:
        """Seconds until it is no longer overdrawn."""
        now = self._clock()
        self._level = min(self.rate * BURST_SECONDS, self._level + (now - self._at) * self.rate)
        self._at = now
        return -self._level / self.rate if self._level < -ROUNDING else 0.0

    def take(self, units: float) -> None:
        """Takes units out, or puts them back when negative."""
        self._level -= units


class WriteRate:
    """The buckets of one job. Thread-safe.

    `max_wcu` bounds table and indexes together. `share` (0 to 1) bounds each of them by its own capacity, if it has one.
    Without both, a provisioned table is bounded by `PROVISIONED_SHARE` and an on-demand table is not bounded.
    """

    def __init__(
        self,
        target: TableDescription,
        *,
        max_wcu: float | None = None,
        share: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._buckets: list[tuple[Bucket, tuple[int, ...]]] = []
        everything = tuple(range(1 + len(target.indexes)))
        if max_wcu is not None:
            self._buckets.append((Bucket(max_wcu, clock), everything))
        if share is None and max_wcu is None and not target.on_demand:
            share = PROVISIONED_SHARE
        if share is not None:
            local = tuple(1 + i for i, index in enumerate(target.indexes) if index.local)
            owners = [(target.wcu, (0, *local))]
            owners += [(index.wcu, (1 + i,)) for i, index in enumerate(target.indexes) if not index.local]
            self._buckets += [(Bucket(wcu * share, clock), members) for wcu, members in owners if wcu]

    @property
    def units_per_second(self) -> float | None:
        """The tightest bound, in units; None without a bound."""
        return min((bucket.rate for bucket, _ in self._buckets), default=None)

    def seconds_for(self, units: Sequence[float]) -> float:
        """The least seconds that writing these units takes. Without a bound: at the rate that a new table serves."""
        if not self._buckets:
            return max(units) / NEW_TABLE_WCU
        return max(sum(units[i] for i in members) / bucket.rate for bucket, members in self._buckets)

    def acquire(self, units: Sequence[float], stopped: threading.Event) -> None:
        """Waits until nothing is overdrawn, then takes the units; returns at once when `stopped` is set."""
        while not stopped.is_set():
            with self._lock:
                wait = max((bucket.wait_for() for bucket, _ in self._buckets), default=0.0)
                if not wait:
                    self._take(units)
                    return
            stopped.wait(wait)

    def correct(self, expected: Sequence[float], consumed: Sequence[float]) -> None:
        """After the answer: what was consumed instead of what was taken."""
        with self._lock:
            self._take([spent - taken for spent, taken in zip(consumed, expected, strict=True)])

    def _take(self, units: Sequence[float]) -> None:
        for bucket, members in self._buckets:
            bucket.take(sum(units[i] for i in members))


def consumed_units(target: TableDescription, capacity: Mapping[str, Any]) -> list[float]:
    """The units of a ConsumedCapacity (with INDEXES), in the order of `Operation.units`."""
    by_index = {
        name: float(found.get("CapacityUnits", 0))
        for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
        for name, found in capacity.get(kind, {}).items()
    }
    indexes = [by_index.get(index.name, 0.0) for index in target.indexes]
    table = capacity.get("Table", {}).get("CapacityUnits", capacity.get("CapacityUnits", 0.0) - sum(indexes))
    return [float(table), *indexes]
