"""A drain reads each record once, in order, and says so when one may have expired before."""

from collections.abc import Callable, Iterator
from itertools import repeat
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddb_assets.aws.errors import AwsError, AwsUnavailableError
from ddb_assets.streams.drain import Limits
from ddb_assets.streams.drained import Drained
from ddb_assets.streams.position import BEGINNING, Position, least
from ddb_assets_tests.streams.answered import ARN, NOTHING, Kinesis
from ddb_assets_tests.support.examples import examples

SHARDS = [f"shardId-{number:012d}" for number in range(5)]


def texts(found: Drained) -> list[str]:
    return [record.data.decode() for record in found.records]


def numbers(count: int, start: int = 0) -> list[str]:
    return [str(number) for number in range(start, start + count)]


def always(code: str, operation: str) -> Callable[[str, dict[str, Any]], str | None]:
    return lambda asked, _: code if asked == operation else None


def test_a_first_drain_reads_from_the_oldest_record() -> None:
    kinesis = Kinesis(shards=3)
    kinesis.put(*numbers(40))
    found = kinesis.drain()
    assert sorted(texts(found)) == sorted(numbers(40))
    assert found.caught_up
    kinds = {request["ShardIteratorType"] for name, request in kinesis.asked if name == "GetShardIterator"}
    assert kinds == {"TRIM_HORIZON"}
    assert {len(str(record.sequence)) for record in found.records} == {56}


def test_idle_drains_change_nothing() -> None:
    kinesis = Kinesis(shards=2)
    kinesis.put("a")
    position = kinesis.drain().moved(NOTHING)
    assert BEGINNING in position.shards.values()
    for _ in range(100):
        kinesis.pass_by(hours=20)
        found = kinesis.drain(position)
        moved = found.moved(position)
        assert (found.records, moved, moved.gap) == ([], position, None)
        assert moved.read_at.keys() == position.read_at.keys()
        position = moved


def test_children_are_read_in_the_same_drain_and_after_their_parents() -> None:
    kinesis = Kinesis()
    kinesis.put(*numbers(30))
    kinesis.cut(SHARDS[0])
    kinesis.put(*numbers(30, 30))
    kinesis.stream.merge(SHARDS[1], SHARDS[2])
    kinesis.put(*numbers(30, 60))
    found = kinesis.drain()
    assert texts(found) == numbers(90)
    assert found.caught_up
    asked = [request["ShardId"] for name, request in kinesis.asked if name == "GetShardIterator"]
    assert [asked[0], *sorted(asked[1:3]), asked[3]] == SHARDS[:4], "both parents are asked at once"
    moved = found.moved(NOTHING)
    assert [moved.is_closed(shard) for shard in SHARDS[:4]] == [True, True, True, False]


def test_a_child_waits_for_both_parents_over_several_drains() -> None:
    kinesis = Kinesis(shards=2)
    kinesis.put(*numbers(40))
    kinesis.stream.merge(SHARDS[0], SHARDS[1])
    kinesis.put(*numbers(10, 40))
    position, read = NOTHING, list[str]()
    for _ in range(12):
        found = kinesis.drain(position, Limits(records=5))
        position = found.moved(position)
        read += texts(found)
    assert sorted(read[:40]) == sorted(numbers(40))
    assert read[40:] == numbers(10, 40)


def test_a_shard_that_splits_while_it_is_read_is_followed_by_its_children() -> None:
    kinesis = Kinesis()
    kinesis.put("a")

    def reshard() -> None:
        if len(kinesis.stream.shards) == 1:
            kinesis.cut(SHARDS[0])
            kinesis.put(*numbers(20))

    kinesis.meanwhile = reshard
    assert texts(kinesis.drain()) == ["a", *numbers(20)]


def test_a_shard_that_merged_with_one_that_is_new_waits_for_both() -> None:
    """The drain has not seen the other parent when the first one ends."""
    kinesis = Kinesis(shards=2)
    kinesis.put(*numbers(10))

    def reshard() -> None:
        if len(kinesis.stream.shards) == 2:
            kinesis.cut(SHARDS[0])
            kinesis.put(*numbers(20, 10))
            kinesis.stream.merge(SHARDS[3], SHARDS[1])
            kinesis.put(*numbers(20, 30))

    kinesis.meanwhile = reshard
    assert texts(kinesis.drain()) == numbers(50)
    asked = [request["ShardId"] for name, request in kinesis.asked if name == "GetShardIterator"]
    assert asked.index(SHARDS[3]) < asked.index(SHARDS[4])


