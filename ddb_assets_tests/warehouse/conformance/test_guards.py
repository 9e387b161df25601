"""Exports that leave a gap are refused, because an item that is put and deleted within a window is not in the window.

In every case here `a` is put at 12 and deleted at 18. A full export at 15 has it, and the window from 10 to 20 does not.
"""

from contextlib import suppress
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.warehouse.errors import LoadError
from ddb_assets_tests.warehouse.conformance.subject import Subject, at_random, load, read
from ddb_assets_tests.warehouse.conformance.worlds import items
from ddb_assets_tests.warehouse.exports import Item, Source

ENDS_INSIDE = "ends inside the window .*which 'orders' has already.*materialize exports/orders_full_export"
BEGINS_BEFORE = (
    "time of the newest full export of 'orders' or the end of another window.*materialize exports/orders_full_export"
)


@pytest.fixture
def short_life(source: Source) -> Source:
    source.put(1, "b", "always there", "x")
    source.put(12, "a", "a short life", "x")
    source.delete(18, "a")
    return source


@pytest.mark.alike
def test_a_window_around_the_newest_initial_load_is_refused(subject: Subject, short_life: Source) -> None:
    around = short_life.window(10, 20)
    load(subject, short_life.full(15))
    with pytest.raises(LoadError, match=BEGINS_BEFORE):
        load(subject, around)
    assert "a" in read(subject)
    assert load(subject, short_life.window(15, 20)).deleted == 1
    assert load(subject, around).applied  # the window that begins at the initial load had the delete
    assert read(subject) == items(short_life, 20)


@pytest.mark.alike
def test_a_newer_initial_load_lets_the_window_in(subject: Subject, short_life: Source) -> None:
    load(subject, short_life.full(15))
    load(subject, short_life.full(20))
    assert load(subject, short_life.window(10, 20)).applied
    assert read(subject) == items(short_life, 20)


@pytest.mark.alike
def test_a_window_after_a_scan_is_refused(subject: Subject, source: Source) -> None:
    """The scan is of time 10, and read the item at 12. It was deleted at 13, so the window from 10 on does not name it."""
    source.put(11, "a", "short")
    seen = source.full(12, export_id="scan-1")
    source.delete(13, "a")
    source.put(14, "b", "long")
    window = source.window(12, 20)
    load(subject, seen)
    with pytest.raises(LoadError, match=r"'orders' was loaded from a scan, which is of no single moment"):
        load(subject, window)
    load(subject, source.full(20))
    assert load(subject, window).applied
    assert read(subject) == items(source, 20)


@pytest.mark.alike
def test_an_initial_load_inside_a_loaded_window_is_refused(subject: Subject, short_life: Source) -> None:
    inside = short_life.full(15)
    load(subject, short_life.full(10))
    load(subject, short_life.window(10, 20))
    with pytest.raises(LoadError, match=ENDS_INSIDE):
        load(subject, inside)
    assert read(subject) == items(short_life, 20)
    load(subject, short_life.full(20))
    assert load(subject, inside).stale == 2  # covered by the newer initial load
    assert read(subject) == items(short_life, 20)


@pytest.mark.alike
@pytest.mark.parametrize(("time", "full_export_first"), list(product([10, 20], [True, False])))
def test_an_initial_load_on_either_end_of_a_window_joins_it(
    subject: Subject, short_life: Source, time: int, full_export_first: bool
) -> None:
    load(subject, short_life.full(0))
    exports = [short_life.full(time), short_life.window(10, 20)]
    for export in exports if full_export_first else exports[::-1]:
        assert load(subject, export).applied
    assert load(subject, short_life.window(0, 10)).applied
    assert read(subject) == items(short_life, 20)


@pytest.mark.alike
@pytest.mark.parametrize("part", [(10, 15), (13, 15), (5, 15)])
def test_a_window_that_ends_in_another_one_is_refused(
    subject: Subject, short_life: Source, part: tuple[int, int]
) -> None:
    """A changed cadence, or windows that somebody else made, in either order."""
    overlapping, whole, rest = short_life.window(*part), short_life.window(10, 20), short_life.window(15, 20)
    load(subject, short_life.full(5))
    load(subject, whole)
    with pytest.raises(LoadError, match=ENDS_INSIDE):
        load(subject, overlapping)
    subject.wipe()
    load(subject, short_life.full(5))
    load(subject, overlapping)
    with pytest.raises(LoadError, match=BEGINS_BEFORE):
        load(subject, whole)
    for export in (rest, whole, overlapping):
        load(subject, export, force=True)
    assert read(subject) == items(short_life, 20)


@pytest.mark.alike
def test_windows_of_a_table_that_was_dropped_do_not_bind_the_new_one(subject: Subject, short_life: Source) -> None:
    load(subject, short_life.full(10))
    load(subject, short_life.window(10, 20))
    new = "22222222-2222-3333-4444-555555555555"
    assert load(subject, short_life.full(16, table_id=new)).applied
    assert load(subject, short_life.window(16, 20, table_id=new)).applied


NEW = "22222222-2222-3333-4444-555555555555"


@pytest.mark.alike
def test_the_end_of_a_window_of_the_table_that_was_dropped_does_not_bind_the_new_one(
    subject: Subject, short_life: Source
) -> None:
    load(subject, short_life.full(10))
    load(subject, short_life.window(10, 20))
    load(subject, short_life.full(16, table_id=NEW))
    assert load(subject, short_life.window(16, 30, table_id=NEW)).applied


@pytest.mark.alike
def test_a_window_of_the_table_that_was_dropped_does_not_stand_in_for_one_of_the_new(
    subject: Subject, short_life: Source
) -> None:
    """The window begins at the new table's initial load, and does not have later deletes in the new table."""
    load(subject, short_life.full(10))
    load(subject, short_life.window(15, 20))
    load(subject, short_life.full(15, table_id=NEW))
    with pytest.raises(LoadError, match=BEGINS_BEFORE):
        load(subject, short_life.window(10, 20, table_id=NEW))


END = 20
times = st.integers(0, END - 1)
writes = st.lists(
    st.tuples(times, st.sampled_from("ab"), st.none() | st.builds(Item, st.sampled_from("xyz"))),
    unique_by=lambda write: write[0],
    max_size=10,
)
spans = st.tuples(times, st.integers(1, END)).filter(lambda span: span[0] < span[1]) | times.map(lambda t: (t, t))


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.alike
def test_what_is_not_refused_ends_in_the_state_of_the_source(subject: Subject) -> None:
    """Initial loads (spans without length) and windows of any kind. A window from the end of each completes them."""

    @at_random(subject)
    @given(writes, st.lists(spans, max_size=5))
    def played(log: list[tuple[int, str, Item | None]], exports: list[tuple[int, int]]) -> None:
        with TemporaryDirectory() as folder:
            source = Source(Path(folder), log)
            subject.wipe()
            load(subject, source.full(0))
            ends = {0}
            for begin, end in exports:
                with suppress(LoadError):
                    load(subject, source.window(begin, end) if begin < end else source.full(end))
                    ends.add(end)
            for end in sorted(ends - {END}, reverse=True):
                load(subject, source.window(end, END, export_id=f"from {end}"))
            assert read(subject) == items(source, END)

    played()
