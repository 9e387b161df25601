"""What is missing before a history begins, and what it costs: windows without gaps or overlaps that DynamoDB can export."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.contract.windows import LONGEST, SHORTEST
from ddb_assets.costs.month import LEAST_BILLED
from ddb_assets.costs.prices import GB
from ddb_assets.windows.backfill_plan import MARGIN, BackfillError, merged, plan, split

EARLIEST = datetime(2026, 11, 1, 0, 20, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FIRST = datetime(2026, 11, 1, 4, tzinfo=UTC)
T0 = datetime(2026, 11, 3, 10, 5, 7, tzinfo=UTC)


def test_a_table_that_was_just_loaded_lacks_all_that_recovery_has() -> None:
    found = plan([(T0, T0)], EARLIEST, HOUR, 5 * GB)
    assert found.baseline == FIRST
    assert found.windows[0].start == FIRST
    assert found.windows[-1].end == T0
    assert all(window.end - window.start <= HOUR + SHORTEST for window in found.windows)
    assert found.exports == len(found.windows) + 1 == 55
    assert found.usd == round((5 * GB + 54 * LEAST_BILLED) / GB * 0.10, 4)
    assert found.price.startswith(
        "at least $0.55, windows with more than 10 MB of changes cost more (prices of us-east-1"
    )
    busy = plan([(T0, T0)], EARLIEST, HOUR, 5 * GB, LEAST_BILLED / 360)
    assert busy.usd == pytest.approx((5 * GB + 10 * LEAST_BILLED * ((T0 - FIRST) / HOUR)) / GB * 0.10, abs=0.01)
    assert busy.price.startswith("about $1.0")
    assert not found.too_short


def test_what_is_done_is_not_done_again() -> None:
    all_of_it = plan([(T0, T0)], EARLIEST, DAY, 0)
    spans = [(T0, T0), (FIRST, FIRST)]
    assert [(w.start, w.end) for w in all_of_it.windows] == [
        (FIRST, FIRST.replace(day=2, hour=0)),
        (FIRST.replace(day=2, hour=0), FIRST.replace(day=3, hour=0)),
        (FIRST.replace(day=3, hour=0), T0),
    ]
    later = EARLIEST + timedelta(hours=2)
    rest = plan(spans, later, DAY, 0)
    assert (rest.baseline, rest.windows) == (None, all_of_it.windows)  # although the earliest time has moved on
    spans += [(window.start, window.end) for window in all_of_it.windows[:2]]
    assert plan(spans, EARLIEST + DAY, DAY, 0).windows == all_of_it.windows[2:]
    assert plan(spans, EARLIEST + DAY, DAY, 0).baseline is None
    spans += [(window.start, window.end) for window in all_of_it.windows[2:]]
    done = plan(spans, later, DAY, 0)
    assert (done.exports, done.usd) == (0, 0)


def test_a_history_without_a_full_export_cannot_be_filled() -> None:
    with pytest.raises(BackfillError, match="no full export yet"):
        plan([(FIRST, FIRST + HOUR)], EARLIEST, HOUR, 0)


def test_a_table_younger_than_a_window_has_nothing_to_fill() -> None:
    assert plan([(EARLIEST + MARGIN, EARLIEST + MARGIN)], EARLIEST, HOUR, 0).exports == 0


minutes = st.integers(0, 6000).map(lambda n: EARLIEST + timedelta(minutes=n))
lengths = st.sampled_from([SHORTEST, timedelta(minutes=20), HOUR, timedelta(hours=12), DAY])


@given(st.sets(minutes, min_size=1, max_size=4), st.lists(st.tuples(minutes, lengths), max_size=5), lengths)
def test_windows_fill_every_gap_that_dynamodb_can_export(
    fulls: set[datetime], loaded: list[tuple[datetime, timedelta]], length: timedelta
) -> None:
    spans = [(full, full) for full in fulls] + [(start, start + long) for start, long in loaded]
    found = plan(spans, EARLIEST, length, 0)
    made = [(window.start, window.end) for window in found.windows]
    assert made == sorted(made)
    before = merged([span for span in spans if span[0] < span[1]])
    for start, end in made:
        assert not any(start < full < end for full in fulls)
        assert not any(start < until and begin < end for begin, until in before)
    if made:
        known = fulls | ({found.baseline} if found.baseline else set())
        (all_of_it,) = [one for one in merged([*before, *made, *found.too_short]) if one[0] <= made[0][0] <= one[1]]
        assert any(all_of_it[0] <= full <= made[0][0] for full in known)  # a full export leads to the first window
        assert all_of_it[1] >= max(fulls)  # and the windows to the newest full export


@given(minutes, st.integers(15, 6000), lengths)
def test_a_gap_is_split_without_gaps(start: datetime, long: int, length: timedelta) -> None:
    end = start + timedelta(minutes=long)
    windows = list(split((start, end), length))
    assert merged([(window.start, window.end) for window in windows]) == [(start, end)]
    assert sum((window.end - window.start for window in windows), timedelta()) == end - start
    assert all(window.end - window.start <= LONGEST for window in windows)
