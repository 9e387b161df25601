"""`soft_delete: true`: the rows of deleted items stay, and their content does not depend on the order of the loads."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.results import LoadResult
from ddb_assets_tests.support.examples import orders_of
from ddb_assets_tests.warehouse.conformance.subject import Subject, at_random, load
from ddb_assets_tests.warehouse.conformance.worlds import WINDOW, WINDOWS, World, items, worlds
from ddb_assets_tests.warehouse.exports import BASE_MICROS, Item, Source, at

pytestmark = pytest.mark.needs("soft_delete")
Kept = tuple[str | None, int | None, int | None]
"""Note, version and time of the delete, with the times of the test's world."""


def soft(subject: Subject, export: Report, *, force: bool = False) -> LoadResult:
    return load(subject, export, soft_delete=True, force=force)


def rows(subject: Subject) -> dict[str, Kept]:
    found = subject.rows("orders", "order_id", "note", "_ddb_version", "_ddb_deleted_at")
    kept = {key: (note, version and version - BASE_MICROS, _time(deleted)) for key, note, version, deleted in found}
    assert len(kept) == len(found)
    return kept


def live(subject: Subject) -> dict[str, Item]:
    """The items that are not deleted. Fails on a child row of any other item."""
    present: dict[str, list[str]] = {key: [] for key, (_, _, deleted) in rows(subject).items() if deleted is None}
    lines = sorted(subject.rows("orders__lines", "order_id", "_ddb_index", "value"))
    for key, index, value in lines:
        assert index == len(present[key])
        present[key].append(value)
    return {key: Item(str(rows(subject)[key][0]), tuple(lines)) for key, lines in present.items()}


def _time(deleted: datetime | None) -> int | None:
    return None if deleted is None else round((deleted - at(0).replace(tzinfo=None)).total_seconds() * 1_000_000)


@pytest.mark.alike
def test_a_deleted_item_stays_marked_and_loses_its_lines(subject: Subject, source: Source) -> None:
    source.put(1, "a", "first", "x", "y")
    source.put(2, "b", "stays", "z")
    soft(subject, source.full(10))
    source.put(11, "a", "second", "x")
    soft(subject, source.window(10, 20))
    source.delete(21, "a")
    result = soft(subject, source.window(20, 30))
    assert (result.upserted, result.deleted, result.table_rows) == (0, 1, {"orders": 2, "orders__lines": 1})
    assert rows(subject) == {"a": ("second", 11, 21), "b": ("stays", 10, None)}
    assert live(subject) == items(source, 30)


@pytest.mark.alike
def test_an_item_that_comes_back_is_there_again(subject: Subject, source: Source) -> None:
    source.put(1, "a", "first", "x")
    soft(subject, source.full(10))
    source.delete(11, "a")
    soft(subject, source.window(10, 20))
    source.put(21, "a", "back", "y")
    soft(subject, source.window(20, 30))
    assert rows(subject) == {"a": ("back", 21, None)}
    assert live(subject) == items(source, 30)


def test_an_initial_load_marks_what_vanished(subject: Subject, source: Source) -> None:
    """`b` is newer than the initial load. The window with the delete of `c` is late, and more exact than the initial load."""
    for key in "ac":
        source.put(1, key, "first", "x")
    soft(subject, source.full(10))
    source.delete(11, "a")
    source.delete(12, "c")
    source.put(41, "b", "new", "y")
    initial_load = source.full(40)
    late = source.window(10, 20)
    soft(subject, source.window(40, 50))
    soft(subject, initial_load)
    assert rows(subject) == {"a": ("first", 10, 40), "b": ("new", 41, None), "c": ("first", 10, 40)}
    soft(subject, source.full(30))  # an older full export that comes late gives a more exact time
    assert rows(subject)["a"] == ("first", 10, 30)
    assert soft(subject, late).deleted == 2
    assert rows(subject) == {"a": ("first", 10, 11), "b": ("new", 41, None), "c": ("first", 10, 12)}
    soft(subject, source.full(20))
    assert rows(subject)["c"] == ("first", 10, 12)
    assert live(subject) == items(source, 50)


