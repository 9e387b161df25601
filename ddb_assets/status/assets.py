"""`status/<table>_status`: every hour a look at each table, whose numbers Dagster plots, and a check that says what to mend.

All tables of a project share one step, which looks at those that are selected. `look.py` does the work.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import dagster as dg

from ddb_assets.aws.lake import LakePaths
from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.markdown import prose
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.retries import explained_failure
from ddb_assets.orchestration.step import step
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.status.facts import dagster_says, status_facts
from ddb_assets.status.look import Status, look
from ddb_assets.status.pictures import Silent
from ddb_assets.warehouse.connect import PATIENCE
from ddb_assets.windows.automation import EVERY_HOUR

MENDED = "nothing_to_mend"


def status_assets(tables: Sequence[Table]) -> dg.AssetsDefinition:
    """The assets of these tables, with their checks."""
    keys = {metadata.key_of(table, "status"): table for table in tables}

    @step(
        name="ddb_assets__status",
        specs=[_spec(table) for table in tables],
        check_specs=[
            dg.AssetCheckSpec(
                MENDED, asset=key, description="Nothing was lost, changed or left behind: nobody must act."
            )
            for key in keys
        ],
        can_subset=True,
    )
    def status(
        context: dg.AssetExecutionContext, ddb_aws: AWSResource, ddb_lake: Lake, ddb_warehouse: WarehouseTarget
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        place = _place(ddb_lake)
        ask = partial(dagster_says, context.instance)
        checks = {check.asset_key for check in context.selected_asset_check_keys}
        for key, table in keys.items():
            if key not in context.selected_asset_keys | checks:
                continue
            with explained_failure():
                seen = look(ddb_aws.clients, ddb_warehouse.address, place, table, ask, patience=PATIENCE)
            for finding in seen.findings:
                context.log.warning(f"{table.name}: {finding.code}: {finding.what}")
            results = [_result(key, seen)] if key in checks else []
            if key in context.selected_asset_keys:
                yield dg.MaterializeResult(asset_key=key, metadata=status_facts(seen), check_results=results)
            else:
                yield from results

    return status


def _spec(table: Table) -> dg.AssetSpec:
    return metadata.asset_spec(
        "status",
        table,
        table.name,
        description=f"Where `{table.name}` stands: how far behind it is, what it holds, and what somebody must mend.",
        upstream=[metadata.key_of(table, "warehouse")],
        condition=EVERY_HOUR,
    )


def _place(lake: Lake) -> LakePaths | Silent:
    try:
        return lake.paths
    except DdbAssetsError as error:
        return Silent(str(error), failed=True)


def _result(key: dg.AssetKey, seen: Status) -> dg.AssetCheckResult:
    acting = [finding for finding in seen.findings if finding.needs_a_person]
    said = "; ".join(
        f"{one.code}: {one.what}" + (f". Run: {one.command}" if one.command else "") for one in seen.findings
    )
    return dg.AssetCheckResult(
        passed=not acting,
        asset_key=key,
        check_name=MENDED,
        description=prose(said) or None,
        metadata={"codes": [one.code for one in seen.findings]},
    )
