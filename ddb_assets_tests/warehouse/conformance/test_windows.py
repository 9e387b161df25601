"""Windows in any order, late, twice and again after a crash: the tables end like the source at the last window's end."""

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.errors import LoadError
from ddb_assets_tests.support.examples import orders_of
from ddb_assets_tests.warehouse.conformance.subject import SOFT_DELETE, Subject, at_random, load, loads, read
from ddb_assets_tests.warehouse.conformance.worlds import WINDOW, WINDOWS, World, items, worlds
from ddb_assets_tests.warehouse.exports import Item, Source


@pytest.mark.alike
def test_a_window_changes_what_it_names(subject: Subject, source: Source) -> None:
    for key in "abcd":
        source.put(1, key, f"first {key}", "x", "y")
    load(subject, source.full(10))
    source.put(11, "a", "second a", "z")
    source.put(12, "b", "second b")  # its list becomes empty
    source.delete(13, "c")
    source.put(14, "e", "new e", "w")
    result = load(subject, source.window(10, 20))
    assert read(subject) == items(source, 20)
    assert (result.rows_in, result.upserted, result.deleted, result.stale) == (4, 3, 1, 0)
    assert result.rows == {"orders": 3, "orders__lines": 2}
    assert result.table_rows == {"orders": 4, "orders__lines": 4}


@pytest.mark.alike
def test_a_key_deleted_and_put_again_is_there(subject: Subject, source: Source) -> None:
    source.put(1, "a", "first")
    load(subject, source.full(10))
    source.delete(11, "a")
    load(subject, source.window(10, 20))
    source.put(21, "a", "back", "x")
    load(subject, source.window(20, 30))
    assert read(subject) == {"a": Item("back", ("x",))}


@pytest.mark.alike
def test_a_delete_of_an_unknown_key_is_remembered(subject: Subject, source: Source) -> None:
    load(subject, source.full(1))
    source.put(11, "a", "short life", "x")
    source.delete(21, "a")
    late, early = source.window(10, 20), source.window(20, 30)
    load(subject, early)
    assert read(subject) == {}
    result = load(subject, late)
    assert (result.stale, result.upserted, read(subject)) == (1, 0, {})


@pytest.mark.alike
def test_a_late_window_does_not_undo_a_newer_one(subject: Subject, source: Source) -> None:
    source.put(1, "a", "first", "x")
    load(subject, source.full(10))
    source.put(11, "a", "second", "x", "y")
    source.put(12, "b", "only here")
    source.put(21, "a", "third", "z")
    late = source.window(10, 20)
    load(subject, source.window(20, 30))
    result = load(subject, late)
    assert (result.upserted, result.stale, result.rows) == (1, 1, {"orders": 1, "orders__lines": 0})
    assert read(subject) == items(source, 30)


@pytest.mark.alike
def test_a_window_without_an_initial_load_is_refused(subject: Subject, source: Source) -> None:
    source.put(1, "a", "x")
    with pytest.raises(LoadError, match=r"no initial load yet.*materialize exports/orders_full_export"):
        load(subject, source.window(0, 10))
    assert "orders" not in subject.tables()


@pytest.mark.alike
def test_a_window_of_the_table_that_was_dropped_and_made_again_is_refused(subject: Subject, source: Source) -> None:
    load(subject, source.full(10))
    with pytest.raises(LoadError, match="dropped and created again"):
        load(subject, source.window(10, 20, table_id="22222222-2222-3333-4444-555555555555"))
    assert load(subject, source.full(20, table_id="22222222-2222-3333-4444-555555555555")).applied
    assert load(subject, source.window(20, 30, table_id="22222222-2222-3333-4444-555555555555")).applied


@pytest.mark.alike
def test_a_late_window_before_the_initial_load_brings_nothing_back(subject: Subject, source: Source) -> None:
    source.put(11, "a", "deleted before the initial load", "x")
    source.put(12, "b", "older than the initial load")
    source.delete(21, "a")
    source.put(22, "b", "newer", "y")
    late = source.window(10, 20)
    load(subject, source.full(30))
    result = load(subject, late)
    assert (result.stale, result.upserted) == (2, 0)
    assert read(subject) == items(source, 30) == {"b": Item("newer", ("y",))}


