"""Coverage of time since the initial load: no gap stays, for any loads in any order and with any cadence."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.contract.coverage import Coverage, Span
from ddb_assets.contract.windows import LONGEST, SHORTEST, Cadence, Window, exported_as
from ddb_assets.windows.coverage import known_partition, missing, planned, too_short

TEXTS = ("15 min", "20 min", "30 min", "1 h", "2 h", "3 h", "4 h", "6 h", "8 h", "12 h", "24 h")
cadences = st.sampled_from(TEXTS).map(Cadence.parse)
moments = st.integers(1_577_836_800_000, 1_893_456_000_000).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))
spans = st.timedeltas(timedelta(0), timedelta(hours=30))
HOURLY, SIX = Cadence.parse("hourly"), Cadence.parse("6 h")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def hours(*bounds: tuple[int, int]) -> list[Span]:
    day = at("2026-01-20T00:00")
    return [(day + timedelta(hours=first), day + timedelta(hours=last)) for first, last in bounds]


def loaded(coverage: Coverage, window: Window) -> Coverage:
    """The coverage after a load. A load refuses what the warehouse's guards refuse, which are repeated here."""
    starts, ends = {s for s, _ in coverage.windows}, {e for _, e in coverage.windows} | {coverage.initial_load}
    inner = {end for end in ends if window.start < end < window.end and end >= coverage.initial_load}
    assert inner <= starts, f"{window} goes over the end of a loaded window"
    spanning = [s for s in coverage.windows if s[0] < window.end < s[1]]
    assert not spanning or window.end in starts, f"{window} ends inside a loaded window"
    return Coverage.of(coverage.initial_load, [*coverage.windows, (window.start, window.end)])


def covers(coverage: Coverage, start: datetime, end: datetime) -> bool:
    """Whether no change in [start, end) is missing."""
    return not any(begin < end and (close is None or start < close) for begin, close in coverage.gaps())


@given(cadences, moments, spans)
def test_since_an_initial_load_alone_it_is_what_each_partition_exports(
    cadence: Cadence, initial_load: datetime, span: timedelta
) -> None:
    known, whole = {}, cadence.window_at(initial_load)
    while whole.start <= initial_load + span:
        window = exported_as(cadence, whole, initial_load)
        if window and window.end <= initial_load + span:
            known[cadence.key(whole)] = window
        whole = cadence.window_at(whole.end)
    found = missing(cadence, Coverage(initial_load), initial_load + span)
    assert dict(found) == known
    assert len(dict(found)) == len(found)


@given(st.lists(cadences, min_size=1, max_size=4), moments, spans, st.data())
def test_loaded_in_any_order_and_under_changing_cadences_no_gap_stays(
    several: list[Cadence], initial_load: datetime, span: timedelta, data: st.DataObject
) -> None:
    coverage, until = Coverage(initial_load), initial_load + span
    for cadence in several:
        for _ in range(data.draw(st.integers(0, 4))):
            if due := missing(cadence, coverage, until):
                key, window = data.draw(st.sampled_from(due))
                assert known_partition(cadence, coverage, window) == key
                coverage = loaded(coverage, window)
    due = missing(several[-1], coverage, until)
    if due:
        key = due[0][0]
        assert planned(several[-1], coverage, key) in {window for found, window in due if found == key}
    for _, window in data.draw(st.permutations(due)):
        assert SHORTEST <= window.end - window.start <= LONGEST
        coverage = loaded(coverage, window)
    assert missing(several[-1], coverage, until) == []
    assert not too_short(coverage)
    assert covers(coverage, initial_load, coverage.until)
    assert until - coverage.until < several[-1].length + SHORTEST


@given(moments, st.lists(st.tuples(st.integers(-20, 60), st.integers(1, 24)), max_size=8), st.integers(-20, 80))
def test_a_moment_is_covered_or_in_a_gap_and_never_both(
    initial_load: datetime, loads: list[tuple[int, int]], hour: int
) -> None:
    windows = [(initial_load + timedelta(hours=s), initial_load + timedelta(hours=s + length)) for s, length in loads]
    coverage, moment = Coverage.of(initial_load, windows), initial_load + timedelta(hours=hour)
    shown = moment < initial_load or any(start <= moment < end for start, end in windows)
    assert covers(coverage, moment, moment + timedelta(microseconds=1)) == shown
    assert coverage.until >= initial_load
    assert shown or moment >= coverage.until


def test_a_longer_cadence_asks_for_what_the_stored_windows_leave() -> None:
    coverage = Coverage.of(at("2026-01-20T00:00"), hours((0, 1), (3, 4)))
    found = missing(SIX, coverage, at("2026-01-20T12:00"))
    assert [(key, (w.start, w.end)) for key, w in found] == [
        (key, span)
        for key, span in zip(
            ("2026-01-20T0000Z", "2026-01-20T0000Z", "2026-01-20T0600Z"),
            hours((1, 3), (4, 6), (6, 12)),
            strict=True,
        )
    ]


def test_a_shorter_cadence_asks_for_nothing_that_is_loaded() -> None:
    coverage = Coverage.of(at("2026-01-20T00:00"), hours((0, 6)))
    assert [key for key, _ in missing(HOURLY, coverage, at("2026-01-20T08:00"))] == [
        "2026-01-20T0600Z",
        "2026-01-20T0700Z",
    ]
    assert planned(HOURLY, coverage, "2026-01-20T0200Z") is None
    assert planned(HOURLY, coverage, "2026-01-20T0500Z") == Window(*hours((0, 6))[0])


def test_a_gap_of_less_than_15_minutes_is_filled_with_what_follows_it() -> None:
    (first, second) = hours((1, 2), (4, 5))
    coverage = Coverage.of(first[0] - timedelta(minutes=10), [first, second])
    assert (known_partition(HOURLY, coverage, Window(first[0] - timedelta(minutes=10), first[1]))) == "2026-01-20T0100Z"
    assert not too_short(coverage)
    daily = Coverage.of(at("2026-01-19T23:50"), hours((0, 24)))
    assert too_short(daily) == [(at("2026-01-19T23:50"), at("2026-01-20T00:00"))]
    assert missing(HOURLY, daily, at("2026-01-21T00:00")) == []


@pytest.mark.parametrize("window", [(0, 6), (1, 2), (2, 6)])
def test_a_window_that_is_neither_missing_nor_loaded_is_of_no_partition(window: tuple[int, int]) -> None:
    coverage = Coverage.of(at("2026-01-20T00:00"), hours((0, 1)))
    assert known_partition(SIX, coverage, Window(*hours(window)[0])) is None
    assert known_partition(SIX, coverage, Window(*hours((1, 6))[0])) == "2026-01-20T0000Z"
