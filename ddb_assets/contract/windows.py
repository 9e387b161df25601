"""The windows of an export chain: when each starts and ends, its partition key, and when the chain is broken.

Pure. All times are aware and in UTC. The local clock and time zone are never used: what can be exported follows from
the restorable period that AWS reports. `windows/coverage.py` finds missing windows, `exports/request.py` asks AWS for
exports, `windows/partitions.py` makes Dagster's partitions from `Cadence.cron` and `KEY_FORMAT`.

Facts: an incremental export covers 15 minutes to 24 hours, start inclusive, end exclusive, inside the table's
point-in-time recovery period (DynamoDB Developer Guide, S3DataExport_Requesting).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ddb_assets.errors import DdbAssetsError

SHORTEST = timedelta(minutes=15)
LONGEST = timedelta(hours=24)
LOAD_MAY_TAKE: Mapping[str, timedelta] = {"upsert": timedelta(hours=1), "replace": timedelta(hours=6)}
"""How long an export and its load may take, for each value of `load`. A full export may take hours."""
# Without a colon, which Hadoop paths cannot have; sorts by time; Z says that it is UTC.
KEY_FORMAT = "%Y-%m-%dT%H%MZ"

# Only lengths that divide an hour or a day: one cron line repeats them without a shorter window at the end.
_MINUTES = (15, 20, 30)
_HOURS = (1, 2, 3, 4, 6, 8, 12, 24)
_NAMED = {"hourly": timedelta(hours=1), "daily": timedelta(hours=24)}
_UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1)}
_LENGTHS = {
    **{timedelta(minutes=m): f"*/{m} * * * *" for m in _MINUTES},
    **{timedelta(hours=h): f"0 {'*' if h == 1 else '0' if h == 24 else f'*/{h}'} * * *" for h in _HOURS},
}
_ALLOWED = f"{', '.join(f'{m} min' for m in _MINUTES)}, {', '.join(f'{h} h' for h in _HOURS)}, hourly or daily"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class WindowError(DdbAssetsError):
    """A cadence, partition key or window is not valid."""


@dataclass(frozen=True, order=True)
class Window:
    """The period [start, end) of 15 minutes to 24 hours; aware times, converted to UTC. Raises WindowError."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise WindowError(f"the window {self.start} to {self.end} lacks a time zone: give its times in UTC")
        try:
            object.__setattr__(self, "start", self.start.astimezone(UTC))
            object.__setattr__(self, "end", self.end.astimezone(UTC))
        except OverflowError as error:
            raise WindowError(f"the window {self.start} to {self.end} is outside the years 1 to 9999 in UTC") from error
        if not SHORTEST <= self.end - self.start <= LONGEST:
            raise WindowError(f"the window {self} is not 15 minutes to 24 hours long, as AWS requires for an export")

    def __str__(self) -> str:
        return f"{_said(self.start)} to {_said(self.end)}"


@dataclass(frozen=True)
class Cadence:
    """How often a table is exported: in consecutive windows of `length` from midnight UTC. Raises WindowError."""

    length: timedelta

    def __post_init__(self) -> None:
        if self.length not in _LENGTHS:
            raise WindowError(f"a cadence of {self.length} is not possible: choose {_ALLOWED}")

    @classmethod
    def parse(cls, text: str) -> "Cadence":
        """`15 min`, `6 h`, `hourly`, `daily` -> Cadence."""
        match = re.fullmatch(r"([1-9][0-9]{0,3}) ?(min|h)", text.strip())
        length = int(match[1]) * _UNITS[match[2]] if match else _NAMED.get(text.strip())
        if length not in _LENGTHS:
            raise WindowError(f"cadence {text!r} is not possible: choose {_ALLOWED}")
        return cls(length)

    @property
    def cron(self) -> str:
        """The cron line, in UTC, that fires at every window's start."""
        return _LENGTHS[self.length]

    def window_at(self, moment: datetime) -> Window:
        """The window that contains this moment; a boundary belongs to the window that starts there."""
        start = _EPOCH + (moment - _EPOCH) // self.length * self.length
        try:
            return Window(start, start + self.length)
        except OverflowError as error:
            raise WindowError(f"the window that begins at {start} ends after the year 9999") from error

    def window(self, key: str) -> Window:
        """The window of a partition key. Raises WindowError for a key that this cadence does not have."""
        try:
            window = self.window_at(datetime.strptime(key, KEY_FORMAT).replace(tzinfo=UTC))
        except (ValueError, WindowError) as error:
            raise WindowError(f"{key!r} is not a partition key: write it like 2026-01-31T0015Z") from error
        if self.key(window) != key:
            raise WindowError(
                f"{key!r} is not a partition key of this cadence; the nearest one before it is {self.key(window)!r}"
            )
        return window

    def key(self, window: Window) -> str:
        """The partition key of a window: its start. Raises WindowError for a window that is not one of this cadence."""
        whole = self.window_at(window.start)
        if window != whole:
            raise WindowError(f"the window {window} does not lie on the cadence, where it would be {whole}")
        return window.start.strftime(KEY_FORMAT)


@dataclass(frozen=True)
class Gap:
    """A window whose changes can no longer be exported: the chain must stop, or it would lose them silently."""

    window: Window
    earliest_restorable: datetime

    def __str__(self) -> str:
        return (
            f"the window {self.window} cannot be exported: the table's history begins at "
            f"{_said(self.earliest_restorable)}, because point-in-time recovery was off or keeps a shorter period; "
            "materialize the table's full export again: the chain continues from there"
        )


def exportable(window: Window, latest_restorable: datetime) -> bool:
    """Whether AWS can export the whole window already."""
    return window.end <= latest_restorable


def covered(window: Window, initial_load: datetime) -> bool:
    """Whether an initial load of this time already contains every change of the window."""
    return window.end <= initial_load


def exported_as(cadence: Cadence, whole: Window, initial_load: datetime) -> Window | None:
    """The window to export for the partition of `whole`; None when there is nothing to export for it.

    The first window begins at the initial load, to the millisecond. If it began earlier, an item could be inserted before
    the initial load and deleted after it within the window: such an export does not mention the item, and its row would
    stay. AWS exports at least 15 minutes. If less than that is left of the partition after the initial load, this partition
    has nothing, and the next one begins at the initial load too. With daily windows the next one would be longer than AWS
    allows; so this partition exports the 15 minutes after the initial load, and the next one begins after them.
    """
    if covered(whole, initial_load):
        return None
    if whole.start >= initial_load:
        behind = whole.start - initial_load
        if timedelta(0) < behind < SHORTEST:
            fits = whole.end - initial_load <= LONGEST
            return Window(initial_load if fits else initial_load + SHORTEST, whole.end)
        return whole
    if whole.end - initial_load >= SHORTEST:
        return Window(initial_load, whole.end)
    if whole.end + cadence.length - initial_load <= LONGEST:
        return None
    return Window(initial_load, initial_load + SHORTEST)


def partition_of(cadence: Cadence, window: Window, initial_load: datetime) -> str:
    """The partition key of an exported window. Raises WindowError for a window that is not one of this chain."""
    if covered(window, initial_load):
        return cadence.key(window)
    candidates = [cadence.window_at(window.start), cadence.window_at(window.end - timedelta(microseconds=1))]
    for whole in candidates:
        if exported_as(cadence, whole, initial_load) == window:
            return cadence.key(whole)
    wanted = " or ".join(str(exported_as(cadence, whole, initial_load)) for whole in dict.fromkeys(candidates))
    raise WindowError(
        f"the window {window} does not lie on the cadence since the initial load, where it would be {wanted}"
    )


def _said(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
