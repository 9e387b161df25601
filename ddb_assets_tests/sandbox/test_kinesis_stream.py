"""The sandbox's stream behaves as Kinesis does where readers are often wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from ddb_assets.sandbox.api_error import ApiError
from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.kinesis_shard import MIB
from ddb_assets.sandbox.kinesis_stream import HASHES, Answer, KinesisStream

FIRST = "shardId-000000000000"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(ApiError) as raised:
        yield
    assert raised.value.code == code


def keys_of(answer: Answer) -> list[str]:
    return [record.partition_key for record in answer.records]


def read(stream: KinesisStream, shard: str, clock: Clock, limit: int = 10_000) -> tuple[list[str], Answer]:
    """All records of a shard from its oldest, page by page, and the last answer."""
    found: list[str] = []
    answer = stream.records(stream.iterator(shard, "TRIM_HORIZON"), limit)
    while True:
        found += keys_of(answer)
        if answer.iterator is None or (not answer.records and answer.behind_millis == 0):
            return found, answer
        clock.advance(timedelta(milliseconds=250))
        answer = stream.records(answer.iterator, limit)


def test_sequence_numbers_have_56_digits_and_grow(clock: Clock) -> None:
    stream = KinesisStream("s", clock)
    numbers = [stream.put("k", b"x")[1].sequence for _ in range(20)]
    assert numbers == sorted(set(numbers))
    assert {len(str(number)) for number in numbers} == {56}


def test_a_reader_that_stops_at_an_empty_page_or_at_no_lag_stops_too_early(clock: Clock) -> None:
    stream = KinesisStream("s", clock)
    for number in range(7):
        stream.put(str(number), b"x")
    answer = stream.records(stream.iterator(FIRST, "TRIM_HORIZON"), 3)
    assert keys_of(answer) == ["0", "1", "2"]
    assert answer.iterator is not None
    found, last = read(stream, FIRST, clock, 3)
    assert found == list("0123456")
    assert last.iterator is not None


def test_a_split_closes_the_parent_and_its_end_names_the_children(clock: Clock) -> None:
    stream = KinesisStream("s", clock)
    for number in range(40):
        stream.put(f"before {number}", b"x")
    stream.split(FIRST, HASHES // 2)
    for number in range(40):
        stream.put(f"after {number}", b"x")
    found, last = read(stream, FIRST, clock)
    assert found == [f"before {number}" for number in range(40)]
    assert last.iterator is None
    assert [child.id for child in last.children] == ["shardId-000000000001", "shardId-000000000002"]
    halves = [read(stream, child.id, clock)[0] for child in last.children]
    assert all(halves)
    assert sorted(halves[0] + halves[1]) == sorted(f"after {number}" for number in range(40))
    assert [shard.is_open for shard in stream.shards.values()] == [False, True, True]
    with refused("ResourceInUseException"):
        stream.split(FIRST, HASHES // 4)


def test_a_merged_shard_has_two_parents(clock: Clock) -> None:
    stream = KinesisStream("s", clock, shards=3)
    with refused("InvalidArgumentException"):
        stream.merge(FIRST, "shardId-000000000002")
    stream.merge("shardId-000000000001", FIRST)
    child = stream.shards["shardId-000000000003"]
    assert {child.parent, child.adjacent_parent} == {FIRST, "shardId-000000000001"}
    assert (child.first_hash, child.last_hash) == (0, stream.shards["shardId-000000000002"].first_hash - 1)
    for parent in (FIRST, "shardId-000000000001"):
        assert [shard.id for shard in read(stream, parent, clock)[1].children] == [child.id]


def test_an_iterator_expires_after_five_minutes(clock: Clock) -> None:
    stream = KinesisStream("s", clock)
    token = stream.iterator(FIRST, "TRIM_HORIZON")
    clock.advance(timedelta(seconds=299))
    assert stream.records(token).records == []
    clock.advance(timedelta(seconds=2))
    with refused("ExpiredIteratorException"):
        stream.records(token)


def test_a_shard_answers_five_times_a_second(clock: Clock) -> None:
    stream = KinesisStream("s", clock, shards=2)
    tokens = [stream.iterator(shard, "LATEST") for shard in stream.shards]
    for _ in range(5):
        stream.records(tokens[0])
    with refused("ProvisionedThroughputExceededException"):
        stream.records(tokens[0])
    stream.records(tokens[1])
    clock.advance(timedelta(seconds=1))
    stream.records(tokens[0])


def test_an_answer_of_10_mib_is_followed_by_a_pause(clock: Clock) -> None:
    stream = KinesisStream("s", clock)
    for _ in range(12):
        stream.put("k", b"x" * (MIB - 1))
    answer = stream.records(stream.iterator(FIRST, "TRIM_HORIZON"))
    assert len(answer.records) == 10
    assert answer.iterator is not None
    clock.advance(timedelta(seconds=4))
    with refused("ProvisionedThroughputExceededException"):
        stream.records(answer.iterator)
    clock.advance(timedelta(seconds=1))
    assert len(stream.records(answer.iterator).records) == 2


def test_an_answer_of_2_mib_is_followed_by_no_pause(clock: Clock) -> None:
    stream = KinesisStream("s", clock)
    for _ in range(4):
        stream.put("k", b"x" * (MIB - 1))
    answer = stream.records(stream.iterator(FIRST, "TRIM_HORIZON"), 2)
    assert answer.iterator is not None
    assert len(stream.records(answer.iterator).records) == 2


def test_a_record_with_its_key_has_at_most_the_size_of_the_stream(clock: Clock) -> None:
    stream = KinesisStream("s", clock)
    with refused("InvalidArgumentException"):
        stream.put("k", b"x" * MIB)
    stream.max_record = 10 * MIB
    stream.put("k", b"x" * MIB)


def test_expired_records_are_gone_and_a_position_before_them_is_the_oldest_that_is_left(clock: Clock) -> None:
    stream = KinesisStream("s", clock)
    _, before = stream.put("before", b"x")
    stream.put("old", b"x")
    clock.advance(timedelta(hours=25))
    stream.put("new", b"x")
    token = stream.iterator(FIRST, "AFTER_SEQUENCE_NUMBER", before.sequence)
    assert keys_of(stream.records(token)) == ["new"]
    assert len(stream.shards[FIRST].records) == 1


def test_a_closed_shard_is_gone_when_its_records_have_expired(clock: Clock) -> None:
    stream = KinesisStream("s", clock)
    stream.split(FIRST, HASHES // 2)
    clock.advance(timedelta(hours=23))
    assert len(stream.listed()) == 3
    clock.advance(timedelta(hours=2))
    assert [shard.id for shard in stream.listed()] == ["shardId-000000000001", "shardId-000000000002"]
    with refused("ResourceNotFoundException"):
        stream.iterator(FIRST, "TRIM_HORIZON")


def test_a_stream_of_the_same_name_knows_no_sequence_number_and_no_iterator_of_the_former(clock: Clock) -> None:
    former = KinesisStream("s", clock)
    _, record = former.put("k", b"x")
    stream = KinesisStream("s", clock)
    with refused("InvalidArgumentException"):
        stream.iterator(FIRST, "AFTER_SEQUENCE_NUMBER", record.sequence)
    with refused("ExpiredIteratorException"):
        stream.records(former.iterator(FIRST, "LATEST"))


def test_an_empty_answer_does_not_say_that_there_is_nothing(clock: Clock) -> None:
    stream = KinesisStream("s", clock)
    stream.put("k", b"x")
    stream.empty_pages = 2
    answer = stream.records(stream.iterator(FIRST, "TRIM_HORIZON"))
    for _ in range(2):
        assert (answer.records, answer.behind_millis > 0) == ([], True)
        assert answer.iterator is not None
        answer = stream.records(answer.iterator)
    assert keys_of(answer) == ["k"]


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_a_resized_stream_has_shards_of_one_size_and_loses_nothing(clock: Clock, count: int) -> None:
    stream = KinesisStream("s", clock, shards=3)
    for number in range(30):
        stream.put(f"before {number}", b"x")
    stream.resize(count)
    for number in range(30):
        stream.put(f"after {number}", b"x")
    ranges = sorted((s.first_hash, s.last_hash) for s in stream.shards.values() if s.is_open)
    assert ranges == [(HASHES * n // count, HASHES * (n + 1) // count - 1) for n in range(count)]
    found = [key for shard in stream.shards for key in read(stream, shard, clock)[0]]
    assert sorted(found) == sorted(f"{when} {n}" for when in ("before", "after") for n in range(30))
    with refused("InvalidArgumentException"):
        stream.resize(2 * count + 1)


def test_a_changing_stream_refuses_another_change_and_takes_records(clock: Clock) -> None:
    stream = KinesisStream("s", clock, delay=timedelta(seconds=1000))
    assert stream.status == "CREATING"
    clock.advance(timedelta(seconds=1000))
    stream.split(FIRST, HASHES // 2)
    assert stream.status == "UPDATING"
    stream.put("k", b"x")
    with refused("ResourceInUseException"):
        stream.split("shardId-000000000001", HASHES // 4)
    clock.advance(timedelta(seconds=1000))
    stream.split("shardId-000000000001", HASHES // 4)
