"""What must hold after a load has committed. The load itself refuses numbers that do not add up; these checks look again.

`Warehouse.inspect` asks the warehouse.
"""

from collections.abc import Mapping

import dagster as dg

from ddb_assets.contract.table import Table
from ddb_assets.markdown import code
from ddb_assets.warehouse.results import HistoryResult, Inspection, LoadResult

EXPLAINED, COUNTED, UNIQUE, CLEAN = "ledger_explains_rows", "rows_as_in_ledger", "keys_unique", "staging_empty"
AGREED = "stream_agrees"
UNBROKEN = "history_unbroken"


def check_specs(table: Table, asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Checks of the root's asset. Blocking ones stop downstream assets when the table has lost or duplicated rows."""
    of_stream = dg.AssetCheckSpec(
        AGREED, asset=asset, description="The stream had said the same of the items that the export covers now."
    )
    of_history = dg.AssetCheckSpec(
        UNBROKEN,
        asset=asset,
        description="The items from before the window are the versions that the history has of that time.",
    )
    return [
        dg.AssetCheckSpec(
            EXPLAINED,
            asset=asset,
            blocking=True,
            description="Items = loaded + deleted + stale + quarantined, and the table holds every row loaded.",
        ),
        counted_spec(asset),
        dg.AssetCheckSpec(
            UNIQUE, asset=asset, blocking=True, description="No key of the rows just loaded is in the table twice."
        ),
        dg.AssetCheckSpec(
            CLEAN, asset=asset, description="No staging table and no file written for COPY is left behind."
        ),
        *([of_stream] if table.stream else []),
        *([of_history] if table.history else []),
    ]


def counted_spec(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check that needs no load."""
    return dg.AssetCheckSpec(
        COUNTED,
        asset=asset,
        description="Each table has as many rows as its newest load left there: no other job adds or deletes any.",
    )


def counted_result(
    differing: Mapping[str, tuple[int, int | None]], asset: dg.AssetKey, **facts: Mapping[str, int]
) -> dg.AssetCheckResult:
    """Its result, from the tables with other rows than their newest load left: the rows then and now, None for no table."""
    return dg.AssetCheckResult(
        passed=not differing,
        asset_key=asset,
        check_name=COUNTED,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(
            f"{code(name)}: {then:,} then, {'no table' if now is None else f'{now:,}'} now"
            for name, (then, now) in differing.items()
        )
        or None,
        metadata={name: dict(rows) for name, rows in facts.items()},
    )


def check_results(
    table: Table, result: LoadResult, seen: Inspection, root: str, asset: dg.AssetKey
) -> list[dg.AssetCheckResult]:
    """The results of `check_specs` for one load."""
    differing: dict[str, tuple[int, int | None]] = {
        name: (rows, seen.counted[name]) for name, rows in seen.recorded.items() if rows != seen.counted[name]
    }
    return [
        _explained(result, root, asset),
        counted_result(differing, asset, recorded=seen.recorded, counted=seen.counted),
        dg.AssetCheckResult(
            passed=not seen.twice, asset_key=asset, check_name=UNIQUE, metadata={"keys_twice": seen.twice}
        ),
        dg.AssetCheckResult(
            passed=not seen.leftovers,
            asset_key=asset,
            check_name=CLEAN,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"left_behind": list(seen.leftovers)},
        ),
        *([_agreed(result, asset)] if table.stream else []),
        *([_unbroken(result.history, asset)] if table.history else []),
    ]


def _unbroken(history: HistoryResult | None, asset: dg.AssetKey) -> dg.AssetCheckResult:
    """Whether windows follow each other. The table is right in any case, so it warns."""
    if history is None:
        said = "not compared: the export was already applied"
    elif history.broken:
        keys = f", such as {', '.join(map(code, history.broken_keys))}" if history.broken_keys else ""
        said = (
            f"{history.broken:,} items were not as the history has them just before the window{keys}: a window is missing or "
            "incomplete; export and load the window before it again"
        )
    elif not history.used:
        said = (
            "not part of the history: the time of a full export is within the window, or it ends within another window, so "
            "export one that begins or ends there; or it is older than `keep` allows"
        )
    elif not history.proven and history.resolution is not None:
        said = "not proved: windows before it are missing, or the export has no old images"
    else:
        said = ""
    return dg.AssetCheckResult(
        passed=history is None or (history.used and not history.broken),
        severity=dg.AssetCheckSeverity.WARN,
        asset_key=asset,
        check_name=UNBROKEN,
        description=said or None,
        metadata={} if history is None else {"broken_chain": history.broken, "proven": history.proven},
    )


def _agreed(result: LoadResult, asset: dg.AssetKey) -> dg.AssetCheckResult:
    """Whether the load found the stream at fault. The tables are right now, so it warns."""
    faults = {"were not as the stream had said": result.healed, "were never named by the stream": result.stream_missed}
    found = [f"{count:,} items {what}" for what, count in faults.items() if count]
    compared = "no tail was compared" if result.agreed is None else None
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        asset_key=asset,
        check_name=AGREED,
        description=f"{'; '.join(found)}: the export has put them right" if found else compared,
    )


def _explained(result: LoadResult, root: str, asset: dg.AssetKey) -> dg.AssetCheckResult:
    """Whether the ledger row explains every item of the export and the table has at least the rows just loaded."""
    accounted = result.upserted + result.deleted + result.stale + result.quarantined
    in_table = result.table_rows[root]
    return dg.AssetCheckResult(
        passed=accounted == result.items and (not result.applied or in_table >= result.upserted),
        asset_key=asset,
        check_name=EXPLAINED,
        metadata={"items": result.items, "accounted": accounted, "loaded": result.upserted, "rows_in_table": in_table},
    )
