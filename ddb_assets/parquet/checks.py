"""What must hold of a flattened export before anything is loaded from it.

The same laws raise inside `flatten`; here they are told from the report, for people and for the assets downstream.
"""

import dagster as dg

from ddb_assets.parquet.report import Report

RECONCILED = "rows_reconcile"


def reconciled_spec(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """Blocking: no load of a flattening that lost or invented an item."""
    return dg.AssetCheckSpec(
        RECONCILED, asset=asset, blocking=True, description="Items in the manifest = rows + quarantined + filtered."
    )


def reconciled(report: Report, asset: dg.AssetKey) -> dg.AssetCheckResult:
    """Whether every item of the manifest is accounted for, with the numbers."""
    rows = report.root.rows
    in_parts = sum(part.rows for part in report.root.parts)
    return dg.AssetCheckResult(
        passed=report.items_in_manifest == rows + report.quarantined + report.filtered and rows == in_parts,
        asset_key=asset,
        check_name=RECONCILED,
        metadata={
            "items_in_manifest": report.items_in_manifest,
            "rows": rows,
            "rows_in_parts": in_parts,
            "quarantined": report.quarantined,
            "filtered": report.filtered,
        },
    )
