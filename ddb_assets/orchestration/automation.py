"""When assets run and what a failed step says: jobs, pools, the one translation of our errors for Dagster.

What the steps do is in the stages' `assets.py`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import dagster as dg

from ddb_assets.aws.errors import AwsUnavailableError
from ddb_assets.aws.storage import BrokenOffError
from ddb_assets.errors import DdbAssetsError, machine_error
from ddb_assets.warehouse.protocol import InterruptedLoadError

EXPORTS_POOL = "dynamodb_exports"
"""Running export requests; AWS allows 300 exports at once in an account and Region."""
FULL_CHAIN = ("snapshots", "baseline", "warehouse_baseline")
"""The stages that a full export of a table passes; of a table that is only ever replaced the last is `warehouse`."""
LOAD_TAG = "ddb_assets/load"
"""Says of an asset how its table is loaded: upsert or replace."""

BASELINE = "baseline"
"""The job that exports every table in full."""

RETRIES = dg.RetryPolicy(max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""The retries of every step; what only a person can repair fails at once (`explained_failure`)."""

IN_PROCESS: dict[str, Any] = {"execution": {"config": {"in_process": {}}}}
"""A run of a window has a few short steps, one after another: a process for each would take longer than they do."""

PITR = timedelta(days=35)
"""As far back as DynamoDB can export changes from, and so as late as a window can arrive."""

A = dg.AutomationCondition
_the_hour: dg.AutomationCondition[Any] = dg.AutomationCondition.cron_tick_passed("0 * * * *", "UTC")
# a new baseline is no news for a window: those it does not cover are exported, and arrive as Parquet
_news = A.newly_missing() | A.any_deps_updated().ignore(dg.AssetSelection.key_prefixes("warehouse_baseline"))
# the daemon of Dagster 1.13 was seen to overlook the last window of a run that failed, so what is missing is looked for, too
_forgotten = A.missing() & _the_hour
AS_PARQUET_PASSES = (
    A.in_latest_time_window(PITR)
    & (_news.since_last_handled() | _forgotten)
    & ~A.any_deps_missing()
    & ~A.any_deps_in_progress()
    & ~A.in_progress()
    & A.all_deps_blocking_checks_passed()
).with_label("as_parquet_passes")
"""A window is loaded when its Parquet is new and passes, late or not; one that fails is held until it is made again."""
EVERY_HOUR: dg.AutomationCondition[Any] = (_the_hour & ~A.in_progress()).with_label("every_hour")
"""Checks that find out what did not happen, so they cannot wait for something to happen."""

AUTOMATION = dg.AutomationConditionSensorDefinition(
    "automation",
    target=dg.AssetSelection.all() | dg.AssetSelection.all_asset_checks(),
    description="Loads windows that were flattened outside of a run that loads them, and asks hourly what is missing.",
)


def warehouse_pool(address: str) -> str:
    """The pool of loads into the warehouse of this URL, across runs and code locations of one Dagster instance.

    `warehouse` for embedded ones, which let one load in at a time anyway.
    """
    parts = urlsplit(address)
    options = dict(parse_qsl(parts.query))
    server = parts.hostname or options.get("cluster") or options.get("workgroup") or ""
    place = re.sub(r"\W+", "_", f"{server}{parts.path}", flags=re.ASCII).strip("_")
    return "warehouse" if parts.scheme == "duckdb" else f"warehouse_{place}"


def passing(error: DdbAssetsError) -> bool:
    """Whether the same step may succeed a moment later by itself."""
    return isinstance(error, AwsUnavailableError | BrokenOffError | InterruptedLoadError)


@contextmanager
def explained_failure() -> Iterator[None]:
    """Makes an error that a user can mend the failure's own description, without our stack trace around it."""
    try:
        yield
    except DdbAssetsError as error:
        raise dg.Failure(
            description=str(error), metadata={"error": type(error).__name__}, allow_retries=passing(error)
        ) from error
    except (OSError, MemoryError) as error:
        if ours := machine_error(error):
            raise dg.Failure(
                description=str(ours), metadata={"error": type(ours).__name__}, allow_retries=False
            ) from error
        raise
