"""Parents are read before their children, and the shards that are furthest behind first."""

from ddb_assets.streams.position import BEGINNING, CLOSED, Position
from ddb_assets.streams.shards import Shard, after_parents, readable

LISTED = {
    shard.id: shard
    for shard in (
        Shard("0"),
        Shard("1"),
        Shard("2", ("0",)),
        Shard("3", ("0",)),
        Shard("4", ("3", "1")),
        Shard("5", ("expired",)),
        Shard("6", ("expired", "2")),
    )
}


def test_a_shard_can_be_read_when_all_its_parents_were_or_have_expired() -> None:
    assert readable(LISTED, Position({})) == ["0", "1", "5"]
    assert readable(LISTED, Position({"0": "99", "1": BEGINNING, "5": CLOSED})) == ["0", "1"]
    assert readable(LISTED, Position({"0": CLOSED})) == ["1", "2", "3", "5"]
    assert readable(LISTED, Position(dict.fromkeys("0125", CLOSED))) == ["3", "6"]
    assert readable(LISTED, Position(dict.fromkeys("0135", CLOSED))) == ["2", "4"]
    assert readable(LISTED, Position(dict.fromkeys("0123456", CLOSED))) == []


def test_the_shard_that_is_furthest_behind_comes_first() -> None:
    assert readable(LISTED, Position({}, {"0": 3, "1": 2, "5": 9})) == ["1", "0", "5"]
    assert readable(LISTED, Position({}, {"0": 3})) == ["1", "5", "0"]


def test_records_of_children_come_after_those_of_their_parents_whatever_their_numbers() -> None:
    after = after_parents(LISTED, {"0": 50, "3": 20, "1": 70, "2": 10})
    assert after == {"0": (0, 0), "1": (0, 0), "5": (0, 0), "2": (50, 1), "3": (50, 1), "4": (70, 2), "6": (50, 2)}
