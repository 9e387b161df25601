"""Reads a table in DynamoDB JSON: pages of a parallel scan, items by their keys, and no faster than was said.

What is done with the items is the job's. Facts: API reference, Scan (a page ends at 1 MB before any filter, and only a
missing LastEvaluatedKey ends a segment: empty pages are normal) and BatchGetItem (100 keys, 16 MB, the rest comes back in
UnprocessedKeys); Developer Guide, "Read capacity units" (4 KB each, half of that when eventually consistent).
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ddb_assets.bulk.limits import PROVISIONED_SHARE
from ddb_assets.bulk.rate import Bucket
from ddb_assets.bulk.raw_call import Document, RawCalls, ReadError
from ddb_assets.dynamodb.item import Item

RCU_BYTES = 4096
MAX_KEYS = 100
SEGMENT_BYTES = 128 << 20
MAX_SEGMENTS = 10_000
PAGE_SECONDS = 2
"""Of a bounded rate, how many seconds' worth the pages read at once may be: 1 MB would empty a small table's capacity."""
READER_RCU = 64
"""RCUs per second that keep one reader busy, roughly: it waits for its page to be written before it reads the next."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter expression with its names and values (DynamoDB JSON), as Scan takes them."""

    expression: str
    names: Mapping[str, str]
    values: Mapping[str, Any]

    def parameters(self) -> Document:
        """Scan's parameters; those that would be empty are left out, as it refuses them."""
        found = {"ExpressionAttributeNames": dict(self.names), "ExpressionAttributeValues": dict(self.values)}
        return {"FilterExpression": self.expression} | {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Page:
    """What a Scan answered. `count` is of the items that pass the filter; `next_key` is None at a segment's end."""

    items: list[Item]
    count: int
    next_key: Item | None


class ReadRate:
    """A bucket of RCUs. `max_rcu` None: half of a provisioned table's capacity, no bound on an on-demand one."""

    def __init__(
        self, table: Mapping[str, Any], max_rcu: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        provisioned = table.get("ProvisionedThroughput", {}).get("ReadCapacityUnits", 0)
        rate = max_rcu or (provisioned * PROVISIONED_SHARE if provisioned else None)
        self.units_per_second = rate
        self.consumed = 0.0
        self._bucket = Bucket(rate, clock) if rate else None
        self._lock = threading.Lock()

    def wait(self, stopped: threading.Event) -> None:
        """Returns when the bucket is not overdrawn, or at once when `stopped` is set."""
        while self._bucket and not stopped.is_set():
            with self._lock:
                seconds = self._bucket.wait_for()
            if not seconds:
                return
            stopped.wait(seconds)

    def spend(self, units: float) -> None:
        """What a call consumed, known only afterwards."""
        with self._lock:
            self.consumed += units
            if self._bucket:
                self._bucket.take(units)


class TableReader:
    """A table as it is read by one job. Thread-safe. `table` is DescribeTable's answer, `address` its name or ARN.

    `workers`: how many may read at once; `readers`: how many the rate can feed. Every method raises ReadError, also after
    `stopped` was set while it waited.
    """

    def __init__(
        self,
        calls: RawCalls,
        table: Mapping[str, Any],
        address: str,
        rate: ReadRate,
        stopped: threading.Event,
        *,
        consistent: bool,
        workers: int,
    ) -> None:
        self.name: str = table["TableName"]
        self._address = address
        self.key_names = tuple(element["AttributeName"] for element in table["KeySchema"])
        self.rate = rate
        self._calls = calls
        self._stopped = stopped
        self._consistent = consistent
        self.readers = readers_for(rate, workers)
        self._limit = _page_limit(table, rate, self.readers, consistent=consistent)

    def scan(
        self,
        segment: int,
        segments: int,
        start: Item | None,
        *,
        where: Filter | None = None,
        keys_only: bool = False,
        count_only: bool = False,
        limit: int | None = None,
    ) -> Page:
        """The page that follows the key `start` (None: the first) of this segment. With `count_only` it has no items."""
        request: Document = {
            "TableName": self._address,
            "Segment": segment,
            "TotalSegments": segments,
            "ConsistentRead": self._consistent,
            "ReturnConsumedCapacity": "TOTAL",
        }
        names: dict[str, str] = {}
        if where:
            request |= where.parameters()
            names = dict(where.names)
        if keys_only and not count_only:
            aliases = {f"#ddb_assets_{i}": name for i, name in enumerate(self.key_names)}
            request |= {"ProjectionExpression": ", ".join(aliases), "ExpressionAttributeNames": names | aliases}
        if count_only:
            request["Select"] = "COUNT"
        if start is not None:
            request["ExclusiveStartKey"] = start
        if limits := [most for most in (limit, self._limit) if most]:
            request["Limit"] = min(limits)
        answer = self._call("Scan", request)
        return Page(answer.get("Items", []), answer.get("Count", 0), answer.get("LastEvaluatedKey"))

    def get(self, keys: Sequence[Item], *, keys_only: bool = False) -> list[Item]:
        """The items of these keys that there are, in any order, read consistently."""
        found: list[Item] = []
        for start in range(0, len(keys), MAX_KEYS):
            wanted: Document = {"Keys": list(keys[start : start + MAX_KEYS]), "ConsistentRead": True}
            if keys_only:
                aliases = {f"#k{i}": name for i, name in enumerate(self.key_names)}
                wanted |= {"ProjectionExpression": ", ".join(aliases), "ExpressionAttributeNames": aliases}
            found += self._get_all(wanted)
        return found

    def _get_all(self, wanted: Document) -> list[Item]:
        """One BatchGetItem, and what it left unprocessed."""
        found: list[Item] = []
        until = time.monotonic() + self._calls.deadline
        attempt = 0
        while True:
            answer = self._call(
                "BatchGetItem", {"RequestItems": {self._address: wanted}, "ReturnConsumedCapacity": "TOTAL"}
            )
            got = [item for items in answer.get("Responses", {}).values() for item in items]
            found += got
            wanted = next(iter(answer.get("UnprocessedKeys", {}).values()), {})
            if not wanted:
                return found
            attempt = 0 if got else attempt + 1
            if time.monotonic() >= until or not self._calls.pause(attempt):
                raise ReadError(
                    f"dynamodb:BatchGetItem on {self.name} left {len(wanted['Keys'])} keys unread within "
                    f"{self._calls.deadline:g} s: it is throttled (UnprocessedKeys)"
                )

    def stop(self) -> None:
        """Ends all reading of the job that this reader is of: what waits or is called from now on raises ReadError."""
        self._stopped.set()

    @property
    def throttles(self) -> Counter[str]:
        """How often DynamoDB throttled, by its reasons."""
        return Counter(self._calls.throttles)

    def key(self, item: Item) -> Item:
        """The item's key attributes alone."""
        return {name: item[name] for name in self.key_names}

    def _call(self, operation: str, request: Document) -> Document:
        self.rate.wait(self._stopped)
        if self._stopped.is_set():
            raise ReadError(f"reading {self.name} was stopped")
        answer = self._calls.call(operation, request, self.name)
        capacity = answer.get("ConsumedCapacity") or {}
        for one in capacity if isinstance(capacity, list) else [capacity]:
            self.rate.spend(float(one.get("CapacityUnits", 0)))
        return answer


def readers_for(rate: ReadRate, workers: int) -> int:
    """How many segments are read at once: as many as was said, but of a bounded rate no more than it can feed, or two."""
    return workers if rate.units_per_second is None else min(workers, 2 + int(rate.units_per_second // READER_RCU))


def segments_for(table: Mapping[str, Any], readers: int) -> int:
    """How many segments: one per 128 MB, but no fewer than are read at once. The size is updated every six hours."""
    return min(MAX_SEGMENTS, max(readers, -(-int(table.get("TableSizeBytes", 0)) // SEGMENT_BYTES)))


def _page_limit(table: Mapping[str, Any], rate: ReadRate, readers: int, *, consistent: bool) -> int | None:
    """Items of a page that fit in a reader's part of the rate, by the table's mean item; None when a full page does."""
    if rate.units_per_second is None:
        return None
    mean = int(table.get("TableSizeBytes", 0)) / max(1, int(table.get("ItemCount", 0))) or RCU_BYTES
    size = rate.units_per_second * PAGE_SECONDS / readers * RCU_BYTES * (1 if consistent else 2)
    return max(1, int(size / mean)) if size < 1 << 20 else None
