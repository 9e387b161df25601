"""The Kinesis streams of a sandbox: their names and ARNs, creating and deleting them."""

import threading
from datetime import timedelta

from ddb_assets.sandbox.api_error import Answer, ApiError
from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.json_api import Caller
from ddb_assets.sandbox.kinesis_stream import KinesisStream


class KinesisStreams:
    """All streams, of every account and Region. Hold `lock` while you use them. `delay` is that of each stream."""

    def __init__(self, clock: Clock, delay: timedelta) -> None:
        self.lock = threading.Lock()
        self.clock = clock
        self._delay = delay
        self._streams: dict[str, KinesisStream] = {}

    def create(self, caller: Caller, name: str, shards: int, *, on_demand: bool = False) -> KinesisStream:
        """A new stream. Raises ApiError if there is one of this name."""
        arn = f"arn:aws:kinesis:{caller.region}:{caller.account}:stream/{name}"
        if self.get(arn):
            raise ApiError("ResourceInUseException", f"Stream {name} under account {caller.account} already exists.")
        stream = KinesisStream(name, self.clock, shards, arn=arn, on_demand=on_demand, delay=self._delay)
        self._streams[arn] = stream
        return stream

    def get(self, arn: str) -> KinesisStream | None:
        """The stream of this ARN, while there is one."""
        stream = self._streams.get(arn)
        return stream if stream and not stream.is_gone else None

    def named(self, caller: Caller, request: Answer) -> KinesisStream:
        """The stream that a request names, by its ARN or by its name in the caller's account and Region. Raises ApiError."""
        arn, name = request.get("StreamARN"), request.get("StreamName")
        if not arn and not name:
            raise ApiError("InvalidArgumentException", "Either StreamName or StreamARN should be provided.")
        stream = self.get(arn or f"arn:aws:kinesis:{caller.region}:{caller.account}:stream/{name}")
        if stream is None:
            raise ApiError(
                "ResourceNotFoundException", f"Stream {arn or name} under account {caller.account} not found."
            )
        return stream

    def of(self, caller: Caller) -> list[KinesisStream]:
        """The streams of an account in a Region, in the order of their names."""
        home = f"arn:aws:kinesis:{caller.region}:{caller.account}:stream/"
        return [stream for arn, stream in sorted(self._streams.items()) if arn.startswith(home) and not stream.is_gone]
