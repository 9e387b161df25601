"""Whether a table's chain of windows is whole and up to date, and whether all records agree on what was loaded.

The warehouse's ledger says what is loaded, Dagster's log only how far the other windows have come. The checks look for
what did not happen, so they run by the clock. The asset of an export has the checks of that export.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

import dagster as dg

from ddb_assets.aws.clients import AWS
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import LOAD_MAY_TAKE
from ddb_assets.errors import DdbAssetsError
from ddb_assets.markdown import prose
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.step import step
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.windows.automation import EVERY_HOUR
from ddb_assets.windows.chain import NoInitialLoadError, called_loaded, find_initial_load, materialized
from ddb_assets.windows.coverage import MICROSECOND, missing, too_short
from ddb_assets.windows.loaded import LoadedChain, ask

COMPLETE, FRESH, AGREE = "windows_complete", "fresh", "records_agree"
ALLOWED = LOAD_MAY_TAKE["upsert"]
"""From a window's end to its load: 5 minutes until it can be exported, up to 30 for the export, the rest for the load."""
LISTED = 20


def chain_checks(table: Table) -> dg.AssetsDefinition:
    """`windows_complete`, `fresh` and `records_agree` of the warehouse table, every hour and on request."""
    asset = metadata.key_of(table, "warehouse")
    said = {
        COMPLETE: f"Every window that ended more than {_said(ALLOWED)} ago is loaded, according to the warehouse's ledger.",
        FRESH: f"The table shows everything that was written more than {_said(table.windows.length + ALLOWED)} ago.",
        AGREE: "Dagster, the ledger and the tables agree on what was loaded: nothing was dropped, restored or changed.",
    }
    specs = [
        dg.AssetCheckSpec(name, asset=asset, description=description, automation_condition=EVERY_HOUR)
        for name, description in said.items()
    ]

    @step(name=f"checks__{metadata.op_name('warehouse', table)}", check_specs=specs, can_subset=True)
    def checks(
        context: dg.AssetCheckExecutionContext, ddb_aws: AWSResource, ddb_warehouse: WarehouseTarget
    ) -> Iterator[dg.AssetCheckResult]:
        wanted = {key.name for key in context.selected_asset_check_keys}
        found = _results(context.instance, ddb_aws.clients, ddb_warehouse, table, counted=AGREE in wanted)
        yield from (result for result in found if result.check_name in wanted)

    return checks


def _results(
    instance: dg.DagsterInstance, aws: AWS, warehouse: WarehouseTarget, table: Table, *, counted: bool
) -> list[dg.AssetCheckResult]:
    """A result for each check in every case: a check that raised would fail the run that loads the table."""
    try:
        known = ask(warehouse, aws, table, counted=counted)
        return list(judged(instance, table, known, datetime.now(UTC)))
    except NoInitialLoadError as error:
        if find_initial_load(instance, table):  # it was loaded once and is gone
            return _undecided(table, str(error), dg.AssetCheckSeverity.ERROR)
        return _undecided(table, str(error), dg.AssetCheckSeverity.WARN)  # the table was never loaded
    except DdbAssetsError as error:  # what could not be read is not absent, and it is not complete either
        return _undecided(table, f"could not be checked: {error}", dg.AssetCheckSeverity.ERROR)


def _undecided(table: Table, reason: str, severity: dg.AssetCheckSeverity) -> list[dg.AssetCheckResult]:
    """Every check fails while its answer is unknown."""
    return [
        dg.AssetCheckResult(
            passed=False,
            asset_key=metadata.key_of(table, "warehouse"),
            check_name=name,
            severity=severity,
            description=prose(reason),
        )
        for name in (COMPLETE, FRESH, AGREE)
    ]


