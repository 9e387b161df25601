"""Whether a table's chain of windows is whole and up to date, found out from what Dagster knows.

Both look for what did not happen, so they run by the clock. What must hold of one export is checked by its asset.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from ddb_assets import metadata
from ddb_assets.automation import EVERY_HOUR
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.chain import Baseline, NoBaselineError, due_by_the_clock, loaded_baseline, materialized
from ddb_assets.markdown import prose
from ddb_assets.table import Table

COMPLETE, FRESH = "windows_complete", "fresh"
ALLOWED = timedelta(hours=1)
"""From a window's end to its load: 5 minutes until it can be exported, up to 30 for the export, the rest for the load."""
LISTED = 20


def chain_checks(table: Table) -> dg.AssetChecksDefinition:
    """`windows_complete` and `fresh` of the warehouse table, every hour or when somebody asks."""
    asset = metadata.asset_key("warehouse", table.name)
    specs = [
        dg.AssetCheckSpec(
            COMPLETE,
            asset=asset,
            description=f"Every window that ended more than {_said(ALLOWED)} ago is exported and loaded.",
            automation_condition=EVERY_HOUR,
        ),
        dg.AssetCheckSpec(
            FRESH,
            asset=asset,
            description=f"The table shows what was written {_said(table.windows.length + ALLOWED)} ago.",
            automation_condition=EVERY_HOUR,
        ),
    ]

    @dg.multi_asset_check(name=f"chain_{table.name}", specs=specs, can_subset=True)
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        wanted = {key.name for key in context.selected_asset_check_keys}
        found = _results(context.instance, table, datetime.now(UTC))
        yield from (result for result in found if result.check_name in wanted)

    return checks


def _results(instance: dg.DagsterInstance, table: Table, now: datetime) -> list[dg.AssetCheckResult]:
    """A result of each check whatever the state: a check that raises fails the run of the table that it looks at."""
    try:
        return list(judged(instance, table, now))
    except NoBaselineError as error:  # nothing is wrong with a table that nobody has loaded yet
        return _undecided(table, str(error), dg.AssetCheckSeverity.WARN)
    except DdbAssetsError as error:
        return _undecided(table, f"cannot be found out: {error}", dg.AssetCheckSeverity.ERROR)


def _undecided(table: Table, reason: str, severity: dg.AssetCheckSeverity) -> list[dg.AssetCheckResult]:
    """Neither check passes while nobody can tell."""
    return [
        dg.AssetCheckResult(
            passed=False,
            asset_key=metadata.asset_key("warehouse", table.name),
            check_name=name,
            severity=severity,
            description=prose(reason),
        )
        for name in (COMPLETE, FRESH)
    ]


def judged(instance: dg.DagsterInstance, table: Table, now: datetime) -> Iterator[dg.AssetCheckResult]:
    """The results at that time. Raises NoBaselineError when there is nothing to be complete yet."""
    asset = metadata.asset_key("warehouse", table.name)
    baseline = loaded_baseline(instance, table)
    exported, loaded = (materialized(instance, stage, table) for stage in ("exports", "warehouse"))
    missing = due_by_the_clock(table, baseline, loaded, now - ALLOWED)
    not_exported = [key for key in missing if key not in exported]
    not_loaded = [key for key in missing if key in exported]
    yield dg.AssetCheckResult(
        passed=not missing,
        asset_key=asset,
        check_name=COMPLETE,
        description=f"{len(missing)} windows are missing, the first is {missing[0]}" if missing else None,
        metadata={
            "missing": len(missing),
            "not_exported": _some(not_exported),
            "exported_and_not_loaded": _some(not_loaded),
        },
    )
    shown = _shown(table, baseline, loaded, now)
    lag = now - shown
    yield dg.AssetCheckResult(
        passed=lag <= table.windows.length + ALLOWED,
        asset_key=asset,
        check_name=FRESH,
        description=f"The table shows everything that was written until {shown.isoformat(timespec='minutes')}.",
        metadata={"shows_until": dg.MetadataValue.timestamp(shown), "lag": round(lag.total_seconds(), 1)},
    )


def _shown(table: Table, baseline: Baseline, loaded: set[str], now: datetime) -> datetime:
    """The moment until which no change is missing: the end of the last window before the first one that is not loaded."""
    pending = due_by_the_clock(table, baseline, loaded, now)
    if pending:
        return max(table.windows.window(pending[0]).start, baseline.time)
    return max(table.windows.window_at(now).start, baseline.time)


def _some(keys: list[str]) -> list[str]:
    more = [f"and {len(keys) - LISTED} more"] if len(keys) > LISTED else []
    return keys[:LISTED] + more


def _said(length: timedelta) -> str:
    minutes = int(length.total_seconds() // 60)
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
