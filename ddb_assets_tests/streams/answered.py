"""Kinesis in this process: the sandbox's API answers a boto3 client without a connection, and drains never really wait.

botocore makes the requests and reads the answers as usual.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from ddb_assets.bulk.raw_call import BULK_CLIENT
from ddb_assets.sandbox.api_error import ApiError
from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.json_api import Caller
from ddb_assets.sandbox.kinesis_api import KinesisApi
from ddb_assets.sandbox.kinesis_shards_api import KinesisShardsApi
from ddb_assets.sandbox.kinesis_stream import KinesisStream
from ddb_assets.sandbox.kinesis_streams import KinesisStreams
from ddb_assets.streams.drain import Limits, drain
from ddb_assets.streams.drained import Drained
from ddb_assets.streams.position import Position

CALLER = Caller("123456789012", "eu-north-1")
NAME = "changes"
ARN = f"arn:aws:kinesis:{CALLER.region}:{CALLER.account}:stream/{NAME}"
NOTHING = Position({})
SHARDS_A_PAGE = 2


class Kinesis:
    """One stream and a client. `asked` are the requests; `fault` names the error code of a request that is to fail.

    `answer` may be replaced to answer otherwise. `meanwhile` is called whenever a drain waits.
    """

    def __init__(self, shards: int = 1) -> None:
        self.clock = Clock()
        self.streams = KinesisStreams(self.clock, timedelta(0))
        self.stream = self.create(shards)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.fault: Callable[[str, dict[str, Any]], str | None] = lambda _, __: None
        self.meanwhile: Callable[[], object] = lambda: None
        self._operations = KinesisApi(self.streams).operations() | KinesisShardsApi(self.streams).operations()

    def create(self, shards: int) -> KinesisStream:
        self.stream = self.streams.create(CALLER, NAME, shards)
        return self.stream

    def put(self, *keys: str) -> None:
        """Records whose data is their key."""
        for key in keys:
            self.stream.put(key, key.encode())

    def cut(self, shard: str) -> None:
        """Splits a shard in the middle of its range."""
        found = self.stream.shards[shard]
        self.stream.split(shard, (found.first_hash + found.last_hash) // 2 + 1)

    def pass_by(self, **time: float) -> None:
        self.clock.advance(timedelta(**time))

    def drain(self, start: Position = NOTHING, limits: Limits | None = None, stream: str = NAME) -> Drained:
        """A drain whose pauses move the sandbox's clock."""

        def pause(seconds: float) -> None:
            self.meanwhile()
            self.pass_by(seconds=seconds)

        client = _client()
        client.meta.events.unregister("before-send.kinesis", unique_id="answers")
        client.meta.events.register("before-send.kinesis", self._respond, unique_id="answers")
        return drain(client, stream, start, limits or Limits(), now=self.clock.micros, pause=pause)

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "ListShards":
            request = {**request, "MaxResults": SHARDS_A_PAGE}
        return self._operations[operation](CALLER, request)

    def _respond(self, request: Any, **_: object) -> AWSResponse:
        operation = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
        asked = json.loads(request.body)
        self.asked.append((operation, asked))
        try:
            if code := self.fault(operation, asked):
                raise ApiError(code, "as the test wants it")
            status, answer = 200, self.answer(operation, asked)
        except ApiError as error:
            status, answer = 400, {"__type": error.code, "message": str(error)}
        return AWSResponse(request.url, status, HTTPHeaders(), _Body(json.dumps(answer).encode()))


@cache
def _client() -> Any:
    session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name=CALLER.region)
    return session.client("kinesis", endpoint_url="http://127.0.0.1:9", config=BULK_CLIENT)


class _Body:
    """The body of an answer, as urllib3 gives it."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def stream(self) -> Any:
        yield self.content
