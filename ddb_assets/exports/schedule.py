"""When exports are asked for: each window as soon as DynamoDB can export it, a table that is replaced by its cadence.

A tick asks and returns; it does not hold a worker while AWS works. `sensor.py` sees the manifest when it is there and
completes the partition. Facts: AWS can export up to about 5 minutes ago; a tick may take 60 s.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice

import dagster as dg

from ddb_assets.automation import IN_PROCESS
from ddb_assets.exports.chain import (
    ChainBrokenError,
    check_same_table,
    due_by_the_clock,
    find_baseline,
    materialized,
    no_baseline,
)
from ddb_assets.exports.follow import ExportRef
from ddb_assets.exports.request import Destination, Increment, NotRestorableError, TableExports
from ddb_assets.exports.window_assets import VIEW, destination
from ddb_assets.exports.windows import Gap, Window, backlog
from ddb_assets.resources.aws import AWS
from ddb_assets.resources.lake import Lake
from ddb_assets.table import Table
from ddb_assets.table_assets import stage_assets, whole_assets

EVERY_5_MINUTES = "*/5 * * * *"
A_TICK = timedelta(seconds=30)  # then the rest waits for the next one
AT_MOST = 50  # windows a tick asks for; AWS runs 300 exports at once, of all tables
STALLED = timedelta(hours=24)  # no export of a window takes that long
OVERLOOKED = timedelta(hours=2)  # the sensor has had that long since the export was begun
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=5), timedelta(hours=6)  # before a failed export is asked for again
ATTEMPTS = 4


def snapshot_schedule(table: Table) -> dg.ScheduleDefinition:
    """Exports and loads a table that is replaced as a whole, at its cadence."""
    return dg.ScheduleDefinition(
        name=f"{table.name}_snapshots",
        target=whole_assets(table),
        cron_schedule=table.windows.cron,
        execution_timezone="UTC",
        description=f"Exports {table.table} in full, {table.cadence}, and replaces it in the warehouse.",
    )


def window_schedule(table: Table) -> dg.ScheduleDefinition:
    """Asks for every window that is due and not exported, oldest first; after downtime too."""

    @dg.schedule(
        name=f"{table.name}_windows",
        target=stage_assets(table, "exports", "parquet", "warehouse"),
        cron_schedule=EVERY_5_MINUTES,
        execution_timezone="UTC",
        description=f"Asks DynamoDB for the export of each window of {table.table} as soon as it can be had.",
    )
    def windows(context: dg.ScheduleEvaluationContext, aws: AWS, lake: Lake) -> dg.SkipReason | list[dg.RunRequest]:
        baseline = find_baseline(context.instance, table)
        if baseline is None:
            return dg.SkipReason(no_baseline(table))
        done = materialized(context.instance, "exports", table)
        now = datetime.now(UTC)
        if not due_by_the_clock(table, baseline, done, now):
            return dg.SkipReason("every window that has ended is exported")
        exports = TableExports(aws.dynamodb(table.table), table.table)
        check_same_table(exports, table, baseline)
        restorable = exports.restorable()
        due = backlog(
            table.windows,
            baseline=baseline.time,
            done=done,
            earliest_restorable=restorable.earliest,
            latest_restorable=restorable.latest,
        )
        if isinstance(due, Gap):
            raise ChainBrokenError(str(due))
        asking = _Asking(context, table, exports, destination(lake, table), now)
        runs = asking.ask(due.windows)
        return runs or dg.SkipReason(asking.said(len(due.windows)))

    return windows


class _Asking:
    """One tick's requests for one table."""

    def __init__(
        self,
        context: dg.ScheduleEvaluationContext,
        table: Table,
        exports: TableExports,
        target: Destination,
        now: datetime,
    ) -> None:
        self._context, self._table, self._exports, self._target = context, table, exports, target
        self._now = now
        self._running = self._complete = self._paused = 0

    def ask(self, windows: Mapping[str, Window]) -> list[dg.RunRequest]:
        """Asks for them, within a tick's time; gives runs for exports that are done and that nobody has reported."""
        runs = []
        until = time.monotonic() + A_TICK.total_seconds()
        for key, window in islice(windows.items(), AT_MOST):
            if time.monotonic() > until:
                break
            try:
                found = self._export(window)
            except NotRestorableError as error:  # its clock lags behind what it told us a moment ago
                self._context.log.info(str(error))
                found = None
            if found is None:
                self._paused += 1
            elif found.status == "COMPLETED":
                self._complete += 1
                if self._now - found.started > OVERLOOKED:
                    runs.append(dg.RunRequest(run_key=f"{key}/{found.id}", partition_key=key, run_config=IN_PROCESS))
            else:
                self._running += 1
        return runs

    def said(self, due: int) -> str:
        """What a tick that starts no run has to tell."""
        waiting = due - self._running - self._complete - self._paused
        return (
            f"{due} windows are due: {self._running} being exported, {self._complete} exported and to be reported by the "
            f"sensor, {self._paused} to be tried again later, {waiting} to be asked for in the next ticks"
        )

    def _export(self, window: Window) -> ExportRef | None:
        """The window's export, asked for if there is none; None while a failed one is not to be repeated yet."""
        what = Increment(window, VIEW)
        for attempt in range(ATTEMPTS):
            known = self._exports.find(what, self._target, attempt=attempt)
            if known.export is None:
                if known.failed and not self._again(window, known.failed):
                    return None
                asked = self._exports.request(what, self._target, attempt=attempt)
                self._context.log.info(f"window {window}: asked for export {asked.id}")
                return asked
            if known.export.status == "COMPLETED" or self._now - known.export.started < STALLED:
                return known.export
            self._context.log.error(
                f"window {window}: export {known.export.id} has not come to an end in {STALLED}: asking for another"
            )
        raise ChainBrokenError(
            f"window {window}: {ATTEMPTS} exports have been running for more than {STALLED} each: ask AWS support why"
        )

    def _again(self, window: Window, failed: tuple[ExportRef, ...]) -> bool:
        """Whether the time has come; each failure is reported, and doubles the pause after it."""
        newest = failed[0]
        pause: timedelta = min(FIRST_PAUSE * 2 ** (len(failed) - 1), LONGEST_PAUSE)
        self._context.log.error(
            f"window {window}: export {newest.id} failed ({newest.failure}); {len(failed)} so far, "
            f"the next is asked for at {(newest.started + pause).isoformat(timespec='minutes')}"
        )
        return self._now - newest.started >= pause
