"""What a stream says goes to the tail of a table, is shown with the table, and is forgotten when exports cover it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.contract.identity import Identity
from ddb_assets.contract.report import Column, Hidden, Report
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.streams.position import BEGINNING_OF_STREAM, CLOSED, Gap, Position
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets.warehouse.errors import LoadError, StreamMovedError
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.results import Holdings, LoadResult, TailResult
from ddb_assets.warehouse.sql import load, preparing, tables, tail
from ddb_assets.warehouse.sql.engine import Standing
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets.warehouse.sql.warehouse import SqlWarehouse
from ddb_assets_tests.support.engines import (
    AnyEngine,
    Followable,
    followable,
    on_duckdb,
    protocol,
    read,
    select,
    staging,
    to_redshift,
)
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

TAIL = ["_ddb_tail__orders", "_ddb_tail__orders__lines", "_ddb_tombstones___ddb_tail__orders"]
COUNTS = (
    "_ddb_load IN (SELECT load FROM _ddb_stream__orders) "
    "AND _ddb_version >= (SELECT argMax(settled, number) FROM _ddb_stream__orders)"
)
"""What a row of a tail in ClickHouse must be to count."""
OTHER = Moved("other", BEGINNING_OF_STREAM, Position({"a": "1"}, {"a": 1}))


def whole(position: Position) -> tuple[dict[str, str], dict[str, int], int | None, Gap | None]:
    """Everything that a position says; two positions are equal when they have the same shards."""
    return dict(position.shards), dict(position.read_at), position.created, position.gap


@dataclass
class Streamed:
    """A warehouse, its table `orders`, and a stream of one shard that is read up to `read_at`."""

    warehouse: Followable
    source: Source
    sequence: int = 0
    read_at: int = 10 * HOUR
    said: list[tuple[Report, Moved]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.opened = protocol(self.warehouse)

    def move(self, gap: Gap | None = None, created: int | None = None) -> Moved:
        """From the position to the next sequence number."""
        self.sequence += 1
        return move(self.sequence - 1, self.read_at, gap, created)

    def say(self, *changes: Change, how: LoadOptions | None = None, **more: Any) -> TailResult:
        """The stream says these changes, which are in the table as well."""
        self.source.writes += [
            (time, key, item) for key, time, item in changes if (time, key, item) not in self.source.writes
        ]
        return self.claim(*changes, how=how, **more)

    def claim(self, *changes: Change, how: LoadOptions | None = None, **more: Any) -> TailResult:
        """The stream says these changes, whatever is in the table."""
        said = landing(self.source, self.sequence, *changes)
        return self.load(said.model_copy(update=more), self.move(), how)

    def load(self, landing: Report, moved: Moved, how: LoadOptions | None = None) -> TailResult:
        self.said.append((landing, moved))
        return self.opened.load_tail(landing, moved, how or LoadOptions())

    def tail(self) -> list[int]:
        """The rows of the tail's tables: items, list rows, deletes."""
        if isinstance(self.warehouse, ClickHouseWarehouse):
            root, lines = (f"SELECT COUNT(*) FROM {name} WHERE {COUNTS}" for name in TAIL[:2])
            queries = f"{root} AND _ddb_gone = 0", lines, f"{root} AND _ddb_gone = 1"
            return [int(select(self.warehouse, query)[0][0]) for query in queries]
        return list(self.opened.rows(TAIL).values())

    @property
    def engine(self) -> AnyEngine:
        """That of SQL."""
        assert isinstance(self.warehouse, AnyEngine)
        return self.warehouse

    def live(self) -> dict[str, Item]:
        return read(self.warehouse, "_live")

    @property
    def position(self) -> Position:
        return self.opened.stream_position("orders", ARN)


@pytest.fixture
def streamed(warehouse: Followable, source: Source) -> Streamed:
    """`orders` with items a, b and c as of the beginning of the first hour."""
    source.put(1, "a", "old", "x", "y")
    source.put(2, "b", "old", "x")
    source.put(3, "c", "old")
    made = Streamed(warehouse, source)
    made.opened.load(source.full(10))
    return made


