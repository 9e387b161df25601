"""Which statements a load in SQL sends for items that could not be read, and that it sends none where there are none."""

import pytest

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.support.engines import AnyEngine, on_duckdb, read, select, tables
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.conformance.worlds import items
from ddb_assets_tests.warehouse.exports import BASE, Item, Source

LIMIT = 10


@pytest.fixture
def orders(source: Source) -> Source:
    for key in "abc":
        source.put(1, key, f"first {key}", "x", "y")
    return source


def stale(warehouse: AnyEngine) -> dict[str, int]:
    """Key to the time since which its row is marked."""
    rows = select(warehouse, "SELECT order_id, _ddb_stale_since FROM orders WHERE _ddb_stale_since IS NOT NULL")
    return {key: round((since - BASE.replace(tzinfo=None)).total_seconds() * 1_000_000) for key, since in rows}


@pytest.fixture
def sent(warehouse: AnyEngine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that loads execute."""
    texts: list[str] = []
    execute = warehouse.execute

    def noted(statement: Statement) -> None:
        texts.append(statement.text)
        execute(statement)

    monkeypatch.setattr(warehouse, "execute", noted)
    return texts


@on_duckdb
def test_a_load_compares_with_those_initial_loads_only_that_are_newer(
    warehouse: AnyEngine, orders: Source, sent: list[str]
) -> None:
    late = orders.full(5), orders.window(10, 15)
    for time in (10, 20, 30):
        load(warehouse, orders.full(time, unread="a" if time > 10 else ""), max_quarantined=LIMIT)
    orders.put(31, "b", "second b")
    assert [_compared(sent, warehouse, export) for export in (orders.window(30, 40), *late)] == [0, 3, 2]
    assert read(warehouse)["b"] == Item("second b")


def _compared(sent: list[str], warehouse: AnyEngine, export: Report) -> int:
    """How often the load compares what is staged with the time of an initial load."""
    sent.clear()
    load(warehouse, export)
    return sum('DELETE FROM "_ddb_stage_' in text and '_ddb_version" < ?' in text for text in sent)


@on_duckdb
def test_loads_that_follow_a_complete_initial_load_do_not_look_for_unread_items(
    warehouse: AnyEngine, orders: Source, sent: list[str]
) -> None:
    load(warehouse, orders.full(10))
    orders.put(12, "a", "second a")
    orders.put(13, "c", "second c")
    late = orders.window(10, 20, unkeyed="a")
    load(warehouse, orders.window(10, 20, unread="a"), max_quarantined=LIMIT)
    load(warehouse, orders.full(30))
    assert (read(warehouse), stale(warehouse)) == (items(orders, 30), {})
    orders.put(31, "b", "second b")
    sent.clear()
    load(warehouse, orders.window(30, 40))
    assert not [text for text in sent if "_ddb_unread__orders" in text or "_ddb_stale_since" in text]
    load(warehouse, late, max_quarantined=LIMIT, force=True)
    assert (read(warehouse), stale(warehouse)) == (items(orders, 40), {})


def test_marks_that_are_right_are_not_written_again(
    duckdb: DuckDBEngine, orders: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(duckdb, orders.full(10))
    orders.put(12, "a", "second a")
    orders.put(13, "b", "second b")
    orders.put(14, "d", "first d")
    load(duckdb, orders.window(10, 20, unread="ab"), max_quarantined=LIMIT)
    orders.put(21, "b", "third b")
    orders.put(22, "c", "second c")
    execute, changed = duckdb.execute, list[int]()

    def counted(statement: Statement) -> None:
        execute(statement)
        if statement.text.startswith('UPDATE "main"."orders"'):
            changed.append(duckdb.connection.fetchall()[0][0])

    monkeypatch.setattr(duckdb, "execute", counted)
    load(duckdb, orders.window(20, 30, unread="c"), max_quarantined=LIMIT)
    assert (changed, stale(duckdb)) == ([1], {"a": 12, "c": 22})


@on_duckdb
def test_tables_without_such_items_have_none_of_it(warehouse: AnyEngine, orders: Source) -> None:
    load(warehouse, orders.full(10))
    load(warehouse, orders.window(10, 20))
    assert "_ddb_unread__orders" not in {name for _, name in tables(warehouse)}
    assert "_ddb_stale_since" not in warehouse.catalog(TableName(warehouse.default_schema, "orders"))


@on_duckdb
def test_the_ledger_counts_what_could_not_be_read(warehouse: AnyEngine, orders: Source) -> None:
    load(warehouse, orders.full(10))
    orders.put(12, "a", "second a")
    orders.put(13, "b", "second b")
    load(warehouse, orders.full(20, unread="a"), max_quarantined=LIMIT)
    load(warehouse, orders.full(20, unread="a", unkeyed="b", digest="d2"), max_quarantined=LIMIT)
    assert select(warehouse, "SELECT kept_stale, unkeyed, without_row FROM _ddb_loads ORDER BY sequence") == [
        (0, 0, 0),
        (1, 0, 0),
        (1, 1, 0),
    ]
    load(warehouse, orders.full(20, digest="d3"))
    assert select(warehouse, "SELECT COUNT(*) FROM _ddb_unread__orders") == [(0,)]
