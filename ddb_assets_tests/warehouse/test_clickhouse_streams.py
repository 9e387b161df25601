"""Records of a stream in ClickHouse, which has no transactions: rows and position move together, whoever dies."""

from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.contract.durable import NewerFormatError
from ddb_assets.contract.report import Column, Hidden, Report
from ddb_assets.streams.position import BEGINNING_OF_STREAM, Position
from ddb_assets.warehouse.clickhouse import of_streams, tidying
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError, StreamMovedError
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import TailResult
from ddb_assets_tests.support.clickhouse import again
from ddb_assets_tests.support.engines import read
from ddb_assets_tests.support.examples import SOAK
from ddb_assets_tests.warehouse.exports import (
    BASE_MICROS,
    DELETED,
    EXTRA,
    KEY,
    NOTE,
    VERSION,
    Item,
    Source,
    at,
    relation,
    report,
    write,
)
from ddb_assets_tests.warehouse.landings import ARN, HOUR, MINUTE, Change, landing, move
from ddb_assets_tests.warehouse.test_clickhouse import KilledError, decided, dying, paused, take_away, watched, withheld


class Read:
    """What is read of a stream of one shard: each landing follows the one before."""

    def __init__(self, source: Source) -> None:
        self.source, self.number, self.read_at = source, 0, HOUR

    def landing(self, *changes: Change) -> tuple[Report, Moved]:
        return landing(self.source, self.number, *changes), self.move()

    def move(self) -> Moved:
        self.number += 1
        return move(self.number - 1, self.read_at)


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
    clickhouse: ClickHouseWarehouse, stream: Read
) -> None:
    clickhouse.load_stream(*stream.landing(("a", 1, Item("old", ("x", "y")))))
    landing, moved = stream.landing(("a", 2, Item("new", ("z",))))
    decided(clickhouse, lambda mortal: mortal.load_stream(landing, moved))
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


@pytest.fixture
def beside(clickhouse: ClickHouseWarehouse, stream: Read) -> ClickHouseWarehouse:
    """`orders` with a, b and c, and a tail that says something of a."""
    for key, lines in (("a", ("x", "y")), ("b", ("x",)), ("c", ())):
        stream.source.put(1, key, "old", *lines)
    clickhouse.load(stream.source.full(10))
    say(clickhouse, stream, ("a", HOUR, Item("said", ("u", "v"))))
    return clickhouse


def say(warehouse: ClickHouseWarehouse, stream: Read, *changes: Change) -> TailResult:
    stream.source.writes += [(time, key, item) for key, time, item in changes]
    return warehouse.load_tail(*stream.landing(*changes))


def counted(warehouse: ClickHouseWarehouse, table: str) -> int:
    return int(str(warehouse.query(f"SELECT count() FROM `{table}`")[0][0]))


def live(warehouse: ClickHouseWarehouse) -> dict[str, Item]:
    return read(warehouse, "_live")


def test_one_insert_shows_all_of_a_landing(beside: ClickHouseWarehouse, stream: Read) -> None:
    """And few statements are needed, none of which is DDL but for the lock."""
    old, seen, said = live(beside), [], list[str]()
    with again(beside) as reader:

        def after(text: str) -> None:
            said.append(text)
            seen.append(live(reader))

        watched(beside, after)
        say(
            beside,
            stream,
            ("a", HOUR + 1, Item("new", ("w",))),
            ("b", HOUR + 1, None),
            ("d", HOUR, Item("new", ("x",))),
        )
    new = {"a": Item("new", ("w",)), "c": Item("old"), "d": Item("new", ("x",))}
    turn = seen.index(new)
    assert (seen[:turn], seen[turn:]) == ([old] * turn, [new] * (len(seen) - turn))
    kinds = [" ".join(text.split()[:3]) for text in said]
    assert kinds == [
        "CREATE TABLE `_ddb_lock__orders`",
        "INSERT INTO `_ddb_tail__orders`",
        "INSERT INTO `_ddb_tail__orders__lines`",
        "INSERT INTO `_ddb_stream__orders`",
        "DROP TABLE `_ddb_lock__orders`",
    ]


