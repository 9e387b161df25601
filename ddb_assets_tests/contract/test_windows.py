"""The windows of an export chain: boundaries, partition keys, and the first window after a full export."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.contract.coverage import Coverage
from ddb_assets.contract.windows import (
    KEY_FORMAT,
    LONGEST,
    SHORTEST,
    Cadence,
    Window,
    WindowError,
    covered,
    exportable,
    exported_as,
    partition_of,
)
from ddb_assets.windows.coverage import missing

TEXTS = ("15 min", "20 min", "30 min", "1 h", "2 h", "3 h", "4 h", "6 h", "8 h", "12 h", "24 h")
MINUTE = timedelta(minutes=1)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=9)), timezone(timedelta(hours=-3, minutes=-30))])
cadences = st.sampled_from(TEXTS).map(Cadence.parse)
moments = st.integers(1_577_836_800_000, 1_893_456_000_000).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))
gaps = st.timedeltas(timedelta(0), timedelta(hours=72))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def due(cadence: Cadence, initial_load: datetime, latest: datetime) -> list[Window]:
    return [window for _, window in missing(cadence, Coverage(initial_load), latest)]


def keys_since(cadence: Cadence, initial_load: datetime, windows: list[Window]) -> list[str]:
    return [partition_of(cadence, window, initial_load) for window in windows]


@given(cadences, moments, gaps)
def test_the_windows_since_the_initial_load_have_no_gap(
    cadence: Cadence, initial_load: datetime, gap: timedelta
) -> None:
    latest = initial_load + gap
    windows = due(cadence, initial_load, latest)
    assert all(SHORTEST <= window.end - window.start <= LONGEST for window in windows)
    assert all(one.end == other.start for one, other in pairwise(windows))
    if windows:
        assert windows[0].start == initial_load
        assert windows[-1].end <= latest < windows[-1].end + cadence.length
    else:
        assert latest < cadence.window_at(initial_load).end + SHORTEST + cadence.length


@given(cadences, moments, gaps)
def test_every_window_has_a_partition_of_its_own(cadence: Cadence, initial_load: datetime, gap: timedelta) -> None:
    windows = due(cadence, initial_load, initial_load + gap)
    keys = keys_since(cadence, initial_load, windows)
    assert len(set(keys)) == len(windows)
    assert keys == sorted(keys)
    for key, window in zip(keys, windows, strict=True):
        assert exported_as(cadence, cadence.window(key), initial_load) == window


@given(cadences, moments, gaps, st.timedeltas(-MINUTE, MINUTE))
def test_a_clock_that_is_a_minute_off_only_delays(
    cadence: Cadence, initial_load: datetime, gap: timedelta, skew: timedelta
) -> None:
    exact, skewed = (
        due(cadence, initial_load, initial_load + gap),
        due(cadence, initial_load, initial_load + gap + skew),
    )
    shorter, longer = sorted([exact, skewed], key=len)
    assert longer[: len(shorter)] == shorter
    assert len(longer) - len(shorter) <= 1


@given(cadences, moments)
def test_every_moment_is_in_one_window_which_its_key_names(cadence: Cadence, moment: datetime) -> None:
    window = cadence.window_at(moment)
    assert window.start <= moment < window.end
    assert window.end - window.start == cadence.length
    assert cadence.window(cadence.key(window)) == window


@given(cadences, moments, moments)
def test_keys_sort_by_time(cadence: Cadence, one: datetime, other: datetime) -> None:
    first, second = sorted([one, other])
    assert cadence.key(cadence.window_at(first)) <= cadence.key(cadence.window_at(second))


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_the_zone_of_the_machine_does_not_matter() -> None:
    cadence = Cadence.parse("6 h")
    windows = due(cadence, at("2026-03-07T22:59"), at("2026-03-08T18:01"))
    assert keys_since(cadence, at("2026-03-07T22:59"), windows) == [
        "2026-03-07T1800Z",
        "2026-03-08T0000Z",
        "2026-03-08T0600Z",
        "2026-03-08T1200Z",
    ]
    assert cadence.window("2026-03-08T0600Z") == Window(at("2026-03-08T06:00"), at("2026-03-08T12:00"))


@given(cadences, moments, gaps, ZONES)
def test_the_zone_of_a_time_does_not_matter(
    cadence: Cadence, initial_load: datetime, gap: timedelta, zone: timezone
) -> None:
    latest = initial_load + gap
    assert due(cadence, initial_load.astimezone(zone), latest.astimezone(zone)) == due(cadence, initial_load, latest)


@pytest.mark.parametrize(
    ("month_end", "last_day"),
    [("2024-03-01", "2024-02-29"), ("2025-03-01", "2025-02-28"), ("2026-01-01", "2025-12-31")],
)
def test_month_ends(month_end: str, last_day: str) -> None:
    daily = Cadence.parse("daily")
    assert daily.key(daily.window_at(at(month_end) - MINUTE)) == f"{last_day}T0000Z"
    assert daily.window(f"{last_day}T0000Z").end == at(month_end)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("day", ["2026-03-28", "2026-10-25", "2024-02-28"])
def test_dagster_cuts_the_same_windows(text: str, day: str) -> None:
    cadence = Cadence.parse(text)
    start = at(day)
    partitions = dg.TimeWindowPartitionsDefinition(
        start=start, end=start + timedelta(days=2), fmt=KEY_FORMAT, cron_schedule=cadence.cron, timezone="UTC"
    )
    ours = due(cadence, start, start + timedelta(days=2))
    assert list(partitions.get_partition_keys()) == [cadence.key(window) for window in ours]
    for window in ours:
        theirs = partitions.time_window_for_partition_key(cadence.key(window))
        assert (theirs.start.timestamp(), theirs.end.timestamp()) == (window.start.timestamp(), window.end.timestamp())


def test_names_of_cadences() -> None:
    assert Cadence.parse("hourly") == Cadence.parse("1 h") == Cadence.parse("60 min") == Cadence(timedelta(hours=1))
    assert Cadence.parse("daily") == Cadence.parse("24h") == Cadence(timedelta(days=1))


@pytest.mark.parametrize(
    "text",
    ["", "10 min", "14 min", "25 min", "45 min", "90 min", "5 h", "25 h", "48 h", "weekly", "0 h", "-15 min", "1.5 h"],
)
def test_other_cadences_are_refused_with_the_list_of_those_that_work(text: str) -> None:
    with pytest.raises(WindowError, match=r"15 min, 20 min, 30 min, 1 h, 2 h, .*, 24 h, hourly or daily"):
        Cadence.parse(text)
    with pytest.raises(WindowError, match="15 min"):
        Cadence(timedelta(minutes=45))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "2026-01-31",
        "2026-01-31T00:15Z",
        "2026-02-30T0000Z",
        "2026-1-31T0000Z",
        "2026-01-31T0015Z",
        "9999-12-31T2300Z",
    ],
)
def test_other_keys_are_refused(key: str) -> None:
    with pytest.raises(WindowError, match="is not a partition key"):
        Cadence.parse("hourly").window(key)


def test_windows_off_the_cadence_have_no_key() -> None:
    hourly = Cadence.parse("hourly")
    for start, end in [("10:15", "11:15"), ("10:00", "10:30"), ("10:00", "12:00"), ("10:30", "11:00")]:
        with pytest.raises(WindowError, match="does not lie on the cadence"):
            hourly.key(Window(at(f"2026-01-01T{start}"), at(f"2026-01-01T{end}")))


@pytest.mark.parametrize(("start", "end"), [("10:00", "10:14"), ("10:00", "10:00"), ("10:00", "09:00")])
def test_windows_that_aws_would_refuse(start: str, end: str) -> None:
    with pytest.raises(WindowError, match="15 minutes to 24 hours"):
        Window(at(f"2026-01-01T{start}"), at(f"2026-01-01T{end}"))
    with pytest.raises(WindowError, match="time zone"):
        Window(datetime.fromisoformat("2026-01-01T10:00"), datetime.fromisoformat("2026-01-01T11:00"))
    with pytest.raises(WindowError, match="15 minutes to 24 hours"):
        Window(at("2026-01-01"), at("2026-01-02T00:01"))


def test_a_window_can_be_exported_when_all_of_it_is_restorable() -> None:
    window = Window(at("2026-01-01T10:00"), at("2026-01-01T11:00"))
    assert exportable(window, at("2026-01-01T11:00"))
    assert not exportable(window, at("2026-01-01T10:59:59"))


def test_what_an_initial_load_covers() -> None:
    window = Window(at("2026-01-01T10:00"), at("2026-01-01T11:00"))
    assert covered(window, at("2026-01-01T11:00"))
    assert not covered(window, at("2026-01-01T10:59:59"))


def test_a_new_initial_load_does_not_ask_for_what_it_covers() -> None:
    windows = due(Cadence.parse("hourly"), at("2026-01-20T10:30"), at("2026-01-20T12:10"))
    assert [window.start for window in windows] == [at("2026-01-20T10:30"), at("2026-01-20T11:00")]
    on_the_hour = due(Cadence.parse("hourly"), at("2026-01-20T11:00"), at("2026-01-20T12:10"))
    assert on_the_hour == windows[1:]


def test_the_first_window_begins_with_the_initial_load() -> None:
    hourly, first = Cadence.parse("hourly"), Window(at("2026-01-20T10:20"), at("2026-01-20T11:00"))
    assert due(hourly, first.start, at("2026-01-20T12:30")) == [
        first,
        Window(at("2026-01-20T11:00"), at("2026-01-20T12:00")),
    ]
    assert partition_of(hourly, first, at("2026-01-20T10:20")) == "2026-01-20T1000Z"
    with pytest.raises(WindowError, match="where it would be 2026-01-20T10:19Z to"):
        partition_of(hourly, first, at("2026-01-20T10:19"))


def test_an_initial_load_at_the_very_end_of_a_window_leaves_its_minutes_to_the_next() -> None:
    hourly, joined = Cadence.parse("hourly"), Window(at("2026-01-20T10:50"), at("2026-01-20T12:00"))
    assert due(hourly, joined.start, at("2026-01-20T11:59")) == []
    assert due(hourly, joined.start, at("2026-01-20T12:00")) == [joined]
    assert partition_of(hourly, joined, joined.start) == "2026-01-20T1100Z"


def test_a_daily_window_is_never_longer_than_a_day() -> None:
    daily, initial_load = Cadence.parse("daily"), at("2026-01-20T23:50")
    assert due(daily, initial_load, at("2026-01-22T00:00")) == [
        Window(initial_load, at("2026-01-21T00:05")),
        Window(at("2026-01-21T00:05"), at("2026-01-22T00:00")),
    ]


def test_what_an_initial_load_covers_keeps_its_key() -> None:
    hourly, window = Cadence.parse("hourly"), Window(at("2026-01-20T08:00"), at("2026-01-20T09:00"))
    assert partition_of(hourly, window, at("2026-01-20T10:20")) == "2026-01-20T0800Z"
    with pytest.raises(WindowError, match="does not lie on the cadence"):
        partition_of(hourly, Window(at("2026-01-20T08:15"), at("2026-01-20T09:00")), at("2026-01-20T10:20"))
