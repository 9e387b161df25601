"""What goes: what is older than the contract keeps it, has been loaded, and is not needed to recover. Pure.

A recovery needs the newest full export and every window since (`recovery/plan.py`). What else the warehouse has and no full
export brings back is needed, too: all landings that a history is made of, or the rows of deleted items. What is needed stays
as whole Parquet, and without that as the export: `recover` finds Parquet by itself, but an export only if DynamoDB lists it,
which it does for 90 days and while the table exists. It finds no scan.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ddb_assets.contract.keep import Keep, Kind, ages
from ddb_assets.contract.table import Table
from ddb_assets.retention.landings import Doomed, Form, Lake, Landing
from ddb_assets.warehouse.results import Load, Recorded


@dataclass(frozen=True)
class Choice:
    """What goes. `refused` says why nothing of landings can go."""

    doomed: tuple[Doomed, ...] = ()
    refused: str = ""


def newest_loads(recorded: Recorded) -> list[Load]:
    """The newest load of each export, in the order of the loads; the row of a stream is not among them."""
    exports = (load for load in recorded.loads if load.export_type in {"FULL_EXPORT", "INCREMENTAL_EXPORT"})
    return sorted({load.export_id: load for load in sorted(exports, key=_number)}.values(), key=_number)


def needed(table: Table, recorded: Recorded, now: datetime) -> frozenset[str]:
    """The ids of the exports that a recovery needs, or that have what no later full export brings back."""
    loads, begun = newest_loads(recorded), recorded.initial_load
    if begun is None or table.soft_delete:
        return frozenset(load.export_id for load in loads)
    since = begun[0]
    if table.history:
        kept = table.history.kept_for
        before = [load.until for load in loads if load.is_full and load.until and kept and load.until <= now - kept]
        if not before:
            return frozenset(load.export_id for load in loads)
        since = min(since, max(before))
    own = [load for load in loads if load.until is None or load.until > since or (load.is_full and load.until == since)]
    return frozenset(load.export_id for load in own) | {begun[1].export_id}


def choose(table: Table, recorded: Recorded, lake: Lake, keep: Keep, now: datetime) -> Choice:
    """What goes of a table."""
    old, doomed = ages(keep), list[Doomed]()
    for each in lake.apart:
        if each.free and _is_old(old, each.kind, each.since, now):
            doomed.append(Doomed(each.kind, each.name, each.files))
    wanted = needed(table, recorded, now)
    left = {_span(one.load) for one in lake.landings if one.left}
    lost = [load.export_id for load in newest_loads(recorded) if load.export_id in wanted and _span(load) not in left]
    last = max((one.load.sequence for one in lake.landings if one.has_parquet), default=0)
    for one in lake.landings:
        doomed += _beside(table, recorded, one, old, now, lake)
        # nothing of landings goes while one is lost
        if not lost:
            needs_parquet = one.load.export_id in wanted or one.load.sequence == last
            doomed += _forms(one, old, now, needs_parquet=needs_parquet, is_needed=one.load.export_id in wanted)
    return Choice(tuple(doomed), _refused(lost))


def _forms(
    one: Landing, old: Mapping[Kind, timedelta], now: datetime, *, needs_parquet: bool, is_needed: bool
) -> list[Doomed]:
    """Which forms of a landing go. The newest Parquet stays, too: it has the schema document."""
    if one.awaited:
        return []
    forms: list[tuple[Kind, Form | None, bool]] = [
        ("exports", one.export, is_needed and not one.has_parquet),
        ("parquet", one.parquet, needs_parquet),
    ]
    return [
        Doomed(kind, one.load.export_id, form.files, form.place)
        for kind, form, stays in forms
        if form and not stays and _goes(old, kind, one.load, form, now)
    ]


def _beside(
    table: Table, recorded: Recorded, one: Landing, old: Mapping[Kind, timedelta], now: datetime, lake: Lake
) -> list[Doomed]:
    """What lies beside the Parquet of a landing and goes.

    A spilled text goes once no row can name it any more: a full export without an item that could not be read has replaced
    all rows from before it. Kept rows of deleted items, versions, and tables of changes go on naming it.
    """
    found = []
    if one.quarantine and _is_old(old, "quarantine", _time(one.load), now):
        found.append(Doomed("quarantine", one.load.export_id, one.quarantine))
    clean = [load.export_time for load in recorded.loads if load.is_full and not load.quarantined and load.export_time]
    begun, until = max(clean, default=None), one.load.until
    keeps_rows = table.soft_delete or table.history or table.warehouse.retain or lake.logged
    replaced = begun is not None and until is not None and until < begun and not keeps_rows
    if one.spill and replaced and _is_old(old, "spill", _time(one.load), now):
        found.append(Doomed("spill", one.load.export_id, one.spill))
    return found


def _goes(old: Mapping[Kind, timedelta], kind: Kind, load: Load, form: Form, now: datetime) -> bool:
    """Whether a form is old: by the time of the load, or if it was just made again, by that time."""
    times = [time for time in (_time(load), form.written) if time]
    return bool(form.files) and _is_old(old, kind, max(times, default=None), now)


def _span(load: Load) -> tuple[object, ...]:
    """What a load is of: two exports of one window can take each other's place."""
    return load.table_id, load.from_time, load.to_time or load.export_time


def _time(load: Load) -> datetime | None:
    return load.loaded_at or load.until


def _is_old(old: Mapping[Kind, timedelta], kind: Kind, since: datetime | None, now: datetime) -> bool:
    return kind in old and since is not None and since <= now - old[kind]


def _refused(lost: Sequence[str]) -> str:
    if not lost:
        return ""
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    return (
        f"of export {lost[0]}{more} neither whole Parquet nor a whole export is left, though a recovery needs it: no "
        "export and no Parquet is deleted before a new initial load"
    )


def agreed(choices: Iterable[Choice]) -> frozenset[str]:
    """The names of the exports and landings of streams that all contracts of one DynamoDB table can do without."""
    named = [{one.name for one in choice.doomed if one.kind in {"exports", "streams"}} for choice in choices]
    return frozenset(set.intersection(*named)) if named else frozenset()


def _number(load: Load) -> int:
    return load.sequence
