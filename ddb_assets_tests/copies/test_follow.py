"""`ddb-assets copy --follow`: a copy that goes on with the changes of its source, until it takes its place."""

import json
import random
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from ddb_assets.copies.following import follow, followed_stream
from ddb_assets.copies.following.follow_state import FollowState
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.sandbox.stream_faults import Faults
from ddb_assets_tests.copies.commands import copy
from ddb_assets_tests.copies.copying import ID, Item, KilledError, World, random_items
from ddb_assets_tests.sandbox.streaming import Stream, until
from ddb_assets_tests.support.fault_proxy import Fault, Schedule, fault_proxy

pytestmark = pytest.mark.usefixtures("no_faults", "environment", "impatient")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with Sandbox(export_delay=timedelta(seconds=0.02)) as sandbox, fault_proxy(sandbox.endpoint_url) as proxy:
        yield World(sandbox, proxy)


@pytest.fixture(autouse=True)
def short(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "EVERY", 0.05)
    monkeypatch.setattr(follow, "QUIET", 0.25)


@pytest.fixture(autouse=True)
def kinesis_past_the_proxy(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy knows DynamoDB only."""
    for service in ("KINESIS", "DYNAMODB_STREAMS"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", world.sandbox.endpoint_url)


def some(count: int = 40, seed: int = 1) -> list[Item]:
    return random_items(random.Random(seed), ID, count)


def with_own_stream(world: World, items: list[Item], view: str = "NEW_IMAGE") -> tuple[str, str]:
    """A table with a stream of its own, and what names that."""
    table = world.table(ID, (), StreamSpecification={"StreamEnabled": True, "StreamViewType": view})
    world.put(table, items)
    return table, "dynamodb"


def with_kinesis(world: World, items: list[Item], shards: int = 2) -> tuple[str, str]:
    """A table that writes to a Kinesis stream, whose name is returned too."""
    table = world.table(ID, items)
    stream = Stream.created(world.sandbox.kinesis(), lambda _: None, shards)
    enabled(world, table, stream)
    return table, stream.name


def enabled(world: World, table: str, stream: Stream, precision: str = "MICROSECOND") -> None:
    world.direct.enable_kinesis_streaming_destination(
        TableName=table,
        StreamArn=stream.arn,
        EnableKinesisStreamingConfiguration={"ApproximateCreationDateTimePrecision": precision},
    )

    def active() -> bool:
        found = world.direct.describe_kinesis_streaming_destination(TableName=table)["KinesisDataStreamDestinations"]
        return bool(found[0]["DestinationStatus"] == "ACTIVE")

    until(active)


def change(world: World, table: str, rng: random.Random, count: int) -> None:
    """Random writes and deletes, few of them on new keys."""
    for number in range(count):
        key = {"id": {"S": f"k{rng.randint(0, 60)}é"}}
        if rng.random() < 0.3:
            world.direct.delete_item(TableName=table, Key=key)
        else:
            world.direct.put_item(TableName=table, Item={**key, "n": {"N": str(number)}, "b": {"B": rng.randbytes(3)}})


@contextmanager
def changing(world: World, table: str, seed: int, count: int = 80) -> Iterator[None]:
    """The table changes in the meantime."""
    thread = threading.Thread(target=change, args=(world, table, random.Random(seed), count))
    thread.start()
    try:
        yield
    finally:
        thread.join()


def followed(source: str, destination: str, stream: str, *more: str) -> Result:
    return copy(source, destination, "--follow", stream, "--until-caught-up", "--verify=all", *more)


def looks(done: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [with_own_stream, with_kinesis])
@pytest.mark.parametrize("seed", [1])
def test_the_copy_ends_as_the_source_that_changes_meanwhile(world: World, kind: Any, seed: int) -> None:
    """Whatever is repeated or late on the way; and again, from where it was, when it changes again."""
    source, stream = kind(world, some())
    if kind is with_kinesis:
        arn = world.sandbox.kinesis().describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"][
            "StreamARN"
        ]
        world.sandbox.set_stream_faults(arn, Faults(repeated=0.2, late=0.2, seed=seed))
    destination = world.table(ID, [{"id": {"S": "k1é"}, "old": {"S": "from before"}}])
    world.proxy.schedule = Schedule(
        seed, rate=0.1, page_limit=3, operations=frozenset({"Scan", "BatchWriteItem", "BatchGetItem"})
    )
    with changing(world, source, seed):
        first = copy(source, destination, "--follow", stream, "--until-caught-up", "--clean=extra", "--yes", "--json")
    if kind is with_kinesis:
        world.sandbox.set_stream_faults(arn, Faults())  # what was late arrives
    done = followed(source, destination, stream, "--clean=extra", "--yes", "--json")
    assert done.exit_code == 0, (first.output, done.output)
    assert world.items(destination) == world.items(source)
    read = world.proxy.requests["Scan"]
    change(world, source, random.Random(seed + 10), 30)
    again = followed(source, destination, stream, "--clean=extra", "--yes", "--json")
    assert again.exit_code == 0, again.output
    assert world.items(destination) == world.items(source)
    assert looks(again)[-1]["applied"] > looks(done)[-1]["applied"]
    assert "report" not in again.stdout
    assert world.proxy.requests["Scan"] > read  # it is only compared


def test_an_older_change_that_arrives_later_does_not_win(world: World) -> None:
    source, stream = with_kinesis(world, [], 1)
    destination = world.table()
    assert followed(source, destination, stream).exit_code == 0
    arn = world.sandbox.kinesis().describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    world.sandbox.set_stream_faults(arn, Faults(late=1))
    world.put(source, [{"id": {"S": "a"}, "v": {"S": "old"}}])
    world.sandbox.set_stream_faults(arn, Faults(late=1))
    records = world.sandbox.kinesis()
    world.put(source, [{"id": {"S": "a"}, "v": {"S": "new"}}])
    world.sandbox.set_stream_faults(arn, Faults())
    shard = records.list_shards(StreamName=stream)["Shards"][0]["ShardId"]
    world.sandbox.clock.advance(timedelta(seconds=1))  # a shard gives five iterators a second
    start = records.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    sent = [record["Data"] for record in records.get_records(ShardIterator=start["ShardIterator"])["Records"]]
    assert followed(source, destination, stream).exit_code == 0
    old = next(data for data in sent if b'"old"' in data)
    records.put_record(StreamName=stream, PartitionKey="a", Data=old)  # as a retry of DynamoDB would
    done = followed(source, destination, stream, "--json")
    assert done.exit_code == 0, done.output
    assert world.items(destination) == world.items(source)
    assert sum(look.get("outdated", 0) for look in looks(done)) == 1


def test_changes_of_before_the_copy_are_left_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest change before it is not in the stream, which was switched off for a time."""
    monkeypatch.setattr(followed_stream, "SKEW", 0)
    source, name = with_kinesis(world, [], 1)
    stream = Stream(world.sandbox.kinesis(), name, lambda _: None)
    world.put(source, [{"id": {"S": "a"}, "v": {"S": "in the stream"}}])
    world.direct.disable_kinesis_streaming_destination(TableName=source, StreamArn=stream.arn)
    world.put(source, [{"id": {"S": "a"}, "v": {"S": "newer"}}])
    time.sleep(0.05)
    enabled(world, source, stream)
    time.sleep(1.1)  # AWS's answers have their time in seconds
    destination = world.table()
    done = followed(source, destination, name, "--json")
    assert done.exit_code == 0, done.output
    assert looks(done)[1]["records"] == 1
    assert looks(done)[-1]["applied"] == 0
    assert world.items(destination) == world.items(source)


def test_ctrl_c_ends_it_and_the_same_command_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    source, stream = with_own_stream(world, some())
    destination = world.table()

    look = follow.Follower.look

    def interrupted(follower: follow.Follower) -> follow.Looked:
        if follower.following.applied:
            raise KeyboardInterrupt
        return look(follower)

    with monkeypatch.context() as patch:
        patch.setattr(follow.Follower, "look", interrupted)
        stopped = copy(source, destination, "--follow", stream)
    assert stopped.exit_code == 0, stopped.output
    assert "interrupted: the same command goes on from here" in stopped.output
    assert world.items(destination) == world.items(source)
    change(world, source, random.Random(3), 30)
    written = world.proxy.requests["BatchWriteItem"]
    assert followed(source, destination, stream).exit_code == 0
    assert world.items(destination) == world.items(source)
    assert 1 <= world.proxy.requests["BatchWriteItem"] - written <= 3


def test_a_killed_run_applies_again_what_it_had_not_noted(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, stream = with_kinesis(world, some())
    destination = world.table()
    assert followed(source, destination, stream).exit_code == 0
    change(world, source, random.Random(4), 40)

    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(FollowState, "save", killed)
        patch.setattr(tempfile, "tempdir", str(tmp_path))  # where the traceback goes
        assert copy(source, destination, "--follow", stream).exit_code == 70
    assert followed(source, destination, stream).exit_code == 0
    assert world.items(destination) == world.items(source)


def test_changes_that_cannot_be_written_are_not_skipped(world: World) -> None:
    source, stream = with_own_stream(world, some())
    destination = world.table()
    assert followed(source, destination, stream).exit_code == 0
    change(world, source, random.Random(5), 20)
    world.proxy.schedule = Schedule(
        rate=1.0, faults=frozenset({Fault.THROTTLED}), operations=frozenset({"BatchWriteItem"})
    )
    failed = followed(source, destination, stream, "--deadline", "0.2")
    assert failed.exit_code == 1
    world.proxy.schedule = Schedule()
    world.put(source, [{"id": {"S": "both"}, "x": {"N": "1"}, "y": {"N": "2"}}])
    done = followed(source, destination, stream)
    assert done.exit_code == 0, done.output
    assert world.items(destination) == world.items(source)


def test_a_change_that_the_copy_refuses_is_named_and_mended_by_a_later_one(world: World) -> None:
    source, stream = with_own_stream(world, some(3))
    destination = world.table()
    renamed = ("--rename", "x=y")
    assert followed(source, destination, stream, *renamed).exit_code == 0
    world.put(source, [{"id": {"S": "both"}, "x": {"N": "1"}, "y": {"N": "2"}}])
    failed = followed(source, destination, stream, *renamed)
    assert failed.exit_code == 1
    assert '{"id":{"S":"both"}}' in failed.output
    assert "would be called 'y'" in failed.output
    world.put(source, [{"id": {"S": "both"}, "x": {"N": "1"}}])
    assert followed(source, destination, stream, *renamed).exit_code == 0
    assert {"id": {"S": "both"}, "y": {"N": "1"}} in world.direct.scan(TableName=destination)["Items"]


def test_an_earlier_copy_that_was_not_finished_is_not_continued(world: World) -> None:
    """What it had read was read before the stream's place was noted."""
    source, stream = with_own_stream(world, some())
    destination = world.table()
    world.proxy.schedule = Schedule(
        page_limit=5, rate=1.0, spared=4, faults=frozenset({Fault.THROTTLED}), operations=frozenset({"Scan"})
    )
    assert copy(source, destination, "--segments", "1", "--deadline", "0.1").exit_code == 1
    world.proxy.schedule = Schedule()
    done = followed(source, destination, stream, "--segments", "1", "--json")
    assert done.exit_code == 0, done.output
    assert looks(done)[0]["report"]["resumed"] is False
    assert looks(done)[0]["report"]["written"] == 40


def test_records_that_expired_end_it(world: World, tmp_path: Path) -> None:
    """It was not run for 30 hours."""
    source, stream = with_own_stream(world, some(3))
    destination = world.table()
    assert followed(source, destination, stream).exit_code == 0
    world.put(source, [{"id": {"S": "lost"}}])
    world.sandbox.clock.advance(timedelta(hours=30))
    [path] = tmp_path.rglob("*.follow.sqlite")
    with closing(sqlite3.connect(path)) as rows, rows:
        [(text,)] = rows.execute("SELECT state FROM following")
        state = json.loads(text)
        state["read_at"] = {shard: then - 30 * 3_600_000_000 for shard, then in state["read_at"].items()}
        rows.execute("UPDATE following SET state = ?", (json.dumps(state),))
    failed = followed(source, destination, stream)
    assert failed.exit_code == 1
    assert "may be lost" in failed.output
    assert "begin again with --restart" in failed.output
    done = followed(source, destination, stream, "--restart")
    assert done.exit_code == 0, done.output
    assert world.items(destination) == world.items(source)


def test_a_stream_that_was_switched_off_ends_it(world: World) -> None:
    """It has no more changes, and that is not the end of them."""
    source, stream = with_own_stream(world, some(3))
    destination = world.table()
    assert followed(source, destination, stream).exit_code == 0
    world.direct.update_table(TableName=source, StreamSpecification={"StreamEnabled": False})
    world.put(source, [{"id": {"S": "not in the stream"}}])
    off = followed(source, destination, stream)
    assert off.exit_code == 1
    assert "is disabled, so later changes are missing" in off.output
    world.direct.update_table(
        TableName=source, StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    )
    another = followed(source, destination, stream)
    assert another.exit_code == 1
    assert "stream: " in another.output
    assert "--restart" in another.output
    assert followed(source, destination, stream, "--restart").exit_code == 0
    assert world.items(destination) == world.items(source)


def test_a_table_that_stopped_writing_to_kinesis_and_began_again_is_not_followed_on(world: World) -> None:
    """What it changed meanwhile is in no record."""
    source, name = with_kinesis(world, some(3), 1)
    stream = Stream(world.sandbox.kinesis(), name, lambda _: None)
    destination = world.table()
    assert followed(source, destination, name).exit_code == 0
    world.direct.disable_kinesis_streaming_destination(TableName=source, StreamArn=stream.arn)
    until(lambda: "DISABLED" in str(world.direct.describe_kinesis_streaming_destination(TableName=source)))
    world.put(source, [{"id": {"S": "in no record"}}])
    off = followed(source, destination, name)
    assert off.exit_code == 1
    assert "is DISABLED there" in off.output
    world.direct.enable_kinesis_streaming_destination(
        TableName=source,
        StreamArn=stream.arn,
        EnableKinesisStreamingConfiguration={"ApproximateCreationDateTimePrecision": "MICROSECOND"},
    )
    until(lambda: "ACTIVE" in str(world.direct.describe_kinesis_streaming_destination(TableName=source)))
    on = followed(source, destination, name)
    assert on.exit_code == 1
    assert "Changes may be missing since then: begin again with --restart" in on.output
    assert followed(source, destination, name, "--restart").exit_code == 0
    assert world.items(destination) == world.items(source)


def test_several_tables_may_write_to_one_stream(world: World) -> None:
    source, name = with_kinesis(world, some(5))
    other = world.table(ID, some(2))
    stream = Stream(world.sandbox.kinesis(), name, lambda _: None)
    enabled(world, other, stream)
    destination = world.table()
    assert followed(source, destination, name).exit_code == 0
    world.put(other, [{"id": {"S": "theirs"}}])
    world.put(source, [{"id": {"S": "ours"}}])
    done = followed(source, destination, name)
    assert done.exit_code == 0, done.output
    assert world.items(destination) == world.items(source)
    assert "1 of other tables" in done.output
    stream.put("no change of a table")
    foreign = followed(source, destination, name)
    assert foreign.exit_code == 1
    assert "is no change of a table" in foreign.output


def test_what_cannot_be_followed_is_refused_before_anything_is_written(world: World) -> None:
    source, stream = with_own_stream(world, some(3), "KEYS_ONLY")
    plain, destination = world.table(ID, some(3)), world.table()
    assert "is KEYS_ONLY" in followed(source, destination, stream).output
    assert "ddb-assets stream enable" in followed(plain, destination, "dynamodb").output
    kinesis = Stream.created(world.sandbox.kinesis(), lambda _: None)
    assert "does not write to it" in followed(plain, destination, kinesis.name).output
    enabled(world, plain, kinesis, "MILLISECOND")
    assert "milliseconds" in followed(plain, destination, kinesis.name).output
    good, own = with_own_stream(world, some(3))
    assert "without --filter" in followed(good, destination, own, "--filter", "attribute_exists(id)").output
    for options in (("--dry-run",), ("--from-deleted",)):
        assert copy(good, destination, "--follow", own, *options).exit_code == 2
    assert copy(good, destination, "--until-caught-up").exit_code == 2
    assert not world.items(destination)


def test_tables_that_differ_at_the_end_fail(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else writes into the copy."""
    source, stream = with_own_stream(world, some(5))
    destination = world.table()
    monkeypatch.setattr(follow, "QUIET", 0.1)
    assert followed(source, destination, stream).exit_code == 0
    item = world.direct.scan(TableName=destination)["Items"][0]
    world.direct.delete_item(TableName=destination, Key={"id": item["id"]})
    failed = followed(source, destination, stream)
    assert failed.exit_code == 1
    assert "1 missing" in failed.output
    assert "stop all writes to the source" in failed.output
