"""The stream of a table, replayed, is the table: after every kind of write, through splits and merges, from many threads."""

import json
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.kinesis_stream import HASHES, KinesisStream
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.sandbox.account import Account
from ddb_assets_tests.sandbox.streaming import Stream
from ddb_assets_tests.sandbox.test_change_log import DELETES, PUTS, put

KEYS = "abcdefgh"
Items = dict[str, dict[str, Any]]


@pytest.fixture
def stream(sandbox: Sandbox) -> Stream:
    return Stream.created(sandbox.kinesis(), lambda seconds: sandbox.clock.advance(timedelta(seconds=seconds)))


def streamed(account: Account, stream: Stream) -> str:
    table = account.table()
    account.dynamodb.enable_kinesis_streaming_destination(
        TableName=table,
        StreamArn=stream.arn,
        EnableKinesisStreamingConfiguration={"ApproximateCreationDateTimePrecision": "MICROSECOND"},
    )
    stream.wait(60)
    return table


def records(stream: Stream) -> list[dict[str, Any]]:
    """The records of all shards, parents before their children: a shard's number is larger than those of its parents."""
    shards = [shard["ShardId"] for shard in stream.shards()]
    return [json.loads(one["Data"]) for shard in shards for one in stream.read(stream.iterator(shard))[0]]


def replayed(records: list[dict[str, Any]]) -> Items:
    """The items after the records. Each record says what was there before it."""
    items: Items = {}
    for record in records:
        change = record["dynamodb"]
        key = change["Keys"]["id"]["S"]
        assert items.pop(key, None) == change.get("OldImage")
        if "NewImage" in change:
            items[key] = change["NewImage"]
    return items


def stored(account: Account, table: str) -> Items:
    return {item["id"]["S"]: item for item in account.scan(table)}


@pytest.mark.parametrize("seed", range(3))
def test_random_writes_and_resharding(account: Account, stream: Stream, seed: int) -> None:
    chance = random.Random(seed)
    table = streamed(account, stream)
    for number in range(60):
        key = chance.choice(KEYS)
        if chance.random() < 0.7:
            chance.choice(PUTS)(account, table, key, number)
        elif key in stored(account, table):
            chance.choice(DELETES)(account, table, key)
        if number % 15 == 14:
            count = chance.choice([1, 2, 3])
            open_shards = stream.summary()["OpenShardCount"]
            if open_shards / 2 <= count <= open_shards * 2:
                stream.client.update_shard_count(
                    StreamName=stream.name, TargetShardCount=count, ScalingType="UNIFORM_SCALING"
                )
                stream.settle()
    assert replayed(records(stream)) == stored(account, table)


def test_writes_of_many_threads_are_in_the_order_of_their_times(account: Account, stream: Stream) -> None:
    table = streamed(account, stream)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: put(account, table, KEYS[number % 2], number), range(80)))
    found = records(stream)
    stamps = [record["dynamodb"]["ApproximateCreationDateTime"] for record in found]
    assert len(stamps) == 80
    assert stamps == sorted(stamps)
    assert replayed(found) == stored(account, table)


@pytest.mark.parametrize("seed", range(20))
def test_every_record_is_read_once_and_in_order_while_shards_change(seed: int) -> None:
    chance, clock = random.Random(seed), Clock()
    stream = KinesisStream("s", clock, shards=2)
    put: dict[str, list[bytes]] = {key: [] for key in KEYS}
    for number in range(200):
        key = chance.choice(KEYS)
        put[key].append(b"%d" % number)
        stream.put(key, put[key][-1])
        opened = sorted((shard for shard in stream.shards.values() if shard.is_open), key=lambda s: s.first_hash)
        shard = chance.choice(opened)
        match chance.randrange(30):
            case 0:
                stream.split(shard.id, chance.randint(shard.first_hash + 1, shard.last_hash))
            case 1 if len(opened) > 1:
                place = chance.randrange(len(opened) - 1)
                stream.merge(opened[place + 1].id, opened[place].id)
            case 2:
                stream.resize(chance.randint(-(-len(opened) // 2), 2 * len(opened)))
    assert len(stream.shards) > 5
    ranges = sorted((s.first_hash, s.last_hash + 1) for s in stream.shards.values() if s.is_open)
    assert [0, *(end for _, end in ranges)] == [*(start for start, _ in ranges), HASHES]
    read: dict[str, list[bytes]] = {key: [] for key in KEYS}
    for shard_id in stream.shards:
        token: str | None = stream.iterator(shard_id, "TRIM_HORIZON")
        while token:
            answer = stream.records(token, chance.randint(1, 20))
            for record in answer.records:
                read[record.partition_key].append(record.data)
            token = answer.iterator if answer.records or answer.behind_millis else None
            clock.advance(timedelta(seconds=1))
    assert read == put
