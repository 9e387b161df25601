"""What the table holds when everything is written: some items read back, and the items that no row was for.

The items to read back are drawn while the job writes, each row with the same chance. To find items without a row, the job
remembers the keys it has seen and reads the table's keys. Nothing is done to such items: a second import leaves them too.
Facts: API reference, GetItem (ConsistentRead sees every write that was answered before).
"""

import base64
import random
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from ddb_assets.aws.errors import explained
from ddb_assets.aws.table import TableDescription, describe_table
from ddb_assets.bulk.operation import Operation
from ddb_assets.bulk.options import Verify
from ddb_assets.bulk.scan import ReadCalls, ReadRate, TableReader
from ddb_assets.dynamodb.item import Item, Key, canonical, item_key
from ddb_assets.errors import DdbAssetsError
from ddb_assets.imports.account import OnlyInTable, Verified

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


CHUNK = 1 << 16


class KeySet:
    """Grows by `add`; every question sorts what was added since the last one."""

    def __init__(self) -> None:
        self._recent: list[int] = []
        self._chunks: list[pl.Series] = []

    def add(self, key: Key) -> None:
        """Remembers it."""
        self._recent.append(hash(key))
        if len(self._recent) == CHUNK:
            self._pack()

    def repeated(self) -> int:
        """How many keys came after an equal one."""
        seen = self._sorted()
        return len(seen) - seen.n_unique()

    def lacks(self, keys: Sequence[Key]) -> list[bool]:
        """Of each of these keys, whether it was never added."""
        seen, asked = self._sorted(), pl.Series([hash(key) for key in keys], dtype=pl.Int64)
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


class Sample:
    """At most `size` operations, drawn from all that it sees (reservoir sampling). They are kept in memory."""

    def __init__(self, size: Verify) -> None:
        self._size = sys.maxsize if size == "all" else size
        self._seen = 0
        self._drawn: dict[Key, Operation] = {}

    def see(self, operation: Operation) -> None:
        """Before the operation is written."""
        if not self._size:
            return
        self._seen += 1
        if operation.key in self._drawn or len(self._drawn) < self._size:
            self._drawn[operation.key] = operation
        elif random.randrange(self._seen) < self._size:  # noqa: S311 -- no secret
            del self._drawn[random.choice(list(self._drawn))]  # noqa: S311
            self._drawn[operation.key] = operation

    def forget(self, operation: Operation) -> None:
        """It was not written."""
        if self._drawn.get(operation.key) is operation:
            del self._drawn[operation.key]

    def verify(self, client: "DynamoDBClient", target: TableDescription) -> Verified:
        """Raises AwsError when an item cannot be read."""
        different = []
        for operation in self._drawn.values():
            expected = operation.attributes
            key = {attribute.name: expected[attribute.name] for attribute in target.key}
            with explained("dynamodb:GetItem", target.name):
                there = client.get_item(TableName=target.address, Key=_for_botocore(key), ConsistentRead=True).get(
                    "Item"
                )
            if not _agrees(operation, expected, there):
                different.append(key)
        return Verified(len(self._drawn), different)


def _agrees(operation: Operation, expected: Item, there: Mapping[str, Any] | None) -> bool:
    if operation.kind == "delete":
        return there is None
    if there is None:
        return False
    return operation.kind == "put_if_absent" or canonical({"M": there}) == canonical({"M": expected})


def _for_botocore(key: Item) -> Any:
    """botocore takes binary as bytes."""
    return {n: {"B": base64.b64decode(v["B"])} if "B" in v else v for n, v in key.items()}


SAMPLE = 10


@dataclass(frozen=True)
class Afterwards:
    """What was found, as far as it was asked for, and what is wrong with it."""

    verified: Verified | None = None
    only_in_table: OnlyInTable | None = None
    problem: str | None = None


def look_back(
    client: "DynamoDBClient",
    target: TableDescription,
    sample: Sample | None,
    seen: KeySet | None,
    stopped: threading.Event,
    deadline: float,
) -> Afterwards:
    """Reads the sample back, and the table's keys to find those that were not `seen`; None: not asked for."""
    try:
        verified = sample.verify(client, target) if sample else None
        extra = _only_in_table(client, target, seen, stopped, deadline) if seen else None
    except DdbAssetsError as error:
        return Afterwards(problem=f"everything is written, but the table could not be read afterwards: {error}")
    if verified and verified.different:
        count = f"{len(verified.different)} of {verified.read}"
        return Afterwards(verified, extra, f"{count} items read back are not as they were written")
    return Afterwards(verified, extra)


def _only_in_table(
    client: "DynamoDBClient", target: TableDescription, seen: KeySet, stopped: threading.Event, deadline: float
) -> OnlyInTable:
    """Scans the table, at half its provisioned read capacity at most. Raises ReadError, AwsError."""
    table = describe_table(client, target.address)
    rate = ReadRate(table, None)
    reader = TableReader(
        ReadCalls(client, stopped, deadline=deadline), table, rate, stopped, consistent=True, workers=1
    )
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
            return OnlyInTable(count, sample, rate.consumed)
