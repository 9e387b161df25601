"""What a stream says goes straight into a table that no export fills: the newer write wins, whatever the order."""

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from ddb_assets.contract.identity import Identity
from ddb_assets.contract.report import Column, Report
from ddb_assets.contract.table import Table
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.streams.position import BEGINNING_OF_STREAM, Gap, Position
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets.warehouse.errors import LoadError, StreamMovedError
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import PLAIN, LoadOptions
from ddb_assets.warehouse.results import Holdings, LoadResult
from ddb_assets_tests.support.engines import Followable, followable, protocol, read, run, select, staging
from ddb_assets_tests.support.examples import SOAK, examples
from ddb_assets_tests.warehouse.exports import (
    BASE_MICROS,
    DELETED,
    EXTRA,
    KEY,
    NOTE,
    VERSION,
    Item,
    Source,
    relation,
    write,
)
from ddb_assets_tests.warehouse.landings import ARN, HOUR, Change, landing, move

FROM_STREAM = Table(table="Orders", source="stream", stream="orders-cdc")
KEPT = LoadOptions(soft_delete=True)


@dataclass
class Filled:
    """A warehouse, its table `orders`, and a stream of one shard that is read up to `read_at`."""

    warehouse: Followable
    source: Source
    sequence: int = 0
    read_at: int = HOUR

    def __post_init__(self) -> None:
        self.opened = protocol(self.warehouse)

    def landing(self, *changes: Change, **more: Any) -> Report:
        return landing(self.source, self.sequence, *changes, **more)

    def move(self, gap: Gap | None = None) -> Moved:
        self.sequence += 1
        return move(self.sequence - 1, self.read_at, gap)

    def say(self, *changes: Change, how: LoadOptions = PLAIN, **more: Any) -> LoadResult:
        result = self.opened.load_stream(self.landing(*changes, **more), self.move(), how)
        assert result.items == result.upserted + result.deleted + result.stale + result.quarantined
        return result

    def rows(self) -> dict[str, Item]:
        return read(self.warehouse)

    @property
    def position(self) -> Position:
        return self.opened.stream_position("orders", ARN)


@pytest.fixture
def filled(warehouse: Followable, source: Source) -> Filled:
    """`orders` with a and b."""
    made = Filled(warehouse, source)
    made.say(("a", 1, Item("old", ("x", "y"))), ("b", 2, Item("old", ("x",))))
    return made


@followable
def test_writes_and_deletes_are_applied_with_their_lists(filled: Filled) -> None:
    result = filled.say(("a", 3, Item("new", ("z",))), ("b", 4, None), ("c", 5, Item("new")))
    assert (result.upserted, result.deleted, result.stale) == (2, 1, 0)
    assert result.table_rows == {"orders": 2, "orders__lines": 1}
    assert filled.rows() == {"a": Item("new", ("z",)), "c": Item("new")}
    assert staging(filled.warehouse) == []
    assert "_ddb_tail__orders" not in filled.opened.holdings("orders").tables


@followable
def test_a_late_record_changes_nothing_and_brings_nothing_back(filled: Filled) -> None:
    filled.say(("a", 10, Item("new")), ("b", 10, None))
    result = filled.say(("a", 9, Item("late", ("z",))), ("b", 9, Item("late", ("z",))))
    assert (result.upserted, result.stale) == (0, 2)
    assert filled.rows() == {"a": Item("new")}


@pytest.mark.parametrize("how", [LoadOptions(), KEPT])
def test_of_two_records_of_one_time_the_one_that_was_read_later_wins(
    warehouse: Followable, source: Source, how: LoadOptions
) -> None:
    filled = Filled(warehouse, source)
    for item in (Item("first"), None, Item("third", ("x",)), None, Item("last", ("y",))):
        filled.say(("a", 5, item), ("b", 5, None), how=how)
    where = "WHERE _ddb_deleted_at IS NULL" if how.soft_delete else ""
    assert read(warehouse, where=where) == {"a": Item("last", ("y",))}