def test_table_and_tail_are_shown_as_one(streamed: Streamed) -> None:
    before = read(streamed.warehouse)
    result = streamed.say(("a", HOUR, Item("new", ("z",))), ("b", HOUR + 1, None), ("d", HOUR + 2, Item("new")))
    assert (result.items, result.rows_in, result.upserted, result.deleted) == (3, 3, 2, 1)
    assert result.tail_rows == {"orders": 2, "orders__lines": 1}
    assert streamed.live() == {"a": Item("new", ("z",)), "c": Item("old"), "d": Item("new")}
    assert read(streamed.warehouse) == before
    assert staging(streamed.warehouse) == []
    versions = dict(select(streamed.warehouse, "SELECT order_id, _ddb_version FROM orders_live"))
    assert versions == {"a": BASE_MICROS + HOUR, "c": BASE_MICROS + 10, "d": BASE_MICROS + HOUR + 2}


@followable
def test_the_newer_write_of_two_is_shown_whichever_comes_first(streamed: Streamed) -> None:
    streamed.say(("a", HOUR, Item("newest")))
    streamed.claim(("a", HOUR - 1, Item("older")), ("b", HOUR, None))
    result = streamed.claim(("a", HOUR, Item("read later")), ("b", HOUR - 1, Item("older")))
    assert (result.upserted, result.superseded) == (1, 1)
    assert streamed.live() == {"a": Item("read later"), "c": Item("old")}


@followable
def test_a_landing_is_applied_once(streamed: Streamed) -> None:
    streamed.say(("a", HOUR, Item("first")))
    streamed.say(("a", HOUR + 1, Item("second")))
    first, second = streamed.said
    assert not streamed.load(*second).applied
    with pytest.raises(StreamMovedError, match="read the stream again"):
        streamed.load(*first)
    assert streamed.live()["a"] == Item("second")
    assert streamed.position.shards == {"shard-0": "2"}


@followable
def test_the_position_moves_with_the_records_or_not_at_all(streamed: Streamed) -> None:
    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    with pytest.raises(Killed):
        streamed.say(("a", HOUR, Item("new")), how=LoadOptions(before_commit=die))
    assert streamed.position == BEGINNING_OF_STREAM
    assert streamed.tail() == [0, 0, 0]
    assert streamed.load(*streamed.said[0]).applied
    assert streamed.position.shards == {"shard-0": "1"}


@followable
def test_shards_are_remembered_as_they_are_said(streamed: Streamed) -> None:
    shards = {f"shard-{number:012}": f"4963{number:052}" for number in range(250)}
    many = Position(
        shards | {"shard-000000000007": CLOSED}, {shard: HOUR + number for number, shard in enumerate(shards)}, 5
    )
    streamed.opened.move_stream("orders", Moved(ARN, BEGINNING_OF_STREAM, many))
    assert whole(streamed.position) == whole(many)
    streamed.opened.move_stream("orders", OTHER)
    few = Position({"shard-000000000009": "4964"}, {"shard-000000000009": HOUR}, 5)
    streamed.opened.move_stream("orders", Moved(ARN, streamed.position, few))
    assert whole(streamed.position) == whole(few)
    assert streamed.opened.stream_position("orders", "other").shards == {"a": "1"}
    assert streamed.opened.stream_position("customers", ARN) == BEGINNING_OF_STREAM


def test_a_thousand_drains_without_records_leave_no_traces(streamed: Streamed) -> None:
    for _ in range(20):
        streamed.opened.move_stream("orders", streamed.move())
    assert select(streamed.warehouse, "SELECT COUNT(*) FROM _ddb_stream__orders") == [(2,)]
    assert select(streamed.warehouse, "SELECT COUNT(*) FROM _ddb_loads__orders") == [(2,)]
    assert streamed.say(("a", HOUR, Item("new"))).applied


@followable
def test_what_exports_cover_does_not_enter(streamed: Streamed) -> None:
    """A replay of yesterday changes nothing; a record within the margin may be of a write that no export has yet."""
    streamed.opened.load(streamed.source.window(10, HOUR))
    result = streamed.claim(("a", HOUR - MINUTE - 1, Item("late", ("z",))), ("b", HOUR - MINUTE, None))
    assert (result.too_late, result.deleted, result.covered_until) == (1, 1, at(HOUR))
    assert streamed.live() == {"a": Item("old", ("x", "y")), "c": Item("old")}
    assert streamed.tail() == [0, 0, 1]


