"""When assets run and what a failed step says: jobs, pools, the one translation of our errors for Dagster.

What the steps do is in the stages' `assets.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import dagster as dg

from ddb_assets.errors import DdbAssetsError

EXPORTS_POOL = "dynamodb_exports"
"""Running export requests; AWS allows 300 exports at once in an account and Region."""
WAREHOUSE_POOL = "warehouse"
"""Loads into one warehouse, across runs."""

FULL_CHAIN = ("snapshots", "baseline", "warehouse_baseline")
"""The stages that a full export of a table passes; of a table that is only ever replaced the last is `warehouse`."""
LOAD_TAG = "ddb_assets/load"
"""Says of an asset how its table is loaded: upsert or replace."""

BASELINE = dg.define_asset_job(
    "baseline",
    selection=dg.AssetSelection.key_prefixes(*FULL_CHAIN)
    | (dg.AssetSelection.key_prefixes("warehouse") & dg.AssetSelection.tag(LOAD_TAG, "replace")),
    description="Export every table in full, flatten it and load it into the warehouse.",
)

IN_PROCESS: dict[str, Any] = {"execution": {"config": {"in_process": {}}}}
"""A run of a window has a few short steps, one after another: a process for each would take longer than they do."""

PITR = timedelta(days=35)
"""As far back as DynamoDB can export changes from, and so as late as a window can arrive."""

A = dg.AutomationCondition
AS_PARQUET_PASSES = (
    A.eager()
    .replace(A.in_latest_time_window(), A.in_latest_time_window(PITR))
    # a new baseline is no news for a window: those it does not cover are exported, and arrive as Parquet
    .replace("any_deps_updated", A.any_deps_updated().ignore(dg.AssetSelection.key_prefixes("warehouse_baseline")))
    & A.all_deps_blocking_checks_passed()
).with_label("as_parquet_passes")
"""A window is loaded when its Parquet is new and passes, late or not; one that fails is held until it is made again."""
_the_hour: dg.AutomationCondition[Any] = dg.AutomationCondition.cron_tick_passed("0 * * * *", "UTC")
EVERY_HOUR: dg.AutomationCondition[Any] = (_the_hour & ~A.in_progress()).with_label("every_hour")
"""Checks that find out what did not happen, so they cannot wait for something to happen."""

AUTOMATION = dg.AutomationConditionSensorDefinition(
    "automation",
    target=dg.AssetSelection.all() | dg.AssetSelection.all_asset_checks(),
    description="Loads windows that were flattened outside of a run that loads them, and asks hourly what is missing.",
)


@contextmanager
def explained_failure() -> Iterator[None]:
    """Makes an error that a user can mend the failure's own description, without our stack trace around it."""
    try:
        yield
    except DdbAssetsError as error:
        raise dg.Failure(description=str(error), metadata={"error": type(error).__name__}) from error
