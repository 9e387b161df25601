"""Records of a stream in ClickHouse, which has no transactions: rows and position move together, whoever dies."""

from contextlib import suppress

import pytest

from ddb_assets.contract.durable import NewerFormatError
from ddb_assets.contract.report import Report
from ddb_assets.streams.position import Position
from ddb_assets.warehouse.clickhouse import of_streams
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets.warehouse.errors import InterruptedLoadError, StreamMovedError
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets_tests.support.clickhouse import again
from ddb_assets_tests.support.engines import read
from ddb_assets_tests.support.examples import SOAK
from ddb_assets_tests.warehouse.exports import BASE_MICROS, Item, Source, at
from ddb_assets_tests.warehouse.test_clickhouse import KilledError, dying, paused, take_away, watched

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders-cdc"
HOUR = 3600 * 1_000_000
Change = tuple[str, int, Item | None]


class Read:
    """What is read of a stream of one shard: each landing follows the one before."""

    def __init__(self, source: Source) -> None:
        self.source, self.number = source, 0

    def landing(self, *changes: Change) -> tuple[Report, Moved]:
        times = [time for _, time, _ in changes]
        span = at(min(times) - 1), at(max(times) + 1)
        return self.source.landing(changes, span, f"landing-{self.number}"), self.move()

    def move(self) -> Moved:
        start = Position({"shard-0": str(self.number)} if self.number else {})
        self.number += 1
        return Moved(ARN, start, Position({"shard-0": str(self.number)}, {"shard-0": BASE_MICROS + HOUR}))


@pytest.fixture
def stream(source: Source) -> Read:
    return Read(source)


def test_a_reader_sees_all_of_a_landing_or_nothing(clickhouse: ClickHouseWarehouse, stream: Read) -> None:
    clickhouse.load_stream(*stream.landing(("a", 1, Item("old", ("x", "y"))), ("b", 2, Item("old", ("x",)))))
    old, seen = read(clickhouse), []
    landing = stream.landing(("a", 3, Item("new", ("z",))), ("b", 4, None), ("c", 5, Item("new")))
    with again(clickhouse) as reader:
        watched(clickhouse, lambda _: seen.append(read(reader)))
        clickhouse.load_stream(*landing)
    new = {"a": Item("new", ("z",)), "c": Item("new")}
    turn = seen.index(new)
    assert (seen[:turn], seen[turn:]) == ([old] * turn, [new] * (len(seen) - turn))


