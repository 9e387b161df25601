"""Every version of every item: whatever the order of the loads, the history of any moment that is known is the table's."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.contract.history import HistoryOptions
from ddb_assets.contract.report import Report
from ddb_assets.microseconds import to_micros
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.results import HistoryResult, LoadResult
from ddb_assets_tests.support.examples import SOAK, orders_of
from ddb_assets_tests.warehouse.conformance.subject import Subject, at_random, load, read
from ddb_assets_tests.warehouse.conformance.worlds import items
from ddb_assets_tests.warehouse.exports import BASE_MICROS, Item, Source

KEPT = HistoryOptions()
pytestmark = pytest.mark.needs("history")
Span = tuple[int | None, int]
History = dict[str, list[tuple[int, int | None, str, str | None, Item]]]


@pytest.fixture
def orders(source: Source) -> Source:
    source.hashed = True
    return source


def kept(subject: Subject, report: Report, **options: Any) -> LoadResult:
    usual: dict[str, Any] = {"history": KEPT, "max_quarantined": 10}
    return load(subject, report, **usual | options)


def in_history(subject: Subject, report: Report) -> HistoryResult:
    """What the load of an export did to the history."""
    found = kept(subject, report).history
    assert found
    return found


def made(source: Source, span: Span, **more: Any) -> Report:
    start, end = span
    return source.full(end, **more) if start is None else source.window(start, end, **more)


def micros(stored: datetime) -> int:
    return to_micros(stored.replace(tzinfo=UTC))


def versions(subject: Subject) -> History:
    """By key: from, until (None while active), how it is known, by what it ended, and the item; oldest first."""
    lines: dict[tuple[str, int], list[str]] = {}
    columns = ("order_id", "_version_us", "_ddb_index", "value")
    for key, version, index, value in sorted(subject.rows("orders__lines_history", *columns)):
        found = lines.setdefault((key, version), [])
        assert index == len(found)
        found.append(value)
    found_versions: History = {}
    times = ("valid_from", "valid_to", "_record_is_active", "_record_create_time", "_record_delete_time")
    shown = subject.rows("orders_history", "order_id", "_version_us", "note", *times, "_kind", "_ended_by")
    for key, version, note, begin, end, active, created, deleted, kind, ended in sorted(shown, key=lambda row: row[:2]):
        assert (begin, end, active) == (created, deleted, end is None)
        assert micros(begin) == version
        until = None if end is None else micros(end) - BASE_MICROS
        item = Item(note, tuple(lines.pop((key, version), ())))
        found_versions.setdefault(key, []).append((version - BASE_MICROS, until, kind, ended, item))
    assert not lines  # rows of a list belong to a version
    return found_versions


def at_time(history: History, time: int) -> dict[str, Item]:
    """The table as the history has it at this time."""
    return {
        key: item
        for key, every in history.items()
        for begin, end, _, _, item in every
        if begin <= time and (end is None or end > time)
    }


def known_moments(spans: Collection[Span]) -> set[int]:
    """The times of full exports, and the ends of windows that lead there without a gap, and that nothing contradicts."""
    fulls = {end for start, end in spans if start is None}
    windows = [(start, end) for start, end in spans if start is not None]
    clean = [
        (start, end)
        for start, end in windows
        if not any(start < full < end for full in fulls)
        and not any((s, e) != (start, end) and s < end and start < e for s, e in windows)
    ]
    known = set(fulls)
    for start, end in sorted(clean):
        known |= {end} if start in known else set()
    return known


def check(subject: Subject, source: Source, spans: Collection[Span]) -> None:
    history = versions(subject)
    for every in history.values():
        assert all(end is None or begin < end for begin, end, *_ in every)
        for (_, end, *_), (begin, *_) in pairwise(every):
            assert begin >= (end or 1 << 60)
    for moment in known_moments(spans):
        assert at_time(history, moment) == items(source, moment), moment
    assert at_time(history, 1_000_000) == read(subject)


def test_versions_of_windows(subject: Subject, orders: Source) -> None:
    for key in "abc":
        orders.put(1, key, f"first {key}", "x", "y")
    kept(subject, orders.full(10))
    orders.put(11, "a", "second a", "z")
    orders.delete(12, "b")
    orders.put(13, "d", "new d")
    kept(subject, orders.window(10, 20))
    orders.put(21, "b", "back", "w")
    orders.put(22, "a", "third a")
    orders.delete(23, "d")
    kept(subject, orders.window(20, 30))
    first = {key: Item(f"first {key}", ("x", "y")) for key in "abc"}
    assert versions(subject) == {
        "a": [
            (10, 11, "observed", "written", first["a"]),
            (11, 22, "written", "written", Item("second a", ("z",))),
            (22, None, "written", None, Item("third a")),
        ],
        "b": [
            (10, 12, "observed", "written", first["b"]),
            (21, None, "written", None, Item("back", ("w",))),
        ],
        "c": [(10, None, "observed", None, first["c"])],
        "d": [(13, 23, "written", "written", Item("new d"))],
    }
    check(subject, orders, [(None, 10), (10, 20), (20, 30)])


SPANS: list[Span] = [(None, 10), (10, 20), (20, 30), (None, 30), (0, 10), (30, 40), (None, 25), (5, 15)]


def story(source: Source) -> Source:
    for time, key, note in [
        (1, "a", "1"),
        (2, "b", "1"),
        (4, "c", "1"),
        (11, "a", "2"),
        (18, "e", "1"),
        (26, "f", "1"),
    ]:
        source.put(time, key, note, key, note)
    source.delete(12, "b")
    source.delete(22, "e")
    source.delete(28, "f")
    source.put(31, "b", "2")
    source.put(33, "a", "2")  # as it was
    return source


@pytest.mark.soak
@pytest.mark.parametrize(
    "more", [*(pytest.param(more, marks=pytest.mark.alike) for more in ((), (2,), (3, 6), (7, 6))), (3, 7)]
)
def test_the_order_of_loads_does_not_count(subject: Subject, orders: Source, more: tuple[int, ...]) -> None:
    """Every order in a soak, else two of them; on a server one of some exports."""
    story(orders)
    spans = [SPANS[place] for place in (0, 1, 4, 5, *more)]
    found, tried = [], list(orders_of(spans))
    if subject.pace < 1:
        tried = tried[1:2]
    elif not SOAK:
        first = sum(more) % 3
        tried = tried[first : first + 2]
    for order in tried:
        subject.wipe()
        done = played(subject, orders, order)
        if done == set(spans):
            found.append(versions(subject))
        check(subject, orders, done)
    assert all(one == found[0] for one in found)


def played(subject: Subject, source: Source, spans: Iterable[Span]) -> set[Span]:
    """Loads these exports; those that are refused now are tried again at the end. Returns those that were loaded."""
    done: set[Span] = set()
    refused = []
    for span in spans:
        try:
            kept(subject, made(source, span))
            done.add(span)
        except LoadError:
            refused.append(span)
    for span in refused:
        try:
            kept(subject, made(source, span))
            done.add(span)
        except LoadError:
            continue
    return done


writes = st.lists(
    st.tuples(st.integers(0, 59), st.sampled_from("abc"), st.none() | st.sampled_from(["x", "y"])),
    max_size=12,
    unique_by=lambda write: write[0],
)
windows = st.integers(0, 5).map(lambda n: (n * 10, n * 10 + 10)) | st.sampled_from([(5, 15), (0, 20), (12, 30)])
fulls = st.integers(0, 12).map(lambda n: (None, n * 5))


@pytest.mark.soak
@pytest.mark.alike
def test_the_history_of_any_known_moment_is_the_table(subject: Subject) -> None:
    @at_random(subject)
    @given(writes, st.lists(fulls | windows | windows, max_size=8), st.booleans())
    def played(writes: list[tuple[int, str, str | None]], spans: list[Span], soft_delete: bool) -> None:
        subject.wipe()
        done: set[Span] = set()
        with TemporaryDirectory() as folder:
            source = Source(Path(folder), hashed=True)
            for time, key, note in writes:
                source.delete(time, key) if note is None else source.put(time, key, note, note)
            for span in [(None, 0), *spans, *sorted(spans, key=lambda one: one[1])]:
                try:
                    kept(subject, made(source, span), force=span in done)
                    done.add(span)
                except LoadError:
                    continue
            check(subject, source, done)

    played()


def test_a_window_that_does_not_follow_the_one_before_is_a_broken_chain(subject: Subject, orders: Source) -> None:
    """The export of the second window says other things of the time before it than the history has."""
    for key in "abcd":
        orders.put(1, key, f"first {key}")
    assert in_history(subject, orders.full(10)) == HistoryResult(
        rows=4, added=4, used=True, proven=False, resolution=None, broken=0
    )
    orders.put(11, "a", "second a")
    orders.delete(12, "b")
    first = orders.window(10, 20)
    for time, key in enumerate("abc", 21):
        orders.put(time, key, f"third {key}")
    orders.delete(24, "d")
    second = orders.window(20, 30)
    assert in_history(subject, second) == HistoryResult(
        rows=8, added=4, used=True, proven=False, resolution=0, broken=0
    )
    # now the first window is there, both are known to follow each other, and the second is looked at again
    assert in_history(subject, first) == HistoryResult(rows=10, added=2, used=True, proven=True, resolution=0, broken=0)
    other = Source(orders.folder / "other", hashed=True)
    for time, key, item in orders.writes:
        other.writes.append((time, key, Item(f"{item.note}!") if item and key in "ac" and time < 20 else item))
    other.writes += [(19, "b", Item("never deleted"))]
    wrong = in_history(subject, other.window(20, 30, digest="d2"))
    assert (wrong.broken, wrong.broken_keys) == (3, ("a", "b", "c"))
    right = in_history(subject, orders.window(20, 30, digest="d3"))
    assert (right.rows, right.broken) == (10, 0)
    unproven = in_history(subject, orders.window(20, 30, old_images=False, digest="d4"))
    assert (unproven.proven, unproven.broken) == (False, 0)


@pytest.mark.alike
def test_a_missing_window_breaks_the_chain_only_when_it_should_be_there(subject: Subject, orders: Source) -> None:
    """A write that no loaded window has, though windows cover its time, is noticed at the next write of its item."""
    for key in "ab":
        orders.put(1, key, "first")
    kept(subject, orders.full(10))
    orders.put(25, "a", "second")
    last = orders.window(20, 30, digest="d2")
    orders.put(15, "a", "lost")
    orders.put(15, "b", "lost too")
    with_old = orders.window(20, 30)
    orders.writes = [write for write in orders.writes if write[0] != 15]
    assert in_history(subject, with_old).broken == 0  # nothing is known of the time before it
    assert in_history(subject, orders.window(10, 20)).broken == 1  # and now it is
    assert in_history(subject, last).broken == 0


@pytest.mark.alike
def test_exports_that_are_in_each_others_way_do_not_count(subject: Subject, orders: Source) -> None:
    """A window says nothing of the times within it, so none may begin or end there, and no full export may be of them."""
    orders.put(1, "a", "first")
    kept(subject, orders.full(40))
    kept(subject, orders.full(5))
    assert not in_history(subject, orders.window(0, 10)).used
    assert in_history(subject, orders.window(10, 20)).used
    assert in_history(subject, orders.window(15, 30)).used
    assert not in_history(subject, orders.window(10, 20, digest="d2")).used  # it ends within the other
    assert in_history(subject, orders.window(5, 10)).proven
    assert in_history(subject, orders.window(30, 40)).used


@pytest.mark.alike
def test_a_full_export_says_only_what_was_not_known(subject: Subject, orders: Source) -> None:
    for key in "ab":
        orders.put(1, key, "first")
    kept(subject, orders.full(10))
    orders.put(11, "a", "second")
    orders.delete(12, "b")
    kept(subject, orders.full(20))
    kept(subject, orders.full(30))
    assert versions(subject) == {
        "a": [(10, 20, "observed", "observed", Item("first")), (20, None, "observed", None, Item("second"))],
        "b": [(10, 20, "observed", "observed", Item("first"))],
    }
    kept(subject, orders.window(10, 20))  # late, and it knows better
    assert versions(subject) == {
        "a": [(10, 11, "observed", "written", Item("first")), (11, None, "written", None, Item("second"))],
        "b": [(10, 12, "observed", "written", Item("first"))],
    }


DAY = 86_400_000_000


@pytest.mark.parametrize(
    "wrecked",
    [
        "DELETE FROM orders WHERE 1 = 1",
        "UPDATE orders SET note = 'x' WHERE 1 = 1",
        pytest.param("DROP TABLE orders__lines", marks=pytest.mark.needs("mends")),
    ],
)
@pytest.mark.alike
def test_a_full_load_puts_changed_rows_right_and_leaves_the_history(
    subject: Subject, orders: Source, wrecked: str
) -> None:
    """What `status` proposes for such a table."""
    orders.put(1, "a", "first", "x")
    kept(subject, orders.full(10))
    orders.put(11, "a", "second", "y")
    orders.put(12, "b", "new", "z")
    kept(subject, orders.window(10, 20))
    before = versions(subject)
    subject.run(wrecked)
    kept(subject, orders.full(20))
    assert read(subject) == items(orders, 20)
    assert versions(subject) == before
    check(subject, orders, [(None, 10), (10, 20), (None, 20)])


def test_old_versions_are_forgotten_and_the_rest_is_as_it_was(subject: Subject, orders: Source) -> None:
    """What was valid at the horizon stays; an export from before it adds nothing, though its versions are gone."""
    days = [(day * DAY, day * DAY + DAY) for day in range(6)]
    for key in "abcd":
        orders.put(-1, key, f"first {key}", "x")
    orders.put(DAY + 1, "a", "second", "y")
    orders.delete(DAY + 2, "b")
    orders.put(2 * DAY + 1, "a", "third", "y", "z")
    orders.put(4 * DAY + 1, "c", "later")
    orders.delete(5 * DAY + 1, "d")
    for report in (orders.full(0), *(orders.window(*day) for day in days[:5]), orders.full(3 * DAY)):
        kept(subject, report)
    before = versions(subject)
    short = HistoryOptions(keep="2 days")
    load(subject, orders.window(*days[5]), history=short)
    horizon = 4 * DAY
    found = versions(subject)
    assert {key: [one for one in every if one[1] is None or one[1] > horizon] for key, every in found.items()} == found
    for moment in (horizon, 5 * DAY, 6 * DAY):
        assert at_time(found, moment) == items(orders, moment)
    assert at_time(found, horizon) == at_time(before, horizon)
    assert found["a"] == before["a"][2:]  # with the time at which it was written, two days before the horizon
    assert found["d"][0][0] == 0
    again = load(subject, orders.window(*days[1], digest="d2"), history=short)
    assert again.history
    assert not again.history.used
    assert not load(subject, orders.window(*days[1], digest="d2"), history=short).applied
    assert versions(subject) == found


@pytest.mark.parametrize("moved_by", ["the newest window", "a late window that does not count"])
@pytest.mark.alike
def test_what_is_forgotten_stays_forgotten(subject: Subject, orders: Source, moved_by: str) -> None:
    """Versions are kept for ever from then on, and the newest window is loaded again if it has moved the horizon."""
    days = [(day * DAY, day * DAY + DAY) for day in range(6)]
    orders.put(1, "a", "gone", "x")
    orders.put(DAY + 1, "b", "stays", "y")
    orders.delete(2 * DAY + 1, "a")
    newest, around_a_full_export = orders.window(*days[5]), orders.window(2 * DAY + 2, 3 * DAY + 2)
    full = [orders.full(day * DAY) for day in (0, 3, 5)]
    for report in (*full, *(orders.window(*day) for day in days[:5])):
        kept(subject, report)
    short = HistoryOptions(keep="2 days")
    if moved_by == "the newest window":
        load(subject, newest, history=short)
        found = versions(subject)
        kept(subject, orders.window(*days[5], digest="d2"))
    else:
        kept(subject, newest)
        assert not in_history(subject, around_a_full_export).used
        load(subject, around_a_full_export, history=short, force=True)
        found = versions(subject)
    assert found.keys() == {"b"}
    assert not in_history(subject, orders.window(*days[0], digest="d2")).used
    assert versions(subject) == found
