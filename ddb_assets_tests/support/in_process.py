"""AWS in this process: boto3 clients whose requests a function answers, without a connection.

botocore makes the requests and reads the answers as usual.
"""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config

from ddb_assets.bulk.raw_call import BULK_CLIENT
from ddb_assets.sandbox.api_error import Answer, ApiError

REGION = "eu-north-1"
Answerer = Callable[[str, Answer], Answer]
"""Answers an operation of a JSON API, or raises ApiError."""


def client_of(service: str, answer: Answerer) -> Any:
    """The client of a service, which does not try again. One is kept for the process: the newest `answer` counts."""

    def respond(request: Any, **_: object) -> AWSResponse:
        operation = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
        try:
            status, answered = 200, answer(operation, json.loads(request.body))
        except ApiError as error:
            status, answered = 400, {"__type": error.code, "message": str(error)}
        return AWSResponse(request.url, status, HTTPHeaders(), _Body(json.dumps(answered).encode()))

    client = _client(service)
    client.meta.events.unregister("before-send", unique_id="answers")
    client.meta.events.register("before-send", respond, unique_id="answers")
    return client


@cache
def _client(service: str) -> Any:
    session: Any = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name=REGION)
    config = BULK_CLIENT.merge(
        Config(signature_version=UNSIGNED)
    )  # nobody checks signatures, which take a fourth of the time
    return session.client(service, endpoint_url="http://127.0.0.1:9", config=config)


class _Body:
    """The body of an answer, as urllib3 gives it."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def stream(self) -> Any:
        yield self.content
