"""`iceberg/<relation>_initial_changes`, or `iceberg/<relation>__changes` of a table without windows: full exports, appended.

The tables of changes have every version of every item that a landing has shown, so they are history. All relations of a
landing are appended in one step. `windows/changes_assets.py` has the assets of windows, `append.py` says what an append is.
"""

from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from ddb_assets.changes.append import Appended, append
from ddb_assets.changes.chosen import full_changes
from ddb_assets.changes.facts import changes_facts
from ddb_assets.changes.names import changes_name
from ddb_assets.contract.report import Report
from ddb_assets.contract.table import Table
from ddb_assets.flatten.facts import upstream_folder
from ddb_assets.flatten.names import relations, reported
from ddb_assets.flatten.output import read_report
from ddb_assets.iceberg.catalog import open_catalog
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.retries import explained_failure
from ddb_assets.orchestration.step import step
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.iceberg import IcebergTarget
from ddb_assets.resources.lake import Lake
from ddb_assets.warehouse.guards import check_quarantine, check_report


class InitialChangesConfig(dg.Config):
    """The Launchpad's options for appending a full export."""

    restart: bool = Field(
        default=False,
        description="start the log over: delete all its rows, which may have another key or other masks; as part of the append",
    )


def appended(
    context: dg.AssetExecutionContext,
    table: Table,
    report: Report,
    *,
    aws: AWSResource,
    iceberg: IcebergTarget,
    lake: Lake,
    restart: bool = False,
) -> tuple[dict[str, Appended], str]:
    """Appends a landing that the contract lets through; returns what came of it, by relation, and the namespace."""
    check_quarantine(report, table.max_quarantined)
    check_report(report)
    url = CatalogUrl.parse(iceberg.address(lake))
    with open_catalog(url, aws.clients) as catalog:
        done = append(catalog, url, aws.clients.storage(), report, restart=restart)
    root = done[report.root.name]
    for remark in (remark for one in done.values() for remark in one.remarks):
        context.log.warning(remark)
    if root.applied:
        context.log.info(f"export {report.export_id} is appended: {root.rows:,} rows to {url.namespace}.{root.name}")
    else:
        context.log.info(f"export {report.export_id} was already in {url.namespace}.{root.name}")
    return done, url.namespace


def changes_assets(table: Table) -> dg.AssetsDefinition:
    """The assets of all relations of a table whose full exports, or scans, are appended."""
    (stage,) = full_changes(table)
    named = relations(table)
    specs = {
        path: metadata.asset_spec(
            stage,
            table,
            name,
            description=f"Iceberg table `{changes_name(name)}`: "
            + ("every full export." if stage == "changes" else "the full exports, to which windows are appended."),
            upstream=[metadata.key_of(table, "full_parquet", name)],
        )
        for path, name in named.items()
    }

    @step(name=metadata.op_name(stage, table), specs=list(specs.values()))
    def changes(
        context: dg.AssetExecutionContext,
        config: InitialChangesConfig,
        ddb_aws: AWSResource,
        ddb_iceberg: IcebergTarget,
        ddb_lake: Lake,
    ) -> Iterator[dg.MaterializeResult[None]]:
        with explained_failure():
            report = read_report(ddb_aws.clients.storage(), upstream_folder(context, table))
            done, namespace = appended(
                context, table, report, aws=ddb_aws, iceberg=ddb_iceberg, lake=ddb_lake, restart=config.restart
            )
        for path, relation in reported(table, report).items():
            source = metadata.key_of(table, "full_parquet", named[path])
            yield dg.MaterializeResult(
                asset_key=specs[path].key, metadata=changes_facts(report, relation, done, namespace, [source])
            )

    return changes
