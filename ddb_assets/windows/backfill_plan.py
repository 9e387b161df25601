"""Which exports fill the time before a table's history begins, and what they cost. Pure.

Point-in-time recovery reaches 35 days back. A full export of that time and the windows since then, up to the newest full export
that the history has, are what is missing. `backfill.py` makes and loads them.
Facts: DynamoDB bills a full export by the table's size at that time, an incremental one by the size of the changes, and at
least 10 MB for each (DynamoDB Developer Guide, "DynamoDB data export to Amazon S3: how it works").
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ddb_assets.contract.windows import LONGEST, SHORTEST, Window
from ddb_assets.costs.month import LEAST_BILLED
from ddb_assets.costs.prices import GB, prices
from ddb_assets.errors import DdbAssetsError

Span = tuple[datetime, datetime]
"""The time that an export in a history covers; both ends of a full export are its time."""
MARGIN = timedelta(hours=3)
"""So long after the earliest restorable time the backfill begins, because that moves on while exports are requested."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BackfillError(DdbAssetsError):
    """A history cannot be filled."""


@dataclass(frozen=True)
class Backfill:
    """What is to be exported: the table at `baseline` (None if the history has such a full export), then the windows.

    `table_bytes` is the size of the table as DynamoDB says it, `change_rate` the bytes of changes in a second of the latest
    windows, None without any. `too_short` are gaps of less than 15 minutes, which DynamoDB does not export.
    """

    baseline: datetime | None
    windows: tuple[Window, ...]
    table_bytes: int
    change_rate: float | None = None
    too_short: tuple[Span, ...] = ()

    @property
    def exports(self) -> int:
        """How many exports there are."""
        return len(self.windows) + (self.baseline is not None)

    @property
    def usd(self) -> float:
        """What they cost, in US dollars, if changes were as large as in the latest windows. Raises PricesError."""
        whole = max(self.table_bytes, LEAST_BILLED) if self.baseline else 0
        rate = self.change_rate or 0
        changes = sum(max(LEAST_BILLED, rate * (one.end - one.start).total_seconds()) for one in self.windows)
        return round((whole + changes) / GB * prices().dynamodb.export_gb, 4)

    @property
    def price(self) -> str:
        """The same in words, with what it is worth."""
        how = "at least" if self.change_rate is None else "about"
        why = (
            "windows with more than 10 MB of changes cost more" if self.change_rate is None else "by the latest windows"
        )
        return f"{how} ${self.usd:,.2f}, {why} ({prices().said})"


def plan(
    spans: Sequence[Span], earliest: datetime, length: timedelta, table_bytes: int, change_rate: float | None = None
) -> Backfill:
    """What a history with these exports lacks since `earliest`, in windows of this length where they fit.

    Raises BackfillError when the history has no full export, to which windows could lead.
    """
    fulls = sorted(start for start, end in spans if start == end)
    if not fulls:
        raise BackfillError("the history has no full export yet, to which windows could lead: load one first")
    covered = merged([span for span in spans if span[0] < span[1]])
    first, last = _hour_after(earliest + MARGIN), fulls[-1]
    if last - first < SHORTEST:
        return Backfill(None, (), table_bytes, change_rate)
    there = [full for full in fulls if earliest <= full <= first + length]
    begin = min(there, default=first)
    known = bool(there) or any(start <= full <= first <= end for start, end in covered for full in fulls)
    gaps = [piece for gap in _gaps(covered, begin, last) for piece in _cut(gap, fulls)]
    windows = tuple(window for gap in gaps for window in split(gap, length))
    return Backfill(
        baseline=None if known or not windows else first,
        windows=windows,
        table_bytes=table_bytes,
        change_rate=change_rate,
        too_short=tuple(gap for gap in gaps if gap[1] - gap[0] < SHORTEST),
    )


def merged(spans: Sequence[Span]) -> list[Span]:
    """The times that these spans cover, without overlaps, oldest first."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def split(gap: Span, length: timedelta) -> Iterator[Window]:
    """The windows of a gap: as long as `length` and at its multiples, but none is shorter than DynamoDB exports."""
    start, end = gap
    if end - start < SHORTEST:
        return
    while start < end:
        until = min(_EPOCH + ((start - _EPOCH) // length + 1) * length, end)
        if until - start < SHORTEST:
            until = min(until + length, end) if length < LONGEST else start + SHORTEST
        if timedelta(0) < end - until < SHORTEST:
            until = end if end - start <= LONGEST else end - SHORTEST
        yield Window(start, until)
        start = until


def _gaps(covered: Sequence[Span], begin: datetime, end: datetime) -> Iterator[Span]:
    for start, until in covered:
        if begin < min(start, end):
            yield begin, min(start, end)
        begin = max(begin, until)
    if begin < end:
        yield begin, end


def _cut(gap: Span, fulls: Sequence[datetime]) -> Iterator[Span]:
    """The gap in pieces that have no full export within them."""
    start, end = gap
    for full in (*(full for full in fulls if start < full < end), end):
        yield start, full
        start = full


def _hour_after(moment: datetime) -> datetime:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    return hour if hour == moment else hour + timedelta(hours=1)
