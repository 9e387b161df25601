"""Sends operations to DynamoDB and reads from the answer what is written.

One request, no retries: those are in `delivery.py`.
Facts: DynamoDB API reference, BatchWriteItem (throttled writes come back in UnprocessedItems with HTTP 200; if all are
throttled the request fails), PutItem, DeleteItem; Developer Guide, "Constraints" (an expression has 4 KB and 300 operators).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.rate import consumed_units
from ddb_assets.bulk.raw_call import ConditionFailedError, RawClient
from ddb_assets.bulk.writing.operation import Operation
from ddb_assets.dynamodb.item import Item, canonical, item_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


MAX_COMPARED = 120
"""How many attributes of an item a condition compares. The condition then stays below the limits of expressions."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request did. `unwritten` was throttled; `existed` was not written because of the item that was there before."""

    unwritten: list[Operation] = field(default_factory=list)
    existed: bool = False
    consumed: list[float] | None = None


class Transport:
    """A table and a client that reaches it. Thread-safe."""

    def __init__(self, client: "DynamoDBClient", target: TableDescription) -> None:
        self._client = RawClient(client)
        self._target = target

    def send(self, operations: Sequence[Operation], *, again: bool) -> Answer:
        """Writes at most 25 operations of different keys, or one that is conditional; `again` if they were sent before.

        Raises RetryableRequestError, FatalBatchError, FatalRequestError.
        """
        if operations[0].kind == "put_if_absent":
            return self._put_if_absent(operations[0], again=again)
        if operations[0].expected is not None:
            return self._if_expected(operations[0], operations[0].expected)
        return self._batch(operations)

    def _batch(self, operations: Sequence[Operation]) -> Answer:
        requests = b",".join(
            b'{"DeleteRequest":{"Key":%b}}' % op.body
            if op.kind == "delete"
            else b'{"PutRequest":{"Item":%b}}' % op.body
            for op in operations
        )
        table = self._target.address
        body = b'{"RequestItems":{"%b":[%b]},"ReturnConsumedCapacity":"INDEXES"}' % (table.encode(), requests)
        answer = self._client.call("BatchWriteItem", table, body)
        capacity = answer.get("ConsumedCapacity") or []
        return Answer(
            unwritten=self._unwritten(operations, answer.get("UnprocessedItems") or {}),
            consumed=consumed_units(self._target, capacity[0]) if capacity else None,
        )

    def _unwritten(self, operations: Sequence[Operation], unprocessed: Mapping[str, Any]) -> list[Operation]:
        """The operations that came back. If one of them was not sent, none of the batch counts as written."""
        if not unprocessed:
            return []
        sent = {operation.key: operation for operation in operations}
        found: list[Operation] = []
        for request in (request for requests in unprocessed.values() for request in requests):
            (body,) = request.values()
            operation = sent.get(item_key(body.get("Item") or body.get("Key"), self._target.key))
            if operation is None:
                return list(operations)
            found.append(operation)
        return found

    def _put_if_absent(self, operation: Operation, *, again: bool) -> Answer:
        table = self._target.address
        body = orjson.dumps(
            {
                "TableName": table,
                "Item": orjson.Fragment(operation.body),
                "ConditionExpression": "attribute_not_exists(#k)",
                "ExpressionAttributeNames": {"#k": self._target.key[0].name},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                "ReturnConsumedCapacity": "INDEXES",
            }
        )
        try:
            answer = self._client.call("PutItem", table, body)
        except ConditionFailedError as error:
            there = error.item
            # An attempt before this one may have written it although it was answered with an error.
            return Answer(
                existed=not (again and there and canonical({"M": there}) == canonical({"M": operation.attributes}))
            )
        capacity = answer.get("ConsumedCapacity")
        return Answer(consumed=consumed_units(self._target, capacity) if capacity else None)

    def _if_expected(self, operation: Operation, expected: Item) -> Answer:
        """A condition cannot say that there are no other attributes, so one that was added is not noticed."""
        table = self._target.address
        compared = list(enumerate(expected.items()))[:MAX_COMPARED]
        attributes = operation.attributes
        body = orjson.dumps(
            {
                "TableName": table,
                "Key" if operation.kind == "delete" else "Item": attributes,
                "ConditionExpression": " AND ".join(f"#a{i} = :a{i}" for i, _ in compared),
                "ExpressionAttributeNames": {f"#a{i}": name for i, (name, _) in compared},
                "ExpressionAttributeValues": {f":a{i}": value for i, (_, value) in compared},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                "ReturnConsumedCapacity": "INDEXES",
            }
        )
        try:
            answer = self._client.call("DeleteItem" if operation.kind == "delete" else "PutItem", table, body)
        except ConditionFailedError as error:
            # An attempt before this one may have done it although it was answered with an error.
            wanted = None if operation.kind == "delete" else canonical({"M": attributes})
            return Answer(existed=(canonical({"M": error.item}) if error.item else None) != wanted)
        capacity = answer.get("ConsumedCapacity")
        return Answer(consumed=consumed_units(self._target, capacity) if capacity else None)
