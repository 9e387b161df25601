"""A process that was paused and wakes up while another load is at work, or after it, changes no definition, drops nothing."""

from contextlib import suppress
from pathlib import Path

import pytest

from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets_tests.support.clickhouse import again, read
from ddb_assets_tests.support.examples import SOAK
from ddb_assets_tests.warehouse.conformance.worlds import items
from ddb_assets_tests.warehouse.exports import EXTRA, INDEX, LINE, VERSION, Source, at, relation, report
from ddb_assets_tests.warehouse.test_clickhouse import KilledError, dying, loaded, of_values, paused, take_away

BEFORE = ("CREATE TABLE `_ddb_stage__", "CREATE VIEW `_ddb_stage__", "ATTACH", "MODIFY COLUMN", "EXCHANGE")


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted load is not repeated."""
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", ())


@pytest.mark.soak
@pytest.mark.parametrize("before", BEFORE if SOAK else BEFORE[:2])
def test_definitions_are_those_of_the_load_that_has_the_lock(
    clickhouse: ClickHouseWarehouse, tmp_path: Path, before: str
) -> None:
    """The paused load would make a column narrower, and a view without a column."""
    clickhouse.load(of_values(tmp_path, {"n": ("DECIMAL(10,2)", 1)}))
    narrow = of_values(tmp_path, {"n": ("DECIMAL(14,4)", 2), "early": ("VARCHAR(9)", "e")}, time=20)
    wide = of_values(tmp_path, {"n": ("VARCHAR(64)", "1.23456789"), "later": ("VARCHAR(9)", "l")}, time=30)
    seen = "SELECT n, later FROM orders WHERE order_id = 'a'"

    def meanwhile() -> None:
        take_away(clickhouse)
        clickhouse.load(wide)

    with again(clickhouse) as sleeper:
        reached = paused(sleeper, before, meanwhile)
        with pytest.raises(InterruptedLoadError):
            sleeper.load(narrow)
    assert reached()
    assert clickhouse.query(seen) == [("1.23456789", "l")]
    assert clickhouse.load(narrow).stale == 2
    assert clickhouse.query(seen) == [("1.23456789", "l")]
    assert {*clickhouse.columns(["orders"])["orders"]} >= {"n", "early", "later"}
    assert clickhouse.inspect(narrow).leftovers == ()


def test_a_key_that_is_known_late_does_not_empty_the_table(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    """The first export has no items, so the first one that has some creates the table again."""
    lists = relation("orders__lines", (INDEX, LINE, VERSION, EXTRA), ("lines",))
    clickhouse.load(report((relation("orders", (VERSION, EXTRA)), lists), export_time=at(1)))
    source.put(2, "a", "first", "x")
    source.put(12, "b", "second", "y")
    with again(clickhouse) as sleeper:

        def meanwhile() -> None:
            take_away(clickhouse)
            clickhouse.load(source.full(20))

        reached = paused(sleeper, "EXCHANGE TABLES `_ddb_rows__orders`", meanwhile)
        with pytest.raises(InterruptedLoadError):
            sleeper.load(source.window(1, 10))
    assert reached()
    assert read(clickhouse) == items(source, 20)


@pytest.mark.soak
def test_forget_drops_nothing_that_was_loaded_while_it_slept(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    """Before every statement in a soak; before some of them otherwise."""
    loaded(clickhouse, source)
    full, before = source.full(20), 2
    while True:
        clickhouse.load(full, LoadOptions(restart=True))
        held = clickhouse.holdings("orders")

        def meanwhile() -> None:
            take_away(clickhouse)
            with suppress(LoadError):  # the table may be half gone
                clickhouse.load(source.window(20, 30))
            clickhouse.load(full, LoadOptions(restart=True))

        with again(clickhouse) as sleeper:
            reached = paused(sleeper, before, meanwhile)
            with suppress(InterruptedLoadError):
                sleeper.forget("orders", held)
        if not reached():
            break
        clickhouse.load(full, LoadOptions(force=True))  # brings back a view
        assert read(clickhouse) == items(source, 20)
        before += 1 if SOAK else 14
    assert before > 15
    left = clickhouse.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    assert left == [("_ddb_loads",)]


def test_a_load_that_was_forgotten_is_not_done_in_the_next_ledger(
    clickhouse: ClickHouseWarehouse, source: Source
) -> None:
    window = loaded(clickhouse, source)

    def meanwhile() -> None:
        take_away(clickhouse)
        clickhouse.forget("orders", clickhouse.holdings("orders"))
        clickhouse.load(source.full(10, export_id="again"))

    with again(clickhouse) as sleeper:
        reached = paused(sleeper, "SELECT 'done'", meanwhile)
        with suppress(InterruptedLoadError):
            sleeper.load(window)
    assert reached()
    assert [one.export_id for one in clickhouse.recorded("orders").loads] == ["again"]
    assert clickhouse.load(window).applied
    assert read(clickhouse) == items(source, 20)


def test_a_lock_that_was_being_taken_away_is_dropped_by_the_next_load(
    clickhouse: ClickHouseWarehouse, source: Source
) -> None:
    """The load that took it away has died. What looks alike may be the lock of another table."""
    window = loaded(clickhouse, source)
    kept = ("_ddb_ended_lock__orders__x__0123456789abcdef", "_ddb_lock__orders__0123456789abcdef")
    locks = "(holder String, until Int64) ENGINE = MergeTree ORDER BY tuple() COMMENT 'somebody 1'"
    for name in kept:
        clickhouse.server.execute(f"CREATE TABLE `{name}` {locks}")
    clickhouse.server.execute(f"CREATE TABLE `_ddb_lock__orders` {locks}")
    with again(clickhouse) as mortal:
        reached = paused(mortal, "DROP TABLE IF EXISTS `_ddb_ended_lock__", lambda: dying(mortal, 0))
        with pytest.raises(KilledError):
            mortal.load(window)
    assert reached()
    clickhouse.load(window)
    found = "SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE '%lock%' ORDER BY name"
    assert clickhouse.query(found) == [(name,) for name in kept]


def test_a_refusal_of_a_load_that_was_overtaken_says_nothing(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    window = loaded(clickhouse, source)
    ended = "`_ddb_ended_lock__orders__0123456789abcdef`"  # the load drops it before it reads the ledger
    clickhouse.server.execute(f"CREATE TABLE {ended} (holder String, until Int64) ENGINE = MergeTree ORDER BY ()")

    def meanwhile() -> None:
        take_away(clickhouse)
        clickhouse.forget("orders", clickhouse.holdings("orders"))

    with again(clickhouse) as sleeper:
        reached = paused(sleeper, "DROP TABLE IF EXISTS `_ddb_ended_lock__", meanwhile)
        with pytest.raises(InterruptedLoadError):  # and not: no initial load yet
            sleeper.load(window)
    assert reached()
