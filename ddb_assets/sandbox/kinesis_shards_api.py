"""The operations of the Kinesis API that list and change the shards of a stream.

Facts: Kinesis Data Streams API reference. A page of ListShards has 1,000 shards by default, one of DescribeStream 100. A token
of ListShards names its stream, so it comes without a name, and expires after 300 seconds.
"""

import base64
import json

from ddb_assets.sandbox.api_error import Answer, ApiError
from ddb_assets.sandbox.clock import MICROS
from ddb_assets.sandbox.json_api import Caller, Operation
from ddb_assets.sandbox.kinesis_api import description, hash_range, micros
from ddb_assets.sandbox.kinesis_shard import Shard
from ddb_assets.sandbox.kinesis_stream import KinesisStream
from ddb_assets.sandbox.kinesis_streams import KinesisStreams

SHARDS_PER_PAGE, DESCRIBED_SHARDS = 1000, 100
TOKEN_LIFE = 300 * MICROS


class KinesisShardsApi:
    """The operations about shards."""

    def __init__(self, streams: KinesisStreams) -> None:
        self._streams = streams

    def operations(self) -> dict[str, Operation]:
        return {
            "DescribeStream": self._describe,
            "ListShards": self._list,
            "SplitShard": self._split,
            "MergeShards": self._merge,
            "UpdateShardCount": self._update_count,
        }

    def _describe(self, caller: Caller, request: Answer) -> Answer:
        stream = self._streams.named(caller, request)
        shards = [shard for shard in stream.listed() if shard.id > request.get("ExclusiveStartShardId", "")]
        page = shards[: min(request.get("Limit", DESCRIBED_SHARDS), DESCRIBED_SHARDS)]
        listed = {"Shards": list(map(_shown, page)), "HasMoreShards": len(page) < len(shards)}
        return {"StreamDescription": description(stream) | listed}

    def _list(self, caller: Caller, request: Answer) -> Answer:
        now = self._streams.clock.micros()
        if "NextToken" in request:
            others = ("StreamName", "StreamARN", "StreamCreationTimestamp", "ExclusiveStartShardId", "ShardFilter")
            for other in filter(request.__contains__, others):
                raise ApiError("InvalidArgumentException", f"NextToken and {other} cannot be provided together.")
            asked = _read_token(request["NextToken"], now)
        else:
            asked = {**request, "StreamARN": self._streams.named(caller, request).arn}
        shards = _filtered(self._streams.named(caller, asked), asked.get("ShardFilter", {}))
        shards = [shard for shard in shards if shard.id > asked.get("ExclusiveStartShardId", "")]
        page = shards[: request.get("MaxResults", SHARDS_PER_PAGE)]
        answer: Answer = {"Shards": list(map(_shown, page))}
        if len(page) < len(shards):
            answer["NextToken"] = _token({**asked, "ExclusiveStartShardId": page[-1].id}, now)
        return answer

    def _split(self, caller: Caller, request: Answer) -> Answer:
        self._provisioned(caller, request).split(request["ShardToSplit"], int(request["NewStartingHashKey"]))
        return {}

    def _merge(self, caller: Caller, request: Answer) -> Answer:
        self._provisioned(caller, request).merge(request["ShardToMerge"], request["AdjacentShardToMerge"])
        return {}

    def _update_count(self, caller: Caller, request: Answer) -> Answer:
        stream, target = self._provisioned(caller, request), request["TargetShardCount"]
        before = sum(shard.is_open for shard in stream.shards.values())
        stream.resize(target)
        counts = {"CurrentShardCount": before, "TargetShardCount": target}
        return {"StreamName": stream.name, "StreamARN": stream.arn, **counts}

    def _provisioned(self, caller: Caller, request: Answer) -> KinesisStream:
        stream = self._streams.named(caller, request)
        if stream.on_demand:
            raise ApiError(
                "ValidationException",
                f"Request is invalid. Stream {stream.name} under account {caller.account} is in On-Demand mode.",
            )
        return stream


def _filtered(stream: KinesisStream, wanted: Answer) -> list[Shard]:
    """The shards of a ShardFilter, in the order in which they were opened."""
    kind, shards = wanted.get("Type", "FROM_TRIM_HORIZON"), stream.listed()
    if kind == "AFTER_SHARD_ID":
        if "ShardId" not in wanted:
            raise ApiError("InvalidArgumentException", f"ShardId must be provided for {kind}")
        return [shard for shard in shards if shard.id > wanted["ShardId"]]
    if kind == "AT_LATEST":
        return [shard for shard in shards if shard.is_open]
    if kind in ("FROM_TRIM_HORIZON", "AT_TRIM_HORIZON"):
        moment = stream.horizon
    elif kind in ("FROM_TIMESTAMP", "AT_TIMESTAMP"):
        if "Timestamp" not in wanted:
            raise ApiError("InvalidArgumentException", f"Timestamp must be provided for {kind}")
        moment = max(stream.horizon, micros(wanted["Timestamp"]))
    else:
        raise ApiError("ValidationException", f"1 validation error detected: Value '{kind}' at 'shardFilter.type'")
    if kind.startswith("AT_"):
        return [shard for shard in shards if shard.was_open(moment)]
    return [shard for shard in shards if shard.closed is None or shard.closed >= moment]


def _shown(shard: Shard) -> Answer:
    sequences = {"StartingSequenceNumber": str(shard.sequence(shard.opened))}
    if shard.closed is not None:
        sequences["EndingSequenceNumber"] = str(shard.sequence(shard.closed))
    parents = {"ParentShardId": shard.parent, "AdjacentParentShardId": shard.adjacent_parent}
    return {
        "ShardId": shard.id,
        **{name: parent for name, parent in parents.items() if parent},
        "HashKeyRange": hash_range(shard),
        "SequenceNumberRange": sequences,
    }


def _token(asked: Answer, now: int) -> str:
    return base64.b64encode(json.dumps({"asked": asked, "made": now}).encode()).decode()


def _read_token(token: str, now: int) -> Answer:
    """What the token goes on with. Raises ApiError for one that has expired or was not made here."""
    try:
        found = json.loads(base64.b64decode(token))
    except ValueError:
        raise ApiError("InvalidArgumentException", "Invalid NextToken.") from None
    if now - found["made"] > TOKEN_LIFE:
        raise ApiError("ExpiredNextTokenException", "The NextToken has expired: it is valid for 300 seconds.")
    asked: Answer = found["asked"]
    return asked
