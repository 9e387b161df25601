"""Kinesis in this process: the sandbox's API answers a boto3 client without a connection, and drains never really wait."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

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
from ddb_assets_tests.support.in_process import REGION, client_of

CALLER = Caller("123456789012", REGION)
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

        client = client_of("kinesis", self._respond)
        return drain(client, stream, start, limits or Limits(), now=self.clock.micros, pause=pause)

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "ListShards":
            request = {**request, "MaxResults": SHARDS_A_PAGE}
        return self._operations[operation](CALLER, request)

    def _respond(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((operation, asked))
        if code := self.fault(operation, asked):
            raise ApiError(code, "as the test wants it")
        return self.answer(operation, asked)
