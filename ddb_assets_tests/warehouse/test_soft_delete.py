"""`soft_delete: true`: the rows of deleted items stay, and their content does not depend on the order of the loads."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.results import LoadResult
from ddb_assets_tests.support.engines import AnyEngine, on_duckdb, select, wipe
from ddb_assets_tests.support.examples import examples, orders_of
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import BASE_MICROS, Item, Source, at
from ddb_assets_tests.warehouse.test_windows import WINDOW, WINDOWS, items, tombstones, worlds

Kept = tuple[str | None, int | None, int | None]
"""Note, version and time of the delete, with the times of the test's world."""


def soft(warehouse: AnyEngine, export: Report, *, force: bool = False) -> LoadResult:
    result = load(warehouse, export, soft_delete=True, force=force)
    assert result.rows_in == result.upserted + result.deleted + result.stale
    return result


def rows(warehouse: AnyEngine) -> dict[str, Kept]:
    found = select(warehouse, "SELECT order_id, note, _ddb_version, _ddb_deleted_at FROM orders")
    kept = {key: (note, version and version - BASE_MICROS, _time(deleted)) for key, note, version, deleted in found}
    assert len(kept) == len(found)
    return kept


def live(warehouse: AnyEngine) -> dict[str, Item]:
    """The items that are not deleted. Fails on a child row of any other item."""
    present: dict[str, list[str]] = {key: [] for key, (_, _, deleted) in rows(warehouse).items() if deleted is None}
    lines = select(warehouse, 'SELECT order_id, _ddb_index, "value" FROM orders__lines ORDER BY order_id, _ddb_index')
    for key, index, value in lines:
        assert index == len(present[key])
        present[key].append(value)
    return {key: Item(str(rows(warehouse)[key][0]), tuple(lines)) for key, lines in present.items()}


def _time(deleted: datetime | None) -> int | None:
    return None if deleted is None else round((deleted - at(0).replace(tzinfo=None)).total_seconds() * 1_000_000)


@on_duckdb
def test_a_deleted_item_stays_marked_and_loses_its_lines(warehouse: AnyEngine, source: Source) -> None:
    source.put(1, "a", "first", "x", "y")
    source.put(2, "b", "stays", "z")
    soft(warehouse, source.full(10))
    source.put(11, "a", "second", "x")
    soft(warehouse, source.window(10, 20))
    source.delete(21, "a")
    result = soft(warehouse, source.window(20, 30))
    assert (result.upserted, result.deleted, result.table_rows) == (0, 1, {"orders": 2, "orders__lines": 1})
    assert rows(warehouse) == {"a": ("second", 11, 21), "b": ("stays", 10, None)}
    assert live(warehouse) == items(source, 30)


@on_duckdb
def test_an_item_that_comes_back_is_there_again(warehouse: AnyEngine, source: Source) -> None:
    source.put(1, "a", "first", "x")
    soft(warehouse, source.full(10))
    source.delete(11, "a")
    soft(warehouse, source.window(10, 20))
    source.put(21, "a", "back", "y")
    soft(warehouse, source.window(20, 30))
    assert rows(warehouse) == {"a": ("back", 21, None)}
    assert live(warehouse) == items(source, 30)


def test_an_initial_load_marks_what_vanished(warehouse: AnyEngine, source: Source) -> None:
    """`b` is newer than the initial load. The window with the delete of `c` is late, and more exact than the initial load."""
    for key in "ac":
        source.put(1, key, "first", "x")
    soft(warehouse, source.full(10))
    source.delete(11, "a")
    source.delete(12, "c")
    source.put(41, "b", "new", "y")
    initial_load = source.full(40)
    late = source.window(10, 20)
    soft(warehouse, source.window(40, 50))
    soft(warehouse, initial_load)
    assert rows(warehouse) == {"a": ("first", 10, 40), "b": ("new", 41, None), "c": ("first", 10, 40)}
    soft(warehouse, source.full(30))  # an older full export that comes late gives a more exact time
    assert rows(warehouse)["a"] == ("first", 10, 30)
    assert soft(warehouse, late).deleted == 2
    assert rows(warehouse) == {"a": ("first", 10, 11), "b": ("new", 41, None), "c": ("first", 10, 12)}
    soft(warehouse, source.full(20))
    assert rows(warehouse)["c"] == ("first", 10, 12)
    assert live(warehouse) == items(source, 50)


@on_duckdb
def test_a_delete_of_an_unknown_item_has_its_key_until_a_late_put_is_known(
    warehouse: AnyEngine, source: Source
) -> None:
    soft(warehouse, source.full(1))
    source.put(11, "a", "short life", "x")
    source.delete(21, "a")
    late = source.window(10, 20)
    soft(warehouse, source.window(20, 30))
    assert rows(warehouse) == {"a": (None, None, 21)}
    result = soft(warehouse, late)
    assert (result.upserted, result.stale, result.rows) == (0, 1, {"orders": 0, "orders__lines": 0})
    assert rows(warehouse) == {"a": ("short life", 11, 21)}


