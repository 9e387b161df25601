"""The sandbox's Kinesis through boto3: what depends on the clock, on accounts and on limits that other stand-ins ignore."""

from collections.abc import Callable
from datetime import timedelta

import boto3
import pytest

from ddb_assets.microseconds import from_micros
from ddb_assets.sandbox.server import ONCE, Sandbox
from ddb_assets_tests.sandbox.streaming import BETWEEN_CALLS, FIRST, Stream, refused

Make = Callable[..., Stream]
HOUR = timedelta(hours=1)


@pytest.fixture
def make(sandbox: Sandbox) -> Make:
    def advance(seconds: float) -> None:
        sandbox.clock.advance(timedelta(seconds=seconds))

    return lambda shards=1, **options: Stream.created(sandbox.kinesis(), advance, shards, **options)


def test_an_iterator_expires_after_five_minutes(sandbox: Sandbox, make: Make) -> None:
    stream = make()
    iterator = stream.iterator()
    sandbox.clock.advance(timedelta(seconds=301))
    with refused("ExpiredIteratorException"):
        stream.client.get_records(ShardIterator=iterator)


def test_a_shard_answers_five_times_a_second(sandbox: Sandbox, make: Make) -> None:
    stream = make(2)
    iterator, other = stream.iterator(), stream.iterator("shardId-000000000001")
    with refused("ProvisionedThroughputExceededException"):
        for _ in range(50):  # more than five within a second, on any machine
            stream.client.get_records(ShardIterator=iterator)
    stream.client.get_records(ShardIterator=other)
    sandbox.clock.advance(timedelta(seconds=1))
    stream.client.get_records(ShardIterator=iterator)


def test_a_shard_gives_five_iterators_a_second(make: Make) -> None:
    stream = make()
    with refused("ProvisionedThroughputExceededException"):
        for _ in range(50):
            stream.client.get_shard_iterator(StreamName=stream.name, ShardId=FIRST, ShardIteratorType="LATEST")


def test_an_iterator_of_nowhere_is_refused(make: Make) -> None:
    with refused("InvalidArgumentException"):
        make().client.get_records(ShardIterator="nowhere")


def test_a_sequence_number_of_another_stream_is_refused(make: Make) -> None:
    other, stream = make(), make()
    [foreign] = other.put("k")
    with refused("InvalidArgumentException"):
        stream.iterator(FIRST, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=foreign["SequenceNumber"])


def test_the_time_of_an_iterator_is_not_later_than_now(sandbox: Sandbox, make: Make) -> None:
    stream = make()
    with refused("InvalidArgumentException"):
        stream.iterator(FIRST, "AT_TIMESTAMP", Timestamp=from_micros(sandbox.clock.micros()) + HOUR)


def test_the_lag_is_the_age_of_the_next_record(sandbox: Sandbox, make: Make) -> None:
    stream = make()
    stream.put("a", "b")
    sandbox.clock.advance(HOUR)
    answer = stream.client.get_records(ShardIterator=stream.iterator(), Limit=1)
    assert 3_600_000 <= answer["MillisBehindLatest"] < 3_700_000


def test_expired_records_are_gone(sandbox: Sandbox, make: Make) -> None:
    stream = make()
    stream.put("old")
    sandbox.clock.advance(25 * HOUR)
    assert stream.keys() == []
    stream.put("new")
    assert stream.keys() == ["new"]


def test_shards_are_listed_as_of_a_time(sandbox: Sandbox, make: Make) -> None:
    stream = make()
    sandbox.clock.advance(HOUR)
    before_split = from_micros(sandbox.clock.micros())
    sandbox.clock.advance(HOUR)
    stream.split()

    def listed(kind: str, **options: object) -> list[str]:
        return [shard["ShardId"][-1] for shard in stream.shards(ShardFilter={"Type": kind, **options})]

    assert listed("AT_TIMESTAMP", Timestamp=before_split) == ["0"]
    assert listed("FROM_TIMESTAMP", Timestamp=before_split) == ["0", "1", "2"]
    assert listed("AT_TRIM_HORIZON") == ["0"]
    sandbox.clock.advance(25 * HOUR)
    assert listed("AT_TRIM_HORIZON") == listed("FROM_TRIM_HORIZON") == ["1", "2"]


def test_a_token_of_shards_expires(sandbox: Sandbox, make: Make) -> None:
    stream = make(2)
    token = stream.client.list_shards(StreamName=stream.name, MaxResults=1)["NextToken"]
    sandbox.clock.advance(timedelta(seconds=301))
    with refused("ExpiredNextTokenException"):
        stream.client.list_shards(NextToken=token)


