"""The tables of a history: added to in the load's transaction, hidden, started over and forgotten like the others."""

from typing import Any

import pytest

from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql import load as sql_load
from ddb_assets.warehouse.sql import versions as sql_versions
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.support.engines import AnyEngine, on_duckdb, select, tables
from ddb_assets_tests.warehouse.conformance.sql_subjects import SqlSubject
from ddb_assets_tests.warehouse.conformance.subject import Subject, load
from ddb_assets_tests.warehouse.conformance.test_hiding import MASKED, hidden
from ddb_assets_tests.warehouse.conformance.test_history import at_time, in_history, kept, orders, versions
from ddb_assets_tests.warehouse.exports import Item, Source

__all__ = ["orders"]
OF_HISTORY = {"_ddb_history__orders", "_ddb_versions__orders", "_ddb_versions__orders__lines"}


def rows(warehouse: AnyEngine) -> int:
    return int(select(warehouse, "SELECT COUNT(*) FROM _ddb_versions__orders")[0][0])


@pytest.fixture
def subject(warehouse: AnyEngine, monkeypatch: pytest.MonkeyPatch) -> Subject:
    return SqlSubject(warehouse, monkeypatch)


@pytest.fixture
def two(subject: Subject, orders: Source) -> Source:
    """Two items and one window, loaded."""
    for key in "ab":
        orders.put(1, key, f"first {key}", "x")
    kept(subject, orders.full(10))
    orders.put(11, "a", "second a", "y")
    kept(subject, orders.window(10, 20))
    return orders