@on_duckdb
def test_a_full_export_loaded_again_takes_back_what_it_said(warehouse: AnyEngine, source: Source) -> None:
    """The export with another digest, without `a`, and with nothing in quarantine."""
    source.put(1, "a", "x", "l")
    source.put(2, "b", "y", "m")
    soft(warehouse, source.full(10))
    other = Source(source.folder / "other", [(2, "b", Item("changed", ("n",)))])
    soft(warehouse, other.full(10, digest="d2"))
    assert rows(warehouse) == {"b": ("changed", 10, None)}
    assert live(warehouse) == {"b": Item("changed", ("n",))}


def test_deletes_are_never_forgotten(warehouse: AnyEngine, source: Source) -> None:
    """The time of a delete is the time in its tombstone, and a late old window must not change it."""
    source.put(1, "a", "x", "l")
    late = source.window(10, 20)
    soft(warehouse, source.full(10))
    source.delete(21, "a")
    soft(warehouse, source.window(20, 30))
    later = source.window(10_000, 10_010)
    result = load(warehouse, later, soft_delete=True, tombstone_retention=timedelta(microseconds=10))
    assert result.applied
    assert tombstones(warehouse) == {"a": 21}
    assert select(warehouse, "SELECT COUNT(deletes_forgotten_before) FROM _ddb_loads") == [(0,)]
    assert load(warehouse, late, soft_delete=True).applied
    assert rows(warehouse) == {"a": ("x", 10, 21)}


@on_duckdb
def test_the_choice_can_be_changed(warehouse: AnyEngine, source: Source) -> None:
    source.put(1, "a", "x", "l")
    source.put(1, "b", "y", "m")
    load(warehouse, source.full(10))
    source.delete(11, "a")
    soft(warehouse, source.window(10, 20))
    assert rows(warehouse) == {"a": ("x", 10, 11), "b": ("y", 10, None)}
    load(warehouse, source.window(20, 30))
    assert rows(warehouse) == {"b": ("y", 10, None)}
    assert tombstones(warehouse) == {"a": 11}


def expected(exports: Iterable[Report]) -> dict[str, Kept]:
    """What the exports say together: newest put, newest delete, and the first full export without the item."""
    puts: dict[str, tuple[int, bool, str]] = {}
    deletes: dict[str, int] = {}
    initial_loads = []
    for export in exports:
        window = export.export_type == "INCREMENTAL_EXPORT"
        if export.export_time:
            initial_loads.append(round((export.export_time - at(0)).total_seconds() * 1_000_000))
        for part in export.root.parts:
            for row in pl.read_parquet(part.uri).to_dicts():
                key, version = row["order_id"], row["_ddb_version"] - BASE_MICROS
                if row.get("_ddb_deleted"):
                    deletes[key] = max(version, deletes.get(key, 0))
                else:
                    puts[key] = max((version, window, row["note"]), puts.get(key, (0, False, "")))
    result: dict[str, Kept] = {}
    for key in puts.keys() | deletes.keys():
        if key not in puts:
            result[key] = (None, None, deletes[key])
            continue
        put, _, note = puts[key]
        recorded = deletes.get(key, -1)
        result[key] = (
            note,
            put,
            recorded if recorded >= put else min((t for t in initial_loads if t > put), default=None),
        )
    return result


@pytest.mark.slow
@pytest.mark.soak
def test_every_order_gives_the_same_rows(duckdb: DuckDBEngine, source: Source) -> None:
    source.put(1, "a", "v1", "x")
    source.put(2, "b", "v2", "x")
    source.delete(11, "a")
    source.put(12, "c", "v12", "x")
    source.delete(21, "c")
    source.put(22, "a", "v22", "z")
    source.delete(31, "b")
    first = source.full(10)
    rest = [source.window(10, 20), source.window(20, 30), source.full(30), source.window(30, 40)]
    for order in orders_of(rest):
        for export in (first, *order):
            soft(duckdb, export)
        assert rows(duckdb) == expected([first, *rest])
        assert rows(duckdb) == {"a": ("v22", 30, None), "b": ("v2", 30, 31), "c": ("v12", 12, 21)}
        assert live(duckdb) == items(source, 40)
        wipe(duckdb)


@pytest.mark.slow
@pytest.mark.soak
@settings(max_examples=examples(3), deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds())
def test_any_schedule_gives_the_rows_that_its_exports_say(
    duckdb: DuckDBEngine, world: tuple[list[tuple[int, str, Item | None]], list[int], list[tuple[str, int]]]
) -> None:
    writes, _, schedule = world
    wipe(duckdb)
    with TemporaryDirectory() as folder:
        source = Source(Path(folder), writes)
        made = {("full", 0): source.full(0)}
        soft(duckdb, made["full", 0])
        for kind, number in schedule:
            if (kind, number) not in made:
                start = number * WINDOW
                made[kind, number] = source.window(start, start + WINDOW) if kind == "window" else source.full(number)
            soft(duckdb, made[kind, number], force=kind == "window")
            assert rows(duckdb) == expected(made.values())
        assert live(duckdb) == items(source, WINDOW * WINDOWS)