@followable
def test_the_tail_forgets_what_exports_cover(streamed: Streamed) -> None:
    """A delete that the stream lost leaves no phantom, not even of an item that no window names."""
    streamed.claim(("d", 3, Item("phantom", ("z",))), ("a", 2 * HOUR, Item("new", ("w",))))
    streamed.source.put(2 * HOUR, "a", "new", "w")
    assert streamed.live().keys() == {"a", "b", "c", "d"}
    streamed.opened.load(streamed.source.window(10, HOUR))
    assert streamed.live().keys() == {"a", "b", "c"}
    assert streamed.tail() == [1, 1, 0]
    streamed.opened.load(streamed.source.window(2 * HOUR, 3 * HOUR))
    assert streamed.tail() == [1, 1, 0], "the second hour is missing"
    streamed.opened.load(streamed.source.window(HOUR, 2 * HOUR))
    assert streamed.tail() == [0, 0, 0]
    assert (
        streamed.live()
        == read(streamed.warehouse)
        == {"a": Item("new", ("w",)), "b": Item("old", ("x",)), "c": Item("old")}
    )


@followable
def test_a_record_of_another_clock_stays_until_exports_have_its_write(streamed: Streamed) -> None:
    streamed.source.put(HOUR + 5, "a", "new")
    streamed.claim(("a", HOUR - MINUTE, Item("new")))
    streamed.opened.load(streamed.source.window(10, HOUR))
    assert streamed.live()["a"] == Item("new")


@followable
def test_what_the_stream_said_is_compared_before_it_is_forgotten(streamed: Streamed) -> None:
    streamed.say(("a", 20, Item("new", ("z",))), ("b", 21, None), ("d", 22, Item("same", ("x", "y"))))
    streamed.claim(
        ("c", 23, None),  # it is still there
        ("e", 24, Item("never written")),
        ("f", 25, Item("other", ("x",))),
        ("g", 26, Item("same", ("x", "other"))),
        ("h", 27, Item("same", ())),
    )
    for key, lines in (("f", ("x",)), ("g", ("x", "y")), ("h", ("x",)), ("missed", ())):
        streamed.source.put(30, key, "same", *lines)
    result = streamed.opened.load(streamed.source.window(10, HOUR))
    assert (result.agreed, result.healed, result.stream_missed) == (3, 5, 1)
    again = streamed.opened.load(streamed.source.window(10, HOUR), LoadOptions(force=True))
    assert (again.agreed, again.healed, again.stream_missed) == (None, None, None)


@followable
def test_a_stream_that_is_behind_has_not_missed_what_it_has_not_said_yet(streamed: Streamed) -> None:
    streamed.read_at = HOUR - 1
    streamed.say(("a", 20, Item("new")))
    streamed.source.put(30, "b", "newer")
    result = streamed.opened.load(streamed.source.window(10, HOUR))
    assert (result.agreed, result.healed, result.stream_missed) == (None, None, None)
    assert streamed.tail() == [0, 0, 0]


@followable
def test_a_table_without_a_stream_has_no_such_counts(warehouse: Followable, source: Source) -> None:
    result = protocol(warehouse).load(source.full(10))
    assert (result.agreed, result.healed, result.stream_missed) == (None, None, None)


@followable
def test_a_gap_ends_when_exports_cover_it(streamed: Streamed) -> None:
    gap = Gap(BASE_MICROS + 20, BASE_MICROS + HOUR, "the position has expired")
    streamed.opened.move_stream("orders", streamed.move(gap))
    streamed.opened.move_stream("orders", streamed.move(Gap(BASE_MICROS + 30, BASE_MICROS + HOUR + 5, "again")))
    assert streamed.position.gap == Gap(BASE_MICROS + 20, BASE_MICROS + HOUR + 5, "again")
    streamed.say(("a", HOUR, Item("new")))
    streamed.opened.load(streamed.source.window(10, HOUR + MINUTE))
    assert streamed.position.gap == Gap(BASE_MICROS + 20, BASE_MICROS + HOUR + 5, "again")
    streamed.opened.load(streamed.source.window(HOUR + MINUTE, 2 * HOUR))
    assert whole(streamed.position) == ({"shard-0": "3"}, {"shard-0": BASE_MICROS + streamed.read_at}, None, None)


