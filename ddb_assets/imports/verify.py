"""Reads some of the written items back and compares them with what was written.

The items are drawn while the job writes, each row with the same chance; what is remembered of a key is its last write.
Facts: API reference, GetItem (ConsistentRead sees every write that was answered before).
"""

import base64
import random
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.errors import explained
from ddb_assets.bulk.operation import Operation
from ddb_assets.bulk.options import Verify
from ddb_assets.bulk.target import Target
from ddb_assets.dynamodb.item import Item, Key, canonical
from ddb_assets.imports.report import Verified

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


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

    def verify(self, client: "DynamoDBClient", target: Target) -> Verified:
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
