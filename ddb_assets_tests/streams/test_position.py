"""Positions in a stream move forwards only, and are compared as numbers."""

from ddb_assets.streams.position import BEGINNING, CLOSED, Gap, Position, least

NINE, TEN = "9" * 55, "1" + "0" * 55  # as text, the smaller number would be the larger one


def test_a_position_never_moves_back() -> None:
    position = Position({}).moved({"a": NINE, "b": "5"}).moved({"a": TEN}).moved({"a": NINE, "b": "5"})
    assert (position.after("a"), position.after("b"), position.after("c")) == (TEN, "5", None)


def test_a_closed_shard_stays_closed() -> None:
    position = Position({"a": "7"}).moved({"a": CLOSED}).moved({"a": TEN})
    assert position.is_closed("a")
    assert position.after("a") is None


def test_a_shard_without_records_is_read_from_its_oldest_record_next_time() -> None:
    position = Position({}).moved({"a": BEGINNING, "b": BEGINNING}).moved({"b": NINE}).moved({"b": BEGINNING})
    assert (position.after("a"), position.after("b")) == (None, NINE)
    assert (position.last("a"), position.last("b"), position.last("c")) == (0, int(NINE), 0)


def test_tables_are_read_together_from_the_position_that_is_furthest_behind() -> None:
    one = Position({"a": NINE, "b": CLOSED, "c": "7"}, {"a": 5, "b": 6, "c": 7}, created=1)
    other = Position({"a": TEN, "b": "3", "d": CLOSED}, {"a": 9, "b": 2, "d": 4}, created=1)
    both = least([one, other])
    assert both == least([other, one]) == Position({"a": NINE, "b": "3"})
    assert both.read_at == {"a": 5, "b": 2}
    assert least([one]) == one
    assert least([one, Position({})]) == Position({})


def test_a_position_in_an_earlier_stream_of_the_same_name_says_nothing_about_this_one() -> None:
    before, today = Position({"a": "5"}, created=1), Position({"a": "8"}, created=2)
    assert least([before, today]) == Position({})
    assert least([before]) == before
    assert least([today, today]).created == 2


def test_two_gaps_are_one_that_covers_both() -> None:
    assert Gap(5, 7, "first").joined(Gap(3, 6, "second")) == Gap(3, 7, "second")
    assert Gap(5, 7, "first").joined(None) == Gap(5, 7, "first")
