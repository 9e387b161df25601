"""A declared import as Dagster sees it: `imports/<name>` with its checks.

Deleting can only be asked for in the run's config, never in YAML, so that no schedule and no *Materialize all* can do it.
`import_job.py` does the import.
"""

from collections.abc import Iterator
from dataclasses import asdict

import dagster as dg

from ddb_assets.contract.stages import asset_name
from ddb_assets.costs.prices import prices
from ddb_assets.errors import DdbAssetsError
from ddb_assets.imports.account import ImportFailedError, ImportReport, InterruptedImportError, Progress, Verified
from ddb_assets.imports.import_config import BulkPutConfig, ImportConfig, ImportOptions, JobOptions
from ddb_assets.markdown import code
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.pools import only_writer, write_pool
from ddb_assets.orchestration.retries import RETRIES, explained_failure
from ddb_assets.progress import ProgressLog
from ddb_assets.resources.aws import AWSResource

NO_REJECTS, COUNTS, EQUAL = "no_rejects", "counts_agree", "sample_equal"
CHECKS = {
    NO_REJECTS: "The table took every row, except for as many as are allowed.",
    COUNTS: "Every row that was read was written, deleted, there before, superseded by a later row, left out, or rejected.",
    EQUAL: "The table could be read afterwards, as far as that was asked for, and what was read is as it was written.",
}
COUNTED = (
    "rows", "rows_before", "written", "deleted", "existed", "superseded", "left_out", "rejected", "requests", "retried",
)  # fmt: skip


class ImportRefusedError(DdbAssetsError):
    """The run's config does not allow the import."""


class ImportRunConfig(dg.Config):
    """What can be set in the Launchpad. Nothing is written unless `write` is true, because *Materialize all* and automation
    run this too. `delete` deletes the keys of the files' rows, and needs `confirm`, the table's name. `restart` begins again
    although an earlier run was not finished."""

    write: bool = False
    delete: bool = False
    confirm: str = ""
    restart: bool = False


