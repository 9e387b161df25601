"""Reads a table as DynamoDB JSON, at a bounded rate: pages of a parallel scan, and items by their keys.

Facts: API reference, Scan (a page ends at 1 MB before any filter, and only a missing LastEvaluatedKey ends a segment: empty
pages are normal) and BatchGetItem (100 keys, 16 MB, the rest comes back in UnprocessedKeys); Developer Guide, "Read capacity
units" (4 KB each, half of that when eventually consistent).
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from ddb_assets.aws.pauses import backoff
from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.limits import PROVISIONED_SHARE
from ddb_assets.bulk.options import Filter
from ddb_assets.bulk.rate import Bucket
from ddb_assets.bulk.raw_call import (
    LOGIN_ATTEMPTS,
    LOGIN_SECONDS,
    Document,
    FatalBatchError,
    FatalRequestError,
    RawClient,
    RetryableRequestError,
)
from ddb_assets.dynamodb.item import Item
from ddb_assets.errors import DdbAssetsError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

RCU_BYTES = 4096
MAX_KEYS = 100
SEGMENT_BYTES = 128 << 20
MAX_SEGMENTS = 10_000
PAGE_SECONDS = 2
"""At a bounded rate, all pages that are read at once cost at most so many seconds of it: 1 MB is much for a small table."""
READER_RCU = 64
"""RCUs per second that keep one reader busy, roughly: it waits for its page to be written before it reads the next."""


class ReadError(DdbAssetsError):
    """A table could not be read; the message says why and what to do."""


class ReadCalls:
    """The read requests of one job, tried again until they succeed or their time is up. Thread-safe.

    `client` is made with BULK_CLIENT. `throttles` counts reasons. `stopped` ends a wait between two attempts: the call then
    raises ReadError.
    """

    def __init__(self, client: "DynamoDBClient", stopped: threading.Event, *, deadline: float) -> None:
        self.deadline = deadline
        self._client = RawClient(client)
        self._stopped = stopped
        self._lock = threading.Lock()
        self.throttles: Counter[str] = Counter()

    def call(self, operation: str, table: str, request: Document, subject: str) -> Document:
        """The answer. `table` is the name or ARN in the request, `subject` the name in messages. Raises ReadError."""
        until = time.monotonic() + self.deadline
        attempt = logins = 0
        while True:
            try:
                return self._client.call(operation, table, orjson.dumps(request))
            except (FatalRequestError, FatalBatchError) as error:
                raise ReadError(f"dynamodb:{operation} on {subject}: {error}") from error
            except RetryableRequestError as error:
                attempt += 1
                logins += error.login
                with self._lock:
                    self.throttles.update(error.reasons)
                if logins >= LOGIN_ATTEMPTS:
                    raise ReadError(f"dynamodb:{operation} on {subject}: {error}") from error
                if time.monotonic() >= until:
                    raise ReadError(
                        f"dynamodb:{operation} on {subject} did not succeed in {self.deadline:g} s: {error}"
                    ) from error
                if not self.pause(attempt, LOGIN_SECONDS if error.login else 0.0):
                    raise ReadError(f"dynamodb:{operation} on {subject} was stopped: {error}") from error

    def pause(self, attempt: int, least: float = 0.0) -> bool:
        """Waits for at least `least` seconds, longer after each attempt; False if the job was stopped meanwhile."""
        return not self._stopped.wait(max(least, backoff(attempt)))


@dataclass(frozen=True, slots=True)
class Page:
    """What a Scan answered. `count` is of the items that pass the filter; `next_key` is None at a segment's end.

    `scanned` counts all items that were read, also those that do not pass; `units` are the RCUs that this cost.
    """

    items: list[Item]
    count: int
    next_key: Item | None
    scanned: int = 0
    units: float = 0.0


class ReadRate:
    """A bucket of RCUs.

    `max_rcu` is its rate, or `share` (0 to 1) is the part of the table's capacity. Without both: half of a provisioned table's
    capacity, no bound on an on-demand one. A `share` of a table without a capacity is no bound.
    """

    def __init__(
        self,
        table: TableDescription,
        max_rcu: float | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        share: float | None = None,
    ) -> None:
        if share is None and not table.on_demand:
            share = PROVISIONED_SHARE
        rate = max_rcu or (table.rcu * share if table.rcu and share else None)
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
    """Reads one table for one job. Thread-safe.

    `workers`: how many may read at once; `readers`: how many the rate can feed. Every method raises ReadError, also after
    `stopped` was set while it waited.
    """

    def __init__(
        self,
        calls: ReadCalls,
        table: TableDescription,
        rate: ReadRate,
        stopped: threading.Event,
        *,
        consistent: bool,
        workers: int,
    ) -> None:
        self.name = table.name
        self._address = table.address
        self.key_names = table.key_names
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
        attributes: Collection[str] = (),
    ) -> Page:
        """The page that follows the key `start` (None: the first) of this segment. With `count_only` it has no items.

        Its items have the key and these `attributes`, with `keys_only` the key alone, by default everything.
        """
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
        if (keys_only or attributes) and not count_only:
            wanted = dict.fromkeys((*self.key_names, *attributes))
            aliases = {f"#ddb_assets_{i}": name for i, name in enumerate(wanted)}
            request |= {"ProjectionExpression": ", ".join(aliases), "ExpressionAttributeNames": names | aliases}
        if count_only:
            request["Select"] = "COUNT"
        if start is not None:
            request["ExclusiveStartKey"] = start
        if limits := [most for most in (limit, self._limit) if most]:
            request["Limit"] = min(limits)
        answer = self._call("Scan", request)
        count = int(answer.get("Count", 0))
        return Page(
            items=answer.get("Items", []),
            count=count,
            next_key=answer.get("LastEvaluatedKey"),
            scanned=int(answer.get("ScannedCount") or count),
            units=float((answer.get("ConsumedCapacity") or {}).get("CapacityUnits", 0)),
        )

    def get(self, keys: Sequence[Item], *, keys_only: bool = False) -> list[Item]:
        """The items that exist under these keys, in any order, read consistently."""
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
        """Ends all reading of this job: calls that wait, and later calls, raise ReadError."""
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
        answer = self._calls.call(operation, self._address, request, self.name)
        capacity = answer.get("ConsumedCapacity") or {}
        for one in capacity if isinstance(capacity, list) else [capacity]:
            self.rate.spend(float(one.get("CapacityUnits", 0)))
        return answer


def readers_for(rate: ReadRate, workers: int) -> int:
    """How many segments are read at once: `workers`, but at a bounded rate about as many as it can feed."""
    return workers if rate.units_per_second is None else min(workers, 2 + int(rate.units_per_second // READER_RCU))


def segments_for(table: TableDescription, readers: int) -> int:
    """How many segments: one per 128 MB, but no fewer than are read at once."""
    return min(MAX_SEGMENTS, max(readers, -(-table.size_bytes // SEGMENT_BYTES)))


def _page_limit(table: TableDescription, rate: ReadRate, readers: int, *, consistent: bool) -> int | None:
    """How many items of mean size fit in a reader's part of the rate; None when a full page fits."""
    if rate.units_per_second is None:
        return None
    mean = table.size_bytes / max(1, table.items) or RCU_BYTES
    size = rate.units_per_second * PAGE_SECONDS / readers * RCU_BYTES * (1 if consistent else 2)
    return max(1, int(size / mean)) if size < 1 << 20 else None
