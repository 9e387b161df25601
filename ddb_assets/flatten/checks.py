"""What must hold of a flattened export before anything is loaded from it, and what people should know about it.

The blocking laws raise inside `flatten` or `load` too; here they are reported, for people and for the assets
downstream. All of them are partition-aware: they are about the export that was flattened, not the newest.
"""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from ddb_assets.contract.table import Table
from ddb_assets.flatten.advice import advice
from ddb_assets.flatten.flatten import Flattened
from ddb_assets.markdown import code

RECONCILED = "rows_reconcile"
CONTRACT = "contract_kept"
QUARANTINED = "nothing_quarantined"
CONFLICTS = "no_type_conflicts"
CHANGED = "schema_unchanged"
MEMBERS = "no_unknown_members"

DESCRIPTIONS = {
    RECONCILED: "Items in the manifest = rows + quarantined.",
    CONTRACT: "No attribute or type that a frozen contract does not know.",
    QUARANTINED: "No item in quarantine; an export with more than the contract's max_quarantined is not loaded.",
    CONFLICTS: "No value that fits no column, so that it stands in _ddb_extra.",
    CHANGED: "No column came or widened with this export.",
    MEMBERS: "Lines have only the members that DynamoDB's guide lists; others are left out.",
}
BLOCKING = frozenset({RECONCILED, CONTRACT})


def check_specs(
    asset: dg.AssetKey, partitions_def: dg.PartitionsDefinition[str] | None = None
) -> list[dg.AssetCheckSpec]:
    """The checks of a table's root relation."""
    return [
        dg.AssetCheckSpec(name, asset=asset, description=text, blocking=name in BLOCKING, partitions_def=partitions_def)
        for name, text in DESCRIPTIONS.items()
    ]


def check_results(flattened: Flattened, table: Table, asset: dg.AssetKey) -> Iterator[dg.AssetCheckResult]:
    """The results of the checks for an export."""
    report = flattened.report
    rows, in_parts = report.root.rows, sum(part.rows for part in report.root.parts)
    yield dg.AssetCheckResult(
        passed=report.items_in_manifest == rows + report.quarantined and rows == in_parts,
        asset_key=asset,
        check_name=RECONCILED,
        metadata={
            "items_in_manifest": report.items_in_manifest,
            "rows": rows,
            "rows_in_parts": in_parts,
            "quarantined": report.quarantined,
        },
    )
    frozen = report.misfits.get("frozen", {})
    yield _by_path(asset, CONTRACT, frozen, dg.AssetCheckSeverity.ERROR, "is new to a frozen contract")
    yield dg.AssetCheckResult(
        passed=not report.quarantined,
        asset_key=asset,
        check_name=QUARANTINED,
        severity=_ERROR if report.quarantined > table.max_quarantined else dg.AssetCheckSeverity.WARN,
        description="; ".join(report.reasons) or None,
        metadata={
            "quarantined": report.quarantined,
            "without_readable_key": report.unkeyed,
            "files": list(report.quarantine[:10]),
        },
    )
    extra = report.misfits.get("extra", {})
    what = "fits no column and stands in _ddb_extra"
    yield _by_path(asset, CONFLICTS, extra, dg.AssetCheckSeverity.WARN, what, advice(flattened))
    yield dg.AssetCheckResult(
        passed=not flattened.changes,
        asset_key=asset,
        check_name=CHANGED,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "schema_version": report.schema_version,
            "changes": [f"{change.path}: {change.what} (item {change.example})" for change in flattened.changes[:50]],
        },
    )
    yield dg.AssetCheckResult(
        passed=not report.unknown_members,
        asset_key=asset,
        check_name=MEMBERS,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"lines_by_member": dict(report.unknown_members)},
    )


_ERROR = dg.AssetCheckSeverity.ERROR


def _by_path(
    asset: dg.AssetKey,
    name: str,
    counts: Mapping[str, int],
    severity: dg.AssetCheckSeverity,
    what: str,
    advised: Sequence[str] = (),
) -> dg.AssetCheckResult:
    worst = max(counts, key=lambda path: counts[path], default=None)
    return dg.AssetCheckResult(
        passed=not counts,
        asset_key=asset,
        check_name=name,
        severity=severity,
        description="\n\n".join(advised) or (f"{code(worst)} {what}" if worst else None),
        metadata={
            "values": sum(counts.values()),
            "by_path": dict(counts),
            **({"to_mend": list(advised)} if advised else {}),
        },
    )