def judged(
    instance: dg.DagsterInstance, table: Table, known: LoadedChain, now: datetime
) -> Iterator[dg.AssetCheckResult]:
    """The results at that time, from what the warehouse has."""
    asset = metadata.key_of(table, "warehouse")
    lacking = dict(reversed(missing(table.windows, known.coverage, now - ALLOWED)))
    keys, seen = sorted(lacking), materialized(instance, "warehouse", table)
    again = [key for key in keys if key in seen and called_loaded(instance, table, key, known.exports)]
    exported = materialized(instance, "window_export", table)
    short = [f"{start.isoformat()} to {end.isoformat()}" for start, end in too_short(known.coverage)]
    reasons = [f"{len(keys)} windows are missing, the first is {keys[0]}"] if keys else []
    if again:
        reasons.append(f"{len(again)} of them were loaded and are not in the warehouse any more: load them again")
    if short:
        reasons.append(f"less than 15 minutes are missing, which cannot be exported: materialize {table.full_chain}")
    yield dg.AssetCheckResult(
        passed=not reasons,
        asset_key=asset,
        check_name=COMPLETE,
        description="; ".join(reasons) or None,
        metadata={
            "missing": len(keys),
            "not_exported": _some([key for key in keys if key not in exported]),
            "exported_and_not_loaded": _some([key for key in keys if key in exported and key not in again]),
            "to_load_again": _some(again),
            "too_short_to_export": _some(short),
            "initial_load_time": dg.MetadataValue.timestamp(known.initial_load.time),
            "start": _start(table, known),
        },
    )
    shown = known.coverage.until
    lag = now - shown
    yield dg.AssetCheckResult(
        passed=lag <= table.windows.length + ALLOWED,
        asset_key=asset,
        check_name=FRESH,
        description=f"The table shows everything that was written until {shown.isoformat(timespec='minutes')}.",
        metadata={"shows_until": dg.MetadataValue.timestamp(shown), "lag": round(lag.total_seconds(), 1)},
    )
    yield _agreed(instance, table, known, seen, again)


def _agreed(
    instance: dg.DagsterInstance, table: Table, known: LoadedChain, seen: set[str], again: list[str]
) -> dg.AssetCheckResult:
    initial_load = find_initial_load(instance, table)
    others = [
        f"{start.isoformat()} to {end.isoformat()}"
        for start, end in known.coverage.windows
        if seen.isdisjoint(table.windows.key(table.windows.window_at(time)) for time in (start, end - MICROSECOND))
    ]
    reasons = []
    if initial_load is not None and initial_load.export_id not in known.exports:
        reasons.append(
            f"Dagster calls the initial load {initial_load.export_id} loaded, the ledger does not have it: materialize "
            f"{table.asset_name('initial_load')}, or take a new one"
        )
    if again:
        reasons.append(
            f"Dagster calls {len(again)} windows loaded that the ledger does not have, the first is {again[0]}"
        )
    for name, (then, now) in known.differing.items():
        had = (
            f"{name} had {then:,} rows after the newest load and has {now:,}" if now is not None else f"{name} is gone"
        )
        reasons.append(f"{had}: it was changed outside of loads, materialize {table.full_chain}")
    return dg.AssetCheckResult(
        passed=not reasons and not others,
        severity=dg.AssetCheckSeverity.ERROR if reasons else dg.AssetCheckSeverity.WARN,
        asset_key=metadata.key_of(table, "warehouse"),
        check_name=AGREE,
        description="; ".join(reasons) or (f"{len(others)} windows were not loaded by Dagster" if others else None),
        metadata={
            "only_in_dagster": _some(again),
            "only_in_ledger": _some(others),
            "rows_differ": list(known.differing),
        },
    )


def _start(table: Table, known: LoadedChain) -> str:
    """What the contract's `start` means for the windows."""
    begin = datetime.combine(table.start, time(), UTC)
    first = table.windows.window_at(known.initial_load.time).start
    if begin > first:
        return (
            f"the contract's start {table.start} is later than the initial load of {known.initial_load.time.isoformat()}: "
            f"windows between them have no partition; set `start: {first.date()}` or earlier, or make a new initial load"
        )
    covered = (first - begin) // table.windows.length
    return (
        f"{covered} windows from {table.start} on are before the initial load, which shows what they changed: they need no "
        f"export and no load; with `start: {first.date()}` they are not listed"
        if covered
        else ""
    )


def _some(keys: list[str]) -> list[str]:
    more = [f"and {len(keys) - LISTED} more"] if len(keys) > LISTED else []
    return keys[:LISTED] + more


def _said(length: timedelta) -> str:
    minutes = int(length.total_seconds() // 60)
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