def import_asset(
    name: str,
    table: str,
    source: str,
    config: ImportConfig,
    options: ImportOptions,
    owners: list[str],
    bulk_put: BulkPutConfig | None = None,
) -> dg.AssetsDefinition:
    """The asset of one declared import and its three checks. Deletes are written, also when AWS puts the items otherwise."""
    key = metadata.asset_key("import", name)

    @dg.asset(
        key=key,
        group_name="imports",
        kinds={*metadata.KINDS["import"]},
        owners=owners,
        description=f"The items of {code(source)} in DynamoDB table `{table}`.",
        check_specs=[
            dg.AssetCheckSpec(check, asset=key, description=said, blocking=True) for check, said in CHECKS.items()
        ],
        pool=write_pool(table),
        retry_policy=RETRIES,
    )
    def imports(
        context: dg.AssetExecutionContext, config: ImportRunConfig, ddb_aws: AWSResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        with explained_failure(), only_writer(context, table):
            report = _run(context, config, ddb_aws)
        yield dg.MaterializeResult(asset_key=key, metadata=_metadata(report), check_results=list(_checks(key, report)))

    def _run(context: dg.AssetExecutionContext, run: ImportRunConfig, aws: AWSResource) -> ImportReport:
        if not run.write:
            raise ImportRefusedError(
                f"nothing was written: this run writes into the DynamoDB table {table} only if its config says "
                f"`write: true`. Materialize {asset_name('import', name)} by itself and say so in the Launchpad"
            )
        wanted = config
        if run.delete:
            if run.confirm != table.rpartition("/")[2]:
                raise ImportRefusedError(
                    f"delete: true deletes items of {table}: say so with `confirm: {table.rpartition('/')[2]}` in the "
                    "run's config"
                )
            wanted = config.model_copy(update={"mode": "delete"})
        chosen = JobOptions(**options.model_dump(), restart=run.restart)
        log = ProgressLog(context.log.info)

        def progress(now: Progress) -> None:
            share = f" ({now.bytes_read / now.bytes_total:.0%} of the files)" if now.bytes_total else ""
            log(lambda: f"{now.rows:,} rows read{share}, {now.totals.written:,} items written")

        def resumed(place: str) -> None:
            context.log.info(f"resumed at {place}")

        def began(moment: str) -> None:
            context.log.info(f"before the first write: {moment}")

        def operation(arn: str) -> None:
            context.log.info(f"AWS puts the items: {arn}")

        from ddb_assets.imports.prepare import prepare_import, staging_of  # with Polars, which only a run needs

        staged = bulk_put if not run.delete else None
        report = prepare_import(
            aws.clients,
            table,
            source,
            wanted,
            chosen,
            on_progress=progress,
            on_resumed=resumed,
            on_began=began,
            on_operation=operation,
            bulk_put=staging_of(staged.staging, staged.staging_owner) if staged else None,
        ).run()
        context.log.info(f"{report.rows} rows read, {report.written} items written, {report.rejected} rows rejected")
        if not report.complete:
            failure = InterruptedImportError if report.retryable else ImportFailedError
            listed = (
                f"; rows that are not in the table are listed in {report.reject_file}" if report.reject_file else ""
            )
            raise failure(f"{report.problem}{listed}; run it again to continue")
        if report.slips:
            raise ImportFailedError(f"every row is written, but {report.slips}: mend it and run it again")
        return report

    return imports


def _metadata(report: ImportReport) -> dict[str, dg.MetadataValue]:
    facts: dict[str, dg.MetadataValue] = {name: dg.MetadataValue.int(getattr(report, name)) for name in COUNTED}
    facts |= {
        "source": dg.MetadataValue.text(report.source),
        "destination": dg.MetadataValue.text(report.table),
        "format": dg.MetadataValue.text(report.format),
        "wcu": dg.MetadataValue.float(report.consumed_wcu),
        "seconds": dg.MetadataValue.float(round(report.seconds, 3)),
        "throttles": dg.MetadataValue.json(report.throttles),
    }
    if report.usd is not None:
        facts |= {"usd": dg.MetadataValue.float(report.usd), "price": dg.MetadataValue.text(prices().said)}
    if report.resumed_at:
        facts["resumed_at"] = dg.MetadataValue.text(report.resumed_at)
    if report.types:
        facts["types"] = dg.MetadataValue.json(report.types)
    for name in ("unused_columns", "unknown_columns"):
        if found := getattr(report, name):
            facts[name] = dg.MetadataValue.json(found)
    if report.problem:
        facts["problem"] = dg.MetadataValue.text(report.problem)
    if report.before_first_write:
        facts["before_first_write"] = dg.MetadataValue.text(report.before_first_write)
    if report.before_images:
        facts["before_images"] = dg.MetadataValue.path(report.before_images)
    if report.bulk_operation:
        facts["bulk_operation"] = dg.MetadataValue.text(report.bulk_operation)
        facts["bulk_put_bytes"] = dg.MetadataValue.int(report.bulk_put_bytes)
    if report.only_in_table:
        facts["only_in_table"] = dg.MetadataValue.int(report.only_in_table.count)
        facts["only_in_table_sample"] = dg.MetadataValue.json(report.only_in_table.sample)
    if report.reject_file:
        facts["rejected_sample"] = dg.MetadataValue.json([asdict(reject) for reject in report.rejects])
        facts["reject_file"] = dg.MetadataValue.path(report.reject_file)
    return facts


def _checks(key: dg.AssetKey, report: ImportReport) -> Iterator[dg.AssetCheckResult]:
    rejected = report.rejected + report.rejected_before
    written = report.written + report.deleted
    ended = written + report.existed + report.superseded + report.left_out + report.rejected
    found = report.verified or Verified(0, 0, [])
    equal: dict[str, dg.MetadataValue | int] = {
        "compared": found.read,
        "different_count": found.different_count,
        "different": dg.MetadataValue.json(found.different),
    }
    if report.unread:
        equal["problem"] = dg.MetadataValue.text(report.unread)
    results: list[tuple[str, bool, dict[str, dg.MetadataValue | int]]] = [
        (NO_REJECTS, not report.too_many_rejected, {"rejected": rejected}),
        (COUNTS, ended == report.rows, {"rows": report.rows, "accounted_for": ended}),
        (EQUAL, not (found.different_count or report.unread), equal),
    ]
    for check, passed, facts in results:
        yield dg.AssetCheckResult(passed=passed, asset_key=key, check_name=check, metadata=facts)
