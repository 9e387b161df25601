"""Windows in any order, late, twice and again after a crash: the tables end like the source at the last window's end."""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets_tests.support.engines import AnyEngine, on_duckdb, read, select, tables, wipe
from ddb_assets_tests.support.examples import examples, orders_of
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import BASE_MICROS, Item, Source


def items(source: Source, time: int) -> dict[str, Item]:
    return {key: item for key, (_, item) in source.state(time).items()}


def tombstones(warehouse: AnyEngine) -> dict[str, int]:
    rows = select(warehouse, "SELECT order_id, _ddb_version FROM _ddb_tombstones__orders")
    assert len(dict(rows)) == len(rows)
    return {key: version - BASE_MICROS for key, version in rows}


@on_duckdb
def test_a_window_changes_what_it_names(warehouse: AnyEngine, source: Source) -> None:
    for key in "abcd":
        source.put(1, key, f"first {key}", "x", "y")
    load(warehouse, source.full(10))
    source.put(11, "a", "second a", "z")
    source.put(12, "b", "second b")  # its list becomes empty
    source.delete(13, "c")
    source.put(14, "e", "new e", "w")
    result = load(warehouse, source.window(10, 20))
    assert read(warehouse) == items(source, 20)
    assert (result.rows_in, result.upserted, result.deleted, result.stale) == (4, 3, 1, 0)
    assert result.rows == {"orders": 3, "orders__lines": 2}
    assert result.table_rows == {"orders": 4, "orders__lines": 4}
    assert tombstones(warehouse) == {"c": 13}


@on_duckdb
def test_a_key_deleted_and_put_again_has_no_tombstone(warehouse: AnyEngine, source: Source) -> None:
    source.put(1, "a", "first")
    load(warehouse, source.full(10))
    source.delete(11, "a")
    load(warehouse, source.window(10, 20))
    source.put(21, "a", "back", "x")
    load(warehouse, source.window(20, 30))
    assert (read(warehouse), tombstones(warehouse)) == ({"a": Item("back", ("x",))}, {})


@on_duckdb
def test_a_delete_of_an_unknown_key_is_remembered(warehouse: AnyEngine, source: Source) -> None:
    load(warehouse, source.full(1))
    source.put(11, "a", "short life", "x")
    source.delete(21, "a")
    late, early = source.window(10, 20), source.window(20, 30)
    load(warehouse, early)
    assert tombstones(warehouse) == {"a": 21}
    result = load(warehouse, late)
    assert (result.stale, result.upserted, read(warehouse)) == (1, 0, {})


@on_duckdb
def test_a_late_window_does_not_undo_a_newer_one(warehouse: AnyEngine, source: Source) -> None:
    source.put(1, "a", "first", "x")
    load(warehouse, source.full(10))
    source.put(11, "a", "second", "x", "y")
    source.put(12, "b", "only here")
    source.put(21, "a", "third", "z")
    late = source.window(10, 20)
    load(warehouse, source.window(20, 30))
    result = load(warehouse, late)
    assert (result.upserted, result.stale, result.rows) == (1, 1, {"orders": 1, "orders__lines": 0})
    assert read(warehouse) == items(source, 30)


@on_duckdb
def test_a_window_without_an_initial_load_is_refused(warehouse: AnyEngine, source: Source) -> None:
    source.put(1, "a", "x")
    with pytest.raises(LoadError, match=r"no initial load yet.*materialize exports/orders_full_export"):
        load(warehouse, source.window(0, 10))
    assert "orders" not in {name for _, name in tables(warehouse)}


@on_duckdb
def test_a_window_of_the_table_that_was_dropped_and_made_again_is_refused(warehouse: AnyEngine, source: Source) -> None:
    load(warehouse, source.full(10))
    with pytest.raises(LoadError, match="dropped and created again"):
        load(warehouse, source.window(10, 20, table_id="22222222-2222-3333-4444-555555555555"))
    assert load(warehouse, source.full(20, table_id="22222222-2222-3333-4444-555555555555")).applied
    assert load(warehouse, source.window(20, 30, table_id="22222222-2222-3333-4444-555555555555")).applied


@on_duckdb
def test_a_late_window_before_the_initial_load_brings_nothing_back(warehouse: AnyEngine, source: Source) -> None:
    source.put(11, "a", "deleted before the initial load", "x")
    source.put(12, "b", "older than the initial load")
    source.delete(21, "a")
    source.put(22, "b", "newer", "y")
    late = source.window(10, 20)
    load(warehouse, source.full(30))
    result = load(warehouse, late)
    assert (result.stale, result.upserted) == (2, 0)
    assert read(warehouse) == items(source, 30) == {"b": Item("newer", ("y",))}


