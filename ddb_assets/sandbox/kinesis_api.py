"""The Kinesis API on the sandbox's own streams: records, iterators, and what concerns a whole stream.

`kinesis_stream` says how a stream behaves, `kinesis_shards_api` lists and changes shards.

What it cannot show: writes and calls other than GetRecords and GetShardIterator are not throttled. Every account may use a
stream whose ARN it names, without a resource policy. On-demand streams do not change their shards. Encryption, tags, metrics,
registered consumers and SubscribeToShard are left to moto, which knows none of these streams.

Facts: Kinesis Data Streams API reference.
"""

import base64
from typing import Any

from ddb_assets.sandbox.api_error import Answer, ApiError
from ddb_assets.sandbox.clock import MICROS
from ddb_assets.sandbox.json_api import Caller, Operation
from ddb_assets.sandbox.kinesis_shard import MAX_RECORDS, MIB, Record, Shard
from ddb_assets.sandbox.kinesis_stream import HASHES, KinesisStream, read_token
from ddb_assets.sandbox.kinesis_streams import KinesisStreams

ON_DEMAND_SHARDS = 4
MAX_PUT_RECORDS, MAX_PUT = 500, 10 * MIB
LEAST_HOURS, MOST_HOURS = 24, 8760
LEAST_KIB, MOST_KIB = 1024, 10_240
STREAMS_PER_PAGE = 100
ITERATORS = ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")


class KinesisApi:
    """The operations that need no list of shards."""

    def __init__(self, streams: KinesisStreams) -> None:
        self._streams = streams

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateStream": self._create,
            "DeleteStream": self._delete,
            "DescribeStreamSummary": self._summary,
            "ListStreams": self._list,
            "IncreaseStreamRetentionPeriod": self._increase_retention,
            "DecreaseStreamRetentionPeriod": self._decrease_retention,
            "UpdateMaxRecordSize": self._max_record_size,
            "UpdateStreamMode": self._mode,
            "PutRecord": self._put,
            "PutRecords": self._put_all,
            "GetShardIterator": self._iterator,
            "GetRecords": self._records,
        }

    def _create(self, caller: Caller, request: Answer) -> Answer:
        on_demand = _is_on_demand(request)
        shards = ON_DEMAND_SHARDS if on_demand else request.get("ShardCount")
        if not shards:
            raise ApiError("ValidationException", "ShardCount is required for a stream in provisioned mode")
        max_record = _max_record(request, LEAST_KIB)
        self._streams.create(caller, request["StreamName"], shards, on_demand=on_demand).max_record = max_record
        return {}

    def _delete(self, caller: Caller, request: Answer) -> Answer:
        self._streams.named(caller, request).delete()
        return {}

    def _summary(self, caller: Caller, request: Answer) -> Answer:
        stream = self._streams.named(caller, request)
        counts = {
            "OpenShardCount": sum(shard.is_open for shard in stream.shards.values()),
            "ConsumerCount": 0,
            "MaxRecordSizeInKiB": stream.max_record // 1024,
        }
        return {"StreamDescriptionSummary": description(stream) | counts}

    def _list(self, caller: Caller, request: Answer) -> Answer:
        """The names of a page; the token is the last one, as is ExclusiveStartStreamName."""
        after = request.get("NextToken") or request.get("ExclusiveStartStreamName") or ""
        streams = [stream for stream in self._streams.of(caller) if stream.name > after]
        size = request.get("Limit", STREAMS_PER_PAGE)
        page, more = streams[:size], len(streams) > size
        shown = ("StreamName", "StreamARN", "StreamStatus", "StreamModeDetails", "StreamCreationTimestamp")
        return {
            "StreamNames": [stream.name for stream in page],
            "StreamSummaries": [{name: description(stream)[name] for name in shown} for stream in page],
            "HasMoreStreams": more,
        } | ({"NextToken": page[-1].name} if more else {})

    def _increase_retention(self, caller: Caller, request: Answer) -> Answer:
        stream, hours = self._streams.named(caller, request), request["RetentionPeriodHours"]
        return _retain(stream, hours, allowed=hours >= stream.retention_hours)

    def _decrease_retention(self, caller: Caller, request: Answer) -> Answer:
        stream, hours = self._streams.named(caller, request), request["RetentionPeriodHours"]
        return _retain(stream, hours, allowed=hours <= stream.retention_hours)

    def _max_record_size(self, caller: Caller, request: Answer) -> Answer:
        stream, size = self._streams.named(caller, request), _max_record(request, 0)
        stream.begin_update()
        stream.max_record = size
        return {}

    def _mode(self, caller: Caller, request: Answer) -> Answer:
        stream = self._streams.named(caller, request)
        stream.begin_update()
        stream.on_demand = _is_on_demand(request)
        return {}

    def _put(self, caller: Caller, request: Answer) -> Answer:
        return _put(self._writable(caller, request), [request])[0]

    def _put_all(self, caller: Caller, request: Answer) -> Answer:
        records = request["Records"]
        if not 1 <= len(records) <= MAX_PUT_RECORDS:
            raise ApiError(
                "ValidationException",
                "1 validation error detected: Value at 'records' failed to satisfy constraint: Member must have length "
                f"less than or equal to {MAX_PUT_RECORDS}",
            )
        return {"FailedRecordCount": 0, "Records": _put(self._writable(caller, request), records)}

    def _writable(self, caller: Caller, request: Answer) -> KinesisStream:
        stream = self._streams.named(caller, request)
        if not stream.takes_records:
            raise ApiError(
                "ResourceNotFoundException", f"Stream {stream.name} under account {caller.account} not found."
            )
        return stream

    def _iterator(self, caller: Caller, request: Answer) -> Answer:
        stream, kind = self._streams.named(caller, request), request["ShardIteratorType"]
        if kind not in ITERATORS:
            raise ApiError("ValidationException", f"1 validation error detected: Value '{kind}' at 'shardIteratorType'")
        if kind.endswith("SEQUENCE_NUMBER") and "StartingSequenceNumber" not in request:
            raise ApiError("InvalidArgumentException", f"StartingSequenceNumber must be provided for {kind}")
        if kind == "AT_TIMESTAMP" and "Timestamp" not in request:
            raise ApiError("InvalidArgumentException", f"Timestamp must be provided for {kind}")
        moment = micros(request["Timestamp"]) if "Timestamp" in request else None
        if moment and moment > self._streams.clock.micros():
            raise ApiError("InvalidArgumentException", "The Timestamp is later than now")
        sequence = request.get("StartingSequenceNumber")
        number = None if sequence is None else int(sequence)
        return {"ShardIterator": stream.iterator(request["ShardId"], kind, number, moment)}

    def _records(self, _: Caller, request: Answer) -> Answer:
        token, limit = request["ShardIterator"], request.get("Limit", MAX_RECORDS)
        if not 1 <= limit <= MAX_RECORDS:
            raise ApiError("ValidationException", f"1 validation error detected: Value '{limit}' at 'limit'")
        stream = self._streams.get(read_token(token)["arn"])
        if stream is None:
            raise ApiError("ResourceNotFoundException", "The stream of the iterator does not exist")
        found = stream.records(token, limit)
        answer: Answer = {"Records": list(map(_shown, found.records)), "MillisBehindLatest": found.behind_millis}
        if found.iterator is None:
            answer["ChildShards"] = [
                {
                    "ShardId": child.id,
                    "ParentShards": [name for name in (child.parent, child.adjacent_parent) if name],
                    "HashKeyRange": hash_range(child),
                }
                for child in found.children
            ]
        else:
            answer["NextShardIterator"] = found.iterator
        return answer


