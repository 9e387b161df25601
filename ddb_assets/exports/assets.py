"""`exports/<table>_full_export`: a full export, asked for, awaited and verified.

Asking twice for the same export finds the first one (`request.py`); what the files hold is the parquet stage's.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import dagster as dg
from pydantic import Field

from ddb_assets.contract.moment import parse_moment
from ddb_assets.contract.table import Table
from ddb_assets.exports.checks import verified, verified_spec
from ddb_assets.exports.facts import full_export_facts
from ddb_assets.exports.follow import ExportRef, wait
from ddb_assets.exports.manifest import read_export
from ddb_assets.exports.request import Destination, RequestError, Snapshot, TableExports, key_schema
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.pools import EXPORTS_POOL
from ddb_assets.orchestration.retries import RETRIES, explained_failure
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake


class FullExportConfig(dg.Config):
    """What can be said in the Launchpad when a full export is materialized."""

    request: str = Field(
        default="",
        description="a name for this export: asked for again by the same name, the same export is the answer; "
        "by default the run, so that a re-executed run finds the export of the run it repeats",
    )
    as_of: str = Field(
        default="",
        description="the moment to show, such as 2026-01-31T00:00Z, within point-in-time recovery; by default the latest. "
        "The windows since then are exported and loaded",
    )
    timeout_minutes: int = Field(
        default=360, gt=0, description="how long to wait; AWS takes 5 to 30 minutes, hours for TBs"
    )


def source_spec(table: Table, writers: Sequence[dg.AssetKey] = ()) -> dg.AssetSpec:
    """`dynamodb/<name>_table`: the table exists without us, so it is an external asset. `writers` are assets that fill it."""
    return metadata.asset_spec(
        "dynamodb",
        table,
        table.name,
        description=f"DynamoDB table `{table.table}`.",
        upstream=None,
        facts={metadata.URI: table.table} if table.table.startswith("arn:") else {},
    ).replace_attributes(deps=writers)


def full_export_asset(table: Table) -> dg.AssetsDefinition:
    """The asset and its blocking check."""
    spec = metadata.asset_spec(
        "full_export",
        table,
        table.name,
        description=f"Full point-in-time export of `{table.table}` to S3, verified against its manifests.",
        upstream=metadata.key_of(table, "dynamodb"),
        facts=metadata.uri(lambda: Lake().exports_uri(table)),
    )

    @dg.multi_asset(
        name=metadata.op_name("full_export", table),
        specs=[spec],
        check_specs=[verified_spec(spec.key)],
        pool=EXPORTS_POOL,
        retry_policy=RETRIES,
    )
    def full_export(
        context: dg.AssetExecutionContext, config: FullExportConfig, ddb_aws: AWSResource, ddb_lake: Lake
    ) -> Iterator[dg.MaterializeResult[None]]:
        with explained_failure():
            client = ddb_aws.clients.dynamodb(table.table)
            key = key_schema(client, table)
            request_id = config.request or context.run.root_run_id or context.run.run_id
            asked = TableExports(client, table.table).request(
                Snapshot(request_id, _moment(config.as_of)), Destination.of(ddb_lake.exports_of(table))
            )
            context.log.info(f"export {asked.arn} is {asked.status}")

            def progress(now: ExportRef, waited: timedelta) -> None:
                context.log.info(f"export {now.id} is {now.status} after {waited.total_seconds():.0f} s")

            done = wait(client, asked.arn, timeout=timedelta(minutes=config.timeout_minutes), on_progress=progress)
            export = read_export(ddb_aws.clients.storage(), done.summary_uri, expected_table=table.table)
        yield dg.MaterializeResult(
            metadata=full_export_facts(export, key),
            check_results=[verified(export, spec.key, done.item_count)],
        )

    return full_export


def _moment(text: str) -> datetime | None:
    """The moment of `as_of`; None for no text. Raises RequestError."""
    try:
        return parse_moment(text) if text else None
    except ValueError as error:
        raise RequestError(f"as_of: {error}") from error
