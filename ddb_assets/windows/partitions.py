"""Windows as Dagster's partitions, and how one step works through several of them.

`contract/windows.py` says when a window starts and ends, and the stages what is done with it. Facts: in a run of several
partitions only events that name their partition are stored for it, and a step that fails would lose all of them (Dagster
documentation, "Backfill strategies" and "Partitioned asset checks").
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, time
from itertools import chain

import dagster as dg

# Dagster does not export it. Without it a check does not count for the materialization that it checked.
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import KEY_FORMAT
from ddb_assets.errors import DdbAssetsError, RetryableError
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.retries import explained_failure

AT_ONCE = 24
"""Windows that a backfill gives to one run: a run costs seconds to start, and an hourly window often less to load."""

Result = dg.MaterializeResult[None]
Event = Result | dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.AssetCheckResult


def window_partitions(table: Table) -> dg.TimeWindowPartitionsDefinition:
    """One partition per window of the table's cadence, from its `start` on; the key is the window's start."""
    start = datetime.combine(table.start, time(), UTC)
    return dg.TimeWindowPartitionsDefinition(
        start=start.strftime(KEY_FORMAT), fmt=KEY_FORMAT, cron_schedule=table.windows.cron, timezone="UTC"
    )


def window_policy() -> dg.BackfillPolicy:
    """A backfill's range is cut into runs of at most `AT_ONCE` windows."""
    return dg.BackfillPolicy.multi_run(AT_ONCE)


def window_check(check: dg.AssetCheckSpec, partitions: dg.PartitionsDefinition[str]) -> dg.AssetCheckSpec:
    """The check with a result for each window."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # otherwise Dagster shows it for every check at every load
        return dg.AssetCheckSpec(
            check.name,
            asset=check.asset_key,
            blocking=check.blocking,
            description=check.description,
            partitions_def=partitions,
        )


def covered_window(
    assets: Iterable[dg.AssetKey],
    checks: Iterable[dg.AssetCheckSpec],
    facts: metadata.Metadata,
    standing: Callable[[dg.AssetKey], metadata.Metadata] = lambda _: {},
) -> Iterator[Result]:
    """The results of a step that has nothing to do for a window, because what is loaded covers it, as `facts` say.

    `standing` returns what each asset's page keeps, as Dagster shows the columns and rows of the newest materialization.
    """
    passed = [
        dg.AssetCheckResult(
            passed=True,
            asset_key=check.asset_key,
            check_name=check.name,
            description=str(facts[metadata.SUMMARY].value),
        )
        for check in checks
    ]
    for asset in assets:
        yield dg.MaterializeResult(
            asset_key=asset,
            metadata={**facts, **standing(asset)},
            check_results=[check for check in passed if check.asset_key == asset],
        )


def each_window(
    context: dg.AssetExecutionContext, made: Callable[[str], Iterable[Result]], checks: Sequence[dg.AssetCheckSpec]
) -> Iterator[Event]:
    """The results of `made` for every partition key of the run, oldest first; `checks` are those that it has results for.

    A window that fails, or fails a blocking check, does not affect the others: their results are recorded before the step
    fails, and the failure names the windows that failed.
    """
    blocking = {check.name for check in checks if check.blocking}
    keys = context.partition_keys
    if len(keys) == 1:
        with explained_failure():
            yield from made(keys[0])
        return
    done: dict[str, list[Result]] = {}
    failed: dict[str, str] = {}
    again = False
    for key in keys:
        try:
            done[key] = list(made(key))
        except DdbAssetsError as error:
            failed[key] = str(error)
            again = again or isinstance(error, RetryableError)
            context.log.error(f"window {key}: {error}")
        except Exception:
            yield from _recorded(context, done, checks)
            with explained_failure():
                raise
        else:
            if held := [
                check.check_name for check in _checks(done[key]) if _fails(check) and check.check_name in blocking
            ]:
                failed[key] = f"does not pass {', '.join(map(str, held))}"
    if failed:
        yield from _recorded(context, done, checks)
        raise dg.Failure(
            description="\n".join(
                [f"{len(failed)} of {len(keys)} windows failed, the others are done:"]
                + [f"{key}: {reason}" for key, reason in failed.items()]
            ),
            allow_retries=again,
        )
    for key, results in done.items():
        for result in results:
            context.add_asset_metadata(result.metadata or {}, asset_key=result.asset_key, partition_key=key)
    last = done[keys[-1]]
    for result in last:
        yield dg.MaterializeResult(asset_key=result.asset_key)
    yield from _evaluations(context, done, checks)
    for check in checks:  # Dagster needs a result for the whole run, too
        yield dg.AssetCheckResult(
            passed=not any(
                _fails(result) for result in _checks(chain.from_iterable(done.values())) if _is(result, check)
            ),
            asset_key=check.asset_key,
            check_name=check.name,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{len(keys)} windows; each has a result of its own.",
        )


def _recorded(
    context: dg.AssetExecutionContext, done: dict[str, list[Result]], checks: Sequence[dg.AssetCheckSpec]
) -> Iterator[Event]:
    for key, results in done.items():
        for result in results:
            yield dg.AssetMaterialization(_key(result), partition=key, metadata=result.metadata)
    yield from _evaluations(context, done, checks)


def _evaluations(
    context: dg.AssetExecutionContext, done: dict[str, list[Result]], checks: Sequence[dg.AssetCheckSpec]
) -> Iterator[dg.AssetCheckEvaluation]:
    """The check results of each window, after its materializations were recorded."""
    for key, results in done.items():
        for result in _checks(results):
            for check in checks:
                if check.partitions_def and _is(result, check):
                    yield dg.AssetCheckEvaluation(
                        asset_key=check.asset_key,
                        check_name=check.name,
                        passed=result.passed,
                        metadata=result.metadata,
                        severity=result.severity,
                        description=result.description,
                        blocking=False,  # the failure of the step blocks, and says why
                        partition=key,
                        target_materialization_data=checked(context.instance, check.asset_key, key),
                    )


def checked(
    instance: dg.DagsterInstance, asset: dg.AssetKey, key: str | None = None
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """The newest materialization of an asset, or of one of its partitions, as what a check has looked at."""
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=None if key is None else [key])
    records = instance.fetch_materializations(wanted, limit=1).records
    if not records:
        return None
    return AssetCheckEvaluationTargetMaterializationData(
        storage_id=records[0].storage_id, run_id=records[0].run_id, timestamp=records[0].timestamp
    )


def _checks(results: Iterable[Result]) -> list[dg.AssetCheckResult]:
    return [check for result in results for check in result.check_results or ()]


def _fails(check: dg.AssetCheckResult) -> bool:
    return not check.passed and check.severity == dg.AssetCheckSeverity.ERROR


def _is(result: dg.AssetCheckResult, check: dg.AssetCheckSpec) -> bool:
    return (result.asset_key, result.check_name) == (check.asset_key, check.name)


def _key(result: Result) -> dg.AssetKey:
    if result.asset_key is None:
        raise dg.DagsterInvariantViolationError("a window's result must name its asset")
    return dg.AssetKey.from_coercible(result.asset_key)
