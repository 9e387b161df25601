"""What the sandbox's Kinesis and npm's kinesis-local agree on. kinesis-local is another stand-in, made by others.

It takes part when KINESIS_LOCAL names the folder of its package: `npm pack kinesis-local@0.6.2`, then `tar xzf`.
"""

import itertools
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import md5
from pathlib import Path
from typing import Any

import boto3
import pytest

from ddb_assets.sandbox.server import ONCE, Sandbox
from ddb_assets_tests.sandbox.streaming import BETWEEN_CALLS, FIRST, Stream, refused, until

SECOND, THIRD, FOURTH = (f"shardId-{number:012d}" for number in (1, 2, 3))
LOOPBACK = Path(__file__).with_name("kinesis_local.js")
MIB = 1 << 20

pytestmark = pytest.mark.server

Make = Callable[..., Stream]


@pytest.fixture(scope="module", params=["sandbox", "kinesis-local"])
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Creates a stream, in the sandbox or in kinesis-local."""
    if request.param == "sandbox":
        with Sandbox(export_delay=timedelta(seconds=2)) as sandbox:
            yield maker(sandbox.kinesis(), lambda seconds: sandbox.clock.advance(timedelta(seconds=seconds)))
    else:
        yield from kinesis_local(tmp_path_factory.mktemp("kinesis-local"))


def maker(client: Any, wait: Callable[[float], None]) -> Make:
    return lambda shards=1: Stream.created(client, wait, shards)


def kinesis_local(folder: Path) -> Iterator[Make]:
    package, node = os.environ.get("KINESIS_LOCAL"), shutil.which("node")
    if not package or not node:
        pytest.skip("needs node" if package else "needs KINESIS_LOCAL, the folder of npm's package kinesis-local")
    plain, tls = free_ports()
    settings = {
        "KINESIS_MOCK_PLAIN_PORT": plain,
        "KINESIS_MOCK_TLS_PORT": tls,
        "KINESIS_MOCK_CERT_PATH": f"{package}/server.json",
        "SHARD_LIMIT": "200",
        "CREATE_STREAM_DURATION": "100ms",
        "SPLIT_SHARD_DURATION": "2s",
    }
    command = [node, "-r", str(LOOPBACK), f"{package}/main.js"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, env={**os.environ, **settings}, cwd=folder, stdout=log, stderr=log) as process,
    ):
        try:
            until(lambda: answers(int(plain)))
            session = boto3.Session("any", "any", region_name="us-east-1")
            client = session.client("kinesis", endpoint_url=f"http://127.0.0.1:{plain}", config=ONCE)
            yield maker(client, time.sleep)
        finally:
            process.kill()


def free_ports() -> list[str]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [str(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_stream_has_shards_that_share_the_hashes(make: Make) -> None:
    stream = make(3)
    shards = stream.shards()
    assert [shard["ShardId"] for shard in shards] == [FIRST, SECOND, THIRD]
    ranges = [tuple(int(shard["HashKeyRange"][f"{end}HashKey"]) for end in ("Starting", "Ending")) for shard in shards]
    assert (ranges[0][0], ranges[-1][1]) == (0, 2**128 - 1)
    assert all(low[1] + 1 == high[0] for low, high in itertools.pairwise(ranges))
    assert not any("EndingSequenceNumber" in shard["SequenceNumberRange"] for shard in shards)
    summary = stream.summary()
    assert (summary["OpenShardCount"], summary["RetentionPeriodHours"]) == (3, 24)


def test_a_name_is_taken_once(make: Make) -> None:
    stream = make()
    with refused("ResourceInUseException"):
        stream.client.create_stream(StreamName=stream.name, ShardCount=1)


def test_sequence_numbers_have_56_digits_and_grow(make: Make) -> None:
    stream = make()
    put = [record["SequenceNumber"] for record in stream.put(*map(str, range(20)))]
    records, _ = stream.read(stream.iterator())
    read = [record["SequenceNumber"] for record in records]
    assert read == put == sorted(put, key=int)
    assert {len(number) for number in put} == {56}


def test_a_record_goes_to_the_shard_of_its_hash(make: Make) -> None:
    stream = make(2)
    keys = [str(number) for number in range(20)]
    expected = [
        SECOND if int(md5(key.encode(), usedforsecurity=False).hexdigest(), 16) >> 127 else FIRST for key in keys
    ]
    assert set(expected) == {FIRST, SECOND}
    assert [record["ShardId"] for record in stream.put(*keys)] == expected
    given = stream.client.put_record(
        StreamName=stream.name, PartitionKey="any", Data=b"x", ExplicitHashKey=str(2**128 - 1)
    )
    assert given["ShardId"] == SECOND


def test_records_come_in_pages(make: Make) -> None:
    stream = make()
    stream.put(*map(str, range(7)))
    answer = stream.client.get_records(ShardIterator=stream.iterator(), Limit=3)
    assert [record["Data"] for record in answer["Records"]] == [b"0", b"1", b"2"]
    rest, last = stream.read(answer["NextShardIterator"], 3)
    assert [record["PartitionKey"] for record in rest] == ["3", "4", "5", "6"]
    assert last["MillisBehindLatest"] == 0


def test_an_iterator_begins_at_or_after_a_record(make: Make) -> None:
    stream = make()
    number = stream.put(*"abcd")[1]["SequenceNumber"]
    assert stream.keys(FIRST, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=number) == list("bcd")
    assert stream.keys(FIRST, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=number) == list("cd")


def test_an_iterator_begins_at_a_time(make: Make) -> None:
    stream = make()
    stream.put("before")
    [before], _ = stream.read(stream.iterator())
    later = before["ApproximateArrivalTimestamp"].replace(microsecond=0) + timedelta(seconds=1)
    stream.wait(1.1)
    stream.put("after")
    assert stream.keys(FIRST, "AT_TIMESTAMP", Timestamp=later) == ["after"]
    assert stream.keys(FIRST, "AT_TIMESTAMP", Timestamp=later - timedelta(hours=1)) == ["before", "after"]


def test_the_latest_iterator_shows_later_records_only(make: Make) -> None:
    stream = make()
    stream.put("before")
    iterator = stream.iterator(FIRST, "LATEST")
    stream.put("after")
    assert [record["PartitionKey"] for record in stream.read(iterator)[0]] == ["after"]


def test_a_split_shard_ends_and_names_its_children(make: Make) -> None:
    stream = make()
    before, after = [f"before {n}" for n in range(20)], [f"after {n}" for n in range(20)]
    stream.put(*before)
    stream.split()
    stream.put(*after)
    records, last = stream.read(stream.iterator())
    assert [record["PartitionKey"] for record in records] == before
    assert "NextShardIterator" not in last
    assert [(child["ShardId"], child["ParentShards"]) for child in last["ChildShards"]] == [
        (SECOND, [FIRST]),
        (THIRD, [FIRST]),
    ]
    halves = [stream.keys(SECOND), stream.keys(THIRD)]
    assert all(halves)
    assert sorted(halves[0] + halves[1]) == sorted(after)
    parent, *children = stream.shards()
    assert "EndingSequenceNumber" in parent["SequenceNumberRange"]
    assert [child["ParentShardId"] for child in children] == [FIRST, FIRST]


def test_a_merged_shard_has_two_parents(make: Make) -> None:
    stream = make(3)
    with refused("InvalidArgumentException"):
        stream.client.merge_shards(StreamName=stream.name, ShardToMerge=FIRST, AdjacentShardToMerge=THIRD)
    stream.client.merge_shards(StreamName=stream.name, ShardToMerge=FIRST, AdjacentShardToMerge=SECOND)
    stream.settle()
    [merged] = [shard for shard in stream.shards() if shard["ShardId"] == FOURTH]
    assert (merged["ParentShardId"], merged["AdjacentParentShardId"]) == (FIRST, SECOND)
    for parent in (FIRST, SECOND):
        _, last = stream.read(stream.iterator(parent))
        [child] = last["ChildShards"]
        assert (child["ShardId"], set(child["ParentShards"])) == (FOURTH, {FIRST, SECOND})


def test_shards_are_listed_by_filters(make: Make) -> None:
    stream = make()
    stream.split()

    def listed(**options: Any) -> list[str]:
        return [shard["ShardId"] for shard in stream.shards(**options)]

    assert listed() == [FIRST, SECOND, THIRD]
    assert listed(ShardFilter={"Type": "FROM_TRIM_HORIZON"}) == [FIRST, SECOND, THIRD]
    assert listed(ShardFilter={"Type": "AT_LATEST"}) == [SECOND, THIRD]
    assert listed(ShardFilter={"Type": "AFTER_SHARD_ID", "ShardId": SECOND}) == [THIRD]
    assert listed(ExclusiveStartShardId=FIRST) == [SECOND, THIRD]
    with refused("InvalidArgumentException"):
        listed(ShardFilter={"Type": "AFTER_SHARD_ID"})


def test_a_list_of_shards_goes_on_by_a_token_without_a_name(make: Make) -> None:
    stream = make(3)
    first = stream.client.list_shards(StreamName=stream.name, MaxResults=2)
    rest = stream.client.list_shards(NextToken=first["NextToken"], MaxResults=2)
    assert [shard["ShardId"] for shard in first["Shards"] + rest["Shards"]] == [FIRST, SECOND, THIRD]
    assert "NextToken" not in rest
    with refused("InvalidArgumentException"):
        stream.client.list_shards(StreamName=stream.name, NextToken=first["NextToken"])


def test_what_is_not_there_is_not_found(make: Make) -> None:
    stream = make()
    with refused("ResourceNotFoundException"):
        stream.client.describe_stream_summary(StreamName="none")
    with refused("ResourceNotFoundException"):
        stream.client.put_record(StreamName="none", PartitionKey="k", Data=b"x")
    with refused("ResourceNotFoundException"):
        stream.iterator(THIRD)


def test_a_record_is_as_large_as_the_stream_allows(make: Make) -> None:
    stream = make()
    large = {"StreamName": stream.name, "PartitionKey": "k", "Data": b"x" * (MIB + 1)}
    with refused("InvalidArgumentException"):
        stream.client.put_record(**large)
    stream.client.update_max_record_size(StreamARN=stream.arn, MaxRecordSizeInKiB=2048)
    stream.settle()
    stream.client.put_record(**large)
    assert stream.keys() == ["k"]


def test_records_are_kept_for_a_day_to_a_year(make: Make) -> None:
    stream = make()
    stream.client.increase_stream_retention_period(StreamName=stream.name, RetentionPeriodHours=8760)
    stream.settle()
    assert stream.summary()["RetentionPeriodHours"] == 8760
    for hours in (23, 8761):
        with refused("InvalidArgumentException"):
            stream.client.increase_stream_retention_period(StreamName=stream.name, RetentionPeriodHours=hours)
    with refused("InvalidArgumentException"):
        stream.client.increase_stream_retention_period(StreamName=stream.name, RetentionPeriodHours=24)
    stream.client.decrease_stream_retention_period(StreamName=stream.name, RetentionPeriodHours=24)
    stream.settle()
    assert stream.summary()["RetentionPeriodHours"] == 24


def test_a_stream_that_changes_refuses_another_change(make: Make) -> None:
    stream = make(2)
    quarter, rest = str(2**126), str(3 * 2**126)
    stream.client.split_shard(StreamName=stream.name, ShardToSplit=FIRST, NewStartingHashKey=quarter)
    with refused("ResourceInUseException"):
        stream.client.split_shard(StreamName=stream.name, ShardToSplit=SECOND, NewStartingHashKey=rest)
    stream.put("while it changes")
    stream.settle()
    with refused("ResourceInUseException"):
        stream.client.split_shard(StreamName=stream.name, ShardToSplit=FIRST, NewStartingHashKey=quarter)
    stream.client.split_shard(StreamName=stream.name, ShardToSplit=SECOND, NewStartingHashKey=rest)


def test_a_deleted_stream_is_gone_and_its_name_free(make: Make) -> None:
    stream = make()
    stream.client.delete_stream(StreamName=stream.name)
    while stream.name in stream.client.list_streams()["StreamNames"]:
        stream.wait(BETWEEN_CALLS)
    stream.client.create_stream(StreamName=stream.name, ShardCount=1)
