"""Histories in ClickHouse: the same versions as in DuckDB, of the same load as the table, whoever dies and whoever reads."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ddb_assets.contract.history import HistoryOptions
from ddb_assets.contract.report import Hidden, Report
from ddb_assets.sandbox.clickhouse.server import ClickHouseServer
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.errors import LoadError, WarehouseError
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets_tests.support.clickhouse import again, in_database, read
from ddb_assets_tests.support.examples import SOAK, examples
from ddb_assets_tests.warehouse.conformance.clickhouse_subject import ClickHouseSubject
from ddb_assets_tests.warehouse.conformance.sql_subjects import SqlSubject
from ddb_assets_tests.warehouse.conformance.test_history import DAY, History, at_time, versions
from ddb_assets_tests.warehouse.conformance.worlds import WINDOW, WINDOWS, World, items, worlds
from ddb_assets_tests.warehouse.exports import EXTRA, VERSION, Item, Source, at, relation, report
from ddb_assets_tests.warehouse.test_clickhouse import KilledError, dying, watched, withheld

KEPT = LoadOptions(history=HistoryOptions())
SHORT = LoadOptions(history=HistoryOptions(keep="2 days"))
Seen = tuple[dict[str, Item], History]
only_in_a_soak = pytest.mark.skipif(not SOAK, reason="takes a minute: runs in make soak")


@pytest.fixture
def orders(source: Source) -> Source:
    source.hashed = True
    return source


def again_with(options: LoadOptions, **changed: Any) -> LoadOptions:
    return LoadOptions(**{**vars(options), **changed})


def history(warehouse: ClickHouseWarehouse) -> History:
    return versions(ClickHouseSubject(warehouse))


def seen(warehouse: ClickHouseWarehouse) -> Seen:
    """The table and its history."""
    return read(warehouse), history(warehouse)


def story(orders: Source) -> Source:
    for key in "abc":
        orders.put(1, key, f"first {key}", "x", "y")
    orders.put(11, "a", "second a", "z")
    orders.delete(12, "b")
    orders.put(13, "d", "new d")
    return orders


@pytest.mark.soak
@pytest.mark.parametrize(
    "kind", ["window", *(pytest.param(kind, marks=only_in_a_soak) for kind in ("again", "full", "restart"))]
)
def test_between_two_statements_a_reader_sees_the_table_and_the_history_of_one_load(
    clickhouse: ClickHouseWarehouse, orders: Source, kind: str
) -> None:
    story(orders)
    clickhouse.load(orders.full(10), KEPT)
    export = orders.full(20) if kind in {"full", "restart"} else orders.window(10, 20)
    if kind == "again":
        clickhouse.load(export, KEPT)
        orders.put(14, "a", "otherwise", "w")
        export = orders.window(10, 20, digest="d2")
    old = seen(clickhouse)
    found: list[Seen] = []
    with again(clickhouse) as reader:

        def look(text: str) -> None:
            if _decided(text) or (found and (SOAK or not text.startswith("DROP TABLE IF EXISTS `_ddb_stage__"))):
                found.append(seen(reader))

        watched(clickhouse, look)
        clickhouse.load(export, again_with(KEPT, restart=kind == "restart"))
    new = found[-1]
    assert new[0] == items(orders, 20)
    assert at_time(new[1], 1 << 60) == new[0]
    assert old != new
    turn = found.index(new)
    assert (found[:turn], found[turn:]) == ([old] * turn, [new] * (len(found) - turn))
    assert turn > 1  # versions are handed over before they are seen
    left = clickhouse.query("SELECT countDistinct(_ddb_load) FROM _ddb_versions__orders")
    assert left == [(1 if kind == "restart" else 2,)]


def _decided(text: str) -> bool:
    return text.startswith("INSERT INTO `_ddb_loads__")


@only_in_a_soak
@pytest.mark.soak
def test_whoever_dies_leaves_the_table_and_the_history_of_one_load(
    clickhouse: ClickHouseWarehouse, orders: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every statement of a load that also forgets old versions."""
    with DuckDBEngine(":memory:") as engine:
        plain = SqlSubject(engine, monkeypatch)
        orders.put(-1, "a", "first", "x")
        for warehouse in (clickhouse, plain.warehouse):
            warehouse.load(orders.full(0), SHORT)
        time, last, survived = 0, 1, False
        while not survived:
            end = time + DAY
            orders.put(time + 1, "a", f"at {time}", *("z" * (last % 3)))
            orders.put(time + 2, f"only {time}", "new", "w")
            orders.delete(time + 3, f"only {time - DAY}")
            export = orders.full(end) if last % 4 == 3 else orders.window(time, end)
            old = items(orders, time), versions(plain)
            plain.warehouse.load(export, SHORT)
            new = items(orders, end), versions(plain)
            with monkeypatch.context() as patch, again(clickhouse) as mortal:
                patch.setattr("ddb_assets.warehouse.clickhouse.lock.LEASE_SECONDS", 0.1)
                dying(mortal, last)
                try:
                    mortal.load(export, SHORT)
                    survived = True
                except KilledError:
                    pass
            assert seen(clickhouse) in (old, new)
            clickhouse.load(export, SHORT)
            assert seen(clickhouse) == new
            assert clickhouse.inspect(export).leftovers == ()
            time, last = end, last + 1
        assert last > 40


