"""What must hold of an export before anything is made of it, whichever asset or sensor reports it."""

import dagster as dg

from ddb_assets.exports.manifest import Export

VERIFIED = "export_verified"


def verified_spec(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """Blocking: nothing is made of an export that lacks something.

    Windows have no check by partition: the sensor reports it outside of any run, and Dagster 1.13 stores only one such
    result per partition; a second one fails the tick for ever. The window stands in the result's metadata.
    """
    return dg.AssetCheckSpec(
        VERIFIED,
        asset=asset,
        blocking=True,
        description="The manifests are intact and list as many items as DynamoDB says it exported.",
    )


def verified(export: Export, asset: dg.AssetKey, counted: int | None) -> dg.AssetCheckResult:
    """The result for an export whose manifests could be read; `counted` is what DynamoDB says, if it was asked."""
    counts = {"items_in_manifest": export.item_count}
    return dg.AssetCheckResult(
        passed=counted in (None, export.item_count),
        asset_key=asset,
        check_name=VERIFIED,
        metadata=counts if counted is None else {**counts, "items_by_dynamodb": counted},
    )
