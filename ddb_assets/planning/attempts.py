"""Which load a table takes next: each kind is rehearsed, from the usual one to starting the table over, until one is taken."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import LONGEST
from ddb_assets.flatten.key_type import KeyTypeError
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.rules import MaskError
from ddb_assets.flatten.schema import Schema, SchemaError
from ddb_assets.planning.frozen import doubt
from ddb_assets.planning.upcoming import Kind, Origin, Upcoming, upcoming
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.protocol import LoadOptions, Rehearses
from ddb_assets.warehouse.results import Recorded, Rehearsal
from ddb_assets.windows.coverage import missing

Way = Literal["window", "full", "records", "restart"]
"""How the table goes on. full: with a full export or a scan; restart: with one that replaces all rows and the ledger."""
LATER = timedelta(minutes=1)
NOTHING = Rehearsal(statements=(), before={}, after={})
REFUSALS = (SchemaError, MaskError, KeyTypeError, LoadError)
"""What flattening and loads raise for a contract that does not fit. A place that does not answer is no refusal."""


@dataclass(frozen=True)
class Attempt:
    """A load that was rehearsed. `reason` says why it is refused; then there is no rehearsal.

    `doubt` says why it would be refused if its items have what the newest profile has.
    """

    way: Way
    reason: str = ""
    upcoming: Upcoming | None = None
    rehearsal: Rehearsal | None = None
    doubt: str = ""

    @property
    def is_taken(self) -> bool:
        """Whether the load would not be refused."""
        return self.rehearsal is not None


@dataclass(frozen=True)
class Kept:
    """What there is of a table: its newest schema document, the profile of its newest export, and its loads."""

    stored: Schema | None
    profile: Seen | None
    recorded: Recorded


def attempts(
    table: Table, origin: Origin, kept: Kept, warehouse: Rehearses | None, now: datetime | None = None
) -> list[Attempt]:
    """The loads that were tried; the last one is taken, unless all are refused.

    Without a `warehouse` that can rehearse, only what flattening would refuse is refused. Raises WarehouseError where the
    warehouse does not answer.
    """
    tried: list[Attempt] = []
    for way in _ways(table, kept):
        tried.append(_attempt(way, table, origin, kept, warehouse, now or datetime.now(UTC)))
        if tried[-1].is_taken:
            break
    return tried


def _ways(table: Table, kept: Kept) -> Iterator[Way]:
    if table.source == "stream":
        yield "records"
    else:
        if table.load == "upsert" and kept.recorded.initial_load:
            yield "window"
        yield "full"
    yield "restart"


def _attempt(way: Way, table: Table, origin: Origin, kept: Kept, warehouse: Rehearses | None, now: datetime) -> Attempt:
    streamed, restart = table.source == "stream", way == "restart"
    kind: Kind = "records" if streamed else "window" if way == "window" else "full"
    found: Upcoming | None = None
    try:
        span = next_window(table, kept.recorded) if way == "window" else None
        span = span or (_latest(kept.recorded, now), max(now, _latest(kept.recorded, now) + LATER))
        found = upcoming(table, origin, kind, span, kept.stored, kept.profile, restart=restart)
        options = LoadOptions.of(table, restart=restart)
        said = warehouse.rehearse(found.report, options, streamed=streamed) if warehouse else NOTHING
    except REFUSALS as error:
        return Attempt(way, str(error), found)
    try:
        if found.likely and warehouse:
            warehouse.rehearse(found.likely.report, options, streamed=streamed)
    except REFUSALS as error:
        return Attempt(way, upcoming=found, rehearsal=said, doubt=str(error))
    frozen = doubt((found.likely or found).schema, kept.profile, table) if kept.profile else ""
    return Attempt(way, upcoming=found, rehearsal=said, doubt=frozen)


def next_window(table: Table, recorded: Recorded) -> tuple[datetime, datetime] | None:
    """The window that the schedule will export next by today's cadence; None without an initial load."""
    if recorded.coverage is None:
        return None
    until = recorded.coverage.until + 3 * LONGEST
    return next(((window.start, window.end) for _, window in missing(table.windows, recorded.coverage, until)), None)


def _latest(recorded: Recorded, now: datetime) -> datetime:
    """The end of what is loaded; of a table without loads, the moment before now."""
    times = [load.to_time or load.export_time for load in recorded.loads]
    return max((time for time in times if time), default=now - LATER)