@on_duckdb
def test_an_initial_load_keeps_what_is_newer(warehouse: AnyEngine, source: Source) -> None:
    for key in "abc":
        source.put(1, key, "first", "x")
    load(warehouse, source.full(10))
    source.delete(15, "c")
    source.put(21, "a", "after T0", "y", "z")
    source.delete(22, "b")
    initial_load = source.full(20)
    load(warehouse, source.window(10, 20))
    load(warehouse, source.window(20, 30))
    result = load(warehouse, initial_load)
    assert (result.rows_in, result.upserted, result.stale) == (2, 0, 2)
    assert read(warehouse) == items(source, 30) == {"a": Item("after T0", ("y", "z"))}
    assert tombstones(warehouse) == {"b": 22}  # the tombstone of c is older than the initial load and no longer needed


@on_duckdb
def test_an_older_initial_load_does_not_turn_back_time(warehouse: AnyEngine, source: Source) -> None:
    source.put(1, "a", "old", "x")
    source.put(1, "b", "deleted")
    old = source.full(10)
    source.put(11, "a", "new")
    source.delete(12, "b")
    load(warehouse, source.full(20))
    result = load(warehouse, old)
    assert (result.applied, result.stale) == (True, 2)
    assert read(warehouse) == {"a": Item("new")}


def test_a_write_in_the_microsecond_of_the_initial_load_is_the_windows(source: Source) -> None:
    source.put(1, "a", "before", "x")
    source.put(1, "b", "before")
    source.put(10, "a", "at T0", "y")
    source.delete(10, "b")
    exports = [source.full(10), source.window(10, 20)]
    for order in (exports, [*exports, exports[1]], [source.full(5), *exports[::-1]]):
        with DuckDBEngine(":memory:") as warehouse:
            for export in order:
                load(warehouse, export, force=True)
            assert read(warehouse) == {"a": Item("at T0", ("y",))}


@pytest.mark.slow
@pytest.mark.soak
def test_every_order_of_a_chain_gives_the_same_tables(tmp_path: Path) -> None:
    source = Source(tmp_path)
    source.put(1, "a", "v1", "x", "y")
    source.put(2, "b", "v2", "x")
    source.delete(11, "a")
    source.put(12, "c", "v12", "x")
    source.put(13, "b", "v13")
    source.put(21, "a", "v21", "z")
    source.delete(22, "c")
    source.delete(31, "b")
    source.put(32, "c", "v32")
    first = source.full(10)
    rest = [source.window(10, 20), source.window(20, 30), source.window(30, 40), source.full(20)]
    with DuckDBEngine(":memory:") as warehouse:
        for order in orders_of(rest):
            for export in (first, *order):
                load(warehouse, export)
            assert read(warehouse) == items(source, 40)
            wipe(warehouse)


class Forgetting:
    """A week of windows, a delete at its beginning, and a retention of a day."""

    keep = timedelta(microseconds=15)

    def __init__(self, source: Source) -> None:
        source.put(1, "a", "first")
        source.put(12, "b", "late")
        self.initial_load = source.full(10)
        source.put(11, "a", "second")
        self.late = source.window(10, 20)
        source.delete(21, "a")
        self.deleted = source.window(20, 30)
        source.put(41, "c", "x")
        self.newest = source.window(40, 50)


@on_duckdb
def test_forgotten_deletes_are_never_undone(warehouse: AnyEngine, source: Source) -> None:
    world = Forgetting(source)
    for export in (world.initial_load, world.deleted, world.newest):
        load(warehouse, export, tombstone_retention=world.keep)
    assert tombstones(warehouse) == {}
    with pytest.raises(LoadError, match="deletes older than that have been forgotten"):
        load(warehouse, world.late, tombstone_retention=world.keep)
    with pytest.raises(LoadError, match="deletes older than that have been forgotten"):
        load(warehouse, source.full(15), tombstone_retention=world.keep)
    assert load(warehouse, source.full(50)).applied
    assert load(warehouse, world.late).stale == 2
    assert read(warehouse) == items(source, 50)


@on_duckdb
def test_deletes_are_kept_as_long_as_asked(warehouse: AnyEngine, source: Source) -> None:
    world = Forgetting(source)
    for export in (world.initial_load, world.deleted, world.newest, world.late):
        load(warehouse, export, tombstone_retention=timedelta(microseconds=29))
    assert tombstones(warehouse) == {"a": 21}
    assert read(warehouse) == items(source, 50)


