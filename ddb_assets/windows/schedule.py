"""When exports are requested: each window as soon as DynamoDB can export it, a table that is replaced at its cadence.

A tick requests exports and returns; it does not hold a worker while AWS works. `sensor.py` finds the manifest once it is
written, and completes the partition. Facts: AWS can export up to about 5 minutes ago; a tick may take 60 s.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice

import dagster as dg

from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import Window, exportable
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.follow import ExportRef
from ddb_assets.exports.request import Destination, Increment, NotRestorableError, TableExports
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.run_config import in_process
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.windows.automation import schedule_status
from ddb_assets.windows.chain import (
    UNFINISHED,
    ChainBrokenError,
    called_loaded,
    check_obtainable,
    check_same_table,
    find_initial_load,
    materialized,
    newest_is_exported,
    no_initial_load,
    same_window,
    window_facts,
)
from ddb_assets.windows.coverage import missing
from ddb_assets.windows.export_assets import destination, view_of
from ddb_assets.windows.loaded import A_TICKS_PATIENCE, LoadedChain, ask
from ddb_assets.windows.table_assets import stage_assets, stage_keys, whole_assets, window_stages

EVERY_5_MINUTES = "*/5 * * * *"
A_TICK = timedelta(seconds=30)  # then the other windows wait for the next tick
AT_MOST = 50  # windows that a tick requests, and that it has loaded again; AWS runs 300 exports at once, of all tables
STALLED = timedelta(hours=24)  # no export of a window takes that long
OVERLOOKED = timedelta(hours=2)  # so long after its start an export should have been reported by the sensor
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=5), timedelta(hours=6)  # before a failed export is requested again
ATTEMPTS = 4
LOADED_AGAIN = "ddb_assets/loaded_again"
"""The tag, with a table's name, of runs that load its windows again."""


def full_export_schedule(table: Table) -> dg.ScheduleDefinition:
    """Exports or scans a table that is replaced as a whole, and loads it, at its cadence."""
    scanned = table.source == "scan"
    return dg.ScheduleDefinition(
        name=f"{table.name}_scans" if scanned else f"{table.name}_full_exports",
        target=whole_assets(table),
        cron_schedule=table.windows.cron,
        execution_timezone="UTC",
        default_status=schedule_status(),
        description=f"{'Scans' if scanned else 'Exports'} {table.table} in full, {table.cadence}, and replaces it in the "
        "warehouse.",
    )


def window_schedule(table: Table) -> dg.ScheduleDefinition:
    """Requests every window that is due and not exported, oldest first; after downtime too."""

    @dg.schedule(
        name=f"{table.name}_windows",
        target=stage_assets(table, *window_stages(table)),
        cron_schedule=EVERY_5_MINUTES,
        execution_timezone="UTC",
        default_status=schedule_status(),
        description=f"Requests the export of each window of {table.table} as soon as DynamoDB can make it.",
    )
    def windows(
        context: dg.ScheduleEvaluationContext, ddb_aws: AWSResource, ddb_lake: Lake, ddb_warehouse: WarehouseTarget
    ) -> dg.SkipReason | list[dg.RunRequest]:
        initial_load = find_initial_load(context.instance, table)
        if initial_load is None:
            return dg.SkipReason(no_initial_load(table))
        now, done = datetime.now(UTC), materialized(context.instance, "window_export", table)
        hourly = context.scheduled_execution_time.minute < 5  # so that a paused warehouse is not woken every 5 minutes
        if not hourly and newest_is_exported(table, initial_load, done, now):
            return dg.SkipReason("the newest window needs no export; older windows are checked every hour")
        try:
            known = ask(ddb_warehouse, ddb_aws.clients, table, patience=A_TICKS_PATIENCE)
        except DdbAssetsError as error:
            return dg.SkipReason(f"the warehouse cannot be asked which windows it has, so none is requested: {error}")
        exports = TableExports(ddb_aws.clients.dynamodb(table.table), table.table, table.max_cost)
        check_same_table(exports, table, known.initial_load)
        restorable = exports.restorable()
        due: dict[str, Window] = {}
        for key, window in missing(table.windows, known.coverage, restorable.latest + table.windows.length):
            due.setdefault(key, window)
        exported: dict[str, str] = {}
        wanted: dict[str, Window] = {}
        for key, window in due.items():
            if key in done and (export_id := _export_of(context.instance, table, key, window)):
                exported[key] = export_id
                continue
            check_obtainable(window, restorable.earliest)
            if exportable(window, restorable.latest):
                wanted[key] = window
        asking = _TickExports(context, table, exports, destination(ddb_lake, table), now)
        if runs := [*_loaded_again(context, table, exported, known, now), *asking.ask(wanted)]:
            return runs
        return dg.SkipReason(asking.said(len(wanted)) if wanted else "every window that has ended is exported")

    return windows


