"""`retention/<table>_retention`: every night old files of the lake go that are loaded and that no recovery needs.

Only tables whose contract or setting has `keep` have the asset. All of them share one step. It is a dry run unless `keep` has
`dry_run: false`, or the run's configuration says so. Its numbers are plotted by Dagster.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from ddb_assets.contract.keep import deletes, keep_of
from ddb_assets.contract.table import Table
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.retries import explained_failure
from ddb_assets.orchestration.step import step
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.iceberg import IcebergTarget
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.retention.facts import retention_facts
from ddb_assets.retention.retention import Retention
from ddb_assets.warehouse.connect import PATIENCE
from ddb_assets.windows.automation import EVERY_NIGHT


class RetentionConfig(dg.Config):
    """The Launchpad's options."""

    dry_run: bool | None = Field(
        default=None,
        description="only say what would be deleted; false: delete it, for good; by default what `keep` says",
    )


def retention_assets(tables: Sequence[Table]) -> list[dg.AssetsDefinition]:
    """The assets of those of a project's tables whose files do not stay for ever; none without such a table."""
    keys = {metadata.key_of(table, "retention"): table for table in tables if deletes(keep_of(table))}
    if not keys:
        return []

    @step(
        name="ddb_assets__retention",
        specs=[_spec(table) for table in keys.values()],
        can_subset=True,
    )
    def retention(
        context: dg.AssetExecutionContext,
        config: RetentionConfig,
        ddb_aws: AWSResource,
        ddb_iceberg: IcebergTarget,
        ddb_lake: Lake,
        ddb_warehouse: WarehouseTarget,
    ) -> Iterator[dg.MaterializeResult[None]]:
        with explained_failure():
            address, catalog, now = ddb_warehouse.address, ddb_iceberg.address(ddb_lake), datetime.now(UTC)
            every = Retention(ddb_aws.clients, address, ddb_lake.paths, tables, catalog, now, PATIENCE)
        for key in context.selected_asset_keys:
            table = keys[key]
            dry_run = keep_of(table).dry_run if config.dry_run is None else config.dry_run
            with explained_failure():
                done = every.run(table, apply=dry_run is False)
            for said in filter(None, (done.refused, *done.remarks)):
                context.log.warning(f"{table.name}: {said}")
            yield dg.MaterializeResult(asset_key=key, metadata=retention_facts(done))

    return [retention]


def _spec(table: Table) -> dg.AssetSpec:
    return metadata.asset_spec(
        "retention",
        table,
        table.name,
        description=f"Files of `{table.name}` in the lake that are older than `keep` says, loaded, and not needed to recover.",
        upstream=[metadata.key_of(table, "warehouse")],
        condition=EVERY_NIGHT,
    )
