"""A declared table copy as Dagster sees it: `copies/<name>` with its checks.

Deleting, and the time to copy from, can only be asked for in the run's config, never in YAML, so that no schedule and no
*Materialize all* can do it. `run.py` does the copy.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

import dagster as dg

from ddb_assets.aws.storage import is_s3
from ddb_assets.contract.stages import asset_name
from ddb_assets.copies.attribute_mapping import CopyRefusedError
from ddb_assets.copies.copy_config import CopyConfig
from ddb_assets.copies.copy_job import CopyReport
from ddb_assets.copies.plan import CopyPlan
from ddb_assets.copies.restoring.point_in_time import restorable_moment
from ddb_assets.copies.restoring.reach import origin_of
from ddb_assets.copies.run import CopyOutcome, open_tables, run_copy
from ddb_assets.copies.verify import Verification
from ddb_assets.costs.prices import prices
from ddb_assets.markdown import prose
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.pools import only_writer, write_pool
from ddb_assets.orchestration.retries import RETRIES, explained_failure
from ddb_assets.progress import ProgressLog
from ddb_assets.resources.aws import AWSResource
from ddb_assets.settings import state_folder

NO_REJECTS, COUNTS, EQUAL = "no_rejects", "counts_agree", "items_equal"
CHECKS = {
    NO_REJECTS: "DynamoDB took every item of the source.",
    COUNTS: "The destination has as many items as the source, or more if nothing was cleaned.",
    EQUAL: "Every item that was compared is the same in both tables.",
}


class CopyRunConfig(dg.Config):
    """What can be set in the Launchpad. Nothing is written unless `write` is true, because *Materialize all* and automation
    run this too. `confirm` repeats the destination's name if anything is deleted. `restart` begins at the beginning although
    an earlier run was not finished."""

    write: bool = False
    clean: Literal["no", "all", "extra"] = "no"
    from_point_in_time: str = ""
    confirm: str = ""
    restart: bool = False


def copy_asset(
    name: str, declared: CopyConfig, owners: list[str], sources: Sequence[dg.AssetKey] = ()
) -> dg.AssetsDefinition:
    """The asset of one declared copy and its three checks, which need a `verify`.

    `sources` are the assets of the table that it reads.
    """
    key = metadata.asset_key("copy", name)
    destination = declared.destination.table

    @dg.asset(
        key=key,
        deps=sources,
        group_name="copies",
        kinds={*metadata.KINDS["copy"]},
        owners=owners,
        description=f"DynamoDB table `{declared.destination.table}`, copied from `{declared.source.table}`.",
        check_specs=[dg.AssetCheckSpec(check, asset=key, description=said) for check, said in CHECKS.items()],
        pool=write_pool(destination),
        retry_policy=RETRIES,
    )
    def copies(
        context: dg.AssetExecutionContext, config: CopyRunConfig, ddb_aws: AWSResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        with explained_failure():
            _allowed(name, destination, config)
        log = ProgressLog(context.log.info)
        with explained_failure(), only_writer(context, destination):
            folder, aws = state_folder() / "copies", ddb_aws.clients
            origin, _ = origin_of(declared, _moment(config.from_point_in_time), aws)
            opened = open_tables(declared, origin, folder, context.log.info, aws)
            outcome = run_copy(
                opened,
                declared,
                config.clean,
                folder,
                storage=ddb_aws.clients.storage() if is_s3(declared.rejects) else None,
                restart=config.restart,
                confirm=lambda plan: _confirmed(plan, config),
                on_resumed=context.log.info,
                on_page=lambda phase, items, _: log(lambda: f"{phase}: {items:,} items"),
            )
        assert outcome.verification is not None  # noqa: S101 - a declared copy asks for one; this tells the type checker
        yield dg.MaterializeResult(
            asset_key=key,
            metadata=_metadata(outcome, outcome.verification),
            check_results=list(_checks(key, outcome, outcome.verification)),
        )

    return copies


def _allowed(name: str, destination: str, config: CopyRunConfig) -> None:
    if not config.write:
        raise CopyRefusedError(
            f"nothing was written: this run writes into the DynamoDB table {destination} only if its config says "
            f"`write: true`. Materialize {asset_name('copy', name)} by itself and say so in the Launchpad"
        )


def _confirmed(plan: CopyPlan, config: CopyRunConfig) -> None:
    if plan.clean != "no" and config.confirm != plan.destination.name:
        raise CopyRefusedError(
            f"clean: {plan.clean} deletes items of {plan.destination.arn}: say so with "
            f"`confirm: {plan.destination.name}` in the run's config"
        )


def _moment(text: str) -> datetime | None:
    try:
        return restorable_moment(text) if text else None
    except ValueError as error:
        raise CopyRefusedError(f"from_point_in_time: {error}") from error


def _metadata(outcome: CopyOutcome, found: Verification) -> dict[str, dg.MetadataValue]:
    report: CopyReport = outcome.report
    integers = ("read", "written", "collisions", "deleted", "rejected", "requests")
    facts: dict[str, dg.MetadataValue] = {name: dg.MetadataValue.int(getattr(report, name)) for name in integers}
    facts |= {name: dg.MetadataValue.float(float(getattr(report, name))) for name in ("rcu", "wcu", "seconds")}
    facts |= {
        "dagster/row_count": dg.MetadataValue.int(found.destination_items),
        "source": dg.MetadataValue.text(report.source),
        "destination": dg.MetadataValue.text(report.destination),
        "throttles": dg.MetadataValue.json(report.throttles),
        "compared": dg.MetadataValue.text(str(found)),
        "resumed": dg.MetadataValue.bool(report.resumed),
        "not_copied": dg.MetadataValue.md("\n".join(f"- {prose(line)}" for line in report.not_copied)),
    }
    if report.usd is not None:
        facts |= {"usd": dg.MetadataValue.float(report.usd), "price": dg.MetadataValue.text(prices().said)}
    if report.rejected:
        facts["rejected_sample"] = dg.MetadataValue.json(report.rejected_sample)
    if report.collisions:
        facts["collisions_sample"] = dg.MetadataValue.json(report.collisions_sample)
    if outcome.reject_file:
        facts["reject_file"] = dg.MetadataValue.path(outcome.reject_file)
        facts["redrive"] = dg.MetadataValue.text(outcome.advice)
    if outcome.dropped:
        facts["restored_and_dropped"] = dg.MetadataValue.text(outcome.dropped)
    if outcome.not_dropped:
        facts["restored_and_not_dropped"] = dg.MetadataValue.text(outcome.not_dropped)
    return facts


def _checks(key: dg.AssetKey, outcome: CopyOutcome, found: Verification) -> Iterator[dg.AssetCheckResult]:
    rejected = outcome.report.rejected
    counted = found.surplus >= 0 and not (outcome.exact and found.surplus)
    equal = not (found.missing_count or found.different_count)
    keys = {"missing": dg.MetadataValue.json(found.missing), "different": dg.MetadataValue.json(found.different)}
    results: tuple[tuple[str, bool, dict[str, Any]], ...] = (
        (NO_REJECTS, not rejected, {"rejected": rejected}),
        (COUNTS, counted, {"source": found.source_items, "destination": found.destination_items}),
        (EQUAL, equal, {"compared": found.compared, **keys}),
    )
    for check, passed, facts in results:
        yield dg.AssetCheckResult(passed=passed, asset_key=key, check_name=check, metadata=facts)
