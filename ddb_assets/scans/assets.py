"""The asset `scans/<table>_scan`: scans a table that has no point-in-time recovery, in the place of a full export.

`run.py` does the scan. A table with a stream is exact if its changes are in the stream from before the scan began, so that
is looked at first.
"""

from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from ddb_assets.aws.clients import AWS
from ddb_assets.bulk.raw_call import BULK_CLIENT
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.exports.checks import verified, verified_spec
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.retries import explained_failure
from ddb_assets.orchestration.s3_requests import counting
from ddb_assets.orchestration.step import step
from ddb_assets.progress import counted
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.shared import LAKE
from ddb_assets.scans.facts import scan_facts
from ddb_assets.scans.plan import plan_scan
from ddb_assets.scans.run import run_scan
from ddb_assets.settings import state_folder
from ddb_assets.streams.written import check_written


class ScanConfig(dg.Config):
    """The Launchpad's options for scanning a table."""

    restart: bool = Field(default=False, description="begin at the beginning although an earlier scan was not finished")


def scan_asset(table: Table) -> dg.AssetsDefinition:
    """The asset of a table's scan, with its blocking check."""
    spec = metadata.asset_spec(
        "scan",
        table,
        table.name,
        description=f"Scan of `{table.table}`, in the form of a full export. "
        + (
            f"A scan is no snapshot; the stream `{table.stream}` says what was written meanwhile."
            if table.stream
            else "A scan is no snapshot: what is written meanwhile may be missing."
        ),
        upstream=[metadata.key_of(table, "dynamodb")],
        facts=metadata.uri(lambda: LAKE.scans_uri(table)),
    )

    @step(
        name=metadata.op_name("scan", table),
        specs=[spec],
        check_specs=[verified_spec(spec.key)],
    )
    def scan(
        context: dg.AssetExecutionContext, config: ScanConfig, ddb_aws: AWSResource, ddb_lake: Lake
    ) -> Iterator[dg.MaterializeResult[None]]:
        with explained_failure():
            aws: AWS = ddb_aws.clients
            requests = counting(aws.s3_count)
            client = aws.dynamodb(table.table)
            if table.stream:
                check_written(aws, table.table, table.stream)
            options = table.scan.model_copy(update={"consistent": table.reads_consistently})
            plan = plan_scan(client, aws.dynamodb(table.table, BULK_CLIENT), table.table, options)
            context.log.info(
                f"{plan.table.arn}: about {plan.table.items:,} items, {plan.cost.rcu:,.1f} RCUs and {plan.cost.money}, in "
                f"{plan.segments:,} segments"
            )
            report = run_scan(
                plan,
                ddb_lake.scans_uri(table),
                state_folder() / "scans",
                aws.storage(),
                restart=config.restart,
                on_resumed=context.log.info,
                on_page=counted(context.log.info, f"scan of {plan.table.name}", max(1, plan.table.items)),
            )
            key = table.key or KeySchema.of(plan.table.key_names)
            asked = requests()
        yield dg.MaterializeResult(
            metadata=scan_facts(table, report, key) | asked,
            check_results=[verified(report.export, spec.key, report.items)],
        )

    return scan