def test_views_that_are_as_they_must_be_are_not_replaced(
    subject: Subject, warehouse: AnyEngine, two: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, execute = list[str](), warehouse.execute

    def noted(statement: Statement) -> None:
        said.append(statement.text)
        execute(statement)

    monkeypatch.setattr(warehouse, "execute", noted)
    two.put(21, "a", "third a")
    kept(subject, two.window(20, 30))
    assert said
    assert [text for text in said if "VIEW" in text] == []


def test_what_could_not_be_read_is_not_gone(subject: Subject, two: Source) -> None:
    kept(subject, two.full(20, unread="b"))
    assert [end for _, end, *_ in versions(subject)["b"]] == [None]
    kept(subject, two.full(30, unkeyed="a"))
    assert [end for _, end, *_ in versions(subject)["a"]] == [11, None]
    two.put(31, "b", "unreadable")
    two.delete(32, "a")
    kept(subject, two.window(30, 40, unread="b"))
    # what it was at 20 is not known, so what was there at 30 is another version
    assert [(begin, end) for begin, end, *_ in versions(subject)["b"]] == [(10, 30), (30, None)]
    two.delete(41, "b")
    kept(subject, two.full(50))
    found = [(begin, end, how) for begin, end, _, how, _ in versions(subject)["b"]]
    assert found == [(10, 30, "observed"), (30, 50, "observed")]
    assert [end for _, end, *_ in versions(subject)["a"]] == [11, 32]


@on_duckdb
def test_an_item_after_one_that_could_not_be_read_is_no_broken_chain(subject: Subject, two: Source) -> None:
    two.put(21, "b", "unreadable")
    two.put(22, "a", "readable")
    kept(subject, two.window(20, 30, unread="b"))
    two.put(31, "b", "readable")
    result = in_history(subject, two.window(30, 40))
    assert (result.proven, result.broken) == (True, 0)
    assert [(begin, end) for begin, end, *_ in versions(subject)["b"]] == [(10, 31), (31, None)]


@on_duckdb
def test_an_export_that_is_loaded_again_replaces_its_own_versions_only(
    warehouse: AnyEngine, subject: Subject, two: Source
) -> None:
    before = versions(subject)
    assert kept(subject, two.window(10, 20), force=True).applied
    assert (versions(subject), rows(warehouse)) == (before, 3)
    two.put(12, "c", "new c")
    kept(subject, two.window(10, 20, digest="d2"))
    assert versions(subject) == before | {"c": [(12, None, "written", None, Item("new c"))]}
    assert rows(warehouse) == 4


def test_a_load_that_fails_adds_nothing(warehouse: AnyEngine, subject: Subject, two: Source) -> None:
    before = versions(subject), rows(warehouse)
    two.put(21, "b", "second b", "z")

    def fail() -> None:
        raise LoadError("at the very end")

    with pytest.raises(LoadError, match="at the very end"):
        kept(subject, two.window(20, 30), before_commit=fail)
    assert (versions(subject), rows(warehouse)) == before
    assert kept(subject, two.window(20, 30)).applied
    assert [begin for begin, *_ in versions(subject)["b"]] == [10, 21]


@on_duckdb
def test_a_version_that_is_lost_on_the_way_is_missed(
    warehouse: AnyEngine, subject: Subject, two: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = warehouse.execute

    def losing(statement: Statement) -> None:
        execute(statement)
        if statement.text.startswith(f"INSERT INTO {TableName(warehouse.default_schema, '_ddb_versions__orders')}"):
            execute(Statement("DELETE FROM _ddb_versions__orders WHERE order_id = 'b' AND _ddb_from > 0"))

    monkeypatch.setattr(warehouse, "execute", losing)
    two.put(21, "b", "second b")
    with pytest.raises(LoadError, match=r"1 rows of 'orders' went to .*_ddb_versions__orders.*, 0 are there"):
        kept(subject, two.window(20, 30))


@on_duckdb
def test_exports_that_were_loaded_before_there_was_a_history_can_be_added(subject: Subject, source: Source) -> None:
    source.put(1, "a", "first")
    load(subject, source.full(10))
    with pytest.raises(LoadError, match="flatten it again"):
        kept(subject, source.full(10))
    source.hashed = True
    assert kept(subject, source.full(10)).applied
    assert not kept(subject, source.full(10)).applied
    assert at_time(versions(subject), 10) == {"a": Item("first")}


def test_old_versions_are_hidden_with_the_first_load_that_hides_them(
    warehouse: AnyEngine, subject: Subject, two: Source
) -> None:
    two.put(21, "b", "masked by now")
    load(subject, hidden(two.window(20, 30), *MASKED))  # also by a load that adds nothing to the history
    assert {item.note for every in versions(subject).values() for *_, item in every} == {None}
    assert select(warehouse, "SELECT DISTINCT _ddb_hash, _ddb_old_hash FROM _ddb_versions__orders") == [
        (None, "hidden")
    ]
    result = in_history(subject, hidden(two.window(20, 30), *MASKED))
    assert (result.proven, result.broken) == (True, 0)  # hidden hashes cannot be compared
    assert [item.note for *_, item in versions(subject)["b"]] == [None, "masked by now"]


@on_duckdb
def test_a_table_that_starts_over_has_no_versions_of_other_rows(
    warehouse: AnyEngine, subject: Subject, two: Source
) -> None:
    load(subject, two.full(30), restart=True)
    assert rows(warehouse) == 0
    assert select(warehouse, "SELECT COUNT(*) FROM _ddb_history__orders") == [(0,)]
    assert select(warehouse, "SELECT COUNT(*) FROM _ddb_versions__orders__lines") == [(0,)]


@on_duckdb
def test_versions_that_somebody_dropped_are_missed(warehouse: AnyEngine, subject: Subject, two: Source) -> None:
    warehouse.execute(Statement("DROP TABLE _ddb_versions__orders"))
    with pytest.raises(LoadError, match=r"_ddb_versions__orders.* has been dropped since: restore it"):
        kept(subject, two.window(20, 30))
    load(subject, two.window(20, 30))  # the table itself is fine


def test_a_history_is_forgotten_with_its_table(warehouse: AnyEngine, subject: Subject, orders: Source) -> None:
    shown = WarehouseOptions(views="analytics")
    orders.put(1, "a", "first", "x")
    kept(subject, orders.full(10), tables=shown)
    opened = subject.warehouse
    held = opened.holdings("orders", "analytics")
    schemas, names = (warehouse.default_schema, "analytics"), ("orders_history", "orders__lines_history")
    views = {f'"{schema}"."{name}"' for schema in schemas for name in names}
    assert held.tables.keys() >= OF_HISTORY
    assert views < set(held.views)
    assert select(warehouse, "SELECT order_id, note FROM analytics.orders_history") == [("a", "first")]
    opened.forget("orders", held, "analytics", patience=1.0)
    assert not {name for _, name in tables(warehouse)} & OF_HISTORY
    assert not opened.holdings("orders", "analytics")


@on_duckdb
def test_a_view_of_somebody_else_where_that_of_the_history_is_to_be_is_left_alone(
    warehouse: AnyEngine, subject: Subject, orders: Source
) -> None:
    warehouse.execute(Statement("CREATE VIEW orders_history AS SELECT 1 AS mine"))
    orders.put(1, "a", "first")
    with pytest.raises(LoadError, match=r"orders_history.* must be the view of .* rename it"):
        kept(subject, orders.full(10))
    assert select(warehouse, "SELECT mine FROM orders_history") == [(1,)]


@on_duckdb
def test_columns_of_versions_that_another_load_changes_meanwhile_are_looked_at_again(
    warehouse: AnyEngine, subject: Subject, two: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_load, "RETRIES", (0.0,))
    looked: list[Any] = []
    prepare = sql_versions.prepare

    def overtaken(*arguments: Any) -> Any:
        planned = prepare(*arguments)
        if not looked:
            warehouse.execute(Statement("ALTER TABLE _ddb_versions__orders ADD COLUMN later BIGINT"))
        looked.append(planned)
        return planned

    monkeypatch.setattr(sql_versions, "prepare", overtaken)
    two.put(21, "b", "second b")
    assert kept(subject, two.window(20, 30)).applied
    assert len(looked) == 2