def test_a_reader_of_the_live_view_sees_no_older_write_while_an_export_settles(
    beside: ClickHouseWarehouse, stream: Read
) -> None:
    say(beside, stream, ("b", HOUR - 5, None), ("d", HOUR + 1, Item("new", ("x",))))
    shown, seen = live(beside), []
    stream.read_at = 3 * HOUR
    beside.move_stream("orders", stream.move())
    with again(beside) as reader:
        watched(beside, lambda _: seen.append(live(reader)))
        result = beside.load(stream.source.window(10, 2 * HOUR))
    assert seen == [shown] * len(seen)
    assert (result.agreed, result.healed, result.stream_missed) == (3, 0, 0)
    assert [counted(beside, f"_ddb_tail__{name}") for name in ("orders", "orders__lines")] == [0, 0]
    assert counted(beside, "_ddb_stream__orders") == 1


@pytest.mark.slow
@pytest.mark.soak
def test_whoever_dies_leaves_all_of_a_landing_in_the_tail_or_nothing(
    beside: ClickHouseWarehouse, stream: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every statement of a load of records, or of an export that settles some; of the latter some outside of a soak."""
    lasts = count(1) if SOAK else chain(range(1, 7), (11, 16), count(31, 20))  # from 31 on, loads of exports only
    last, survived, time, covered = next(lasts), set[str](), HOUR + 10, 10
    while survived != {"records", "export"}:
        kind = "export" if last % 4 == 3 else "records"
        old, before = live(beside), beside.stream_position("orders", ARN)
        changes = ("a", time, Item(f"{time}", ("z",) * (last % 3))), ("b", time, None if last % 2 else Item("again"))
        records = kind == "records"
        landing = stream.landing(*changes)
        if records:
            stream.source.writes += [(when, key, item) for key, when, item in changes]
        else:
            stream.number -= 1
        window = stream.source.window(covered, time - 5)
        monkeypatch.setattr("ddb_assets.warehouse.clickhouse.lock.LEASE_SECONDS", 0.1)
        with again(beside) as mortal:
            dying(mortal, last)
            try:
                mortal.load_tail(*landing) if records else mortal.load(window)
                survived.add(kind)
            except KilledError:
                pass
        monkeypatch.undo()
        monkeypatch.setenv("DDB_ASSETS_CLICKHOUSE_PASSWORD", "sandbox")
        position, left = beside.stream_position("orders", ARN), live(beside)
        state = {key: item for key, (_, item) in stream.source.state(10 * HOUR).items()}
        if records:
            assert position in (before, landing[1].end)
            assert left == (old if position == before else state)
            assert beside.load_tail(*landing).applied == (position == before)
        else:
            assert (left, position) == (old, before)
            beside.load(window)
            covered = time - 5
        assert live(beside) == state
        time, last = time + 2 * MINUTE, next(lasts)
    assert beside.inspect(stream.source.window(10, 20)).leftovers == ()


def test_a_follower_that_wakes_up_shows_nothing(beside: ClickHouseWarehouse, stream: Read) -> None:
    old = live(beside)
    landing, moved = stream.landing(("a", HOUR + 1, Item("of the sleeper")))
    other = Moved(ARN, moved.start, Position({"shard-0": "7"}))

    def meanwhile() -> None:
        take_away(beside)
        beside.move_stream("orders", other)

    with again(beside) as sleeper:
        reached = paused(sleeper, "INSERT INTO `_ddb_stream__", meanwhile)
        with suppress(InterruptedLoadError, StreamMovedError):
            sleeper.load_tail(landing, moved)
    assert reached()
    assert live(beside) == old
    assert beside.stream_position("orders", ARN) == other.end


def test_what_a_dead_load_has_left_is_never_shown_and_goes(
    beside: ClickHouseWarehouse, stream: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is newer than all that is shown, and its number is that of the next load. What no view shows is deleted."""
    monkeypatch.setattr(tidying, "EVERY", 4)
    monkeypatch.setattr("ddb_assets.warehouse.clickhouse.lock.LEASE_SECONDS", 0.1)
    with again(beside) as mortal:
        watched(mortal, lambda text: dying(mortal, 0) if "_ddb_tail__orders__lines" in text else None)
        with pytest.raises(KilledError):
            mortal.load_tail(*stream.landing(("a", HOUR + 9, Item("never", ("n", "n", "n")))))
    stream.number -= 1
    say(beside, stream, ("a", HOUR + 1, Item("new", ("w",))))
    assert live(beside)["a"] == Item("new", ("w",))
    assert counted(beside, "_ddb_tail__orders") == 3
    for number in range(2):
        say(beside, stream, ("c", HOUR + number, Item("new", ("x",) * number)))
    assert live(beside) == {"a": Item("new", ("w",)), "b": Item("old", ("x",)), "c": Item("new", ("x",))}
    assert [counted(beside, f"_ddb_tail__{name}") for name in ("orders", "orders__lines")] == [2, 2]
    assert counted(beside, "_ddb_stream__orders") == 2
    for _ in range(9):
        beside.move_stream("orders", stream.move())
    assert counted(beside, "_ddb_stream__orders") < 7


@pytest.mark.parametrize("lost", ["_ddb_tail__orders", "_ddb_tail__orders__lines", "_ddb_stream__orders"])
def test_a_tail_that_has_lost_a_table_is_read_again(beside: ClickHouseWarehouse, stream: Read, lost: str) -> None:
    beside.server.execute(f"DROP TABLE {lost} SYNC")
    assert beside.stream_position("orders", ARN) == BEGINNING_OF_STREAM
    beside.load(stream.source.window(10, 20))
    assert beside.stream_position("orders", ARN) == BEGINNING_OF_STREAM
    stream.number = 0
    say(beside, stream, ("b", HOUR, None), ("d", HOUR, Item("new")))
    assert live(beside) == {"a": Item("old", ("x", "y")), "c": Item("old"), "d": Item("new")}
    stream.number = 1
    beside.move_stream("orders", stream.move())


def test_an_export_that_another_load_has_finished_leaves_positions_alone(
    beside: ClickHouseWarehouse, stream: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts the table over, is paused when it has brought its rows, and wakes up when a follower has gone on."""
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", ())
    restart = stream.source.full(20)
    undone = "SELECT countIf(state = 'begun') - countIf(state = 'done') FROM `_ddb_loads__orders`"
    moved: list[Moved] = []

    def meanwhile() -> None:
        take_away(beside)
        stream.number = 0
        moved.append(stream.move())
        beside.move_stream("orders", moved[0])

    with again(beside) as sleeper:
        fetch: Any = sleeper.server.fetch

        def paused_fetch(query: str) -> Any:
            if query.startswith("SELECT said") and not moved and beside.query(undone) == [(1,)]:
                meanwhile()
            return fetch(query)

        changed: Any = sleeper.server
        changed.fetch = paused_fetch
        with suppress(InterruptedLoadError):
            sleeper.load(restart, LoadOptions(restart=True))
    assert moved
    assert beside.stream_position("orders", ARN) == moved[0].end


def test_a_table_that_starts_over_starts_its_tail_over(beside: ClickHouseWarehouse, stream: Read) -> None:
    beside.load(stream.source.full(20), LoadOptions(restart=True))
    assert live(beside) == read(beside)
    assert counted(beside, "_ddb_tail__orders") == 0
    assert beside.stream_position("orders", ARN) == BEGINNING_OF_STREAM


def test_a_tail_has_no_values_that_are_hidden_now(beside: ClickHouseWarehouse, stream: Read) -> None:
    hides = {"hidden": (Hidden(path="note", how="null", columns={"orders": ("note",)}),)}
    landing, moved = stream.landing(("b", HOUR, Item("hidden by then")))
    with pytest.raises(LoadError, match="note is hidden now"):
        beside.load_tail(landing.model_copy(update=hides), moved)
    beside.load(stream.source.full(20).model_copy(update=hides))
    assert live(beside) == read(beside)
    assert beside.stream_position("orders", ARN) == BEGINNING_OF_STREAM


def test_all_of_a_tail_is_held_and_forgotten_with_its_table(beside: ClickHouseWarehouse) -> None:
    beside.server.execute("CREATE TABLE orders__lines_live_too (x Int8) ENGINE = Memory")
    held = beside.holdings("orders")
    tail = {"_ddb_tail__orders", "_ddb_tail__orders__lines", "_ddb_stream__orders"}
    assert tail < held.tables.keys()
    assert set(held.views) == {"orders", "orders__lines", "orders_live", "orders__lines_live"}
    beside.forget("orders", held, patience=1.0)
    assert beside.query("SHOW TABLES") == [("_ddb_loads",), ("orders__lines_live_too",)]


def test_a_name_of_somebody_else_is_no_live_view(clickhouse: ClickHouseWarehouse, stream: Read) -> None:
    clickhouse.server.execute("CREATE TABLE orders_live (x Int8) ENGINE = Memory")
    with pytest.raises(LoadError, match="orders_live must show a table together with what its stream says"):
        say(clickhouse, stream, ("a", 1, Item("new")))
    assert "orders_live" not in clickhouse.holdings("orders").views


def test_a_column_that_grows_grows_in_the_tail_and_in_the_view(
    beside: ClickHouseWarehouse, stream: Read, tmp_path: Path
) -> None:
    for number, (kind, value, time) in enumerate([("BIGINT", 7, HOUR + 3), ("VARCHAR(16)", "x", HOUR + 4)]):
        amount = Column(name="amount", path=("amount",), type=kind)
        row = {"order_id": f"w{number}", "amount": value, "_ddb_version": BASE_MICROS + time, "_ddb_deleted": False}
        root = write(tmp_path / f"{number}", relation("orders", (KEY, NOTE, amount, VERSION, DELETED, EXTRA)), [row])
        landing = report([root], window=(at(time - 1), at(time + 1)))
        if number:
            beside.load(report([root], window=(at(10), at(time + 1))))
        else:
            beside.load_tail(landing, stream.move())
    found = "SELECT order_id, amount FROM orders_live WHERE amount IS NOT NULL ORDER BY 1"
    assert beside.query(found) == [("w0", "7"), ("w1", "x")]


def test_a_type_that_holds_no_values_of_the_tail_is_refused(
    beside: ClickHouseWarehouse, stream: Read, tmp_path: Path
) -> None:
    def said(kind: str, value: object, time: int, begin: int) -> Report:
        amount = Column(name="amount", path=("amount",), type=kind)
        row = {"order_id": "w", "amount": value, "_ddb_version": BASE_MICROS + time, "_ddb_deleted": False}
        root = write(tmp_path / kind, relation("orders", (KEY, NOTE, amount, VERSION, DELETED, EXTRA)), [row])
        return report([root], window=(at(begin), at(time + 1)))

    beside.load_tail(said("BIGINT", 7, HOUR, HOUR - 1), stream.move())
    with pytest.raises(
        LoadError, match=r"column 'amount' of _ddb_tail__orders is BIGINT, and that of orders is BOOLEAN now"
    ):
        beside.load(said("BOOLEAN", True, HOUR + 1, 10))
    assert beside.query("SELECT amount FROM `_ddb_tail__orders` WHERE order_id = 'w'") == [(7,)]
    # what the message says helps
    amount = Column(name="amount", path=("amount",), type="BOOLEAN")
    row = {"order_id": "w", "amount": True, "_ddb_version": BASE_MICROS + 2 * HOUR}
    root = write(tmp_path / "full", relation("orders", (KEY, NOTE, amount, VERSION, EXTRA)), [row])
    beside.load(report([root], export_time=at(2 * HOUR)), LoadOptions(restart=True))
    assert beside.query("SELECT order_id, amount FROM orders_live") == [("w", True)]
    assert beside.stream_position("orders", ARN) == BEGINNING_OF_STREAM


def test_records_of_which_the_ledger_knows_nothing_are_not_taken_for_loaded(
    clickhouse: ClickHouseWarehouse, stream: Read
) -> None:
    landing, moved = stream.landing(("a", 1, Item("new")))
    clickhouse.move_stream("orders", moved)
    with pytest.raises(LoadError, match="the ledger has no load of a stream"):
        clickhouse.load_stream(landing, moved)


def test_what_a_contract_hides_starts_a_tail_over(clickhouse: ClickHouseWarehouse, stream: Read) -> None:
    say(clickhouse, stream, ("a", 1, Item("to be hidden")))
    landing, moved = stream.landing(("b", 2, Item("hidden")))
    hides = {"hidden": (Hidden(path="note", how="null", columns={"orders": ("note",)}),)}
    with pytest.raises(StreamMovedError):
        clickhouse.load_tail(landing.model_copy(update=hides), moved)
    assert clickhouse.stream_position("orders", ARN) == BEGINNING_OF_STREAM
    assert live(clickhouse) == {}


def test_who_tidies_up_late_takes_nothing_from_the_next_load(beside: ClickHouseWarehouse, stream: Read) -> None:
    """It is paused with a statement on its way, which reaches the server when the rows of another load are not decided yet."""
    late = withheld(
        beside, "DELETE FROM `_ddb_tail__orders`", lambda sleeper: sleeper.load(stream.source.window(10, 2 * HOUR))
    )
    take_away(beside)
    landing, moved = stream.landing(("a", 3 * HOUR, Item("new", ("x",))))
    beside.load_tail(landing, moved, LoadOptions(before_commit=lambda: beside.server.execute(late)))
    assert live(beside)["a"] == Item("new", ("x",))