@followable
def test_a_stream_can_come_before_the_first_export(warehouse: Followable, source: Source) -> None:
    streamed = Streamed(warehouse, source)
    streamed.opened.move_stream("orders", streamed.move())
    assert streamed.opened.holdings("orders").tables.keys() == {"_ddb_stream__orders", "_ddb_loads__orders"}
    streamed.say(("a", 5, Item("old", ("x",))), ("b", HOUR, Item("new", ("y",))))
    assert streamed.live() == {"a": Item("old", ("x",)), "b": Item("new", ("y",))}
    assert streamed.opened.recorded("orders").loads == ()
    streamed.opened.load(source.full(10 * MINUTE))
    assert streamed.live() == {"a": Item("old", ("x",)), "b": Item("new", ("y",))}
    assert read(warehouse) == {"a": Item("old", ("x",))}


@followable
def test_a_write_at_the_exact_time_of_a_full_export_is_shown(streamed: Streamed) -> None:
    streamed.say(("a", HOUR, Item("after it")))
    streamed.opened.load(streamed.source.full(HOUR))
    assert read(streamed.warehouse)["a"] == Item("old", ("x", "y"))
    assert streamed.live()["a"] == Item("after it")


@followable
def test_an_export_without_items_does_not_say_what_the_keys_are(streamed: Streamed, tmp_path: Path) -> None:
    streamed.claim(("a", 20, Item("never written", ("z",))), ("d", 3 * HOUR, Item("new")))
    empty = write(tmp_path / "none", relation("orders", (VERSION, EXTRA)), [])
    streamed.opened.load(report([empty], export_time=at(2 * HOUR)))
    assert streamed.tail() == [1, 0, 0]
    assert streamed.live() == {"d": Item("new")}


@followable
@pytest.mark.needs("soft_delete")
def test_rows_of_deleted_items_that_are_kept_are_not_shown(warehouse: Followable, source: Source) -> None:
    streamed, kept = Streamed(warehouse, source), LoadOptions(soft_delete=True)
    for key in "abc":
        source.put(1, key, "old")
    streamed.opened.load(source.full(10), kept)
    source.delete(20, "a")
    streamed.opened.load(source.window(10, HOUR), kept)
    streamed.say(("b", HOUR, None), ("d", HOUR, Item("new")), how=kept)
    assert streamed.live().keys() == {"c", "d"}
    streamed.say(("a", HOUR, Item("again")), how=kept)
    assert streamed.live().keys() == {"a", "c", "d"}
    result = streamed.opened.load(source.window(HOUR, 2 * HOUR), kept)
    assert (result.agreed, result.healed, result.stream_missed) == (3, 0, 0)
    assert streamed.live().keys() == {"a", "c", "d"}


def test_the_view_for_people_shows_the_tail(streamed: Streamed) -> None:
    shown = LoadOptions(tables=WarehouseOptions(views="people"))
    streamed.opened.load(streamed.source.window(10, 20), shown)
    people = "SELECT * FROM people.orders ORDER BY 1"
    assert select(streamed.warehouse, people) == [("a", "old"), ("b", "old"), ("c", "old")]
    streamed.say(("a", HOUR, Item("new")), ("b", HOUR, None), how=shown)
    assert select(streamed.warehouse, people) == [("a", "new"), ("c", "old")]
    streamed.opened.load(streamed.source.window(20, 2 * HOUR), shown)
    assert select(streamed.warehouse, people) == [("a", "new"), ("c", "old")]


ODD = {"_ddb_extra": '{"odd": [1.50, null]}'}


def amount(kind: str) -> Column:
    return Column(name="amount", path=("amount",), type=kind)