@pytest.mark.alike
def test_a_delete_of_an_unknown_item_has_its_key_until_a_late_put_is_known(subject: Subject, source: Source) -> None:
    soft(subject, source.full(1))
    source.put(11, "a", "short life", "x")
    source.delete(21, "a")
    late = source.window(10, 20)
    soft(subject, source.window(20, 30))
    assert rows(subject) == {"a": (None, None, 21)}
    result = soft(subject, late)
    assert (result.upserted, result.stale, result.rows) == (0, 1, {"orders": 0, "orders__lines": 0})
    assert rows(subject) == {"a": ("short life", 11, 21)}


@pytest.mark.alike
def test_a_full_export_loaded_again_takes_back_what_it_said(subject: Subject, source: Source) -> None:
    """The export with another digest, without `a`, and with nothing in quarantine."""
    source.put(1, "a", "x", "l")
    source.put(2, "b", "y", "m")
    soft(subject, source.full(10))
    other = Source(source.folder / "other", [(2, "b", Item("changed", ("n",)))])
    soft(subject, other.full(10, digest="d2"))
    assert rows(subject) == {"b": ("changed", 10, None)}
    assert live(subject) == {"b": Item("changed", ("n",))}


def test_deletes_are_never_forgotten(subject: Subject, source: Source) -> None:
    """The time of a delete is the time in its tombstone, and a late old window must not change it."""
    source.put(1, "a", "x", "l")
    late = source.window(10, 20)
    soft(subject, source.full(10))
    source.delete(21, "a")
    soft(subject, source.window(20, 30))
    later = source.window(10_000, 10_010)
    result = load(subject, later, soft_delete=True, tombstone_retention=timedelta(microseconds=10))
    assert result.applied
    assert load(subject, late, soft_delete=True).applied
    assert rows(subject) == {"a": ("x", 10, 21)}


@pytest.mark.alike
def test_the_choice_can_be_changed(subject: Subject, source: Source) -> None:
    source.put(1, "a", "x", "l")
    source.put(1, "b", "y", "m")
    load(subject, source.full(10))
    source.delete(11, "a")
    soft(subject, source.window(10, 20))
    assert rows(subject) == {"a": ("x", 10, 11), "b": ("y", 10, None)}
    load(subject, source.window(20, 30))
    assert rows(subject) == {"b": ("y", 10, None)}


def test_an_older_delete_does_not_take_the_place_of_a_newer_one(subject: Subject, source: Source) -> None:
    """Otherwise the put between the two, which is loaded last, would bring the item back."""
    source.put(1, "a", "first")
    source.delete(11, "a")
    source.put(21, "a", "second")
    source.delete(31, "a")
    soft(subject, source.full(5))
    for start, note in ((30, "first"), (10, "first"), (20, "second")):
        soft(subject, source.window(start, start + 10))
        assert rows(subject)["a"][::2] == (note, 31)


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
@pytest.mark.alike
def test_every_order_gives_the_same_rows(subject: Subject, source: Source) -> None:
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
            soft(subject, export)
        assert rows(subject) == expected([first, *rest])
        assert rows(subject) == {"a": ("v22", 30, None), "b": ("v2", 30, 31), "c": ("v12", 12, 21)}
        assert live(subject) == items(source, 40)
        subject.wipe()


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.alike
def test_any_schedule_gives_the_rows_that_its_exports_say(subject: Subject) -> None:
    @at_random(subject)
    @given(worlds())
    def played(world: World) -> None:
        writes, _, schedule = world
        subject.wipe()
        with TemporaryDirectory() as folder:
            source = Source(Path(folder), writes)
            made = {("full", 0): source.full(0)}
            soft(subject, made["full", 0])
            for kind, number in schedule:
                if (kind, number) not in made:
                    start = number * WINDOW
                    window = kind == "window"
                    made[kind, number] = source.window(start, start + WINDOW) if window else source.full(number)
                soft(subject, made[kind, number], force=kind == "window")
                assert rows(subject) == expected(made.values())
            assert live(subject) == items(source, WINDOW * WINDOWS)

    played()