@pytest.mark.soak
@followable
@pytest.mark.parametrize("seed", range(examples(1, 1 / 100)))
@pytest.mark.parametrize(
    "how", [pytest.param(PLAIN, id="gone"), pytest.param(KEPT, id="kept", marks=pytest.mark.needs("soft_delete"))]
)
def test_any_order_of_records_leaves_the_newest_write(
    warehouse: Followable, source: Source, how: LoadOptions, seed: int
) -> None:
    chance = random.Random(seed)
    filled, known = Filled(warehouse, source), dict[str, tuple[int, Item | None]]()
    for number in range(12 if SOAK else 8):
        batch = {
            key: (chance.randrange(1, 9), None if chance.random() < 0.4 else Item(f"{number}", ("x",) * number))
            for key in chance.sample("abcd", chance.randint(1, 4))
        }
        filled.say(*((key, time, item) for key, (time, item) in batch.items()), how=how)
        known |= {key: write for key, write in batch.items() if write[0] >= known.get(key, write)[0]}
    where = "WHERE _ddb_deleted_at IS NULL" if how.soft_delete else ""
    assert read(warehouse, where=where) == {key: item for key, (_, item) in known.items() if item}


def test_rows_of_deleted_items_stay_if_they_are_to(warehouse: Followable, source: Source) -> None:
    filled = Filled(warehouse, source)
    filled.say(("a", 5, Item("last", ("x",))), how=KEPT)
    filled.say(("a", 7, None), ("b", 8, None), how=KEPT)
    found = select(warehouse, "SELECT order_id, note FROM orders WHERE _ddb_deleted_at IS NOT NULL ORDER BY 1")
    assert found == [("a", "last"), ("b", None)]
    assert select(warehouse, "SELECT COUNT(*) FROM orders__lines") == [(0,)]
    filled.read_at = 10_000 * HOUR
    filled.say(("c", 9, Item("much later")), how=KEPT)
    filled.say(("a", 6, Item("late")), ("d", 10, Item("new")), how=KEPT)
    assert select(warehouse, "SELECT order_id FROM orders WHERE _ddb_deleted_at IS NOT NULL ORDER BY 1") == [
        ("a",),
        ("b",),
    ]


@followable
def test_records_are_applied_once_or_not_at_all(filled: Filled) -> None:
    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    landing, moved = filled.landing(("a", 5, Item("new"))), filled.move()
    with pytest.raises(Killed):
        filled.opened.load_stream(landing, moved, LoadOptions(before_commit=die))
    assert filled.position == moved.start
    assert filled.rows()["a"] == Item("old", ("x", "y"))
    assert filled.opened.load_stream(landing, moved).applied
    assert filled.position == moved.end
    again = filled.opened.load_stream(landing, moved)
    assert (again.applied, again.upserted, again.table_rows["orders"]) == (False, 1, 2)
    filled.say(("a", 6, Item("newest")))
    with pytest.raises(StreamMovedError, match="read the stream again"):
        filled.opened.load_stream(landing, moved)
    assert filled.rows()["a"] == Item("newest")


def test_a_thousand_loads_leave_one_row_in_the_ledger(filled: Filled) -> None:
    for number in range(5):
        filled.say(("a", 10 + number, Item(f"{number}")))
    ledger = "SELECT export_type, sequence FROM _ddb_loads__orders WHERE relation IS NOT NULL"
    assert select(filled.warehouse, ledger) == [("STREAM", 6)]
    assert select(filled.warehouse, "SELECT COUNT(*) FROM _ddb_stream__orders") == [(2,)]
    recorded = filled.opened.recorded("orders", counted=True)
    assert (recorded.differing, recorded.coverage) == ({}, None)


