"""When exports are asked for: each window as soon as DynamoDB can export it, a table that is replaced by its cadence.

A tick asks and returns; it does not hold a worker while AWS works. `sensor.py` sees the manifest when it is there and
completes the partition. Facts: AWS can export up to about 5 minutes ago; a tick may take 60 s.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice

import dagster as dg

from ddb_assets import metadata
from ddb_assets.automation import IN_PROCESS
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.chain import (
    ChainBrokenError,
    called_loaded,
    check_same_table,
    due_by_the_clock,
    find_baseline,
    materialized,
    no_baseline,
    window_facts,
)
from ddb_assets.exports.coverage import missing
from ddb_assets.exports.follow import ExportRef
from ddb_assets.exports.loaded import A_TICKS_PATIENCE, Loaded, ask
from ddb_assets.exports.request import Destination, Increment, NotRestorableError, TableExports
from ddb_assets.exports.window_assets import VIEW, destination
from ddb_assets.exports.windows import Gap, Window, exportable
from ddb_assets.parquet.assets import relations
from ddb_assets.resources.aws import AWS
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
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
    def windows(
        context: dg.ScheduleEvaluationContext, aws: AWS, lake: Lake, warehouse: WarehouseTarget
    ) -> dg.SkipReason | list[dg.RunRequest]:
        told = find_baseline(context.instance, table)
        if told is None:
            return dg.SkipReason(no_baseline(table))
        now, done = datetime.now(UTC), materialized(context.instance, "exports", table)
        hourly = context.scheduled_execution_time.minute < 5  # a warehouse that sleeps is not woken all the time
        if not hourly and not due_by_the_clock(table, told, done, now):
            return dg.SkipReason("every window that has ended is exported")
        try:
            known = ask(warehouse, aws, table, patience=A_TICKS_PATIENCE)
        except DdbAssetsError as error:
            return dg.SkipReason(f"the warehouse cannot be asked which windows it has, so none is asked for: {error}")
        exports = TableExports(aws.dynamodb(table.table), table.table)
        check_same_table(exports, table, known.baseline)
        restorable = exports.restorable()
        due: dict[str, Window] = {}
        for key, window in missing(table.windows, known.coverage, restorable.latest + table.windows.length):
            due.setdefault(key, window)
        asking = _Asking(context, table, exports, destination(lake, table), now)
        runs = [run for key, window in due.items() if (run := _loaded_again(context, table, key, window, known, now))]
        wanted = {key: window for key, window in due.items() if not _is_exported(context, table, key, window)}
        if wanted and (first := min(wanted.values())).start < restorable.earliest:
            raise ChainBrokenError(str(Gap(first, restorable.earliest)))
        wanted = {key: window for key, window in wanted.items() if exportable(window, restorable.latest)}
        runs += asking.ask(wanted)
        if runs:
            return runs
        return dg.SkipReason(asking.said(len(wanted)) if wanted else "every window that has ended is exported")

    return windows


def _is_exported(context: dg.ScheduleEvaluationContext, table: Table, key: str, window: Window) -> bool:
    """Whether Dagster has an export of just this window: of another length, as before `cadence` changed, it is none."""
    facts = window_facts(context.instance, "exports", table, key) or {}
    times = [facts[name].value for name in ("from_time", "to_time") if name in facts]
    return times == [window.start.timestamp(), window.end.timestamp()]


def _loaded_again(
    context: dg.ScheduleEvaluationContext, table: Table, key: str, window: Window, known: Loaded, now: datetime
) -> dg.RunRequest | None:
    """A run, once a day at most, that loads a window which Dagster calls loaded and the warehouse lost."""
    lost = called_loaded(context.instance, table, key, known.exports)
    exported = window_facts(context.instance, "exports", table, key) or {}
    if not lost or metadata.EXPORT_ID not in exported or exported[metadata.EXPORT_ID].value != lost:
        return None
    if not _is_exported(context, table, key, window):
        return None
    context.log.warning(
        f"window {key}: export {lost} was loaded, and the warehouse does not have it: it is loaded again"
    )
    return dg.RunRequest(
        run_key=f"{key}/{lost}/again/{now:%Y-%m-%d}",
        partition_key=key,
        asset_selection=[metadata.asset_key("warehouse", name) for name in relations(table).values()],
        run_config=IN_PROCESS,
    )


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
