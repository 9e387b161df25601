"""What could not be read is not absent: such items keep their rows, with a mark, and too many of them are refused."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Report
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.flatten.test_incremental import change
from ddb_assets_tests.flatten.test_unread import flattened, line
from ddb_assets_tests.support.engines import AnyEngine, on_duckdb, read, select, tables, wipe
from ddb_assets_tests.support.examples import SOAK, orders_of
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import BASE, BASE_MICROS, Item, Source
from ddb_assets_tests.warehouse.test_windows import items

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


def state(warehouse: AnyEngine) -> tuple[dict[str, Item], dict[str, int]]:
    return read(warehouse), stale(warehouse)


@on_duckdb
def test_more_than_the_contract_allows_is_refused_and_changes_nothing(warehouse: AnyEngine, orders: Source) -> None:
    load(warehouse, orders.full(10))
    before = read(warehouse), select(warehouse, "SELECT COUNT(*) FROM _ddb_loads"), sorted(tables(warehouse))
    for export in (
        orders.full(20, unread="ab"),
        orders.full(20, unkeyed="ab"),
        orders.full(20, unread="a", unkeyed="b"),
    ):
        with pytest.raises(LoadError, match=r"of the 3 items .* 2 could not be read: nothing was loaded") as refused:
            load(warehouse, export, max_quarantined=1)
        assert "file0 line 1: no number" in str(refused.value)
        assert "somewhere/_quarantine/0.jsonl" in str(refused.value)
        assert "max_quarantined: 2" in str(refused.value)
    assert (read(warehouse), select(warehouse, "SELECT COUNT(*) FROM _ddb_loads"), sorted(tables(warehouse))) == before
    with pytest.raises(LoadError, match="allows 0"):
        load(warehouse, orders.full(20, unread="a"))


@on_duckdb
@pytest.mark.parametrize("kind", ["unread", "unkeyed"])
def test_an_export_of_which_nothing_can_be_read_is_refused_whatever_is_allowed(
    warehouse: AnyEngine, orders: Source, kind: str
) -> None:
    load(warehouse, orders.full(10))
    orders.put(11, "a", "second")
    for export in (orders.full(20, **{kind: "abc"}), orders.window(10, 20, **{kind: "a"})):
        with pytest.raises(LoadError, match="no item at all could be read"):
            load(warehouse, export, max_quarantined=1000)
    assert set(read(warehouse)) == set("abc")


@on_duckdb
def test_keys_that_do_not_add_up_are_refused(warehouse: AnyEngine, orders: Source) -> None:
    good = orders.full(10, unread="a")
    assert good.unread
    for rows, quarantined in ((2, 1), (1, 0)):
        edited = good.unread.model_copy(update={"rows": rows})
        wrong = good.model_copy(update={"unread": edited, "quarantined": quarantined})
        with pytest.raises(LoadError, match="flatten it again"):
            load(warehouse, wrong, max_quarantined=LIMIT)


def test_a_full_export_keeps_the_rows_of_what_it_could_not_read(warehouse: AnyEngine, orders: Source) -> None:
    load(warehouse, orders.full(10))
    orders.put(12, "a", "second a", "z")
    orders.put(13, "b", "second b", "z")
    orders.delete(14, "c")
    result = load(warehouse, orders.full(20, unread="a"), max_quarantined=LIMIT)
    assert (result.upserted, result.quarantined, result.kept_stale) == (1, 1, 1)
    assert state(warehouse) == ({"a": Item("first a", ("x", "y")), "b": Item("second b", ("z",))}, {"a": 20})
    assert select(warehouse, "SELECT kept_stale, unkeyed FROM _ddb_loads ORDER BY sequence") == [(0, 0), (1, 0)]
    load(warehouse, orders.full(30))
    assert state(warehouse) == (items(orders, 30), {})


@on_duckdb
def test_a_full_export_with_an_unknown_key_deletes_nothing(warehouse: AnyEngine, orders: Source) -> None:
    """It is unknown which of the rows that the export does not have are deleted, and which one could not be read."""
    load(warehouse, orders.full(10))
    orders.put(13, "b", "second b", "z")
    orders.delete(14, "c")
    result = load(warehouse, orders.full(20, unkeyed="a"), max_quarantined=LIMIT)
    assert (result.upserted, result.quarantined, result.kept_stale) == (1, 1, 2)
    kept = {key: Item(f"first {key}", ("x", "y")) for key in "ac"}
    assert state(warehouse) == ({**kept, "b": Item("second b", ("z",))}, {"a": 20, "c": 20})
    load(warehouse, orders.full(30))
    assert state(warehouse) == (items(orders, 30), {})


def test_a_key_that_no_row_can_have_hides_nothing(warehouse: AnyEngine, tmp_path: Path) -> None:
    """Redshift treats `a` and `a ` as equal, and may cut a text at U+0000. So items with such keys are always quarantined."""
    schemas = SchemaStore(Storage(), str(tmp_path / "schemas"))
    kept = [line(pk={"S": key}) for key in ("b", "a ", "a  ", "c\0d")]
    load(warehouse, flattened(tmp_path / "1", [line(pk={"S": "a"}), *kept], schemas=schemas), max_quarantined=LIMIT)
    assert select(warehouse, "SELECT pk FROM orders ORDER BY pk") == [("a",), ("b",)]
    result = load(warehouse, flattened(tmp_path / "2", kept, schemas=schemas), max_quarantined=LIMIT, force=True)
    assert (result.quarantined, result.kept_stale) == (3, 0)
    assert select(warehouse, "SELECT pk FROM orders") == [("b",)]
    window = [json.dumps(change(key, NewImage={})).encode() for key in ("b ", "b\0")]
    late = flattened(tmp_path / "3", window, incremental=True, schemas=schemas)
    assert load(warehouse, late, max_quarantined=LIMIT).quarantined == 2  # although nothing in it could be read
    assert "_ddb_unread__orders" not in {name for _, name in tables(warehouse)}
    assert select(warehouse, "SELECT without_row, unkeyed FROM _ddb_loads ORDER BY sequence") == [
        (3, 0),
        (3, 0),
        (2, 0),
    ]


@on_duckdb
def test_a_window_marks_the_rows_of_what_it_could_not_read(warehouse: AnyEngine, orders: Source) -> None:
    load(warehouse, orders.full(10))
    orders.put(12, "a", "second a")
    orders.delete(13, "b")
    orders.put(14, "c", "second c")
    result = load(warehouse, orders.window(10, 20, unread="ab"), max_quarantined=LIMIT)
    assert (result.upserted, result.deleted, result.kept_stale) == (1, 0, 2)
    assert stale(warehouse) == {"a": 12, "b": 13}
    assert set(read(warehouse)) == set("abc")
    orders.put(21, "a", "third a")
    load(warehouse, orders.window(20, 30))
    assert stale(warehouse) == {"b": 13}
    assert read(warehouse)["a"] == Item("third a")


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("soft_delete", [False, True])
def test_every_order_gives_the_same_rows(warehouse: AnyEngine, orders: Source, *, soft_delete: bool) -> None:
    orders.put(12, "a", "second a")
    orders.delete(13, "b")
    orders.put(14, "d", "first d")
    initial_load = orders.full(10)
    window = orders.window(10, 20, unread="d")
    again = orders.full(20, unread="a")
    orders.put(22, "c", "second c")
    orders.put(23, "e", "first e", "l")
    following = orders.window(20, 30, unread="c")
    wanted = {
        "a": Item("second a"),
        "c": Item("first c", ("x", "y")),
        "d": Item("first d"),
        "e": Item("first e", ("l",)),
    }
    tried = list(orders_of((initial_load, window, again, following)))
    if not SOAK:  # half of them with soft deletes
        tried = tried[soft_delete::2]
    for order in tried:
        wipe(warehouse)
        for export in _accepted(order):
            load(warehouse, export, soft_delete=soft_delete, max_quarantined=LIMIT)
        live = {key: item for key, item in read(warehouse).items() if key in wanted}
        assert live == wanted
        assert stale(warehouse) == {"a": 20, "c": 22}
        deleted = "_ddb_deleted_at IS NOT NULL" if soft_delete else "FALSE"
        gone = {key for (key,) in select(warehouse, f"SELECT order_id FROM orders WHERE {deleted}")}
        assert set(read(warehouse)) - gone == set(wanted)


def _accepted(order: tuple[Report, ...]) -> list[Report]:
    """The exports in this order, with full exports before the windows that need one."""
    first = next(export for export in order if export.export_type == "FULL_EXPORT")
    return [first, *(export for export in order if export is not first)]


@on_duckdb
def test_what_an_incomplete_initial_load_says_is_gone_stays_gone(warehouse: AnyEngine, orders: Source) -> None:
    old = orders.full(10)
    orders.delete(13, "b")
    load(warehouse, orders.full(20, unread="a"), max_quarantined=LIMIT)
    assert load(warehouse, old).upserted == 1
    assert state(warehouse) == ({key: Item(f"first {key}", ("x", "y")) for key in "ac"}, {"a": 20})


def test_what_is_remembered_is_forgotten_when_the_export_can_be_read(warehouse: AnyEngine, orders: Source) -> None:
    """The same exports, flattened again, for example after an update of the software."""
    load(warehouse, orders.full(10))
    orders.put(12, "a", "second a")
    orders.put(13, "b", "second b")
    load(warehouse, orders.window(10, 20, unread="a"), max_quarantined=LIMIT)
    load(warehouse, orders.window(10, 20, digest="d2"))
    assert state(warehouse) == (items(orders, 20), {})
    assert select(warehouse, "SELECT COUNT(*) FROM _ddb_unread__orders") == [(0,)]


@on_duckdb
def test_an_old_export_brings_no_deleted_row_back_past_an_incomplete_initial_load(
    warehouse: AnyEngine, orders: Source
) -> None:
    """The tombstone of the delete at 12 is pruned; the initial load at 20 does not say of every item whether it was there."""
    old = orders.full(5)
    load(warehouse, orders.full(10))
    orders.delete(12, "a")
    orders.put(13, "b", "second b")
    load(warehouse, orders.window(10, 20))
    orders.put(15, "a", "written again")
    load(warehouse, orders.full(20, unread="a"), max_quarantined=LIMIT)
    assert "a" not in read(warehouse)
    load(warehouse, old)
    assert "a" not in read(warehouse)


@on_duckdb
def test_a_delete_that_is_forgotten_is_not_undone_past_an_incomplete_initial_load(
    warehouse: AnyEngine, orders: Source
) -> None:
    keep = timedelta(microseconds=10)
    load(warehouse, orders.full(10))
    orders.put(11, "a", "second a")
    orders.delete(12, "a")
    late = orders.window(10, 12)
    load(warehouse, orders.window(10, 20))
    load(warehouse, orders.window(50, 60), tombstone_retention=keep)
    orders.put(65, "a", "written again")
    load(warehouse, orders.full(70, unread="a"), max_quarantined=LIMIT)
    with pytest.raises(LoadError, match="deletes older than that have been forgotten"):
        load(warehouse, late)
    assert "a" not in read(warehouse)


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
    assert state(warehouse) == (items(orders, 30), {})
    orders.put(31, "b", "second b")
    sent.clear()
    load(warehouse, orders.window(30, 40))
    assert not [text for text in sent if "_ddb_unread__orders" in text or "_ddb_stale_since" in text]
    load(warehouse, late, max_quarantined=LIMIT, force=True)
    assert state(warehouse) == (items(orders, 40), {})


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


def test_an_item_that_is_there_twice_once_unreadable_is_one_row(warehouse: AnyEngine, orders: Source) -> None:
    load(warehouse, orders.full(10))
    export = orders.full(20, unread="a")
    whole = orders.full(20)
    twice = whole.model_copy(
        update={"unread": export.unread, "quarantined": 1, "items_in_manifest": 4, "lines_read": 4, "reasons": ("x",)}
    )
    load(warehouse, twice, max_quarantined=LIMIT)
    assert state(warehouse) == (items(orders, 20), {})
    assert select(warehouse, "SELECT MIN(_ddb_version) FROM orders")[0][0] == BASE_MICROS + 20
