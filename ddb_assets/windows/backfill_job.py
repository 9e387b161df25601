"""The job `ddb_assets_history_backfill`: fills the time before a table's history begins (`backfill.py`), the price first."""

from collections.abc import Sequence

import dagster as dg
from pydantic import Field

from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import Cadence
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.pools import EXPORTS_POOL
from ddb_assets.orchestration.retries import RETRIES, explained_failure
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.warehouse.results import LoadResult
from ddb_assets.windows.backfill import fill, look
from ddb_assets.windows.backfill_plan import BackfillError

HISTORY_BACKFILL = "ddb_assets_history_backfill"


class BackfillConfig(dg.Config):
    """The Launchpad's options for filling a history."""

    table: str = Field(description="name of a table with `history: true`")
    confirm: bool = Field(default=False, description="make the exports; without it the run only says what they cost")
    cadence: str = Field(default="", description="length of the windows, up to 24 h; else the cadence of the contract")


def history_backfill(tables: Sequence[Table]) -> list[dg.JobDefinition]:
    """The job, if any of the tables has a history."""
    declared = {table.name: table for table in tables if table.history}
    if not declared:
        return []

    @dg.op(name="fill_history", pool=EXPORTS_POOL, retry_policy=RETRIES)
    def filled(
        context: dg.OpExecutionContext,
        config: BackfillConfig,
        ddb_aws: AWSResource,
        ddb_lake: Lake,
        ddb_warehouse: WarehouseTarget,
    ) -> None:
        with explained_failure():
            if config.table not in declared:
                raise BackfillError(
                    f"no table {config.table!r} has a history: set `table` to one of {', '.join(declared)} in the Launchpad"
                )
            table, aws = declared[config.table], ddb_aws.clients
            length = Cadence.parse(config.cadence).length if config.cadence else None
            plan = look(aws, ddb_warehouse.address, table, length)
            also = " and a full export" if plan.baseline else ""
            context.log.info(f"{len(plan.windows)} windows{also} are missing; they cost {plan.price}")
            if not config.confirm:
                context.log.info("nothing was changed: set `confirm: true` to make the exports")
                return

            def done(said: str, result: LoadResult) -> None:
                added = result.history.added if result.history else 0
                context.log.info(f"{said}: {added:,} versions")

            found = fill(aws, ddb_warehouse.address, table, plan, ddb_lake.paths, done)
        context.log_event(
            dg.AssetObservation(
                metadata.key_of(table, "history"),
                metadata={
                    "exports": found.exports,
                    "history_rows": found.history_rows,
                    "broken_chain": found.broken,
                    "usd": plan.usd,
                },
            )
        )

    @dg.job(
        name=HISTORY_BACKFILL,
        description="Fill the history of a table as far back as point-in-time recovery reaches. Says the price first.",
    )
    def job() -> None:
        filled()

    return [job]