def test_descriptions_and_streams_come_in_pages(make: Make) -> None:
    streams = [make(3), make(3)]
    client = streams[0].client
    pages = client.get_paginator("describe_stream").paginate(
        StreamName=streams[0].name, PaginationConfig={"PageSize": 2}
    )
    found = [shard["ShardId"] for page in pages for shard in page["StreamDescription"]["Shards"]]
    assert found == [shard["ShardId"] for shard in streams[0].shards()]
    names = [name for page in client.get_paginator("list_streams").paginate(Limit=1) for name in page["StreamNames"]]
    assert names == sorted(names)
    assert {stream.name for stream in streams} <= set(names)


def test_a_refused_stream_is_not_created(make: Make) -> None:
    client = make().client
    for wrong in ({"ShardCount": 1, "MaxRecordSizeInKiB": 20_000}, {}):
        with refused("ValidationException"):
            client.create_stream(StreamName="refused", **wrong)
    assert "refused" not in client.list_streams()["StreamNames"]


def test_put_records_puts_all_or_nothing(make: Make) -> None:
    stream = make()
    good = {"PartitionKey": "k", "Data": b"x"}
    with refused("InvalidArgumentException"):
        stream.client.put_records(
            StreamName=stream.name, Records=[good, {"PartitionKey": "k", "Data": b"x" * (1 << 20)}]
        )
    with refused("InvalidArgumentException"):
        large = {"PartitionKey": "k", "Data": b"x" * 1_000_000}
        stream.client.put_records(StreamName=stream.name, Records=[large] * 11)
    with refused("ValidationException"):
        stream.client.put_records(StreamName=stream.name, Records=[good] * 501)
    assert stream.keys() == []


def test_shards_change_until_there_are_so_many(make: Make) -> None:
    stream = make(2)
    stream.put(*map(str, range(10)))
    stream.client.update_shard_count(StreamName=stream.name, TargetShardCount=3, ScalingType="UNIFORM_SCALING")
    stream.settle()
    assert stream.summary()["OpenShardCount"] == 3
    stream.put(*map(str, range(10, 20)))
    found = [key for shard in stream.shards() for key in stream.keys(shard["ShardId"])]
    assert sorted(map(int, found)) == list(range(20))
    with refused("InvalidArgumentException"):
        stream.client.update_shard_count(StreamName=stream.name, TargetShardCount=7, ScalingType="UNIFORM_SCALING")


def test_an_on_demand_stream_has_four_shards_and_changes_them_itself(make: Make) -> None:
    stream = make(StreamModeDetails={"StreamMode": "ON_DEMAND"})
    assert stream.summary()["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
    assert len(stream.shards()) == 4
    with refused("ValidationException"):
        stream.client.split_shard(StreamName=stream.name, ShardToSplit=FIRST, NewStartingHashKey="1")


def test_another_account_reads_a_stream_by_its_arn(sandbox: Sandbox, make: Make) -> None:
    stream = make()
    stream.put("k")
    sts = boto3.Session("any", "any", region_name="us-east-1").client("sts", endpoint_url=sandbox.endpoint_url)
    keys = sts.assume_role(RoleArn="arn:aws:iam::111122223333:role/reader", RoleSessionName="reader")["Credentials"]
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], "us-east-1")
    client = session.client("kinesis", endpoint_url=sandbox.endpoint_url, config=ONCE)
    with refused("ResourceNotFoundException"):
        client.list_shards(StreamName=stream.name)
    assert [shard["ShardId"] for shard in client.list_shards(StreamARN=stream.arn)["Shards"]] == [FIRST]
    found = client.get_shard_iterator(StreamARN=stream.arn, ShardId=FIRST, ShardIteratorType="TRIM_HORIZON")
    [record] = client.get_records(StreamARN=stream.arn, ShardIterator=found["ShardIterator"])["Records"]
    assert record["Data"] == b"k"


def test_a_stream_of_the_same_name_is_another_stream(sandbox: Sandbox, make: Make) -> None:
    stream = make()
    [old] = stream.put("k")
    iterator, created = stream.iterator(), stream.summary()["StreamCreationTimestamp"]
    stream.client.delete_stream(StreamName=stream.name)
    while stream.name in stream.client.list_streams()["StreamNames"]:
        stream.wait(BETWEEN_CALLS)
    sandbox.clock.advance(timedelta(seconds=1))
    stream.client.create_stream(StreamName=stream.name, ShardCount=1)
    stream.settle()
    assert stream.summary()["StreamCreationTimestamp"] > created
    with refused("ExpiredIteratorException"):
        stream.client.get_records(ShardIterator=iterator)
    with refused("InvalidArgumentException"):
        stream.iterator(FIRST, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=old["SequenceNumber"])
