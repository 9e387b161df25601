"""The own streams of the sandbox's tables, and the operations of DynamoDB Streams.

`table_stream` says how one behaves. UpdateTable and CreateTable switch them on and off (`backend`, `tables`).

What it cannot show: calls are not throttled. ShardFilter and AT_TIMESTAMP are not known. A line of shards never splits. What is
enabled or disabled is so at once.

Facts: DynamoDB Streams API reference. A page of DescribeStream has at most 100 shards.
"""

import base64
import json
import threading
from typing import Any

import orjson

from ddb_assets.sandbox.api_error import Answer, ApiError
from ddb_assets.sandbox.change_log import Change
from ddb_assets.sandbox.change_record import Source
from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.json_api import Caller, Operation
from ddb_assets.sandbox.table_stream import MAX_RECORDS, Shard, TableStream

SHARDS_PER_PAGE = 100
MANY = 1 << 62


class TableStreams:
    """Every stream that tables have had, by ARN. `records_per_shard` is that of streams from now on."""

    def __init__(self, clock: Clock) -> None:
        self.lock = threading.Lock()
        self.records_per_shard = MANY
        self.streams: dict[str, TableStream] = {}
        self._enabled: dict[int, TableStream] = {}  # by the table's number
        self._clock = clock

    def hears(self, number: int, change: Change) -> None:
        """What the change log says: a write that changes nothing has no record."""
        with self.lock:
            stream = self._enabled.get(number)
            if stream and change.new != change.old:
                stream.add(change)

    def enable(self, number: int, source: Source, table_arn: str, view: str) -> TableStream:
        """A new stream for the table of this number."""
        with self.lock:
            stream = TableStream(source, table_arn, view, self._clock, self.records_per_shard)
            self.streams[stream.arn] = self._enabled[number] = stream
            return stream

    def disable(self, number: int) -> None:
        """Ends the stream of this table, if it has one."""
        with self.lock:
            if stream := self._enabled.pop(number, None):
                stream.disable()

    def of(self, table: str) -> list[TableStream]:
        """The streams that the table of this name has had and that can be read."""
        return [one for one in self.streams.values() if one.source.name == table and not one.is_gone]

    def operations(self) -> dict[str, Operation]:
        return {
            "ListStreams": self._list,
            "DescribeStream": self._describe,
            "GetShardIterator": self._iterator,
            "GetRecords": self._records,
        }

    def _list(self, _: Caller, request: Answer) -> Answer:
        names = [request["TableName"]] if "TableName" in request else {one.source.name for one in self.streams.values()}
        found = [one for name in sorted(names) for one in self.of(name)]
        return {
            "Streams": [{"StreamArn": one.arn, "StreamLabel": one.label, "TableName": one.source.name} for one in found]
        }

    def _describe(self, _: Caller, request: Answer) -> Answer:
        stream = self._stream(request["StreamArn"])
        shards = stream.listed()
        if after := request.get("ExclusiveStartShardId"):
            shards = [shard for shard in shards if shard.id > after]
        page = shards[: min(request.get("Limit", SHARDS_PER_PAGE), SHARDS_PER_PAGE)]
        description: Answer = {
            "StreamArn": stream.arn,
            "StreamLabel": stream.label,
            "StreamStatus": "ENABLED" if stream.disabled is None else "DISABLED",
            "StreamViewType": stream.view,
            "CreationRequestDateTime": stream.created // 1000 / 1000,
            "TableName": stream.source.name,
            "KeySchema": [
                {"AttributeName": name, "KeyType": kind}
                for name, kind in zip(stream.source.key_names, ("HASH", "RANGE"), strict=False)
            ],
            "Shards": list(map(_shown, page)),
        }
        if len(page) < len(shards):
            description["LastEvaluatedShardId"] = page[-1].id
        return {"StreamDescription": description}

    def _iterator(self, _: Caller, request: Answer) -> Answer:
        sequence = request.get("SequenceNumber")
        stream = self._stream(request["StreamArn"])
        number = None if sequence is None else int(sequence)
        return {"ShardIterator": stream.iterator(request["ShardId"], request["ShardIteratorType"], number)}

    def _records(self, _: Caller, request: Answer) -> Answer:
        limit = request.get("Limit", MAX_RECORDS)
        if not 1 <= limit <= MAX_RECORDS:
            raise ApiError("ValidationException", f"1 validation error detected: Value '{limit}' at 'limit'")
        token = _read(request["ShardIterator"])
        records, following = self._stream(token["arn"]).page(token, limit)
        answer: Answer = {"Records": [orjson.Fragment(record.text) for record in records]}
        return answer | ({"NextShardIterator": following} if following else {})

    def _stream(self, arn: str) -> TableStream:
        stream = self.streams.get(arn)
        if stream is None or stream.is_gone:
            raise ApiError("ResourceNotFoundException", f"Requested resource not found: Stream: {arn} not found")
        return stream


def _shown(shard: Shard) -> Answer:
    numbers = {"StartingSequenceNumber": str(shard.first)}
    if shard.closed is not None:
        numbers["EndingSequenceNumber"] = str(shard.last)
    parent = {"ParentShardId": shard.parent} if shard.parent else {}
    return {"ShardId": shard.id, "SequenceNumberRange": numbers, **parent}


def _read(token: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.encode()))
    except ValueError:
        raise ApiError("ValidationException", "Invalid ShardIterator") from None
    return found