@pytest.mark.slow
@pytest.mark.soak
def test_rows_and_position_move_together_whoever_dies(
    clickhouse: ClickHouseWarehouse, stream: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every statement of a load; outside of a soak after every sixth."""
    clickhouse.load_stream(*stream.landing(("a", 1, Item("old", ("x", "y"))), ("b", 2, Item("old", ("x",)))))
    last, survived, time, tries = 1, False, 10, 0
    while not survived:
        old, before = read(clickhouse), clickhouse.stream_position("orders", ARN)
        landing, moved = stream.landing(
            ("a", time, Item(f"{time}", ("z",) * (last % 3))), ("b", time, None if last % 2 else Item("again", ("u",)))
        )
        monkeypatch.setattr("ddb_assets.warehouse.clickhouse.lock.LEASE_SECONDS", 0.1)
        with again(clickhouse) as mortal:
            dying(mortal, last)
            try:
                mortal.load_stream(landing, moved, LoadOptions())
                survived = True
            except KilledError:
                pass
        monkeypatch.undo()
        monkeypatch.setenv("DDB_ASSETS_CLICKHOUSE_PASSWORD", "sandbox")
        position, left = clickhouse.stream_position("orders", ARN), read(clickhouse)
        assert position in (before, moved.end)
        assert left == old if position == before else True
        tries += 1
        if tries % 2:
            assert clickhouse.load_stream(landing, moved).applied == (position == before)
        else:  # a look that brings nothing finishes it first
            if position == before:
                clickhouse.load_stream(landing, moved)
            clickhouse.move_stream("orders", stream.move())
        assert read(clickhouse)["a"].note == f"{time}"
        assert ("b" in read(clickhouse)) == (last % 2 == 0)
        assert clickhouse.inspect(landing).leftovers == ()
        assert clickhouse.recorded("orders", counted=True).differing == {}
        time, last = time + 10, last + (1 if SOAK else 6)


def test_a_landing_that_was_decided_counts_and_is_finished_by_the_next_look(
    clickhouse: ClickHouseWarehouse, stream: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    clickhouse.load_stream(*stream.landing(("a", 1, Item("old", ("x", "y")))))
    monkeypatch.setattr("ddb_assets.warehouse.clickhouse.lock.LEASE_SECONDS", 0.1)
    landing, moved = stream.landing(("a", 2, Item("new", ("z",))))
    with again(clickhouse) as mortal:
        watched(mortal, lambda text: dying(mortal, 0) if text.startswith("INSERT INTO `_ddb_loads__") else None)
        with pytest.raises(KilledError):
            mortal.load_stream(landing, moved)
    assert clickhouse.stream_position("orders", ARN) == moved.end
    assert read(clickhouse) == {"a": Item("old", ("x", "y"))}
    clickhouse.move_stream("orders", stream.move())
    assert read(clickhouse) == {"a": Item("new", ("z",))}


def test_a_follower_that_wakes_up_does_not_move_the_position(clickhouse: ClickHouseWarehouse, stream: Read) -> None:
    clickhouse.load_stream(*stream.landing(("a", 1, Item("old"))))
    first, second = stream.move(), stream.move()

    def meanwhile() -> None:
        take_away(clickhouse)
        for moved in (first, second):
            clickhouse.move_stream("orders", moved)

    with again(clickhouse) as sleeper:
        reached = paused(sleeper, "INSERT INTO `_ddb_stream__", meanwhile)
        other = Moved(ARN, first.start, Position({"shard-0": "99"}))
        with suppress(InterruptedLoadError, StreamMovedError):
            sleeper.move_stream("orders", other)
    assert reached()
    assert clickhouse.query("SELECT count() FROM `_ddb_stream__orders` WHERE said LIKE '%99%'") == [(0,)]
    assert clickhouse.stream_position("orders", ARN) == second.end


def test_of_two_followers_one_moves_on(clickhouse: ClickHouseWarehouse, stream: Read) -> None:
    landing, moved = stream.landing(("a", 1, Item("old")))
    other = Moved(ARN, moved.start, Position({"shard-0": "7"}))
    clickhouse.move_stream("orders", other)
    for call in (lambda: clickhouse.load_stream(landing, moved), lambda: clickhouse.move_stream("orders", moved)):
        with pytest.raises(StreamMovedError, match="read the stream again"):
            call()
    clickhouse.move_stream("orders", other)  # the same again is done
    assert clickhouse.stream_position("orders", ARN) == other.end


def test_the_ledger_does_not_grow_with_every_look(
    clickhouse: ClickHouseWarehouse, stream: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_streams, "KEPT_ROWS", 3)
    clickhouse.load_stream(*stream.landing(("a", 1, Item("of before"))))
    for number in range(6):
        stream.number = 0 if number == 1 else stream.number
        how = LoadOptions(restart=number == 1)
        clickhouse.load_stream(*stream.landing(("a", 10 + number, Item(f"{number}"))), how)
    assert int(str(clickhouse.query("SELECT count() FROM `_ddb_loads__orders`")[0][0])) < 10
    found = clickhouse.recorded("orders", counted=True)
    assert ([one.sequence for one in found.loads], found.differing) == ([7], {})
    assert read(clickhouse) == {"a": Item("5")}


def test_positions_of_a_newer_version_are_refused(clickhouse: ClickHouseWarehouse, stream: Read) -> None:
    clickhouse.move_stream("orders", stream.move())
    copied = "SELECT * REPLACE (2 AS ledger_format, number + 1 AS number) FROM `_ddb_stream__orders`"
    clickhouse.server.execute(f"INSERT INTO `_ddb_stream__orders` {copied}")
    for call in (
        lambda: clickhouse.stream_position("orders", ARN),
        lambda: clickhouse.move_stream("orders", stream.move()),
        lambda: clickhouse.holdings("orders"),
    ):
        with pytest.raises(NewerFormatError, match=r"_ddb_stream__orders: a newer ddb_assets .* has version 2"):
            call()