def with_tags(folder: Path, column: Column, value: object, time: int, **more: Any) -> Report:
    """An item `w` with this column and a list that no item had before."""
    flags = () if "export_time" in more else (DELETED,)
    row = {"order_id": "w", column.name: value, "_ddb_version": BASE_MICROS + time, "_ddb_deleted": False, **ODD}
    root = write(folder / "orders", relation("orders", (KEY, column, VERSION, *flags, EXTRA)), [row])
    tags = relation(
        "orders__tags", (KEY, Column(name="_ddb_index", path=(), type="BIGINT", role="index"), VERSION), ("tags",)
    )
    lines = write(folder / "tags", tags, [{"order_id": "w", "_ddb_index": 0, "_ddb_version": BASE_MICROS + time}])
    return report([root, lines], **more)


def test_a_new_column_and_a_new_list_of_the_stream_are_in_table_tail_and_view(
    streamed: Streamed, tmp_path: Path
) -> None:
    streamed.say(("a", HOUR, Item("new")))
    window = (at(HOUR), at(HOUR + 2))
    streamed.load(with_tags(tmp_path / "1", amount("BIGINT"), 7, HOUR + 1, window=window), streamed.move())
    amounts = "SELECT order_id, amount FROM orders_live WHERE amount IS NOT NULL"
    assert select(streamed.warehouse, amounts) == [("w", 7)]
    assert select(streamed.warehouse, "SELECT order_id FROM orders__tags_live") == [("w",)]
    assert select(streamed.warehouse, "SELECT COUNT(*), COUNT(amount) FROM orders") == [(3, 0)]
    wider = with_tags(tmp_path / "2", amount("VARCHAR(16)"), "x", 11, window=(at(10), at(20)))
    streamed.opened.load(wider)
    assert select(streamed.warehouse, amounts) == [("w", "7")]
    same = with_tags(tmp_path / "3", amount("BIGINT"), 7, HOUR + 1, window=(at(20), at(3 * HOUR)))
    result = streamed.opened.load(same)
    assert (result.agreed, result.healed, result.stream_missed) == (1, 1, 0), "only a is not in that window"


def test_a_list_that_only_the_tail_knew_goes_with_it(streamed: Streamed, tmp_path: Path) -> None:
    landing = with_tags(tmp_path / "1", amount("BIGINT"), 7, 20, window=(at(19), at(21)))
    streamed.load(landing, streamed.move())
    streamed.opened.load(streamed.source.window(10, HOUR))
    assert select(streamed.warehouse, "SELECT COUNT(*) FROM _ddb_tail__orders__tags") == [(0,)]


