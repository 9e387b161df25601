"""What Dagster shows of a move of old rows to the cold tier, and whether the cold rows are all there."""

import dagster as dg

from ddb_assets.markdown import code
from ddb_assets.orchestration import metadata
from ddb_assets.warehouse.results import ColdMove

THERE = "cold_rows_there"


def there_spec(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check of a move."""
    return dg.AssetCheckSpec(
        THERE,
        asset=asset,
        blocking=True,
        description="Every cold item has its row in the Iceberg table, and no job but ours deletes any.",
    )


def there_result(done: ColdMove, asset: dg.AssetKey) -> dg.AssetCheckResult:
    """Its result."""
    return dg.AssetCheckResult(
        passed=not done.lost,
        asset_key=asset,
        check_name=THERE,
        description=f"{done.lost:,} of {done.cold:,} cold items have no row in the Iceberg table: restore it from an earlier "
        "snapshot, or start the table over"
        if done.lost
        else None,
        metadata={"cold_items": done.cold, "without_a_row": done.lost},
    )


def cold_facts(done: ColdMove, root: str, view: str) -> metadata.Metadata:
    """The facts of a move; `view` is the full name of the view of hot and cold rows."""
    moved = done.rows.get(root, 0)
    facts: metadata.Metadata = {
        metadata.ROWS: dg.MetadataValue.int(done.cold),
        metadata.TABLE_NAME: dg.MetadataValue.text(view),
        "moved_before": dg.MetadataValue.timestamp(done.before),
        "items_moved": dg.MetadataValue.int(moved),
        "items_hot": dg.MetadataValue.int(done.hot.get(root, 0)),
        "items_cold": dg.MetadataValue.int(done.cold),
        "items_kept": dg.MetadataValue.int(done.kept),
        "items_changed_meanwhile": dg.MetadataValue.int(done.changed),
        "bytes_written": dg.MetadataValue.int(done.bytes),
        "seconds": dg.MetadataValue.float(done.seconds),
        metadata.SUMMARY: metadata.markdown(
            ("Relation", "Iceberg table", "Rows moved", "Rows hot", "Snapshot"),
            [
                (
                    code(name),
                    code(table),
                    f"{done.rows.get(name, 0):,}",
                    f"{done.hot[name]:,}",
                    str(done.snapshots.get(name, "")),
                )
                for name, table in done.tables.items()
            ],
            f"Items older than {done.before.isoformat()} are cold. {done.kept:,} of them stay hot, as a value of theirs is too "
            "long for a cold row.",
        ),
    }
    if done.move is not None:
        facts["move"] = dg.MetadataValue.int(done.move)
    return facts