def test_positions_do_not_grow_with_resharding() -> None:
    kinesis = Kinesis()
    position = NOTHING
    for _ in range(8):
        open_shards = [shard.id for shard in kinesis.stream.shards.values() if shard.is_open]
        kinesis.put(*numbers(4))
        if len(open_shards) == 1:
            kinesis.cut(open_shards[0])
        else:
            kinesis.stream.merge(open_shards[0], open_shards[1])
        kinesis.pass_by(hours=11)
        position = kinesis.drain(position).moved(position)
        assert position.gap is None
        assert set(position.shards) == {shard.id for shard in kinesis.stream.listed()} == set(position.read_at)
    assert len(position.shards) < 6 < len(kinesis.stream.shards)


def test_a_parent_that_has_expired_does_not_hold_its_children_back() -> None:
    kinesis = Kinesis()
    kinesis.put("lost")
    kinesis.cut(SHARDS[0])
    kinesis.pass_by(hours=25)
    kinesis.put(*numbers(10))
    found = kinesis.drain()
    assert texts(found) == numbers(10)
    assert found.moved(NOTHING).gap is None  # nothing was read before, so nothing was promised


def test_a_shard_that_expires_after_it_was_listed_does_not_hold_its_children_back() -> None:
    kinesis = Kinesis()
    kinesis.put("lost")
    kinesis.cut(SHARDS[0])
    kinesis.pass_by(hours=23, minutes=59)
    kinesis.put(*numbers(10))
    plain = kinesis.answer

    def slow(operation: str, request: dict[str, Any]) -> dict[str, Any]:
        answer = plain(operation, request)
        if operation == "ListShards" and "NextToken" not in answer:
            kinesis.pass_by(minutes=2)
        return answer

    kinesis.answer = slow  # type: ignore[method-assign]
    found = kinesis.drain(limits=Limits(seconds=600))
    assert texts(found) == numbers(10)
    assert SHARDS[0] not in found.moved(NOTHING).shards