def test_a_delete_is_remembered_while_an_older_record_may_come(filled: Filled) -> None:
    stones = "SELECT COUNT(*) FROM _ddb_tombstones__orders"
    how = LoadOptions(tombstone_retention=timedelta(hours=24))
    filled.say(("a", 10, None), how=how)
    filled.read_at = 24 * HOUR
    filled.say(("c", 24 * HOUR - 5, Item("new")), how=how)
    assert select(filled.warehouse, stones) == [(1,)]
    filled.say(("a", 9, Item("late")), how=how)
    assert filled.rows().keys() == {"b", "c"}
    filled.read_at = 24 * HOUR + 11
    filled.say(("c", 24 * HOUR, Item("newer")), how=how)
    assert select(filled.warehouse, stones) == [(0,)]
    result = filled.say(("a", 9, Item("of another stream")), ("d", 24 * HOUR, Item("new")), how=how)
    assert (result.upserted, result.stale) == (1, 1)
    assert filled.rows().keys() == {"b", "c", "d"}
    filled.say(("a", 12, Item("again")), how=how)
    assert filled.rows().keys() == {"a", "b", "c", "d"}


@followable
def test_windows_and_full_exports_are_refused(filled: Filled) -> None:
    filled.source.put(20, "a", "exported")
    for export in (filled.source.full(30), filled.source.window(10, 30)):
        with pytest.raises(LoadError, match=r"a stream has filled 'orders'.*restart: true"):
            filled.opened.load(export)
    with pytest.raises(LoadError, match="a stream has filled 'orders' itself"):
        filled.opened.load_tail(filled.landing(("a", 20, Item("tail"))), filled.move())
    assert filled.rows()["a"] == Item("old", ("x", "y"))


@followable
def test_a_full_export_starts_the_table_over(filled: Filled) -> None:
    filled.source.put(20, "c", "exported")
    filled.opened.load(filled.source.full(30), LoadOptions(restart=True))
    assert filled.rows() == {"c": Item("exported")}
    assert filled.position == BEGINNING_OF_STREAM
    filled.opened.load(filled.source.window(30, 40))
    chain = FROM_STREAM.chain
    with pytest.raises(LoadError, match=r"has rows of exports.*--restart orders"):
        filled.opened.load_stream(
            filled.landing(("a", 40, Item("new"))),
            Moved(ARN, BEGINNING_OF_STREAM, Position({"shard-0": "9"})),
            LoadOptions(full_chain=chain),
        )
    filled.sequence = 0
    filled.say(("a", 40, Item("new")), how=LoadOptions(restart=True))
    assert filled.rows() == {"a": Item("new")}
    filled.say(("a", 41, Item("newer")))
    assert filled.rows() == {"a": Item("newer")}


@followable
def test_a_table_with_a_tail_is_not_filled_by_its_stream(warehouse: Followable, source: Source) -> None:
    """What the tail has is not in the table, and the position is behind it."""
    filled = Filled(warehouse, source)
    filled.opened.load_tail(filled.landing(("a", 5, Item("in the tail"))), filled.move())
    with pytest.raises(LoadError, match="has a tail beside it"):
        filled.say(("b", 6, Item("new")))
    filled.sequence = 0
    filled.say(("a", 5, Item("read again")), how=LoadOptions(restart=True))
    assert filled.rows() == {"a": Item("read again")}
    assert select(filled.warehouse, "SELECT COUNT(*) FROM _ddb_tail__orders") == [(0,)]


@followable
def test_a_restart_replaces_everything_or_nothing(filled: Filled) -> None:
    filled.say(("a", 9, Item("newer")), ("b", 9, None))
    gap = Gap(1, 2, "expired")
    filled.opened.move_stream("orders", filled.move(gap))
    assert filled.position.gap == gap
    filled.sequence = 0
    identity = Identity(format=1, key=("orderId",), key_masks=(None,), mask_secret="", schema_id="new", contract="c")
    filled.say(("b", 5, Item("read again", ("z",))), how=LoadOptions(restart=True), identity=identity)
    assert filled.rows() == {"b": Item("read again", ("z",))}
    assert filled.position.gap is None
    assert filled.position.shards == {"shard-0": "1"}
    other = identity.model_copy(update={"schema_id": "other"})
    with pytest.raises(LoadError, match=r"does not match the rows.*--restart orders"):
        filled.say(("b", 6, Item("x")), identity=other, how=LoadOptions(full_chain=FROM_STREAM.chain))


