"""The conditions under which Dagster loads windows and runs checks by itself."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.settings import is_automated
from ddb_assets.windows.table_assets import all_keys, stage_assets

PITR = timedelta(days=35)
"""How far back DynamoDB can export changes, and so how late a window can arrive."""

A = dg.AutomationCondition
_the_hour: dg.AutomationCondition[Any] = dg.AutomationCondition.cron_tick_passed("0 * * * *", "UTC")
# the daemon of Dagster 1.13 was seen to overlook the last window of a failed run, so missing windows are looked for, too
_forgotten = (_the_hour & A.missing()).with_label("missing_on_the_hour")
_passes = A.all_checks_match(A.check_passed(), blocking_only=True).with_label("all_blocking_checks_passed")
# as in Dagster's own conditions, a source that is requested in the same tick is made by the same run
_ready = ~A.in_progress() & (A.will_be_requested() | (~A.missing() & _passes))
EVERY_HOUR: dg.AutomationCondition[Any] = (_the_hour & ~A.in_progress()).with_label("every_hour")
"""For checks that look for what did not happen: no event can start them."""

EVERY_NIGHT: dg.AutomationCondition[Any] = (A.cron_tick_passed("17 3 * * *", "UTC") & ~A.in_progress()).with_label(
    "every_night"
)
"""For what depends on the day, not on new data."""


def as_parquet_passes(table: Table, before: Stage = "initial_load") -> dg.AutomationCondition[Any]:
    """A window is loaded once its Parquet is new and passes its checks, however late. One that fails waits for new Parquet.

    `before` is the stage that windows are applied to.

    What is seldom true comes first: Dagster does not compute the rest for a table that has no window to load.
    """
    # a new initial load alone starts no window: those that it does not cover are exported, and arrive as Parquet
    loads = stage_assets(table, before)
    news = A.newly_missing() | A.any_deps_updated().ignore(loads).with_label("any_parquet_updated")
    return (
        (news.since_last_handled().with_label("parquet_is_new") | _forgotten)
        & A.in_latest_time_window(PITR).with_label("of_the_last_35_days")
        & ~A.in_progress()
        & A.all_deps_match(_ready).with_label("all_sources_ready")
    ).with_label("as_parquet_passes")


def schedule_status() -> dg.DefaultScheduleStatus:
    """Of a schedule that nobody has switched in the UI."""
    return dg.DefaultScheduleStatus.RUNNING if is_automated() else dg.DefaultScheduleStatus.STOPPED


def sensor_status() -> dg.DefaultSensorStatus:
    """Of a sensor that nobody has switched in the UI."""
    return dg.DefaultSensorStatus.RUNNING if is_automated() else dg.DefaultSensorStatus.STOPPED


def automation(tables: Sequence[Table]) -> dg.AutomationConditionSensorDefinition:
    """Evaluates the conditions of all assets and checks of these tables, and of no others."""
    keys = [key for table in tables for key in all_keys(table)]
    return dg.AutomationConditionSensorDefinition(
        "ddb_assets_automation",
        # their checks too, as every selection of assets has; one that names checks the UI cannot put into words
        target=dg.AssetSelection.assets(*keys),
        default_status=sensor_status(),
        description="Loads windows that were flattened by a run that did not load them, and looks hourly for missing ones.",
    )