@pytest.mark.alike
def test_an_initial_load_keeps_what_is_newer(subject: Subject, source: Source) -> None:
    for key in "abc":
        source.put(1, key, "first", "x")
    load(subject, source.full(10))
    source.delete(15, "c")
    source.put(21, "a", "after T0", "y", "z")
    source.delete(22, "b")
    initial_load = source.full(20)
    load(subject, source.window(10, 20))
    load(subject, source.window(20, 30))
    result = load(subject, initial_load)
    assert (result.rows_in, result.upserted, result.stale) == (2, 0, 2)
    assert read(subject) == items(source, 30) == {"a": Item("after T0", ("y", "z"))}


@pytest.mark.alike
def test_an_older_initial_load_does_not_turn_back_time(subject: Subject, source: Source) -> None:
    source.put(1, "a", "old", "x")
    source.put(1, "b", "deleted")
    old = source.full(10)
    source.put(11, "a", "new")
    source.delete(12, "b")
    load(subject, source.full(20))
    result = load(subject, old)
    assert (result.applied, result.stale) == (True, 2)
    assert read(subject) == {"a": Item("new")}


@pytest.mark.alike
def test_a_write_in_the_microsecond_of_the_initial_load_is_the_windows(subject: Subject, source: Source) -> None:
    source.put(1, "a", "before", "x")
    source.put(1, "b", "before")
    source.put(10, "a", "at T0", "y")
    source.delete(10, "b")
    exports = [source.full(10), source.window(10, 20)]
    for order in (exports, [*exports, exports[1]], [source.full(5), *exports[::-1]]):
        for export in order:
            load(subject, export, force=True)
        assert read(subject) == {"a": Item("at T0", ("y",))}
        subject.wipe()


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.alike
def test_every_order_of_a_chain_gives_the_same_tables(subject: Subject, source: Source) -> None:
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
    for order in orders_of(rest):
        for export in (first, *order):
            load(subject, export)
        assert read(subject) == items(source, 40)
        subject.wipe()


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


@pytest.mark.alike
def test_forgotten_deletes_are_never_undone(subject: Subject, source: Source) -> None:
    world = Forgetting(source)
    for export in (world.initial_load, world.deleted, world.newest):
        load(subject, export, tombstone_retention=world.keep)
    for early in (world.late, source.full(15)):
        with suppress(LoadError):  # a warehouse that has forgotten no delete need not refuse this
            load(subject, early, tombstone_retention=world.keep)
        assert "a" not in read(subject)
    assert load(subject, source.full(50)).applied
    assert load(subject, world.late, force=True).stale == 2
    assert read(subject) == items(source, 50)


@pytest.mark.alike
def test_deletes_are_kept_as_long_as_asked(subject: Subject, source: Source) -> None:
    world = Forgetting(source)
    for export in (world.initial_load, world.deleted, world.newest, world.late):
        load(subject, export, tombstone_retention=timedelta(microseconds=29))
    assert read(subject) == items(source, 50)


@pytest.mark.slow
@pytest.mark.soak
def test_any_schedule_ends_in_the_state_of_the_source(subject: Subject) -> None:
    @at_random(subject)
    @given(worlds())
    def played(world: World) -> None:
        check(subject, world)

    played()


def check(subject: Subject, world: World) -> None:
    writes, _, schedule = world
    subject.wipe()
    with TemporaryDirectory() as folder:
        source = Source(Path(folder), writes)
        made: dict[tuple[str, int], Report] = {}
        load(subject, source.full(0, export_id="first"))
        total = 1
        for step in schedule:
            if step not in made:
                kind, number = step
                start = number * WINDOW
                made[step] = source.window(start, start + WINDOW) if kind == "window" else source.full(number)
            total += load(subject, made[step], force=made[step].export_type == "INCREMENTAL_EXPORT").applied
        assert read(subject) == items(source, WINDOW * WINDOWS)
        assert loads(subject) == total


@pytest.mark.parametrize("soft_delete", SOFT_DELETE)
def test_a_write_in_the_initial_loads_own_microsecond_outlives_the_initial_load_loaded_again(
    subject: Subject, source: Source, soft_delete: bool
) -> None:
    source.put(1, "a", "before", "x")
    source.put(2, "b", "before")
    source.put(10, "a", "at T0", "y", "z")
    source.delete(10, "b")
    exports = [source.full(10), source.window(10, 20)]
    for export in (*exports, exports[0], *reversed(exports)):
        load(subject, export, force=True, soft_delete=soft_delete)
    columns = ("order_id", "note", *(("_ddb_deleted_at",) if soft_delete else ()))
    assert [row[:2] for row in subject.rows("orders", *columns) if row[2:] in ((), (None,))] == [("a", "at T0")]
    assert sorted(subject.rows("orders__lines", "_ddb_index", "order_id", "value")) == [(0, "a", "y"), (1, "a", "z")]