def test_no_lag_is_not_the_end_while_records_come() -> None:
    """Some servers answer MillisBehindLatest 0 while records are left."""
    kinesis = Kinesis()
    kinesis.put(*numbers(7))
    plain = kinesis.answer

    def short(operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "GetRecords":
            return {**plain(operation, {**request, "Limit": 3}), "MillisBehindLatest": 0}
        return plain(operation, request)

    kinesis.answer = short  # type: ignore[method-assign]
    assert texts(kinesis.drain()) == numbers(7)


def test_an_empty_answer_is_not_the_end_while_records_are_behind() -> None:
    kinesis = Kinesis()
    kinesis.put(*numbers(4))
    kinesis.stream.empty_pages = 3
    found = kinesis.drain()
    assert texts(found) == numbers(4)
    assert found.moved(NOTHING).gap is None


def test_writes_that_never_end_do_not_keep_a_drain_from_ending() -> None:
    kinesis = Kinesis()
    kinesis.put("before")
    kinesis.meanwhile = lambda: kinesis.put("later")
    found = kinesis.drain()
    assert texts(found) == ["before", "later"]
    assert found.caught_up


@pytest.mark.parametrize("limits", [Limits(records=11), Limits(bytes=5000), Limits(seconds=2)])
def test_limits_end_a_drain(limits: Limits) -> None:
    kinesis = Kinesis(shards=2)
    kinesis.stream.empty_pages = 20 if limits.seconds < 3 else 0
    for number in range(60):
        kinesis.stream.put(str(number), b"x" * 1000)
    began = kinesis.clock.micros()
    found = kinesis.drain(limits=limits)
    assert not found.caught_up
    assert len(found.records) < 60
    assert kinesis.clock.micros() - began < 5_000_000
    if limits.records == 11:
        assert len(found.records) == 11


def test_an_iterator_that_expires_is_made_again_after_the_last_record() -> None:
    kinesis = Kinesis()
    for number in range(12):
        kinesis.stream.put(str(number), b"%d" % number + b"x" * 1_000_000)  # more than one answer
    kinesis.meanwhile = lambda: kinesis.pass_by(minutes=6)
    found = kinesis.drain(limits=Limits(seconds=3600))
    assert [record.data.rstrip(b"x").decode() for record in found.records] == numbers(12)


def test_throttles_are_waited_for_without_asking_all_the_time() -> None:
    kinesis = Kinesis()
    kinesis.put(*numbers(3))
    failures = iter(["ProvisionedThroughputExceededException", "KMSThrottlingException"] * 4)
    kinesis.fault = lambda operation, _: next(failures, None) if operation == "GetRecords" else None
    began = kinesis.clock.micros()
    found = kinesis.drain()
    assert texts(found) == numbers(3)
    assert found.throttled == 8
    assert kinesis.clock.micros() - began > 8 * 200_000


def test_a_large_backlog_is_read_at_the_rate_that_a_shard_has() -> None:
    """The sandbox refuses calls for five seconds after 10 MiB, as Kinesis does: a drain does not try."""
    kinesis = Kinesis()
    for number in range(25):
        kinesis.stream.put(str(number), b"x" * 1_000_000)
    found = kinesis.drain()
    assert (len(found.records), found.throttled) == (25, 0)


@pytest.mark.parametrize("operation", ["DescribeStreamSummary", "ListShards", "GetShardIterator", "GetRecords"])
def test_a_stream_that_never_answers_is_an_error(operation: str) -> None:
    kinesis = Kinesis()
    kinesis.fault = always("LimitExceededException", operation)
    with pytest.raises(
        AwsUnavailableError, match=f"kinesis:{operation} on .*stream {kinesis.stream.name}: AWS is busy"
    ):
        kinesis.drain()
    assert 5 < len(kinesis.asked) < 160  # tried again, with pauses


def test_a_refused_call_is_an_error_at_once() -> None:
    kinesis = Kinesis()
    kinesis.fault = always("AccessDeniedException", "GetRecords")
    with pytest.raises(AwsError, match=r"refuses kinesis:GetRecords on shard .*: allow this action in IAM"):
        kinesis.drain()


def test_a_shard_that_does_not_answer_is_left_for_the_next_drain() -> None:
    kinesis = Kinesis(shards=2)
    kinesis.put(*numbers(20))
    kinesis.fault = lambda _, request: "LimitExceededException" if request.get("ShardId") == SHARDS[0] else None
    found = kinesis.drain()
    assert not found.caught_up
    assert set(found.stretches) == {SHARDS[1]}
    kinesis.fault = lambda _, __: None
    rest = kinesis.drain(found.moved(NOTHING))
    assert sorted(texts(found) + texts(rest)) == sorted(numbers(20))


def test_a_stream_is_read_by_its_arn_as_one_of_another_account_must_be() -> None:
    kinesis = Kinesis(shards=5)
    kinesis.put(*numbers(30))
    assert len(kinesis.drain(stream=ARN).records) == 30
    named = [request.get("StreamARN") for _, request in kinesis.asked if "NextToken" not in request]
    assert named == list(repeat(ARN, len(named)))


def test_a_missing_stream_is_said() -> None:
    with pytest.raises(AwsError, match="there is no stream other in this account"):
        Kinesis().drain(stream="other")


def test_a_stream_that_is_deleted_while_it_is_read_is_said() -> None:
    kinesis = Kinesis(shards=2)
    kinesis.put(*numbers(9))
    kinesis.meanwhile = kinesis.stream.delete
    with pytest.raises(AwsError, match=f"there is no stream {kinesis.stream.name} in this account"):
        kinesis.drain()


def test_shards_that_cannot_be_listed_again_do_not_cost_what_was_read() -> None:
    kinesis = Kinesis()
    kinesis.put(*numbers(9))
    kinesis.cut(SHARDS[0])
    kinesis.put(*numbers(9, 9))
    listed = iter([None, None])  # two pages, once
    kinesis.fault = lambda name, _: next(listed, "LimitExceededException") if name == "ListShards" else None
    found = kinesis.drain()
    assert texts(found)[:9] == numbers(9)
    kinesis.fault = lambda _, __: None
    assert texts(found) + texts(kinesis.drain(found.moved(NOTHING))) == numbers(18)


def test_the_lag_is_that_of_the_shard_that_is_furthest_behind() -> None:
    kinesis = Kinesis()
    kinesis.put(*numbers(5))
    kinesis.pass_by(seconds=90)
    found = kinesis.drain(limits=Limits(records=2))
    assert 90_000 <= found.behind_millis < 100_000
    assert found.newest_age is not None
    assert 90 <= found.newest_age < 100
    rest = kinesis.drain(found.moved(NOTHING))
    assert rest.behind_millis == 0


def test_a_position_that_has_expired_is_a_gap_and_reading_goes_on_with_the_oldest_record() -> None:
    kinesis = Kinesis()
    kinesis.put("read")
    position = kinesis.drain().moved(NOTHING)
    kinesis.put("lost")
    lost_at = kinesis.stream.shards[SHARDS[0]].records[-1].arrived
    kinesis.pass_by(hours=25)
    kinesis.put("kept")
    found = kinesis.drain(position)
    moved = found.moved(position)
    assert texts(found) == ["kept"]
    assert moved.gap is not None
    assert moved.gap.since <= lost_at <= moved.gap.until == found.records[0].arrived
    assert "expired before they were read" in moved.gap.reason
    assert kinesis.drain(moved).moved(moved).gap is None  # the warehouse remembers it


def test_a_sequence_number_that_kinesis_does_not_know_is_a_gap() -> None:
    kinesis = Kinesis()
    kinesis.put("a")
    unknown = Position({SHARDS[0]: "17"}, {SHARDS[0]: kinesis.clock.micros()})
    found = kinesis.drain(unknown)
    assert texts(found) == ["a"]
    gap = found.moved(unknown).gap
    assert gap is not None
    assert gap.since == unknown.read_at[SHARDS[0]]


def test_a_stream_that_was_created_again_is_a_gap_and_is_read_from_its_oldest_record() -> None:
    kinesis = Kinesis()
    kinesis.put(*numbers(9))
    kinesis.cut(SHARDS[0])
    position = kinesis.drain().moved(NOTHING)
    assert position.is_closed(SHARDS[0])
    kinesis.stream.delete()
    kinesis.pass_by(seconds=5)
    kinesis.create(1)
    kinesis.put("new")
    found = kinesis.drain(position)
    moved = found.moved(position)
    assert texts(found) == ["new"]
    assert moved.shards == {SHARDS[0]: str(found.records[0].sequence)}
    assert moved.gap is not None
    assert moved.gap.reason == f"{ARN} was created again"
    assert least([position, moved]) == NOTHING  # the old position says nothing about the new stream


def test_a_shard_that_vanished_with_unread_records_is_a_gap() -> None:
    kinesis = Kinesis()
    kinesis.put(*numbers(5))
    position = kinesis.drain(limits=Limits(records=2)).moved(NOTHING)
    kinesis.cut(SHARDS[0])
    kinesis.pass_by(hours=25)
    kinesis.put("kept")
    found = kinesis.drain(position)
    moved = found.moved(position)
    assert texts(found) == ["kept"]
    assert moved.gap is not None
    assert SHARDS[0] in moved.gap.reason
    assert SHARDS[0] not in moved.shards


def test_a_child_that_was_never_read_lacks_what_came_after_its_parent() -> None:
    """The parent's end is seen long after it was closed, and by then the child has records."""
    kinesis = Kinesis()
    kinesis.put("read")
    position = kinesis.drain().moved(NOTHING)
    kinesis.cut(SHARDS[0])
    kinesis.put("lost")
    [lost_at] = [shard.records[0].arrived for shard in kinesis.stream.shards.values() if shard.parent and shard.records]
    kinesis.pass_by(minutes=5)
    children = (SHARDS[1], SHARDS[2])
    kinesis.fault = lambda _, request: "LimitExceededException" if request.get("ShardId") in children else None
    position = kinesis.drain(position).moved(position)
    assert position.is_closed(SHARDS[0])
    assert position.gap is None
    kinesis.pass_by(hours=25)
    kinesis.fault = lambda _, __: None
    gap = kinesis.drain(position).moved(position).gap
    assert gap is not None
    assert gap.since <= lost_at <= gap.until


def test_a_gap_of_one_table_is_none_of_another() -> None:
    kinesis = Kinesis()
    kinesis.put("a")
    behind = kinesis.drain().moved(NOTHING)
    kinesis.pass_by(hours=20)
    kinesis.put("b")
    ahead = kinesis.drain(behind).moved(behind)
    kinesis.pass_by(hours=20)
    kinesis.put("c")
    found = kinesis.drain(least([behind, ahead]))
    assert texts(found) == ["b", "c"]
    assert found.moved(behind).gap is not None
    assert found.moved(ahead).gap is None
    assert found.moved(NOTHING).gap is None


class Writer:
    """Random writes and reshardings; `arrived` has the time of each record, by its name."""

    def __init__(self, random: Random, shards: int) -> None:
        self.random, self.kinesis = random, Kinesis(shards)
        self.arrived: dict[str, int] = {}

    def act(self) -> None:
        stream = self.kinesis.stream
        open_shards = sorted((s for s in stream.shards.values() if s.is_open), key=lambda s: s.first_hash)
        choice = self.random.random()
        if choice < 0.12:
            self.kinesis.cut(self.random.choice(open_shards).id)
        elif choice < 0.24 and len(open_shards) > 1:
            place = self.random.randrange(len(open_shards) - 1)
            stream.merge(open_shards[place].id, open_shards[place + 1].id)
        else:
            for _ in range(self.random.randrange(12)):
                key = f"k{self.random.randrange(9)}"
                name = f"{key} {len(self.arrived)}"
                self.arrived[name] = stream.put(key, name.encode())[1].arrived


def chain(writer: Writer, *, expiring: bool) -> Iterator[tuple[Drained, Position]]:
    """Bounded drains between and during writes until all is read, with the position before each."""
    random, kinesis, position = writer.random, writer.kinesis, NOTHING

    def fault(operation: str, _: object) -> str | None:
        if operation != "GetRecords" or random.random() > 0.15:
            return None
        return random.choice(["ProvisionedThroughputExceededException", "ExpiredIteratorException"])

    def meanwhile() -> None:
        if random.random() < 0.2:
            writer.act()

    kinesis.fault, kinesis.meanwhile = fault, meanwhile
    for _ in range(random.randrange(4, 14)):
        for _ in range(random.randrange(4)):
            writer.act()
        if expiring:
            kinesis.pass_by(hours=random.choice([0, 1, 9, 25]))
        found = kinesis.drain(position, Limits(records=random.choice([1, 3, 7, 40])))
        yield found, position
        position = found.moved(position)
    kinesis.meanwhile = lambda: None
    while True:
        found = kinesis.drain(position)
        yield found, position
        position = found.moved(position)
        if found.caught_up:
            return


@pytest.mark.slow
@pytest.mark.soak
@settings(max_examples=examples(12, 1 / 8))
@given(st.integers(0, 1 << 32), st.integers(1, 4))
def test_each_record_is_read_once_and_in_the_order_of_its_key(seed: int, shards: int) -> None:
    writer = Writer(Random(seed), shards)
    read: list[str] = []
    for found, position in chain(writer, expiring=False):
        read += texts(found)
        moved = found.moved(position)
        assert moved.gap is None
        assert found.moved(moved) == moved
    assert sorted(read) == sorted(writer.arrived)
    by_key: dict[str, list[int]] = {}
    for key, number in (text.split() for text in read):
        by_key.setdefault(key, []).append(int(number))
    assert all(order == sorted(order) for order in by_key.values())


@pytest.mark.slow
@pytest.mark.soak
@settings(max_examples=examples(12, 1 / 8))
@given(st.integers(0, 1 << 32), st.integers(1, 4))
def test_whatever_expired_unread_lies_in_a_gap(seed: int, shards: int) -> None:
    writer = Writer(Random(seed), shards)
    read: set[str] = set()
    began = None
    gaps = []
    for found, position in chain(writer, expiring=True):
        began = found.began if began is None else began
        assert not read.intersection(texts(found))
        read.update(texts(found))
        gaps += [gap] if (gap := found.moved(position).gap) else []
    lost = [time for name, time in writer.arrived.items() if name not in read and time >= (began or 0)]
    assert all(any(gap.since <= time <= gap.until for gap in gaps) for time in lost)
