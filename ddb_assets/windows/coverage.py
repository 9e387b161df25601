"""Which windows are still to be exported for a table, by what the warehouse covers of its history.

Interval arithmetic only, on `contract/coverage.py`. No window is planned that a load would refuse (`warehouse/guards.py`):
it never begins before the gap that it fills, and it ends inside a loaded window only where another one begins.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import takewhile

from ddb_assets.contract.coverage import Coverage, Span
from ddb_assets.contract.windows import LONGEST, SHORTEST, Cadence, Window

MICROSECOND = timedelta(microseconds=1)


def missing(cadence: Cadence, coverage: Coverage, until: datetime) -> list[tuple[str, Window]]:
    """The windows that are missing and end by then, oldest first, each with its partition key.

    They fill every gap, on the cadence where the gap allows it. A partition with several gaps has several windows.
    """
    found: list[tuple[str, Window]] = []
    for start, end in coverage.gaps():
        pieces = takewhile(lambda window: window.end <= until, _pieces(cadence, coverage, start, end))
        found += [(partition(cadence, window), window) for window in pieces]
    return sorted(found, key=lambda piece: piece[1])


def too_short(coverage: Coverage) -> list[Span]:
    """Gaps of less than 15 minutes that no window can fill: only a new initial load helps."""
    return [
        (start, end)
        for start, end in coverage.gaps()
        if end is not None and end - start < SHORTEST and _over(coverage, start, end) is None
    ]


def partition(cadence: Cadence, window: Window) -> str:
    """The key of the partition that a window belongs to: the one it ends with, else the one it begins in."""
    last = cadence.window_at(window.end - MICROSECOND)
    return cadence.key(last if last.end == window.end else cadence.window_at(window.start))


def planned(cadence: Cadence, coverage: Coverage, key: str) -> Window | None:
    """What is exported for a partition; None when all of it is covered.

    The first missing window; if none is missing, the loaded one, so that it can be exported again.
    """
    whole = cadence.window(key)
    lacking = (window for found, window in missing(cadence, coverage, whole.end + LONGEST) if found == key)
    if window := next(lacking, None):
        return window
    loaded = [window for window in _valid(coverage.windows) if partition(cadence, window) == key]
    return loaded[0] if len(loaded) == 1 else None


def known_partition(cadence: Cadence, coverage: Coverage, window: Window) -> str | None:
    """The partition of a window that is missing or loaded; None for any other."""
    key = partition(cadence, window)
    known = (window.start, window.end) in coverage.windows or (key, window) in missing(cadence, coverage, window.end)
    return key if known else None


def _pieces(cadence: Cadence, coverage: Coverage, start: datetime, end: datetime | None) -> Iterator[Window]:
    if end is not None and end - start < SHORTEST:
        if (beyond := _over(coverage, start, end)) is not None:
            yield Window(start, beyond)
        return
    while end is None or start < end:
        close = _cut(cadence, start)
        if end is not None and end - close < SHORTEST:
            close = end if end - start <= LONGEST else end - SHORTEST
        yield Window(start, close)
        start = close


def _cut(cadence: Cadence, start: datetime) -> datetime:
    """Where a window that begins at `start` ends: with its partition, or with the next one if less than 15 minutes remain."""
    whole = cadence.window_at(start)
    if whole.end - start >= SHORTEST:
        return whole.end
    following = cadence.window_at(whole.end).end
    return following if following - start <= LONGEST else start + SHORTEST


def _over(coverage: Coverage, start: datetime, end: datetime) -> datetime | None:
    """Where a window that fills a gap of less than 15 minutes ends: with a loaded one that begins where the gap ends."""
    starts = {begin for begin, _ in coverage.windows}
    ends = sorted(close for begin, close in coverage.windows if begin == end)
    for close in ends:
        inner = {other for _, other in coverage.windows if start < other < close}
        if SHORTEST <= close - start <= LONGEST and inner <= starts:
            return close
    return None


def _valid(windows: Iterable[Span]) -> Iterator[Window]:
    return (Window(start, end) for start, end in windows if SHORTEST <= end - start <= LONGEST)
