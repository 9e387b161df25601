"""The asset checks of a flattened export: what must hold before it is loaded, and warnings for people.

`flatten` or `load` also raise when a blocking condition does not hold; the checks report it to people and stop downstream
assets. They belong to the partition: each is about the export that was flattened, not about the newest one.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from ddb_assets.contract.table import Table
from ddb_assets.flatten.advice import advice
from ddb_assets.markdown import code

if TYPE_CHECKING:
    from ddb_assets.flatten.flatten import Flattened

RECONCILED = "rows_reconcile"
CONTRACT = "contract_kept"
QUARANTINED = "nothing_quarantined"
CONFLICTS = "no_type_conflicts"
CHANGED = "schema_unchanged"
MEMBERS = "no_unknown_members"

DESCRIPTIONS = {
    RECONCILED: "Items in the manifest = rows + quarantined items.",
    CONTRACT: "No attribute or type is new to a frozen contract.",
    QUARANTINED: "No item is quarantined; an export with more than the contract's max_quarantined is not loaded.",
    CONFLICTS: "Every value fits its column; none is kept in _ddb_extra.",
    CHANGED: "This export added or widened no column.",
    MEMBERS: "Lines have only the members that DynamoDB's guide lists; other members are not loaded.",
}
BLOCKING = frozenset({RECONCILED, CONTRACT})


def check_specs(
    asset: dg.AssetKey, partitions_def: dg.PartitionsDefinition[str] | None = None
) -> list[dg.AssetCheckSpec]:
    """The specs of the checks on a table's root relation."""
    return [
        dg.AssetCheckSpec(name, asset=asset, description=text, blocking=name in BLOCKING, partitions_def=partitions_def)
        for name, text in DESCRIPTIONS.items()
    ]


def check_results(flattened: "Flattened", table: Table, asset: dg.AssetKey) -> Iterator[dg.AssetCheckResult]:
    """The results of all checks for a flattened export."""
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
    what = "fits no column and is kept in _ddb_extra"
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
