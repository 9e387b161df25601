"""`cold/<table>_cold`: moves old rows of a table with `warehouse.retain` from the warehouse to Iceberg tables, every night.

`warehouse/protocol.py` says what a move is.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from ddb_assets.contract.retain import boundary
from ddb_assets.contract.table import Table
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.retries import explained_failure
from ddb_assets.orchestration.step import step
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.iceberg import IcebergTarget
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.warehouse.bookkeeping import whole_name
from ddb_assets.warehouse.connect import open_warehouse, table_name
from ddb_assets.warehouse.protocol import ColdOptions
from ddb_assets.warehouse.url import warehouse_kind, warehouse_pool
from ddb_assets.windows.automation import EVERY_NIGHT
from ddb_assets.windows.cold_facts import cold_facts, there_result, there_spec


class ColdConfig(dg.Config):
    """The Launchpad's options."""

    days: int = Field(
        default=0, ge=0, description="rows older than so many days move; by default what the contract says"
    )


def cold_asset(table: Table, address: str) -> dg.AssetsDefinition:
    """The asset of a table whose contract has `warehouse.retain`; `address` is the warehouse's URL."""
    retain = table.warehouse.retain
    assert retain is not None  # noqa: S101 -- only such tables have the asset
    spec = metadata.asset_spec(
        "cold",
        table,
        table.name,
        description=f"Rows of `{table.name}` and its lists older than {retain.days} days (by `{retain.by}`), in Iceberg: "
        f"the view `{whole_name(table.name)}` shows them with the others.",
        upstream=[metadata.key_of(table, "warehouse")],
        kinds=[warehouse_kind(address)],
        condition=EVERY_NIGHT,
    )

    @step(
        name=metadata.op_name("cold", table),
        specs=[spec],
        check_specs=[there_spec(spec.key)],
        pool=warehouse_pool(address),
    )
    def cold(
        context: dg.AssetExecutionContext,
        config: ColdConfig,
        ddb_aws: AWSResource,
        ddb_iceberg: IcebergTarget,
        ddb_lake: Lake,
        ddb_warehouse: WarehouseTarget,
    ) -> Iterator[dg.MaterializeResult[None]]:
        with explained_failure():
            options = ColdOptions(
                by=retain.by,
                before=boundary(config.days or retain.days, datetime.now(UTC)),
                catalog=ddb_iceberg.address(ddb_lake),
                tables=table.warehouse,
                step=lambda name: context.log.info(f"step: {name}"),
            )
            label = f"ddb_assets {table.name} cold"
            clients = ddb_aws.clients
            with open_warehouse(ddb_warehouse.address, storage=clients.storage(), aws=clients, label=label) as target:
                done = target.move_cold(table.name, options)
                view = table_name(ddb_warehouse.address, whole_name(table.name), target.schema)
        context.log.info(
            f"{done.rows.get(table.name, 0):,} items became cold, {done.cold:,} are; {done.hot[table.name]:,} are hot"
        )
        yield dg.MaterializeResult(
            asset_key=spec.key,
            metadata=cold_facts(done, table.name, view),
            check_results=[there_result(done, spec.key)],
        )

    return cold
