"""One request to DynamoDB, JSON in and JSON out, and what its answer means: done, retryable or fatal.

Neither the request nor the answer passes through botocore's serializer and parser, which turn base64 into bytes, check every
value once more and take several times as long as the network. botocore signs, sends and reads errors. There are no retries
here: `writing/delivery.py` retries writes, `scan.py` reads. Facts: DynamoDB API reference, "Error handling" (after an HTTP 500
a write may or may not have happened); every answer has its CRC-32 in the header `x-amz-crc32`.
"""

import threading
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from ddb_assets.aws.errors import ODD_ANSWER, UNREACHABLE, code_and_message, http_status, meaning, remedy

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Document = dict[str, Any]

BULK_CLIENT = Config(
    retries={"total_max_attempts": 1},  # each job retries by itself, against its deadline
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=64,
    tcp_keepalive=True,
)
"""The configuration of every client that is used here."""

METHODS = {
    "Scan": "scan",
    "BatchGetItem": "batch_get_item",
    "BatchWriteItem": "batch_write_item",
    "PutItem": "put_item",
    "DeleteItem": "delete_item",
}
LOGIN_ATTEMPTS, LOGIN_SECONDS = 4, 1.5
"""How often credentials may be refused, and the pause in between: botocore needs seconds to fetch new ones."""
CREDENTIALS = ("expired", "unknown key", "wrong secret")
_CALL = threading.local()


class RetryableRequestError(Exception):
    """The request may or may not have been carried out, and may work later.

    `reasons` is empty unless it was throttled. `login`: the credentials were refused.
    """

    def __init__(self, message: str, reasons: Sequence[str] = (), *, login: bool = False) -> None:
        super().__init__(message)
        self.reasons = tuple(reasons)
        self.login = login


class FatalBatchError(Exception):
    """DynamoDB refuses the content of the request, for example a batch because of one operation in it."""


class FatalRequestError(Exception):
    """No request will work: there is no permission, no table or no credentials."""


class ConditionFailedError(Exception):
    """The condition of a write does not hold. `item` is the existing item, as botocore reads it."""

    def __init__(self, item: Mapping[str, Any] | None) -> None:
        super().__init__("the condition does not hold")
        self.item = item


class RawClient:
    """Makes requests that are given as JSON, with a client made with BULK_CLIENT. Thread-safe."""

    def __init__(self, client: "DynamoDBClient") -> None:
        self._client = client
        events = client.meta.events
        for operation in METHODS:
            events.register(f"before-call.dynamodb.{operation}", _use_own_body, unique_id=f"raw-body-{operation}")
            events.register(f"before-parse.dynamodb.{operation}", _keep_answer, unique_id=f"raw-answer-{operation}")

    def call(self, operation: str, table: str, body: bytes) -> Document:
        """The answer to one of METHODS on the table of this name or ARN.

        Raises RetryableRequestError, FatalBatchError, FatalRequestError, ConditionFailedError.
        """
        _CALL.body, _CALL.answer = body, b""
        try:
            getattr(self._client, METHODS[operation])(**_for_validation(operation, table))
            answer: Document = orjson.loads(_CALL.answer)
        except ClientError as error:
            raise _classified(error) from error
        except UNREACHABLE as error:
            raise RetryableRequestError(f"DynamoDB cannot be reached: {error}") from error
        except (ResponseParserError, orjson.JSONDecodeError) as error:
            raise RetryableRequestError(f"the answer {ODD_ANSWER} ({error})") from error
        except BotoCoreError as error:
            raise FatalRequestError(f"{error}; check the AWS credentials and the Region") from error
        finally:
            _CALL.body = None
        return answer


def _for_validation(operation: str, table: str) -> Document:
    """Parameters that pass the client's validation and say which endpoint is asked; they are not sent."""
    match operation:
        case "BatchGetItem":
            return {"RequestItems": {table: {"Keys": [{}]}}}
        case "BatchWriteItem":
            return {"RequestItems": {table: [{"DeleteRequest": {"Key": {}}}]}}
        case "PutItem":
            return {"TableName": table, "Item": {}}
        case "DeleteItem":
            return {"TableName": table, "Key": {}}
    return {"TableName": table}


def _use_own_body(params: Document, **_: object) -> None:
    """botocore's hook before a request is signed; other users of the client set no body in their threads."""
    if getattr(_CALL, "body", None) is not None:
        params["body"] = _CALL.body


def _keep_answer(response_dict: Document, **_: object) -> None:
    """botocore's hook before an answer is parsed: takes the body of a good one and leaves an empty document."""
    if getattr(_CALL, "body", None) is None or response_dict["status_code"] != 200:
        return
    body = response_dict["body"]
    expected = response_dict["headers"].get("x-amz-crc32")
    if expected is not None and int(expected) != zlib.crc32(body):
        raise RetryableRequestError("the answer's checksum is wrong")
    _CALL.answer = body
    response_dict["body"] = b"{}"


def _classified(error: ClientError) -> Exception:
    code, message = code_and_message(error)
    said, status = f"{code}: {message}", http_status(error)
    answer: Mapping[str, Any] = error.response  # its type has only what every service answers
    if code == "ConditionalCheckFailedException":
        return ConditionFailedError(answer.get("Item"))
    meant = meaning(code, status)
    if meant == "throttled":
        reasons = answer.get("ThrottlingReasons") or answer.get("throttlingReasons") or ()
        return RetryableRequestError(said, [str(reason.get("reason", code)) for reason in reasons] or [code])
    if meant == "failing":
        return RetryableRequestError(said)
    if meant in CREDENTIALS:
        return RetryableRequestError(
            f"AWS does not accept the credentials ({said}): {remedy(code, message)}", login=True
        )
    if meant == "invalid" or status == 413:
        return FatalBatchError(said)
    if meant == "missing":
        return FatalRequestError(f"there is no such table in this account and Region ({said})")
    return FatalRequestError(said)
