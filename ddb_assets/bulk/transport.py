"""Sends operations to DynamoDB and sorts the answers: what is written, what to try again, what never to try again.

One call, no retries: those are `writer.py`'s. The bodies are made here and given to botocore in place of its own, which
signs, sends and reads the answer: its serializer would take binary values as bytes and check every value once more.
Facts: DynamoDB API reference, BatchWriteItem (throttled writes come back in UnprocessedItems with HTTP 200; if all are
throttled the call fails), PutItem, "Error handling" (after an HTTP 500 the write may or may not have happened).
"""

import base64
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.parsers import ResponseParserError

from ddb_assets.bulk.operation import Operation
from ddb_assets.bulk.rate import consumed_units
from ddb_assets.bulk.target import Target
from ddb_assets.dynamodb.attribute_value import split
from ddb_assets.dynamodb.item import Key, canonical, key_value

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

WRITER_CLIENT = Config(
    retries={"total_max_attempts": 1},  # the writer retries by itself, against its deadline
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=64,
    tcp_keepalive=True,
)
"""What a client must be made with that a writer uses."""

_BUSY = {
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "Throttling",
    "RequestLimitExceeded",
    "LimitExceededException",
}
_AGAIN = {"InternalServerError", "ServiceUnavailable", "ReplicatedWriteConflictException", "RequestTimeout"}
_LOGIN = {
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "UnrecognizedClientException",
    "InvalidSignatureException",
}
_UNACCEPTABLE = {"ValidationException", "ItemCollectionSizeLimitExceededException", "SerializationException"}
_BODY = threading.local()


class RetryableRequestError(Exception):
    """Nothing is known to be written, and the same request may work later. `reasons` is empty unless it was throttled."""

    def __init__(self, message: str, reasons: Sequence[str] = (), *, login: bool = False) -> None:
        super().__init__(message)
        self.reasons = tuple(reasons)
        self.login = login


class FatalBatchError(Exception):
    """DynamoDB refuses the whole batch because of one operation in it; it may take the others."""


class FatalRequestError(Exception):
    """No request will work: there is no permission, no table or no credentials."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call did. `unwritten` was throttled; `existed` was not written because the item was there before."""

    unwritten: list[Operation] = field(default_factory=list)
    existed: bool = False
    consumed: list[float] | None = None


class Transport:
    """A table and a client that reaches it. Thread-safe."""

    def __init__(self, client: "DynamoDBClient", target: Target) -> None:
        self._client = client
        self._target = target
        for call in ("BatchWriteItem", "PutItem"):
            client.meta.events.register(f"before-call.dynamodb.{call}", _use_own_body, unique_id=f"ddb_assets-{call}")

    def send(self, operations: Sequence[Operation], *, again: bool) -> Answer:
        """Writes at most 25 operations of different keys, or one `put_if_absent`; `again` if they were sent before.

        Raises RetryableRequestError, FatalBatchError, FatalRequestError.
        """
        try:
            if operations[0].kind == "put_if_absent":
                return self._put_if_absent(operations[0], again=again)
            return self._batch(operations)
        except ClientError as error:
            raise classified(error) from error
        except (NoConnectionError, HTTPClientError, ResponseParserError) as error:
            raise RetryableRequestError(f"DynamoDB cannot be reached: {error}") from error
        except BotoCoreError as error:
            raise FatalRequestError(f"{error}; check the AWS credentials and the Region") from error
        finally:
            _BODY.bytes = None

    def _batch(self, operations: Sequence[Operation]) -> Answer:
        requests = b",".join(
            b'{"DeleteRequest":{"Key":%b}}' % op.body
            if op.kind == "delete"
            else b'{"PutRequest":{"Item":%b}}' % op.body
            for op in operations
        )
        table = self._target.address
        _BODY.bytes = b'{"RequestItems":{"%b":[%b]},"ReturnConsumedCapacity":"INDEXES"}' % (table.encode(), requests)
        answer = self._client.batch_write_item(RequestItems={table: [{"DeleteRequest": {"Key": {}}}]})
        capacity = answer.get("ConsumedCapacity") or []
        return Answer(
            unwritten=self._unwritten(operations, answer.get("UnprocessedItems") or {}),
            consumed=consumed_units(self._target, capacity[0]) if capacity else None,
        )

    def _unwritten(self, operations: Sequence[Operation], unprocessed: Mapping[str, Any]) -> list[Operation]:
        """The operations that came back. Should one come back that was not sent, none is taken for written."""
        if not unprocessed:
            return []
        sent = {operation.key: operation for operation in operations}
        found: list[Operation] = []
        for request in (request for requests in unprocessed.values() for request in requests):
            (body,) = request.values()
            operation = sent.get(self._key(body.get("Item") or body.get("Key")))
            if operation is None:
                return list(operations)
            found.append(operation)
        return found

    def _key(self, attributes: Mapping[str, Any]) -> Key:
        return tuple(key_value(_to_json(attributes[attribute.name]), attribute) for attribute in self._target.key)

    def _put_if_absent(self, operation: Operation, *, again: bool) -> Answer:
        table = self._target.address
        _BODY.bytes = orjson.dumps(
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
            answer = self._client.put_item(TableName=table, Item={})
        except self._client.exceptions.ConditionalCheckFailedException as error:
            there: Any = error.response.get("Item")
            # An attempt before this one may have written it although it was answered with an error.
            return Answer(
                existed=not (again and there and canonical({"M": there}) == canonical({"M": operation.attributes}))
            )
        capacity = answer.get("ConsumedCapacity")
        return Answer(consumed=consumed_units(self._target, capacity) if capacity else None)


def _use_own_body(params: dict[str, Any], **_: object) -> None:
    """botocore's hook before a request is signed; other users of the client set no body in their threads."""
    body = getattr(_BODY, "bytes", None)
    if body is not None:
        params["body"] = body


def _to_json(value: object) -> object:
    """A key attribute as botocore reads it, with its bytes as base64 text again."""
    descriptor, payload = split(value)
    return {descriptor: base64.b64encode(payload).decode()} if isinstance(payload, bytes) else value


def classified(error: ClientError) -> Exception:
    """The answer as RetryableRequestError, FatalBatchError or FatalRequestError; reads ask it too."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    said = f"{code}: {error.response.get('Error', {}).get('Message', '')}"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _BUSY:
        answer: Mapping[str, Any] = error.response
        reasons = answer.get("ThrottlingReasons") or answer.get("throttlingReasons") or ()
        return RetryableRequestError(said, [str(reason.get("reason", code)) for reason in reasons] or [code])
    if code in _AGAIN or status >= 500:
        return RetryableRequestError(said)
    if code in _LOGIN:
        return RetryableRequestError(f"AWS does not accept the credentials ({said}): log in again", login=True)
    if code in _UNACCEPTABLE or status == 413:
        return FatalBatchError(said)
    if code == "ResourceNotFoundException":
        return FatalRequestError(f"there is no such table in this account and Region ({said})")
    return FatalRequestError(said)