@followable
def test_a_table_that_was_dropped_and_made_again_is_refused(filled: Filled) -> None:
    landing = filled.landing(("c", 9, Item("of the new table"))).model_copy(update={"table_id": "another"})
    with pytest.raises(LoadError, match="the table was dropped and created again"):
        filled.opened.load_stream(landing, filled.move())
    filled.sequence = 0
    filled.opened.load_stream(landing, filled.move(), LoadOptions(restart=True))
    assert filled.rows() == {"c": Item("of the new table")}


def test_an_item_that_cannot_be_read_keeps_its_row_and_is_marked_until_it_can(filled: Filled) -> None:
    some = LoadOptions(max_quarantined=1)
    with pytest.raises(LoadError, match="max_quarantined"):
        filled.opened.load_stream(filled.landing(("a", 9, Item("?")), unread=["a"]), filled.move())
    filled.sequence -= 1
    result = filled.say(("a", 9, Item("?")), ("b", 9, Item("new")), unread=["a"], how=some)
    assert (result.quarantined, result.kept_stale) == (1, 1)
    stale = "SELECT order_id FROM orders WHERE _ddb_stale_since IS NOT NULL"
    assert select(filled.warehouse, stale) == [("a",)]
    assert filled.rows() == {"a": Item("old", ("x", "y")), "b": Item("new")}
    filled.say(("b", 10, Item("newer")), how=some)
    assert select(filled.warehouse, stale) == [("a",)]
    filled.say(("a", 11, Item("read")), how=some)
    assert select(filled.warehouse, stale) == []


def test_columns_grow_and_the_view_for_people_shows_the_table(filled: Filled) -> None:
    shown = LoadOptions(tables=WarehouseOptions(views="people"))
    amount = Column(name="amount", path=("amount",), type="BIGINT")
    row = {"order_id": "c", "amount": 7, "_ddb_version": BASE_MICROS + 5, "_ddb_deleted": False}
    root = write(filled.source.folder / "more", relation("orders", (KEY, NOTE, amount, VERSION, DELETED, EXTRA)), [row])
    landing = filled.landing(("c", 5, Item("?")))
    children = [write(filled.source.folder / "no lines", one, []) for one in landing.children]
    wider = landing.model_copy(update={"relations": (root, *children), "rows": {"orders": 1, "orders__lines": 0}})
    filled.opened.load_stream(wider, filled.move(), shown)
    people = "SELECT order_id, amount FROM people.orders ORDER BY 1"
    assert select(filled.warehouse, people) == [("a", None), ("b", None), ("c", 7)]


@followable
def test_what_somebody_dropped_is_not_made_again_empty(filled: Filled) -> None:
    from_stream = LoadOptions(full_chain=FROM_STREAM.chain)
    run(filled.warehouse, "ALTER TABLE orders DROP COLUMN note")
    with pytest.raises(LoadError, match=r"column 'note' .*restore it from a backup, or start the table over with what"):
        filled.say(("a", 9, Item("new")), how=from_stream)
    filled.sequence = 0
    filled.say(("a", 9, Item("new")), how=LoadOptions(restart=True))
    assert filled.rows() == {"a": Item("new")}


@followable
def test_all_of_it_is_held_and_forgotten(filled: Filled) -> None:
    held = filled.opened.holdings("orders")
    names = {"orders", "orders__lines", "_ddb_stream__orders", "_ddb_tombstones__orders", "_ddb_loads__orders"}
    if isinstance(filled.opened, ClickHouseWarehouse):
        rows = {"_ddb_rows__orders", "_ddb_rows__orders__lines"}
        assert (set(held.tables), held.views) == (
            rows | {"_ddb_stream__orders", "_ddb_loads__orders"},
            ("orders", "orders__lines"),
        )
    else:
        assert (set(held.tables), held.views) == (names, ())
    filled.opened.forget("orders", held, patience=1.0)
    assert filled.opened.holdings("orders") == Holdings()
    assert filled.opened.columns(["orders"]) == {}
