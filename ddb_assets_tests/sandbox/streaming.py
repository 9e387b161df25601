"""Common actions of tests with Kinesis streams: create one, put records, read a shard to its end."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

FIRST = "shardId-000000000000"
SECONDS = 20
BETWEEN_CALLS = 0.2  # seconds; a shard answers five times a second


@contextmanager
def refused(code: str) -> Iterator[None]:
    """A block whose call is refused with this code."""
    with pytest.raises(ClientError) as raised:
        yield
    assert raised.value.response["Error"]["Code"] == code


def until(true: Callable[[], bool]) -> None:
    """Waits until something is true."""
    deadline = time.monotonic() + SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


@dataclass(frozen=True)
class Stream:
    """A stream behind a boto3 client. `wait` lets some seconds pass."""

    client: Any
    name: str
    wait: Callable[[float], None]

    @classmethod
    def created(cls, client: Any, wait: Callable[[float], None], shards: int = 1, **options: Any) -> "Stream":
        stream = cls(client, f"s-{uuid.uuid4().hex[:8]}", wait)
        if "StreamModeDetails" not in options:
            options["ShardCount"] = shards
        client.create_stream(StreamName=stream.name, **options)
        stream.settle()
        return stream

    def settle(self) -> None:
        """Waits until the stream is ACTIVE."""
        while self.summary()["StreamStatus"] != "ACTIVE":
            self.wait(BETWEEN_CALLS)

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"]
        return found

    @property
    def arn(self) -> str:
        return str(self.summary()["StreamARN"])

    def shards(self, **options: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.list_shards(StreamName=self.name, **options)["Shards"]
        return found

    def put(self, *keys: str) -> list[dict[str, Any]]:
        """Puts a record for each key, whose data is the key, and returns the answers."""
        records = [{"PartitionKey": key, "Data": key.encode()} for key in keys]
        found: list[dict[str, Any]] = self.client.put_records(StreamName=self.name, Records=records)["Records"]
        return found

    def split(self, shard: str = FIRST) -> None:
        """Splits a shard in the middle."""
        [found] = [one for one in self.shards() if one["ShardId"] == shard]
        low, high = (int(found["HashKeyRange"][f"{end}HashKey"]) for end in ("Starting", "Ending"))
        middle = str((low + high) // 2 + 1)
        self.client.split_shard(StreamName=self.name, ShardToSplit=shard, NewStartingHashKey=middle)
        self.settle()

    def iterator(self, shard: str = FIRST, kind: str = "TRIM_HORIZON", **options: Any) -> str:
        self.wait(BETWEEN_CALLS)
        answer = self.client.get_shard_iterator(StreamName=self.name, ShardId=shard, ShardIteratorType=kind, **options)
        return str(answer["ShardIterator"])

    def read(self, iterator: str, limit: int = 1000) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """All records from an iterator on, and the last answer."""
        records: list[dict[str, Any]] = []
        while True:
            self.wait(BETWEEN_CALLS)
            answer: dict[str, Any] = self.client.get_records(ShardIterator=iterator, Limit=limit)
            records += answer["Records"]
            if "NextShardIterator" not in answer or (not answer["Records"] and answer["MillisBehindLatest"] == 0):
                return records, answer
            iterator = answer["NextShardIterator"]

    def keys(self, shard: str = FIRST, kind: str = "TRIM_HORIZON", **options: Any) -> list[str]:
        """The keys of the records of a shard."""
        return [record["PartitionKey"] for record in self.read(self.iterator(shard, kind, **options))[0]]
