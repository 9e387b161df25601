"""What the table holds when everything is written: some items are read back, and items without a row are found.

The items to read back are drawn while the job writes, each row with the same chance. To find items without a row, the job
remembers the keys it has seen and reads the table's keys. Such items are only reported, never deleted.
Both read at half of a provisioned table's capacity at most, and are tried again as other reads are.
Facts: API reference, BatchGetItem (ConsistentRead sees every write that was answered before).
"""

import random
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import orjson
import polars as pl

from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.limits import SHOWN_KEYS
from ddb_assets.bulk.options import Verify
from ddb_assets.bulk.scan import MAX_KEYS, ReadCalls, ReadRate, TableReader
from ddb_assets.bulk.writing.operation import Operation
from ddb_assets.dynamodb.attribute_value import number_text
from ddb_assets.dynamodb.item import Item, Key, item_digest, item_key
from ddb_assets.errors import DdbAssetsError
from ddb_assets.imports.account import OnlyInTable, Verified

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


CHUNK = 1 << 16


class KeySet:
    """A set of keys of one table, at 8 bytes each. Every question sorts the keys that were added since the last one."""

    def __init__(self) -> None:
        self._recent: list[int] = []
        self._chunks: list[pl.Series] = []

    def add(self, key: Key) -> None:
        """Adds a key."""
        self._recent.append(_hash(key))
        if len(self._recent) == CHUNK:
            self._pack()

    def repeated(self) -> int:
        """How many keys were added after an equal one."""
        seen = self._sorted()
        return len(seen) - seen.n_unique()

    def lacks(self, keys: Sequence[Key]) -> list[bool]:
        """For each of these keys, whether it was never added."""
        seen, asked = self._sorted(), pl.Series([_hash(key) for key in keys], dtype=pl.Int64)
        if not len(seen):
            return [True] * len(keys)
        places = seen.search_sorted(asked, side="left").clip(upper_bound=len(seen) - 1)
        return (seen.gather(places) != asked).to_list()

    def _pack(self) -> None:
        self._chunks.append(pl.Series(self._recent, dtype=pl.Int64))
        self._recent = []

    def _sorted(self) -> pl.Series:
        if self._recent or len(self._chunks) != 1:
            self._pack()
            self._chunks = [pl.concat(self._chunks).sort()]
        return self._chunks[0]


def _hash(key: Key) -> int:
    """64 bits, by which two keys are the same only by chance. Numbers are hashed as text: Python's hash of -1 is that of -2."""
    return hash(tuple(number_text(str(value)) if isinstance(value, Decimal) else value for value in key))


class _Drawn(NamedTuple):
    """What an operation should leave in the table, in little memory: `attributes` is its key as JSON.

    `digest` is the item's; None: there must be no item; empty: any item will do.
    """

    key: Key
    attributes: bytes
    digest: bytes | None


class Sample:
    """At most `size` operations, drawn from all that it sees (reservoir sampling). Thread-safe."""

    def __init__(self, size: Verify, key_names: Sequence[str]) -> None:
        self._size = sys.maxsize if size == "all" else size
        self._key_names = key_names
        self._seen = 0
        self._drawn: list[_Drawn] = []
        self._places: dict[Key, int] = {}
        self._lock = threading.Lock()

    def see(self, operation: Operation) -> None:
        """Before the operation is written."""
        if not self._size:
            return
        with self._lock:
            self._seen += 1
            place = self._places.get(operation.key)
            if place is not None:
                self._drawn[place] = self._expected(operation)
            elif len(self._drawn) < self._size:
                self._places[operation.key] = len(self._drawn)
                self._drawn.append(self._expected(operation))
            elif (place := random.randrange(self._seen)) < self._size:  # noqa: S311 -- no secret
                del self._places[self._drawn[place].key]
                self._places[operation.key] = place
                self._drawn[place] = self._expected(operation)

    def forget(self, operation: Operation) -> None:
        """It was not written."""
        with self._lock:
            place = self._places.get(operation.key)
            if place is None or self._drawn[place] != self._expected(operation):
                return
            del self._places[operation.key]
            last = self._drawn.pop()
            if place < len(self._drawn):
                self._drawn[place] = last
                self._places[last.key] = place

    def verify(self, reader: TableReader) -> Verified:
        """Reads them back. Raises ReadError."""
        count = 0
        different: list[Item] = []
        for start in range(0, len(self._drawn), MAX_KEYS):
            drawn = self._drawn[start : start + MAX_KEYS]
            keys: list[Item] = [orjson.loads(one.attributes) for one in drawn]
            there = {item_digest(reader.key(item)): item_digest(item) for item in reader.get(keys)}
            for key, one in zip(keys, drawn, strict=True):
                found = there.get(item_digest(key))
                if not (found is not None if one.digest == b"" else found == one.digest):
                    count += 1
                    different += [key] if count <= SHOWN_KEYS else []
        return Verified(len(self._drawn), count, different)

    def _expected(self, operation: Operation) -> _Drawn:
        item = operation.attributes
        key = orjson.dumps({name: item[name] for name in self._key_names})
        if operation.kind == "put_if_absent":
            return _Drawn(operation.key, key, b"")
        return _Drawn(operation.key, key, None if operation.kind == "delete" else item_digest(item))


SAMPLE = 10


@dataclass(frozen=True)
class Afterwards:
    """What was found, as far as it was asked for. `unread`: why the table could not be read to the end."""

    verified: Verified | None = None
    only_in_table: OnlyInTable | None = None
    unread: str | None = None

    @property
    def problem(self) -> str | None:
        """What is wrong; None when nothing is."""
        verified = self.verified
        if verified and verified.different_count:
            count = f"{verified.different_count:,} of {verified.read:,}"
            differ = f"{count} items read back are not as they were written"
            return f"{differ}; {self.unread}" if self.unread else differ
        return self.unread


def look_back(
    client: "DynamoDBClient",
    target: TableDescription,
    sample: Sample | None,
    seen: KeySet | None,
    stopped: threading.Event,
    deadline: float,
) -> Afterwards:
    """Reads the sample back, and scans the table for keys that were not `seen`. None: not asked for.

    `client` is made with BULK_CLIENT.
    """
    calls = ReadCalls(client, stopped, deadline=deadline)
    reader = TableReader(calls, target, ReadRate(target, None), stopped, consistent=True, workers=1)
    verified = extra = None
    try:
        verified = sample.verify(reader) if sample else None
        extra = _only_in_table(reader, target, seen) if seen else None
    except DdbAssetsError as error:
        unread = f"everything is written, but the table could not be read afterwards: {error}"
        return Afterwards(verified, unread=unread)
    return Afterwards(verified, extra)


def _only_in_table(reader: TableReader, target: TableDescription, seen: KeySet) -> OnlyInTable:
    """Scans the table's keys. Raises ReadError."""
    before = reader.rate.consumed
    count = 0
    sample: list[Item] = []
    start = None
    while True:
        page = reader.scan(0, 1, start, keys_only=True)
        lacks = seen.lacks([item_key(item, target.key) for item in page.items])
        found = [reader.key(item) for item, lacking in zip(page.items, lacks, strict=True) if lacking]
        count += len(found)
        sample += found[: SAMPLE - len(sample)]
        start = page.next_key
        if start is None:
            return OnlyInTable(count, sample, reader.rate.consumed - before)