def _export_of(instance: dg.DagsterInstance, table: Table, key: str, window: Window) -> str:
    """The id of Dagster's export of exactly this window, not of one from before `cadence` changed; empty for none."""
    facts = window_facts(instance, "window_export", table, key) or {}
    known = metadata.EXPORT_ID in facts and same_window(facts, window.start, window.end)
    return str(facts[metadata.EXPORT_ID].value) if known else ""


def _loaded_again(
    context: dg.ScheduleEvaluationContext, table: Table, exported: Mapping[str, str], known: LoadedChain, now: datetime
) -> list[dg.RunRequest]:
    """Runs for windows that Dagster calls loaded and the warehouse lost: `AT_MOST` a tick, each window once a day."""
    loaded = exported.keys() & materialized(context.instance, "warehouse", table)
    fresh = loaded - _asked_again(context.instance, table, now) if loaded else loaded
    lost = (
        (key, export_id)
        for key, export_id in exported.items()
        if key in fresh and called_loaded(context.instance, table, key, known.exports) == export_id
    )
    runs = []
    for key, export_id in islice(lost, AT_MOST):
        context.log.warning(
            f"window {key}: export {export_id} was loaded and is not in the warehouse any more: it is loaded again"
        )
        runs.append(
            dg.RunRequest(
                run_key=f"{key}/{export_id}/again/{now:%Y-%m-%d}",
                partition_key=key,
                asset_selection=stage_keys(table, "warehouse"),
                run_config=in_process(context.repository_def),
                tags={LOADED_AGAIN: table.name},
            )
        )
    return runs


def _asked_again(instance: dg.DagsterInstance, table: Table, now: datetime) -> set[str]:
    """The windows that are being loaded again, or for which a run was started within the last day."""
    tags = {LOADED_AGAIN: table.name}
    recent = instance.get_runs(dg.RunsFilter(tags=tags, created_after=now - timedelta(days=1)))
    unfinished = instance.get_runs(dg.RunsFilter(tags=tags, statuses=UNFINISHED))
    return {run.tags["dagster/partition"] for run in (*recent, *unfinished) if "dagster/partition" in run.tags}


class _TickExports:
    """The exports that one tick requests for one table."""

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
        """Requests them within the time of a tick; returns runs for completed exports that the sensor has not reported."""
        runs = []
        until = time.monotonic() + A_TICK.total_seconds()
        for key, window in islice(windows.items(), AT_MOST):
            if time.monotonic() > until:
                break
            try:
                found = self._export(window)
            except (
                NotRestorableError
            ) as error:  # DynamoDB may refuse a time that it reported as restorable a moment ago
                self._context.log.info(str(error))
                found = None
            if found is None:
                self._paused += 1
            elif found.status == "COMPLETED":
                self._complete += 1
                if self._now - found.started > OVERLOOKED:
                    runs.append(
                        dg.RunRequest(
                            run_key=f"{key}/{found.id}",
                            partition_key=key,
                            # named, so that the sensor sees which windows the run makes
                            asset_selection=stage_keys(self._table, *window_stages(self._table)),
                            run_config=in_process(self._context.repository_def),
                        )
                    )
            else:
                self._running += 1
        return runs

    def said(self, due: int) -> str:
        """Why a tick starts no run."""
        waiting = due - self._running - self._complete - self._paused
        return (
            f"{due} windows are due: {self._running} being exported, {self._complete} exported and to be reported by the "
            f"sensor, {self._paused} to be tried again later, {waiting} to be requested in the next ticks"
        )

    def _export(self, window: Window) -> ExportRef | None:
        """The window's export, requested if there is none; None while it is too early to repeat a failed one."""
        what = Increment(window, view_of(self._table))
        for attempt in range(ATTEMPTS):
            known = self._exports.find(what, self._target, attempt=attempt)
            if known.export is None:
                if known.failed and not self._again(window, known.failed):
                    return None
                asked = self._exports.request(what, self._target, attempt=attempt)
                self._context.log.info(f"window {window}: requested export {asked.id}")
                return asked
            if known.export.status == "COMPLETED" or self._now - known.export.started < STALLED:
                return known.export
            self._context.log.error(
                f"window {window}: export {known.export.id} has not ended in {STALLED}: requesting another"
            )
        raise ChainBrokenError(
            f"window {window}: {ATTEMPTS} exports have been running for more than {STALLED} each: ask AWS support why"
        )

    def _again(self, window: Window, failed: tuple[ExportRef, ...]) -> bool:
        """Whether the pause after the last failure is over; each failure is logged and doubles the pause."""
        newest = failed[0]
        pause: timedelta = min(FIRST_PAUSE * 2 ** (len(failed) - 1), LONGEST_PAUSE)
        self._context.log.error(
            f"window {window}: export {newest.id} failed ({newest.failure}); {len(failed)} so far, "
            f"the next is requested at {(newest.started + pause).isoformat(timespec='minutes')}"
        )
        return self._now - newest.started >= pause
