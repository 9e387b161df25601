"""When windows are loaded and checks are run by themselves."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from ddb_assets.contract.table import Table
from ddb_assets.windows.table_assets import all_keys, stage_assets

PITR = timedelta(days=35)
"""As far back as DynamoDB can export changes from, and so as late as a window can arrive."""

A = dg.AutomationCondition
_the_hour: dg.AutomationCondition[Any] = dg.AutomationCondition.cron_tick_passed("0 * * * *", "UTC")
# the daemon of Dagster 1.13 was seen to overlook the last window of a run that failed, so what is missing is looked for, too
_forgotten = A.missing() & _the_hour
EVERY_HOUR: dg.AutomationCondition[Any] = (_the_hour & ~A.in_progress()).with_label("every_hour")
"""Checks that find out what did not happen, so they cannot wait for something to happen."""


def as_parquet_passes(table: Table) -> dg.AutomationCondition[Any]:
    """A window is loaded when its Parquet is new and passes, late or not; one that fails is held until it is made again."""
    # a new initial load is no news for a window: those it does not cover are exported, and arrive as Parquet
    loads = stage_assets(table, "initial_load")
    news = A.newly_missing() | A.any_deps_updated().ignore(loads).with_label("any_parquet_updated")
    return (
        A.in_latest_time_window(PITR)
        & (news.since_last_handled() | _forgotten)
        & ~A.any_deps_missing()
        & ~A.any_deps_in_progress()
        & ~A.in_progress()
        & A.all_deps_blocking_checks_passed()
    ).with_label("as_parquet_passes")


def automation(tables: Sequence[Table]) -> dg.AutomationConditionSensorDefinition:
    """Evaluates the conditions of all assets and checks of these tables, and of no others."""
    keys = [key for table in tables for key in all_keys(table)]
    return dg.AutomationConditionSensorDefinition(
        "ddb_assets_automation",
        target=dg.AssetSelection.assets(*keys) | dg.AssetSelection.checks_for_assets(*keys),
        description="Loads windows that were flattened outside of a run that loads them, and asks hourly what is missing.",
    )
