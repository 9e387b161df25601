"""Whether a table's chain of windows goes on: by the table in DynamoDB, the time that is loaded, and Dagster's log. Pure."""

from collections.abc import Collection, Iterator
from datetime import timedelta

from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import LOAD_MAY_TAKE
from ddb_assets.status import remedies
from ddb_assets.status.codes import Code, Finding
from ddb_assets.status.moments import said
from ddb_assets.status.pictures import DagsterSays, Pictures, Silent, WarehouseSays
from ddb_assets.windows.coverage import missing, too_short

RECORDED = timedelta(minutes=10)
"""How long after a commit its run may still have to tell Dagster."""
BROKEN: frozenset[Code] = frozenset({"warehouse_restored", "table_recreated", "history_gone", "recovery_off"})
"""Causes of missing windows, which are not named again."""


def dynamodb_findings(table: Table, seen: Pictures, warehouse: WarehouseSays) -> Iterator[Finding]:
    """What happened to the table in DynamoDB since its initial load."""
    found = seen.dynamodb
    where = f"DynamoDB table {table.table}"
    if isinstance(found, Silent):
        return
    if found.table_id is None:
        yield Finding(
            "table_deleted",
            "there is no table of this name (any more); docs/deleted.md says how to bring it back",
            where,
        )
        return
    loaded = warehouse.initial_load
    again = remedies.load_in_full(table) if table.full_stages else ""
    if loaded and found.table_id != loaded[1].table_id:
        yield Finding(
            "table_recreated",
            f"the table was deleted and created again: its id is {found.table_id}, that of the initial load "
            f"{loaded[1].table_id}; {'its windows continue from' if table.load == 'upsert' else 'it needs'} a new full load",
            where,
            again,
        )
        return
    if found.recovery is False:
        yield Finding(
            "recovery_off",
            "point-in-time recovery is off, so nothing can be exported: switch it on, then make a new initial load",
            where,
            f"{remedies.switch_on_recovery(table)} && {again}",
        )
        return
    if table.load == "upsert" and found.earliest and warehouse.coverage and warehouse.coverage.until < found.earliest:
        yield Finding(
            "history_gone",
            f"changes since {said(warehouse.coverage.until)} are not loaded, and the table's history begins at "
            f"{said(found.earliest)}, because point-in-time recovery was off or keeps a shorter period: if nobody has "
            "exported them, they are gone, and only a new initial load makes the table whole",
            where,
            again,
        )


def dagster_findings(table: Table, seen: Pictures, warehouse: WarehouseSays) -> Iterator[Finding]:
    """What Dagster does not know of the loads in the ledger."""
    known, coverage = seen.dagster, warehouse.coverage
    if isinstance(known, Silent) or not table.full_stages:
        return
    first = warehouse.loads[0].loaded_at if len(warehouse.loads) == 1 else None
    if first and seen.now - first < RECORDED:
        return  # the run that has committed its first load may not have ended
    if not known.knows:
        yield Finding(
            "dagster_lost",
            f"the ledger has {len(warehouse.loads)} loads of {table.name}, and Dagster's event log has none: its home was "
            "lost, or is another one, or the table was loaded without Dagster",
            "Dagster",
            remedies.recover(table),
        )
        return
    if table.load == "replace" or coverage is None:
        return
    unknown = [
        window
        for window in coverage.windows
        if known.loaded.isdisjoint(
            table.windows.key(table.windows.window_at(moment))
            for moment in (window[0], window[1] - timedelta(microseconds=1))
        )
    ]
    if unknown:
        yield Finding(
            "dagster_behind",
            f"{len(unknown)} windows are in the ledger that Dagster did not load, the first begins at {said(unknown[0][0])}: "
            "they were loaded without Dagster, or an earlier state of its home was restored",
            "Dagster",
            remedies.recover(table),
        )


def window_findings(
    table: Table, seen: Pictures, warehouse: WarehouseSays, found: Collection[Code]
) -> Iterator[Finding]:
    """What should be loaded by now and is not. `found` are the codes that were found before."""
    where = f"warehouse {warehouse.place}"
    coverage, length = warehouse.coverage, table.windows.length
    if coverage is None or not table.full_stages:
        return
    late = seen.now - LOAD_MAY_TAKE[table.load]
    if table.load == "replace":
        if coverage.initial_load < late - length:
            yield Finding(
                "stale",
                f"the newest full load shows {said(coverage.initial_load)}, more than {length} and the time that a load may "
                "take ago",
                where,
                remedies.load_in_full(table),
            )
        return
    for start, end in too_short(coverage):
        yield Finding(
            "gap_too_short",
            f"the changes from {said(start)} to {said(end)} are missing, and less than 15 minutes cannot be exported",
            where,
            remedies.load_in_full(table),
        )
    keys = sorted({key for key, _ in missing(table.windows, coverage, late)})
    if keys and BROKEN.isdisjoint(found):
        yield Finding(
            "windows_missing",
            f"{len(keys)} windows that ended more than {LOAD_MAY_TAKE['upsert']} ago are not loaded, the first is {keys[0]}"
            f"{_reached(seen.dagster, keys)}. What is exported already can be loaded at once: {remedies.recover(table)}",
            where,
            remedies.start_windows(table),
        )


def _reached(dagster: DagsterSays | Silent, keys: list[str]) -> str:
    """How far the missing windows have come, as far as Dagster knows."""
    if isinstance(dagster, Silent):
        return ""
    exported = sum(key in dagster.exported for key in keys)
    flattened = sum(key in dagster.flattened for key in keys)
    return f" ({exported} are exported, {flattened} flattened)"