@only_in_a_soak
@pytest.mark.soak
@settings(
    max_examples=examples(1, 1 / 12),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=set(Phase) - {Phase.shrink, Phase.explain},
)
@given(worlds(), st.sampled_from([None, 3, 5]))
def test_any_schedule_gives_the_history_of_duckdb(
    clickhouse_server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch, world: World, restarts: int | None
) -> None:
    writes, _, schedule = world
    monkeypatch.setenv("DDB_ASSETS_CLICKHOUSE_PASSWORD", clickhouse_server.password)
    with (
        TemporaryDirectory() as folder,
        DuckDBEngine(":memory:") as engine,
        in_database(clickhouse_server) as clickhouse,
    ):
        orders, plain = Source(Path(folder), writes, hashed=True), SqlSubject(engine, monkeypatch)
        exports = [orders.full(0, export_id="first")]
        for kind, number in schedule:
            start = number * WINDOW
            exports.append(orders.window(start, start + WINDOW) if kind == "window" else orders.full(number))
        for place, export in enumerate(exports):
            options = again_with(KEPT, force=place % 3 == 1, restart=place == restarts and export.is_full)
            results = [one.load(export, options).history for one in (plain.warehouse, clickhouse)]
            assert results[0] == results[1]
            assert history(clickhouse) == versions(plain)
        assert at_time(history(clickhouse), 1 << 60) == read(clickhouse)
        spans = [one.warehouse.remembered("orders") for one in (plain, ClickHouseSubject(clickhouse))]
        assert spans[0] == spans[1]
    assert WINDOWS