def description(stream: KinesisStream) -> Answer:
    """What every description of a stream has."""
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "StreamStatus": stream.status,
        "StreamModeDetails": {"StreamMode": "ON_DEMAND" if stream.on_demand else "PROVISIONED"},
        "RetentionPeriodHours": stream.retention_hours,
        "StreamCreationTimestamp": stream.created // MICROS,
        "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
        "EncryptionType": "NONE",
    }


def hash_range(shard: Shard) -> Answer:
    return {"StartingHashKey": str(shard.first_hash), "EndingHashKey": str(shard.last_hash)}


def micros(seconds: float) -> int:
    """A timestamp of a request, which has milliseconds, in microseconds."""
    return round(seconds * 1000) * 1000


def _put(stream: KinesisStream, requested: list[Answer]) -> list[Answer]:
    """Adds all of these records, or none. The hash of a key may be given."""
    records = [(one["PartitionKey"], base64.b64decode(one["Data"]), _explicit_hash(one)) for one in requested]
    for key, data, _ in records:
        stream.check_size(key, data)
    if sum(len(key) + len(data) for key, data, _ in records) > MAX_PUT:
        raise ApiError("InvalidArgumentException", f"Records size exceeds {MAX_PUT} bytes")
    put = [stream.put(*record) for record in records]
    return [{"ShardId": shard.id, "SequenceNumber": str(record.sequence)} for shard, record in put]


def _explicit_hash(requested: Answer) -> int | None:
    text = requested.get("ExplicitHashKey")
    if text is None:
        return None
    if not 0 <= int(text) < HASHES:
        raise ApiError(
            "InvalidArgumentException",
            f"ExplicitHashKey must be in the range [0, {HASHES - 1}].",
        )
    return int(text)


def _shown(record: Record) -> dict[str, Any]:
    return {
        "SequenceNumber": str(record.sequence),
        "ApproximateArrivalTimestamp": record.arrived // 1000 / 1000,
        "Data": base64.b64encode(record.data).decode(),
        "PartitionKey": record.partition_key,
    }


def _is_on_demand(request: Answer) -> bool:
    return bool(request.get("StreamModeDetails", {}).get("StreamMode") == "ON_DEMAND")


def _max_record(request: Answer, default: int) -> int:
    """The requested size of the largest record, in bytes."""
    size = request.get("MaxRecordSizeInKiB", default)
    if not LEAST_KIB <= size <= MOST_KIB:
        raise ApiError("ValidationException", f"1 validation error detected: Value '{size}' at 'maxRecordSizeInKiB'")
    return int(size) * 1024


def _retain(stream: KinesisStream, hours: int, *, allowed: bool) -> Answer:
    if not LEAST_HOURS <= hours <= MOST_HOURS:
        raise ApiError(
            "InvalidArgumentException", f"A retention period has {LEAST_HOURS} to {MOST_HOURS} hours, not {hours}"
        )
    if not allowed:
        raise ApiError(
            "InvalidArgumentException",
            f"The retention period is {stream.retention_hours} hours: {hours} needs the other operation",
        )
    stream.begin_update()
    stream.retention_hours = hours
    return {}
