"""Calls of DynamoDB's API that read: JSON in, JSON out, tried again until they succeed or their time is up.

Neither the request nor the answer passes through botocore's serializer and parser, which turn base64 into bytes and take
several times as long as the network; botocore signs, sends and reads errors. Writes are `bulk/transport.py`'s, what
is read is `scan.py`'s. Facts: API reference, "Error handling"; every answer has its CRC-32 in the header `x-amz-crc32`.
"""

import random
import threading
import time
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.parsers import ResponseParserError

from ddb_assets.bulk.delivery import FIRST_PAUSE, LOGIN_ATTEMPTS, LONGEST_PAUSE
from ddb_assets.bulk.transport import FatalBatchError, FatalRequestError, RetryableRequestError, classified
from ddb_assets.errors import DdbAssetsError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Document = dict[str, Any]

CALLS: dict[str, tuple[str, Document]] = {
    "Scan": ("scan", {"TableName": "placeholder"}),
    "BatchGetItem": ("batch_get_item", {"RequestItems": {"placeholder": {"Keys": [{}]}}}),
}
"""Per operation the client's method and parameters that pass its validation; what is sent is the caller's document."""

_CALL = threading.local()


class ReadError(DdbAssetsError):
    """A table could not be read; the message says why and what to do."""


class RawCalls:
    """A client, made with `transport.WRITER_CLIENT`, for one job. Thread-safe. `throttles` counts reasons.

    `stopped` ends a wait between two attempts: the call then raises ReadError.
    """

    def __init__(self, client: "DynamoDBClient", stopped: threading.Event, *, deadline: float) -> None:
        self.deadline = deadline
        self._client = client
        self._stopped = stopped
        self._lock = threading.Lock()
        self.throttles: Counter[str] = Counter()
        for operation in CALLS:
            events = client.meta.events
            events.register(f"before-call.dynamodb.{operation}", _use_own_body, unique_id=f"raw-body-{operation}")
            events.register(f"before-parse.dynamodb.{operation}", _keep_answer, unique_id=f"raw-answer-{operation}")

    def call(self, operation: str, request: Document, subject: str) -> Document:
        """The answer to one of CALLS; `subject` is the table, for the message. Raises ReadError."""
        until = time.monotonic() + self.deadline
        attempt = logins = 0
        while True:
            try:
                return self._once(operation, request)
            except (FatalRequestError, FatalBatchError) as error:
                raise ReadError(f"dynamodb:{operation} on {subject}: {error}") from error
            except RetryableRequestError as error:
                attempt += 1
                logins += error.login
                with self._lock:
                    self.throttles.update(error.reasons)
                if time.monotonic() >= until or logins >= LOGIN_ATTEMPTS:
                    raise ReadError(
                        f"dynamodb:{operation} on {subject} did not succeed in {self.deadline:g} s: {error}"
                    ) from error
                if not self.pause(attempt):
                    raise ReadError(f"dynamodb:{operation} on {subject} was stopped: {error}") from error

    def pause(self, attempt: int) -> bool:
        """Waits with full jitter after so many attempts; False when the job was stopped meanwhile."""
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 20))
        return not self._stopped.wait(random.uniform(0, longest))  # noqa: S311 -- no secret

    def _once(self, operation: str, request: Document) -> Document:
        method, passes = CALLS[operation]
        _CALL.body, _CALL.answer = orjson.dumps(request), b""
        try:
            getattr(self._client, method)(**passes)
            answer: Document = orjson.loads(_CALL.answer)
        except ClientError as error:
            raise classified(error) from error
        except (NoConnectionError, HTTPClientError, ResponseParserError, orjson.JSONDecodeError) as error:
            raise RetryableRequestError(f"DynamoDB cannot be reached: {error}") from error
        except BotoCoreError as error:
            raise FatalRequestError(f"{error}; check the AWS credentials and the Region") from error
        finally:
            _CALL.body = None
        return answer


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
