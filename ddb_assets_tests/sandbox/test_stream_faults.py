"""Faults between a table and its stream: what comes twice, late, never, or with another time."""

import json
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any

from ddb_assets.sandbox.change_log import Change
from ddb_assets.sandbox.change_record import Source
from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.json_api import Caller
from ddb_assets.sandbox.kinesis_streams import KinesisStreams
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.sandbox.stream_delivery import Route, StreamDelivery
from ddb_assets.sandbox.stream_faults import Faults
from ddb_assets_tests.sandbox.account import Account
from ddb_assets_tests.sandbox.streaming import Stream

SOURCE = Source("T", "id of T", "us-east-1", ("id",))
START = 1_800_000_000_000_000
CHANGES = 1000


def delivered(faults: Faults, *, rest: bool = False, since: int = START) -> list[dict[str, Any]]:
    """The records that arrive of 1,000 changes, of which number n has the time START + n; `rest`: late ones come at the end."""
    streams = KinesisStreams(Clock(), timedelta(0))
    stream = streams.create(Caller("123456789012", "us-east-1"), "s", 1)
    delivery = StreamDelivery(streams)
    delivery.routes[7] = Route(SOURCE, stream.arn, since, milliseconds=False)
    delivery.set_faults(stream.arn, faults)
    for number in range(CHANGES):
        image = b'{"id":{"S":"%d"}}' % number
        delivery(7, Change(str(number).encode(), START + number, image, None, len(image)))
    if rest:
        delivery.set_faults(stream.arn, Faults())
    return [json.loads(record.data) for shard in stream.shards.values() for record in shard.records]


def numbers(records: list[dict[str, Any]]) -> list[int]:
    return [int(record["dynamodb"]["Keys"]["id"]["S"]) for record in records]


def test_changes_before_the_destination_is_active_do_not_arrive() -> None:
    assert numbers(delivered(Faults(), since=START + 10)) == list(range(10, CHANGES))


def test_without_faults_every_change_arrives_in_order_with_its_time() -> None:
    records = delivered(Faults())
    assert numbers(records) == list(range(CHANGES))
    stamps = [record["dynamodb"]["ApproximateCreationDateTime"] for record in records]
    assert stamps == [START + number for number in range(CHANGES)]


def test_a_share_is_lost() -> None:
    found = numbers(delivered(Faults(lost=0.2)))
    assert 0.7 * CHANGES < len(found) < 0.9 * CHANGES
    assert found == sorted(set(found))


def test_a_share_comes_twice() -> None:
    records = delivered(Faults(repeated=0.2))
    times = Counter(numbers(records))
    assert set(times) == set(range(CHANGES))
    twice = sum(count == 2 for count in times.values())
    assert 0.1 * CHANGES < twice < 0.3 * CHANGES
    assert len({json.dumps(record) for record in records}) == CHANGES  # the second is the same as the first


def test_a_share_comes_after_later_ones() -> None:
    found = numbers(delivered(Faults(late=0.2), rest=True))
    assert sorted(found) == list(range(CHANGES))
    overtaken = sum(one > other for one, other in pairwise(found))
    assert overtaken > 0.1 * CHANGES
    assert max(place - number for place, number in enumerate(found)) > 5


def test_late_records_arrive_at_the_latest_when_other_faults_begin() -> None:
    assert len(delivered(Faults(late=1))) < CHANGES
    assert len(delivered(Faults(late=1), rest=True)) == CHANGES


def test_stamps_are_off_either_way_by_at_most_so_much() -> None:
    records = delivered(Faults(skew=timedelta(seconds=60)))
    off = [record["dynamodb"]["ApproximateCreationDateTime"] - START - n for n, record in enumerate(records)]
    assert -60_000_000 <= min(off) < -50_000_000
    assert 50_000_000 < max(off) <= 60_000_000


def test_a_share_has_milliseconds() -> None:
    records = delivered(Faults(milliseconds=0.5))
    digits = Counter(len(str(record["dynamodb"]["ApproximateCreationDateTime"])) for record in records)
    assert set(digits) == {13, 16}
    precise = sum("ApproximateCreationDateTimePrecision" in record["dynamodb"] for record in records)
    assert precise == digits[16]


def test_a_seed_repeats_its_faults() -> None:
    faults = {"lost": 0.1, "repeated": 0.1, "late": 0.3, "milliseconds": 0.1, "skew": timedelta(seconds=60)}
    one, same, other = (delivered(Faults(**faults, seed=seed)) for seed in (1, 1, 2))  # type: ignore[arg-type]
    assert one == same != other


def test_faults_are_set_on_a_running_sandbox(sandbox: Sandbox, account: Account) -> None:
    stream = Stream.created(sandbox.kinesis(), lambda seconds: sandbox.clock.advance(timedelta(seconds=seconds)))
    table = account.table()
    account.dynamodb.enable_kinesis_streaming_destination(TableName=table, StreamArn=stream.arn)
    stream.wait(60)
    sandbox.set_stream_faults(stream.arn, Faults(lost=1))
    account.dynamodb.put_item(TableName=table, Item={"id": {"S": "lost"}})
    sandbox.set_stream_faults(stream.arn, Faults())
    account.dynamodb.put_item(TableName=table, Item={"id": {"S": "a"}})
    [record], _ = stream.read(stream.iterator())
    assert json.loads(record["Data"])["dynamodb"]["Keys"] == {"id": {"S": "a"}}