def test_a_list_that_the_stream_brings_meanwhile_is_forgotten_too(
    streamed: Streamed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streamed.say(("a", 20, Item("new")))
    waiting = [with_tags(tmp_path / "1", NOTE, "new", 30, window=(at(29), at(31)))]

    def then_streamed(*args: Any, **more: Any) -> Any:
        mirrored = existing(*args, **more)
        if waiting:
            streamed.load(waiting.pop(), streamed.move())
        return mirrored

    existing = tail.existing
    monkeypatch.setattr(preparing, "existing", then_streamed)
    monkeypatch.setattr(load, "RETRIES", (0.0,))
    streamed.opened.load(streamed.source.window(10, HOUR))
    assert select(streamed.warehouse, "SELECT COUNT(*) FROM _ddb_tail__orders__tags") == [(0,)]


def test_a_tail_that_is_made_meanwhile_forgets_too(streamed: Streamed, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[Change] = [("a", 20, Item("never written"))]

    def then_streamed(*args: Any, **more: Any) -> Any:
        prepared = prepare(*args, **more)
        if waiting:
            streamed.claim(waiting.pop())
        return prepared

    prepare = tables.prepare
    monkeypatch.setattr(tables, "prepare", then_streamed)
    monkeypatch.setattr(load, "RETRIES", (0.0,))
    streamed.opened.load(streamed.source.window(10, HOUR))
    assert streamed.live() == read(streamed.warehouse)


@followable
def test_a_table_that_starts_over_starts_its_tail_over(streamed: Streamed) -> None:
    streamed.say(("a", 2 * HOUR, Item("new", ("z",))), ("b", 2 * HOUR, None))
    streamed.opened.load(streamed.source.full(HOUR), LoadOptions(restart=True))
    assert streamed.tail() == [0, 0, 0]
    assert streamed.position == BEGINNING_OF_STREAM
    assert streamed.live() == read(streamed.warehouse)


@pytest.mark.parametrize("table", TAIL)
def test_a_tail_that_has_lost_a_table_is_read_again(streamed: Streamed, table: str) -> None:
    streamed.say(("a", HOUR, Item("new", ("z",))), ("b", HOUR, None))
    streamed.engine.execute(Statement(f"DROP TABLE {table} CASCADE"))
    assert streamed.position == BEGINNING_OF_STREAM
    streamed.opened.move_stream("orders", OTHER)
    assert streamed.opened.stream_position("orders", "other").shards == {"a": "1"}
    streamed.opened.load(streamed.source.window(10, 20))
    streamed.sequence = 0
    streamed.say(("a", HOUR, Item("new", ("z",))), ("d", HOUR, Item("new")))
    assert streamed.live() == {"a": Item("new", ("z",)), "b": Item("old", ("x",)), "c": Item("old"), "d": Item("new")}
    assert streamed.position.shards == {"shard-0": "1"}


def test_a_stream_whose_position_is_lost_is_read_again_and_its_tail_forgets(streamed: Streamed) -> None:
    streamed.claim(("a", 20, Item("never written", ("z",))), ("d", HOUR, Item("new")))
    streamed.engine.execute(Statement("DROP TABLE _ddb_stream__orders"))
    assert streamed.position == BEGINNING_OF_STREAM
    streamed.opened.load(streamed.source.window(10, HOUR))
    assert streamed.live().keys() == {"a", "b", "c", "d"}
    assert streamed.tail() == [1, 0, 0]
    streamed.sequence = 0
    assert streamed.say(("d", HOUR, Item("new"))).applied


@followable
def test_the_stream_of_a_table_that_was_made_again_is_refused(streamed: Streamed) -> None:
    with pytest.raises(LoadError, match="was dropped and created again"):
        streamed.say(("a", HOUR, Item("new")), table_id="another")
    assert streamed.position == BEGINNING_OF_STREAM


def identity(key: str) -> Identity:
    return Identity(format=1, key=(key,), key_masks=(None,), mask_secret="", schema_id="s", contract="c")


@followable
def test_rows_of_two_identities_are_never_in_one_tail(warehouse: Followable, source: Source) -> None:
    """Before the first export only the tail has rows. Afterwards the table's own guard refuses other identities."""
    streamed = Streamed(warehouse, source)
    streamed.say(("a", 5, Item("old")), identity=identity("orderId"))
    with pytest.raises(LoadError, match="do not match those that the tail of 'orders' has: its key was orderId"):
        streamed.say(("b", 6, Item("old")), identity=identity("other"))
    streamed.opened.load(source.full(4).model_copy(update={"identity": identity("other")}))
    assert streamed.position == BEGINNING_OF_STREAM
    assert streamed.tail() == [0, 0, 0]
    streamed.sequence = 0
    with pytest.raises(LoadError, match="does not match the rows of 'orders'"):
        streamed.say(("c", 7, Item("old")), identity=identity("orderId"))


@on_duckdb
def test_old_values_are_hidden_in_table_and_tail_at_once(streamed: Streamed) -> None:
    streamed.say(("a", HOUR, Item("s3cret")))
    hides = {"hidden": (Hidden(path="note", how="sha256", columns={"orders": ("_ddb_extra", "note")}),)}
    streamed.opened.load(streamed.source.window(10, 20).model_copy(update=hides))
    assert {item.note for item in streamed.live().values()} == {None}
    with pytest.raises(LoadError, match="note must not be seen"):
        streamed.say(("b", HOUR, Item("s3cret")))


def test_a_name_that_leaves_no_room_for_a_tail_is_refused_before_anything_is_made(
    warehouse: AnyEngine, tmp_path: Path
) -> None:
    name = "o" * 100
    row = {"order_id": "a", "_ddb_version": BASE_MICROS + 5, "_ddb_deleted": False}
    root = write(tmp_path, relation(name, (KEY, VERSION, DELETED, EXTRA)), [row])
    landing = report([root], window=(at(4), at(6))).model_copy(update={"name": name})
    moved = Moved(ARN, BEGINNING_OF_STREAM, Position({"shard-0": "1"}))
    with pytest.raises(LoadError, match="names have at most 127 bytes: give the table a shorter `name`"):
        SqlWarehouse(warehouse).load_tail(landing, moved)
    assert not warehouse.tables(warehouse.default_schema, "")


@followable
def test_records_that_cannot_be_read_are_counted_or_refuse_the_load(streamed: Streamed) -> None:
    """A landing may have a single record, so that none of it can be read."""
    bad = {"items_in_manifest": 1, "quarantined": 1, "without_row": 0}
    empty = streamed.source.landing([], (at(HOUR), at(HOUR + 2)), "landing").model_copy(update=bad)
    moved = streamed.move()
    with pytest.raises(LoadError, match="max_quarantined"):
        streamed.load(empty, moved)
    result = streamed.load(empty, moved, LoadOptions(max_quarantined=1))
    assert (result.applied, result.items, result.quarantined, result.rows_in) == (True, 1, 1, 0)


@on_duckdb
def test_all_of_a_tail_is_held_and_forgotten_with_its_table(streamed: Streamed) -> None:
    streamed.say(("a", HOUR, Item("new", ("z",))))
    held = streamed.opened.holdings("orders")
    assert {*TAIL, "_ddb_stream__orders"} < held.tables.keys()
    assert [name.split(".")[1] for name in held.views] == ['"orders_live"', '"orders__lines_live"']
    streamed.opened.forget("orders", held, patience=1.0)
    assert streamed.opened.holdings("orders") == Holdings()
    assert not streamed.engine.standing(TableName(streamed.opened.schema, "orders_live"))
    assert streamed.engine.tables(streamed.opened.schema, "_ddb_") == []


def test_a_table_that_another_load_makes_between_two_looks_is_no_stranger(
    streamed: Streamed, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing, waiting = streamed.engine.standing, [OTHER]

    def late(name: TableName) -> Standing | None:
        if name.name == "_ddb_stream__orders" and waiting:
            streamed.opened.move_stream("orders", waiting.pop())
        return standing(name)

    monkeypatch.setattr(streamed.engine, "standing", late)
    monkeypatch.setattr(load, "RETRIES", (0.0,))
    assert streamed.say(("a", HOUR, Item("new"))).applied
    assert not waiting


def test_loads_of_exports_and_of_records_side_by_side(
    redshift: RedshiftServer, over_redshift: RedshiftEngine, source: Source
) -> None:
    """The first landing comes twice, while windows are loaded: it is applied once, and the tail keeps what is not covered."""
    streamed = Streamed(over_redshift, source)
    source.put(1, "a", "old", "x")
    streamed.opened.load(source.full(10))
    changes: list[Change] = [
        (key, number * HOUR + 20, Item(f"in hour {number}", ("x", "y")))
        for number, key in enumerate(["a", "b", "c", "d"])
    ]
    for key, time, item in changes:
        source.writes.append((time, key, item))
    landing = source.landing(changes, (at(0), at(4 * HOUR)), "landing")
    moved = streamed.move()
    windows = [source.window(max(10, number * HOUR), (number + 1) * HOUR) for number in range(3)]
    applied: list[tuple[str, bool]] = []

    def run(what: str, load: Callable[[SqlWarehouse], LoadResult | TailResult]) -> None:
        with SqlWarehouse(to_redshift(redshift)) as opened:
            applied.append((what, load(opened).applied))

    loads: list[tuple[str, Callable[[SqlWarehouse], LoadResult | TailResult]]] = [
        *[("records", lambda opened: opened.load_tail(landing, moved))] * 2,
        *[("window", partial(SqlWarehouse.load, report=window)) for window in windows],
    ]
    threads = [threading.Thread(target=run, args=each) for each in loads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == [("records", False), ("records", True), *[("window", True)] * 3]
    assert streamed.live() == {key: item for key, (_, item) in source.state(4 * HOUR).items()}
    assert streamed.tail() == [1, 2, 0], "only the fourth hour is not covered"
