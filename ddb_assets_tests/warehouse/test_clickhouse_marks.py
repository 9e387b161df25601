"""Rows of deleted items, and of items that could not be read, in ClickHouse: as in DuckDB, whatever comes in which order."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ddb_assets.contract.report import Column, Hidden, Report
from ddb_assets.sandbox.clickhouse.server import ClickHouseServer
from ddb_assets.streams.position import Position
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import LoadResult
from ddb_assets.warehouse.sql.statements import TableName
from ddb_assets_tests.support.clickhouse import again, in_database
from ddb_assets_tests.support.engines import select
from ddb_assets_tests.support.examples import SOAK, examples
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.conformance.worlds import KEYS, WINDOW, World, worlds
from ddb_assets_tests.warehouse.exports import BASE_MICROS, EXTRA, VERSION, Item, Source, at, relation, report, write
from ddb_assets_tests.warehouse.test_clickhouse import KilledError, dying, watched

State = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]
"""The rows of both relations as they are seen."""
MARKS = ("_ddb_deleted_at", "_ddb_stale_since")
LINES = "SELECT order_id, _ddb_index, value FROM orders__lines ORDER BY order_id, _ddb_index"


@dataclass(frozen=True)
class Doubt:
    """What an export could not read, and how it is loaded."""

    unread: str
    unkeyed: str
    soft_delete: bool
    force: bool
    hides: bool


def seen(query: Callable[[str], list[Any]], there: Collection[str]) -> State:
    """The rows of both relations, with the marks that there are."""
    marks = ", ".join(mark if mark in there else f"NULL AS {mark}" for mark in MARKS)
    rows = query(f"SELECT order_id, note, _ddb_version, {marks} FROM orders ORDER BY order_id")
    return [tuple(row) for row in rows], [tuple(row) for row in query(LINES)]


def hiding(export: Report, how: str = "sha256") -> Report:
    """As if the contract hid notes and lines. Values that are hidden by a mask are values, too."""
    columns = {"orders": ("_ddb_extra", "note"), "orders__lines": ("value",)}
    return export.model_copy(update={"hidden": (Hidden(path="note", how=how, columns=columns),)})


def counts(result: LoadResult) -> tuple[Any, ...]:
    return (
        *(result.applied, result.sequence, result.upserted, result.deleted, result.stale, result.kept_stale),
        *(result.rows, result.table_rows, result.remarks),
    )


@st.composite
def doubtful(draw: st.DrawFn) -> tuple[World, list[Doubt]]:
    """A world, and a doubt for each of its loads. Most tables keep rows of deleted items always or never."""
    world = draw(worlds())
    keys = st.sets(st.sampled_from(KEYS), max_size=2).map(lambda some: "".join(sorted(some)))
    mostly = st.one_of(st.just(""), keys)
    soft = draw(st.sampled_from([st.just(True), st.just(False), st.booleans()]))
    doubts = st.builds(
        Doubt,
        unread=mostly,
        unkeyed=st.one_of(st.just(""), mostly),
        soft_delete=soft,
        force=st.booleans(),
        hides=st.just(value=False),
    )
    number = len(world[2]) + 1
    shown = draw(st.integers(0, 2 * number))
    loads = draw(st.lists(doubts, min_size=number, max_size=number))
    return world, [replace(doubt, hides=nth >= shown) for nth, doubt in enumerate(loads)]


@pytest.mark.slow
@pytest.mark.soak
@settings(
    max_examples=examples(1, 1 / 12),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=set(Phase) - {Phase.explain},
)
@given(doubtful())
def test_any_schedule_gives_the_rows_marks_and_counts_of_duckdb(
    clickhouse_server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch, found: tuple[World, list[Doubt]]
) -> None:
    (writes, _, schedule), doubts = found
    monkeypatch.setenv("DDB_ASSETS_CLICKHOUSE_PASSWORD", clickhouse_server.password)
    with (
        TemporaryDirectory() as folder,
        DuckDBEngine(":memory:") as rows,
        in_database(clickhouse_server) as clickhouse,
    ):
        source = Source(Path(folder), writes)
        for number, ((kind, step), doubt) in enumerate(zip([("full", 0), *schedule], doubts, strict=True)):
            unread = {"unread": doubt.unread, "unkeyed": doubt.unkeyed.translate(str.maketrans("", "", doubt.unread))}
            start = step * WINDOW
            export = (
                source.window(start, start + WINDOW, **unread, digest=f"d{number}")
                if kind == "window"
                else source.full(step, **unread, digest=f"d{number}")
            )
            export = hiding(export) if doubt.hides else export
            options = {"soft_delete": doubt.soft_delete, "force": doubt.force, "max_quarantined": 9}
            alike(rows, clickhouse, export, options)


def alike(rows: DuckDBEngine, clickhouse: ClickHouseWarehouse, export: Report, options: dict[str, Any]) -> None:
    """Loads the export into both, with the same result and the same rows, or the same refusal."""
    why = ""
    try:
        expected = load(rows, export, **options)
    except LoadError as error:
        why = str(error)
    if why:
        with pytest.raises(LoadError, match=re.escape(why)):
            clickhouse.load(export, LoadOptions(**options))
        return
    result = clickhouse.load(export, LoadOptions(**options))
    there = rows.layout(TableName("main", "orders")).types
    assert counts(result) == counts(expected)
    assert clickhouse.columns(["orders"])["orders"].keys() == there.keys()
    assert seen(clickhouse.query, there) == seen(lambda text: select(rows, text), there)


SOFT, PLAIN = LoadOptions(soft_delete=True, max_quarantined=9), LoadOptions(max_quarantined=9)


def now(warehouse: ClickHouseWarehouse) -> State:
    there = warehouse.query("SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'orders'")
    return seen(warehouse.query, [str(name) for (name,) in there])


@dataclass(frozen=True)
class Change:
    """A load that changes rows beside those of its export, and how the table was loaded before."""

    before: LoadOptions
    options: LoadOptions
    full: bool = False
    unread: str = ""
    unkeyed: str = ""
    hides: bool = False

    def export(self, source: Source, time: int, how: str = "sha256") -> Report:
        doubt = {"unread": self.unread, "unkeyed": self.unkeyed}
        export = source.full(time + 10, **doubt) if self.full else source.window(time, time + 10, **doubt)
        return hiding(export, how) if self.hides else export


CHANGES = {
    "deleted items": Change(SOFT, SOFT, unread="a"),
    "vanished items": Change(SOFT, SOFT, full=True, unread="a"),
    "unread items": Change(PLAIN, PLAIN, unread="a"),
    "unread items in a full export": Change(PLAIN, PLAIN, full=True, unread="a"),
    "unknown items": Change(PLAIN, PLAIN, full=True, unkeyed="a"),
    "rows of deleted items from now on": Change(PLAIN, SOFT),
    "rows of deleted items no longer": Change(SOFT, PLAIN, full=True, unread="a"),
    "hidden values": Change(SOFT, SOFT, hides=True),
    "hidden values that a full export leaves": Change(PLAIN, PLAIN, full=True, unread="a", hides=True),
}


def some(*usual: str) -> list[Any]:
    """All changes in a soak, these otherwise."""
    return [pytest.param(change, id=name) for name, change in CHANGES.items() if SOAK or name in usual]


def prepared(warehouse: ClickHouseWarehouse, source: Source, options: LoadOptions) -> None:
    """Loads that know deleted items, and one that could not be read."""
    for key in "abcd":
        source.put(1, key, "first", "x", "y")
    warehouse.load(source.full(10), options)
    source.delete(11, "c")
    source.put(12, "b", "second", "z")
    warehouse.load(source.window(10, 20, unread="b"), options)


@pytest.mark.soak
@pytest.mark.parametrize("change", some("vanished items", "hidden values"))
def test_between_two_statements_a_reader_sees_the_old_or_the_new(
    clickhouse: ClickHouseWarehouse, source: Source, change: Change
) -> None:
    prepared(clickhouse, source, change.before)
    source.put(21, "a", "second", "u", "v", "w")
    source.delete(22, "d")
    source.put(23, "e", "new", "x")
    old, states = now(clickhouse), list[State]()
    with again(clickhouse) as reader:
        watched(clickhouse, lambda _: states.append(now(reader)))
        clickhouse.load(change.export(source, 20), change.options)
    new = now(clickhouse)
    turn = states.index(new)
    assert old != new
    assert (states[:turn], states[turn:]) == ([old] * turn, [new] * (len(states) - turn))
    lists = clickhouse.query("SELECT count() FROM _ddb_rows__orders__lines FINAL")
    assert lists == [(len(new[1]),)]  # rows that nobody sees any more are gone


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("change", some("deleted items"))
def test_whoever_dies_leaves_all_of_a_load_or_nothing_and_the_next_load_finishes_it(
    clickhouse: ClickHouseWarehouse, source: Source, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    """After every statement of a load in a soak, after one of them otherwise. DuckDB says what is new."""
    last, survived = 1 if SOAK else 13, False
    with DuckDBEngine(":memory:") as rows:
        prepared(clickhouse, source, change.before)
        for export, options in ((source.full(10), change.before), (source.window(10, 20, unread="b"), change.before)):
            load(rows, export, soft_delete=options.soft_delete, max_quarantined=9)
        time = 20
        while not survived:
            source.put(time + 1, "a", f"at {time}", *("z" * (last % 3)))
            source.delete(time + 2, "d" if last % 2 else f"e{time - 10}")
            source.put(time + 3, f"e{time}", "new", "w")
            between = source.window(time, time + 10, unread="a")
            hidden = change.hides and time > 20  # by each change in another way
            for options, export in (
                (change.before, hiding(between, f"mask {last - 1}") if hidden else between),
                (change.options, change.export(source, time + 10, f"mask {last}")),
            ):
                old, time = now(clickhouse), time + 10
                load(rows, export, soft_delete=options.soft_delete, max_quarantined=9)
                there = rows.layout(TableName("main", "orders")).types
                new = seen(lambda text: select(rows, text), there)
                monkeypatch.setattr("ddb_assets.warehouse.clickhouse.lock.LEASE_SECONDS", 0.1)
                with again(clickhouse) as mortal:
                    dying(mortal, last)
                    try:
                        mortal.load(export, options)
                        survived = True
                    except KilledError:
                        pass
                monkeypatch.undo()
                monkeypatch.setenv("DDB_ASSETS_CLICKHOUSE_PASSWORD", "sandbox")
                assert now(clickhouse) in (old, new)
                clickhouse.load(export, options)
                assert now(clickhouse) == new
                assert clickhouse.inspect(export).leftovers == ()
                assert clickhouse.recorded("orders", counted=True).differing == {}
            last += 1
            survived = survived or not SOAK


Loads = list[tuple[Report, dict[str, Any]]]


def of_deleted_items(source: Source) -> Loads:
    """Deletes and puts come late, twice, and after newer ones; the first export is loaded again with other content."""
    for key in "cd":
        source.put(2, key, "first", "z")
    source.put(12, "a", "second", "v")
    source.put(11, "b", "second")
    source.delete(14, "c")
    source.put(22, "a", "third", "u")
    source.delete(23, "b")
    source.put(24, "c", "third", "w")
    source.delete(31, "a")
    source.delete(33, "c")
    exports = [source.full(10), *(source.window(start, start + 10) for start in (30, 10, 20, 10))]
    other = Source(source.folder / "other", [(2, "a", Item("changed", ("n",)))])
    exports.append(other.full(10, digest="d2"))
    return [(export, {"soft_delete": True, "force": True}) for export in exports]


def of_unread_items(source: Source) -> Loads:
    """A full export does not know of `c`, so the delete of `c` must be remembered, and says that `d` is gone."""
    source.put(2, "d", "first")
    source.put(11, "b", "second", "z")
    for key in "cd":
        source.put(12, key, "second")
        source.delete(15, key)
    source.put(16, "c", "third")
    late = [source.window(10, 14, unread="b"), source.window(10, 14, digest="d2")]
    exports = [source.full(10), source.window(13, 16), source.full(20, unread="cb"), *late, source.full(30)]
    return [(export, {"max_quarantined": 9}) for export in exports]


def of_a_changed_contract(source: Source) -> Loads:
    """Rows of deleted items are kept from now on, and the put of a delete from before comes late; then no longer."""
    source.put(11, "c", "short life", "x")
    source.delete(21, "c")
    source.put(31, "b", "second", "y")
    source.delete(32, "a")
    late = source.window(10, 20)
    kept = [(source.window(30, 40), True), (late, True), (source.full(40), True)]
    return [
        (export, {"soft_delete": soft})
        for export, soft in [
            (source.full(10), False),
            (source.window(20, 30), False),
            *kept,
            (source.window(40, 50), False),
        ]
    ]


def sent_twice(warehouse: ClickHouseWarehouse) -> None:
    """Sends each INSERT twice."""
    changed: Any = warehouse.server
    execute = changed.execute

    def twice(statement: str, data: bytes | None = None) -> None:
        execute(statement, data)
        if statement.startswith("INSERT"):
            execute(statement, data)

    changed.execute = twice


@pytest.mark.parametrize("scenario", [of_deleted_items, of_unread_items, of_a_changed_contract])
def test_rows_marks_and_counts_are_those_of_duckdb(
    clickhouse: ClickHouseWarehouse, source: Source, scenario: Callable[[Source], Loads]
) -> None:
    """Each INSERT reaches the server twice, as it may when a connection breaks."""
    source.put(1, "a", "first", "x", "y")
    source.put(2, "b", "first", "x")
    sent_twice(clickhouse)
    with DuckDBEngine(":memory:") as rows:
        for export, options in scenario(source):
            alike(rows, clickhouse, export, options)
    clickhouse.forget("orders", clickhouse.holdings("orders"))
    assert clickhouse.query("SELECT name FROM system.tables WHERE database = currentDatabase()") == [("_ddb_loads",)]


def test_a_tail_shows_no_deleted_item(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    for key in "ab":
        source.put(1, key, "first", "x")
    clickhouse.load(source.full(10), SOFT)
    source.delete(11, "a")
    clickhouse.load(source.window(10, 20, unread="b"), SOFT)
    landing = source.landing([("b", 31, Item("second"))], (at(30), at(32)), "landing")
    moved = Moved("arn:of:a:stream", Position({}), Position({"shard-0": "1"}))
    with pytest.raises(LoadError, match="`soft_delete` and a stream"):
        clickhouse.load_tail(landing, moved, SOFT)
    with pytest.raises(LoadError, match="orders keeps rows of deleted items"):
        clickhouse.load_tail(landing, moved, PLAIN)
    clickhouse.load(source.window(20, 30), PLAIN)
    with pytest.raises(LoadError, match="note is hidden now"):
        clickhouse.load_tail(hiding(landing), moved, PLAIN)
    assert clickhouse.load_tail(landing, moved, PLAIN).applied
    assert clickhouse.query("SELECT order_id, note FROM orders_live") == [("b", "second")]
    with pytest.raises(LoadError, match="into the tail of orders, whose view would show deleted items"):
        clickhouse.load(source.window(30, 40), SOFT)
    clickhouse.load(source.window(30, 40, unread="b"), PLAIN)
    assert now(clickhouse)[0][0][:2] == ("b", "first")


def test_a_key_may_have_any_name(clickhouse: ClickHouseWarehouse, tmp_path: Path) -> None:
    key = Column(name="sent FROM where", path=("k",), type="VARCHAR(64)", role="key")
    root = relation("orders", (key, VERSION, EXTRA))
    for time, keys in ((10, "ab"), (20, "b")):
        rows = [{key.name: one, VERSION.name: BASE_MICROS + time} for one in keys]
        clickhouse.load(report([write(tmp_path / f"{time}", root, rows)], export_time=at(time)), SOFT)
    deleted = "SELECT `sent FROM where`, _ddb_deleted_at IS NOT NULL FROM orders ORDER BY 1"
    assert clickhouse.query(deleted) == [("a", True), ("b", False)]