def test_a_late_window_is_not_handed_over_again_after_its_versions_were_forgotten(
    clickhouse: ClickHouseWarehouse, orders: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its version of `a` would be back, without the delete that ended it."""
    orders.put(-1, "z", "stays")
    orders.put(DAY + 1, "a", "of the late window", "x")
    orders.put(2 * DAY + 1, "a", "second", "x")
    orders.delete(3 * DAY + 1, "a")
    clickhouse.load(orders.full(0), KEPT)
    for day in (2, 3, 7):
        clickhouse.load(orders.window(day * DAY, day * DAY + DAY), KEPT)
    assert [version[4].note for version in history(clickhouse)["a"]] == ["second"]
    late = orders.window(DAY, 2 * DAY)
    with monkeypatch.context() as patch, again(clickhouse) as mortal:
        patch.setattr("ddb_assets.warehouse.clickhouse.lock.LEASE_SECONDS", 0.1)
        watched(mortal, lambda text: dying(mortal, 0) if "_ddb_kind = 'delete'" in text and "DELETE" in text else None)
        with pytest.raises(KilledError):
            mortal.load(late, SHORT)
    found = clickhouse.load(late, SHORT)
    assert not found.applied
    assert history(clickhouse).keys() == {"z"}
    assert clickhouse.query("SELECT DISTINCT order_id FROM _ddb_versions__orders") == [("z",)]
    # what ended before the horizon stays forgotten, also when it is loaded again
    assert clickhouse.load(orders.window(2 * DAY, 3 * DAY, digest="d2"), SHORT).history is not None
    assert history(clickhouse).keys() == {"z"}


def test_who_deletes_versions_late_takes_none_of_the_next_load(clickhouse: ClickHouseWarehouse, orders: Source) -> None:
    """It is paused before it looks for what was replaced. Another load has handed its versions over, and no rows yet."""
    for time, note in ((1, "first"), (11, "second"), (21, "third")):
        orders.put(time, "a", note)
    clickhouse.load(orders.full(10), KEPT)
    clickhouse.load(orders.window(10, 20), KEPT)
    late = withheld(
        clickhouse, "CREATE OR REPLACE", lambda sleeper: sleeper.load(orders.window(10, 20, digest="d2"), KEPT)
    )

    def arrives(statement: str) -> None:
        if "`_ddb_history__orders` ATTACH" in statement and not refused:
            with again(clickhouse) as sleeper:
                try:
                    sleeper.server.execute(late)
                except WarehouseError:
                    refused.append(statement)

    refused: list[str] = []
    watched(clickhouse, arrives)
    clickhouse.load(orders.window(20, 30), KEPT)
    assert refused
    assert [version[4].note for version in history(clickhouse)["a"]] == ["first", "second", "third"]


def test_what_is_forgotten_is_gone_before_it_is_deleted(clickhouse: ClickHouseWarehouse, orders: Source) -> None:
    """A delete takes its time, and each part of a table by itself."""
    orders.put(-1, "a", "first", "x")
    orders.put(1, "a", "second", "y")
    orders.put(DAY + 1, "a", "third")
    clickhouse.load(orders.full(0), KEPT)
    for day in range(2):
        clickhouse.load(orders.window(day * DAY, day * DAY + DAY), KEPT)
    old = history(clickhouse)
    found: list[History] = []
    steps = ("`_ddb_history__orders` ATTACH", "DELETE FROM", "INSERT INTO `_ddb_loads__")
    with again(clickhouse) as reader:
        watched(clickhouse, lambda text: found.append(history(reader)) if any(one in text for one in steps) else None)
        clickhouse.load(orders.window(4 * DAY, 5 * DAY), SHORT)
    new = {"a": old["a"][2:]}
    turn = found.index(new)
    assert (found[:turn], found[turn:]) == ([old] * turn, [new] * (len(found) - turn))
    assert clickhouse.query("SELECT count() FROM _ddb_versions__orders") == [(1,)]


def test_a_history_that_is_switched_on_later_asks_for_the_exports_again(
    clickhouse: ClickHouseWarehouse, orders: Source
) -> None:
    story(orders)
    full, window = orders.full(10), orders.window(10, 20)
    for export in (full, window):
        clickhouse.load(export)
    assert clickhouse.remembered("orders") == ()
    assert {*clickhouse.rehearse(full, KEPT).views} == {"orders_history", "orders__lines_history"}
    plain = Source(orders.folder / "plain", orders.writes)
    with pytest.raises(LoadError, match="was flattened before Orders had a `history`"):
        clickhouse.load(plain.window(10, 20), KEPT)
    assert [clickhouse.load(export, KEPT).applied for export in (full, window, window)] == [True, True, False]
    assert clickhouse.remembered("orders") == ((at(10), at(10)), (at(10), at(20)))
    assert read(clickhouse) == items(orders, 20)
    orders.put(14, "a", "otherwise", "w")
    clickhouse.load(orders.window(10, 20, digest="d2"), KEPT)
    before = history(clickhouse)
    assert at_time(before, 1 << 60) == items(orders, 20)
    assert [version[4].note for version in before["a"]] == ["first a", "otherwise"]
    orders.put(21, "a", "not kept")
    clickhouse.load(orders.window(20, 30))
    assert history(clickhouse) == before
    clickhouse.load(orders.full(30), LoadOptions(restart=True))
    assert (history(clickhouse), clickhouse.remembered("orders")) == ({}, ())
    assert clickhouse.query("SELECT count() FROM _ddb_versions__orders") == [(0,)]


def test_versions_that_somebody_dropped_are_said(clickhouse: ClickHouseWarehouse, orders: Source) -> None:
    story(orders)
    clickhouse.load(orders.full(10), KEPT)
    clickhouse.server.execute("DROP TABLE `_ddb_versions__orders`")
    window = orders.window(10, 20)
    with pytest.raises(LoadError, match="lists exports whose versions were in _ddb_versions__orders"):
        clickhouse.load(window, KEPT)
    clickhouse.server.execute("DROP TABLE `_ddb_history__orders`")
    clickhouse.load(window, KEPT)
    assert history(clickhouse).keys() == {"a", "d"}


def test_an_export_without_items_ends_every_version(clickhouse: ClickHouseWarehouse, orders: Source) -> None:
    """It does not say what the key is; neither does the first one, after which the history has no tables yet."""

    def nothing(time: int) -> Report:
        hashes = orders.window(0, 1).root.columns[-2:-1]
        lists = relation("orders__lines", (VERSION, EXTRA), ("lines",))
        return report((relation("orders", (VERSION, EXTRA, *hashes)), lists), export_time=at(time))

    assert clickhouse.load(nothing(5), KEPT).history is not None
    assert clickhouse.remembered("orders") == ((at(5), at(5)),)
    story(orders)
    clickhouse.load(orders.full(10), KEPT)
    found = clickhouse.load(nothing(30), KEPT).history
    assert found is not None
    assert (found.rows, found.added, found.used) == (3, 0, True)
    assert {(key, until) for key, every in history(clickhouse).items() for _, until, *_ in every} == {
        (key, 30) for key in "abc"
    }


def test_names_of_somebody_else_are_left_alone(clickhouse: ClickHouseWarehouse, orders: Source) -> None:
    story(orders)
    clickhouse.server.execute("CREATE TABLE orders__lines_history (x UInt8) ENGINE = Memory")
    with pytest.raises(LoadError, match=r"orders__lines_history must be the view of the history .*\(Memory\)"):
        clickhouse.load(orders.full(10), KEPT)
    clickhouse.server.execute("DROP TABLE orders__lines_history")
    clickhouse.server.execute(
        "CREATE TABLE `_ddb_versions__orders` (order_id String) ENGINE = MergeTree ORDER BY order_id"
    )
    with pytest.raises(LoadError, match="must have the versions of orders, sorted by"):
        clickhouse.load(orders.full(10), KEPT)
    clickhouse.server.execute("DROP TABLE `_ddb_versions__orders`")
    clickhouse.load(orders.full(10), KEPT)
    columns = tuple(column for column in orders.full(10).root.columns if column.role != "hash")
    other = report([relation("orders_history", columns)], export_time=at(9))
    with pytest.raises(LoadError, match="orders_history must be the view of a table's rows"):
        clickhouse.load(other)
    long = report([relation("o" * 120, orders.full(10).root.columns)], export_time=at(9))
    with pytest.raises(LoadError, match="cannot have a history: it would have"):
        clickhouse.load(long, KEPT)


def test_what_a_contract_hides_is_hidden_in_versions(clickhouse: ClickHouseWarehouse, orders: Source) -> None:
    def hiding(export: Report) -> Report:
        return export.model_copy(update={"hidden": (Hidden(path="note", how="null", columns={"orders": ("note",)}),)})

    story(orders)
    clickhouse.load(orders.full(10), KEPT)
    clickhouse.load(hiding(orders.full(20)), LoadOptions())  # also if the history is not kept any more
    assert clickhouse.query("SELECT count(), count(note), count(_ddb_hash) FROM _ddb_versions__orders") == [(3, 0, 0)]
    found = clickhouse.load(hiding(orders.window(10, 20)), KEPT).history
    assert found is not None
    assert (found.broken, found.rows) == (0, 6)


def test_staged_versions_that_are_gone_are_said(
    clickhouse: ClickHouseWarehouse, orders: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    story(orders)
    clickhouse.load(orders.full(10), KEPT)
    window = orders.window(10, 20)
    with monkeypatch.context() as patch, again(clickhouse) as mortal:
        patch.setattr("ddb_assets.warehouse.clickhouse.lock.LEASE_SECONDS", 0.1)
        watched(mortal, lambda text: dying(mortal, 0) if _decided(text) else None)
        with pytest.raises(KilledError):
            mortal.load(window, KEPT)
    (stage,) = [name for name in clickhouse.inspect(window).leftovers if name.endswith("_v0")]
    clickhouse.server.execute(f"DROP TABLE {stage}")
    with pytest.raises(WarehouseError, match="the staged rows of its history are gone"):
        clickhouse.load(window, KEPT)
    clickhouse.load(orders.full(20), again_with(KEPT, restart=True))
    assert at_time(history(clickhouse), 1 << 60) == items(orders, 20)


def test_what_could_not_be_read_has_not_ended(clickhouse: ClickHouseWarehouse, orders: Source) -> None:
    story(orders)
    clickhouse.load(orders.full(10), KEPT)
    clickhouse.load(orders.full(20, unread=("a",)), again_with(KEPT, max_quarantined=1))
    found = history(clickhouse)
    assert [version[:2] for version in found["a"]] == [(10, None)]
    assert [version[:2] for version in found["b"]] == [(10, 20)]


def test_versions_are_counted(clickhouse: ClickHouseWarehouse, orders: Source) -> None:
    story(orders)

    def lose(text: str) -> None:
        if found := re.match(r"INSERT INTO (`_ddb_stage__\w+_v1`)", text):
            other.server.execute(f"DELETE FROM {found[1]} WHERE `order_id` = 'a'")

    with again(clickhouse) as other:
        watched(clickhouse, lose)
        with pytest.raises(LoadError, match="6 rows of 'orders__lines' were to be staged as versions, 4 are there"):
            clickhouse.load(orders.full(10), KEPT)
    assert clickhouse.remembered("orders") == ()


def test_all_of_a_history_is_held_and_forgotten(clickhouse: ClickHouseWarehouse, orders: Source) -> None:
    story(orders)
    clickhouse.load(orders.full(10), KEPT)
    found = clickhouse.holdings("orders")
    assert found.tables == {
        "_ddb_rows__orders": 3,
        "_ddb_rows__orders__lines": 6,
        "_ddb_versions__orders": 3,
        "_ddb_versions__orders__lines": 6,
        "_ddb_history__orders": 1,
        "_ddb_loads__orders": 2,
    }
    assert set(found.views) == {"orders", "orders__lines", "orders_history", "orders__lines_history"}
    clickhouse.forget("orders", found)
    left = clickhouse.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    assert left == [("_ddb_loads",)]
