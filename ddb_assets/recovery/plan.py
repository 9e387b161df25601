"""What is loaded again, in which order, from what is left: Parquet first, then exports. Pure.

`left.py` finds what is left, `mend.py` does what is planned. Nothing is planned that a load would refuse: no window begins
before the gap that it fills, and none ends inside a loaded one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ddb_assets.contract.coverage import Coverage
from ddb_assets.contract.table import Table
from ddb_assets.status import remedies
from ddb_assets.warehouse.results import Recorded
from ddb_assets.windows.coverage import missing, too_short


@dataclass(frozen=True)
class Left:
    """A full export of `time`, or a window from `start` to `time`, of which Parquet or at least the export is left.

    `folder` is that of its Parquet and report, empty if there is none; `export` is the URI of its manifest, empty if that was
    not looked for. `partition` is the window's key, or `full`. `schema_version` is that of its report.
    """

    export_id: str
    table_id: str
    time: datetime
    partition: str
    start: datetime | None = None
    folder: str = ""
    export: str = ""
    schema_version: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it is a full export."""
        return self.start is None

    def __str__(self) -> str:
        until = self.time.isoformat(timespec="minutes")
        if self.start is None:
            return f"full export {self.export_id} of {until}"
        return f"window {self.start.isoformat(timespec='minutes')} to {until}, export {self.export_id}"


@dataclass(frozen=True)
class Rebuild:
    """What is loaded, in order. `restart`: the first of it replaces all rows of the table, and its record of loads.

    `refused` says why the table cannot be made whole, and then `loads` is empty; `command` mends that. `to_export` counts the
    windows that the schedule still has to export afterwards.
    """

    loads: tuple[Left, ...] = ()
    restart: bool = False
    refused: str = ""
    command: str = ""
    to_export: int = 0


def rebuild(
    table: Table,
    recorded: Recorded,
    left: Sequence[Left],
    earliest: datetime | None,
    now: datetime,
    *,
    restart: bool = False,
    newer: Left | None = None,
) -> Rebuild:
    """The loads that the ledger lacks. `earliest` is since when DynamoDB can export changes, None if that is unknown.

    `newer` is a full export that was loaded once and that the ledger lacks. With `restart` the table starts over from the
    newest full export that is left.
    """
    begun = None if restart else recorded.initial_load
    full = newer or (None if begun else newest_full(left))
    if full is None and begun is None:
        return Rebuild(
            refused=f"no full export of {table.name} is left, neither as Parquet nor as DynamoDB wrote it: make a new one",
            command=remedies.load_in_full(table, restart=restart),
        )
    time, table_id = (full.time, full.table_id) if full else (begun[0], begun[1].table_id) if begun else (now, "")
    before = recorded.coverage.windows if recorded.coverage and not restart and begun else ()
    first = (full,) if full else ()
    if table.load == "replace":
        return Rebuild(first, restart)
    mine = [one for one in left if not one.is_full and one.table_id == table_id]
    windows = chosen(Coverage.of(time, before), mine)
    spans = [(one.start, one.time) for one in windows if one.start]
    coverage = Coverage.of(time, [*before, *spans])
    gaps = [start for start, end in coverage.gaps() if end is not None or start < now]
    if earliest and gaps and gaps[0] < earliest:
        return Rebuild(
            refused=f"the changes since {gaps[0].isoformat(timespec='minutes')} are left nowhere, and DynamoDB can export them "
            f"since {earliest.isoformat(timespec='minutes')} only: make a new initial load",
            command=remedies.load_in_full(table, restart=restart),
        )
    if short := too_short(coverage):
        return Rebuild(
            refused=f"the changes from {short[0][0].isoformat()} to {short[0][1].isoformat()} are left nowhere, and less than "
            "15 minutes cannot be exported: make a new initial load",
            command=remedies.load_in_full(table, restart=restart),
        )
    return Rebuild((*first, *windows), restart, to_export=len(missing(table.windows, coverage, now)))


def newest_full(left: Iterable[Left]) -> Left | None:
    """The full export that shows the latest time, with Parquet if there are two of one time."""
    return max((one for one in left if one.is_full), key=lambda one: (one.time, bool(one.folder)), default=None)


def chosen(coverage: Coverage, left: Iterable[Left]) -> list[Left]:
    """The windows that fill the gaps, oldest first. Of several exports of one window it is the newest that has Parquet."""
    best: dict[tuple[datetime, datetime], Left] = {}
    for one in left:
        if one.start is None:
            continue
        span = (one.start, one.time)
        if span not in best or _rank(one) > _rank(best[span]):
            best[span] = one
    found: list[Left] = []
    for start, end in coverage.gaps():
        reached = start
        for span in sorted(best, key=lambda each: (each[0], each[0] - each[1])):
            if span[0] >= reached and (end is None or span[1] <= end):
                found.append(best[span])
                reached = span[1]
    return found


def _rank(one: Left) -> tuple[bool, str]:
    return bool(one.folder), one.export_id