WINDOW = 10
WINDOWS = 4
KEYS = "abc"


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[tuple[int, str, Item | None]], list[int], list[tuple[str, int]]]:
    """Writes, the times of the initial loads, and a schedule of loads that names every window at least once.

    An initial load is at the boundary of a window. In the middle of a window it could have an item that was put and deleted
    within, of which the window has no trace.
    """
    times = draw(st.lists(st.integers(1, WINDOW * WINDOWS - 1), unique=True, max_size=16))
    lines = st.lists(st.sampled_from("xyz"), max_size=2).map(tuple)
    writes = []
    for time in times:
        item = draw(st.one_of(st.none(), st.builds(Item, st.just(f"at {time}"), lines)))
        writes.append((time, draw(st.sampled_from(KEYS)), item))
    initial_loads = draw(st.lists(st.sampled_from(range(0, WINDOW * WINDOWS, WINDOW)), max_size=2))
    loads = [("window", n) for n in range(WINDOWS)] + [("full", t) for t in initial_loads]
    again = draw(st.lists(st.sampled_from(loads), max_size=3))
    return writes, initial_loads, draw(st.permutations(loads + again))


@pytest.mark.slow
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(worlds())
def test_any_schedule_ends_in_the_state_of_the_source(
    duckdb: DuckDBEngine, world: tuple[list[tuple[int, str, Item | None]], list[int], list[tuple[str, int]]]
) -> None:
    check(duckdb, world)


@pytest.mark.slow
@pytest.mark.soak
@settings(max_examples=examples(3), deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds())
def test_many_schedules_end_in_the_state_of_the_source(
    duckdb: DuckDBEngine, world: tuple[list[tuple[int, str, Item | None]], list[int], list[tuple[str, int]]]
) -> None:
    check(duckdb, world)


@pytest.mark.slow
@pytest.mark.soak
@settings(max_examples=examples(2, 1 / 12), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(worlds())
def test_some_schedules_on_redshift(
    over_redshift: RedshiftEngine, world: tuple[list[tuple[int, str, Item | None]], list[int], list[tuple[str, int]]]
) -> None:
    check(over_redshift, world)


def check(
    warehouse: AnyEngine, world: tuple[list[tuple[int, str, Item | None]], list[int], list[tuple[str, int]]]
) -> None:
    writes, _, schedule = world
    wipe(warehouse)
    with TemporaryDirectory() as folder:
        source = Source(Path(folder), writes)
        made: dict[tuple[str, int], Report] = {}
        load(warehouse, source.full(0, export_id="first"))
        total = 0
        for step in schedule:
            if step not in made:
                kind, number = step
                start = number * WINDOW
                made[step] = source.window(start, start + WINDOW) if kind == "window" else source.full(number)
            result = load(warehouse, made[step], force=made[step].export_type == "INCREMENTAL_EXPORT")
            assert result.rows_in == result.upserted + result.deleted + result.stale
            total += result.applied
        assert read(warehouse) == items(source, WINDOW * WINDOWS)
        newest = max((t for kind, t in schedule if kind == "full"), default=0)
        assert all(version >= newest for version in tombstones(warehouse).values())
        explained = "rows_in = upserted + deleted + stale AND items = rows_in"
        rows = select(warehouse, f"SELECT COUNT(*), SUM(CASE WHEN {explained} THEN 1 ELSE 0 END) FROM _ddb_loads")
        assert rows == [(total + 1, total + 1)]


@pytest.mark.parametrize("soft_delete", [False, True])
def test_a_write_in_the_initial_loads_own_microsecond_outlives_the_initial_load_loaded_again(
    warehouse: AnyEngine, source: Source, soft_delete: bool
) -> None:
    source.put(1, "a", "before", "x")
    source.put(2, "b", "before")
    source.put(10, "a", "at T0", "y", "z")
    source.delete(10, "b")
    exports = [source.full(10), source.window(10, 20)]
    for export in (*exports, exports[0], *reversed(exports)):
        load(warehouse, export, force=True, soft_delete=soft_delete)
    live = " WHERE _ddb_deleted_at IS NULL" if soft_delete else ""
    assert select(warehouse, f"SELECT order_id, note FROM orders{live}") == [("a", "at T0")]
    assert select(warehouse, "SELECT order_id, value FROM orders__lines ORDER BY _ddb_index") == [
        ("a", "y"),
        ("a", "z"),
    ]
