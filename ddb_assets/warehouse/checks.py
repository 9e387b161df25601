"""What must hold of a load after its commit. The load itself refuses numbers that do not add up; this looks again."""

import dagster as dg

from ddb_assets.warehouse.ledger import LoadResult

EXPLAINED = "ledger_explains_rows"


def explained_spec(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """Blocking: what is built on the table does not start from a table that lost rows."""
    return dg.AssetCheckSpec(
        EXPLAINED,
        asset=asset,
        blocking=True,
        description="Items = loaded + deleted + stale + quarantined + filtered, and the table holds every row loaded.",
    )


def explained(result: LoadResult, root: str, asset: dg.AssetKey) -> dg.AssetCheckResult:
    """Whether the ledger row explains every item of the export and the table has at least the rows just loaded."""
    accounted = result.upserted + result.deleted + result.stale + result.quarantined + result.filtered
    in_table = result.table_rows[root]
    return dg.AssetCheckResult(
        passed=accounted == result.items and (not result.applied or in_table >= result.upserted),
        asset_key=asset,
        check_name=EXPLAINED,
        metadata={"items": result.items, "accounted": accounted, "loaded": result.upserted, "rows_in_table": in_table},
    )
