"""The asset `exports/<table>_full_export`: requests a full export, waits for it and verifies its manifests.

A second request for the same export finds the first one (`request.py`). `flatten/` reads the data files.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from ddb_assets.contract.moment import parse_moment
from ddb_assets.contract.table import Table
from ddb_assets.exports.checks import verified, verified_spec
from ddb_assets.exports.facts import full_export_facts
from ddb_assets.exports.follow import ExportRef, wait
from ddb_assets.exports.manifest import read_export
from ddb_assets.exports.request import Destination, FullExport, RequestError, TableExports, key_schema
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.pools import EXPORTS_POOL
from ddb_assets.orchestration.retries import explained_failure
from ddb_assets.orchestration.step import step
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.shared import LAKE
from ddb_assets.settings import AS_OF

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class FullExportConfig(dg.Config):
    """The Launchpad's options for materializing a full export."""

    request: str = Field(
        default="",
        description="a name for this export: a request with the same name finds the same export; "
        "by default the run's id, so that a re-executed run finds the export of the original run",
    )
    as_of: str = Field(
        default="",
        description="export the table as of this time, such as 2026-01-31T00:00Z, within point-in-time recovery; by default "
        f"{AS_OF}, else the latest time. The windows since then are exported and loaded",
    )
    timeout_minutes: int = Field(
        default=360, gt=0, description="how long to wait; an export takes 5 to 30 minutes, or hours for terabytes"
    )


def source_spec(table: Table, writers: Sequence[dg.AssetKey] = ()) -> dg.AssetSpec:
    """The external asset `dynamodb/<name>_table`, which Dagster does not make. `writers` are the assets that write to it."""
    return metadata.asset_spec(
        "dynamodb",
        table,
        table.name,
        description=f"DynamoDB table `{table.table}`.",
        upstream=writers,
        facts={metadata.URI: table.table} if table.table.startswith("arn:") else {},
    )


def full_export_asset(table: Table) -> dg.AssetsDefinition:
    """The asset of a table's full export, with its blocking check."""
    spec = metadata.asset_spec(
        "full_export",
        table,
        table.name,
        description=f"Full point-in-time export of `{table.table}` to S3, verified against its manifests.",
        upstream=[metadata.key_of(table, "dynamodb")],
        facts=metadata.uri(lambda: LAKE.exports_uri(table)),
    )

    @step(
        name=metadata.op_name("full_export", table),
        specs=[spec],
        check_specs=[verified_spec(spec.key)],
        pool=EXPORTS_POOL,
    )
    def full_export(
        context: dg.AssetExecutionContext, config: FullExportConfig, ddb_aws: AWSResource, ddb_lake: Lake
    ) -> Iterator[dg.MaterializeResult[None]]:
        with explained_failure():
            client = ddb_aws.clients.dynamodb(table.table)
            key = key_schema(client, table)
            request_id = config.request or context.run.root_run_id or context.run.run_id
            asked = TableExports(client, table.table, table.max_cost).request(
                FullExport(request_id, _moment(config.as_of)), Destination.of(ddb_lake.exports_of(table))
            )
            done = awaited(client, asked, config.timeout_minutes, context.log.info)
            export = read_export(ddb_aws.clients.storage(), done.summary_uri, expected_table=table.table)
        yield dg.MaterializeResult(
            metadata=full_export_facts(export, key),
            check_results=[verified(export, spec.key, done.item_count)],
        )

    return full_export


def awaited(client: "DynamoDBClient", asked: ExportRef, minutes: int, say: Callable[[str], None]) -> ExportRef:
    """The export once it is complete; `say` gets how it stands. Raises what `wait` raises."""
    say(f"export {asked.arn} is {asked.status}")

    def progress(now: ExportRef, waited: timedelta) -> None:
        say(f"export {now.id} is {now.status} after {waited.total_seconds():.0f} s")

    return wait(client, asked.arn, timeout=timedelta(minutes=minutes), on_progress=progress)


def _moment(text: str) -> datetime | None:
    """The time that `as_of` names, else that of the setting; None for the latest. Raises RequestError."""
    name, chosen = ("as_of", text) if text else (AS_OF, os.environ.get(AS_OF, "").strip())
    try:
        return parse_moment(chosen) if chosen else None
    except ValueError as error:
        raise RequestError(f"{name}: {error}") from error
