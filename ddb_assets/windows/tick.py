"""What one tick of a sensor makes of exports: verified windows, checks that failed, and runs to start.

Which exports there are to look at is `sensor.py`. Events of one tick are stored before its runs are started.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import dagster as dg

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.errors import AwsUnavailableError
from ddb_assets.aws.storage import Storage, StorageError, join
from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import Window, WindowError, partition_of
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.checks import VERIFIED
from ddb_assets.exports.facts import window_export_facts
from ddb_assets.exports.follow import started_at
from ddb_assets.exports.manifest import MAX_SUMMARY_BYTES, SUMMARY, Export, ManifestError, read_export
from ddb_assets.exports.trust import UntrustedExportError, confirm
from ddb_assets.markdown import prose
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.run_config import in_process
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.windows.chain import (
    UNFINISHED,
    InitialLoad,
    NoInitialLoadError,
    find_initial_load,
    no_initial_load,
    same_window,
    window_facts,
)
from ddb_assets.windows.claim import Claim
from ddb_assets.windows.coverage import known_partition
from ddb_assets.windows.loaded import A_TICKS_PATIENCE, ask
from ddb_assets.windows.partitions import window_partitions
from ddb_assets.windows.table_assets import after_export, stage_keys

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

A_TICK = timedelta(seconds=30)
AT_MOST = 100  # exports looked at in one tick
GIVEN_UP = timedelta(hours=48)  # no export takes that long; the schedule requests its window again


@dataclass
class Tick:
    """What one tick of a sensor finds. `runs` are by table and window: of several exports of one only the newest is loaded."""

    context: dg.SensorEvaluationContext
    storage: Storage
    root: str
    tables: list[Table]
    now: datetime
    aws: AWS
    warehouse: WarehouseTarget
    events: list[Any] = field(default_factory=list)
    runs: dict[tuple[str, str], dg.RunRequest] = field(default_factory=dict)
    windows: dict[tuple[str, str], tuple[datetime | None, datetime | None]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    looked: set[str] = field(default_factory=set)
    clients: dict[str, "DynamoDBClient"] = field(default_factory=dict)

    def look(self, pending: dict[str, str], found: Iterable[str]) -> set[str]:
        """Looks at pending exports and new ones, oldest first, as long as a tick's time allows; returns what it looked at."""
        until = time.monotonic() + A_TICK.total_seconds()
        waiting = list(pending)[: AT_MOST // 2]
        for export in sorted([*waiting, *islice(found, AT_MOST - len(waiting))]):
            if time.monotonic() > until:
                break
            reason = self._look_at(export, pending.get(export, ""))
            self.looked.add(export)
            if reason is not None:
                self.left[export] = reason
        return self.looked

    def pending(self, before: dict[str, str]) -> dict[str, str]:
        """Those still to be looked at: first those that this tick had no time for."""
        return {export: reason for export, reason in before.items() if export not in self.looked} | self.left

    def said(self, pending: int) -> str:
        """Why a tick starts no run."""
        reasons = sorted({reason for reason in self.left.values() if reason})
        return "; ".join([f"{len(self.looked) - len(self.left)} exports done, {pending} pending", *reasons])

    def _look_at(self, export_id: str, said: str) -> str | None:
        """None once the export is done; otherwise the reason why it is not."""
        uri = join(self.root, export_id, SUMMARY)
        old = self.now - started_at(export_id) > GIVEN_UP
        try:
            if not self.storage.exists(uri):
                if old:
                    self._warn(export_id, f"has had no {SUMMARY} for {GIVEN_UP}: it failed or was deleted")
                return None if old else ""
            export = read_export(self.storage, uri)
        except StorageError as error:
            return str(error)
        except ManifestError as error:
            if str(error) != said:
                self._damaged(export_id, uri, error)
            return None if old else str(error)
        except Exception as error:  # one export must not stop the others
            self.context.log.exception(f"export {export_id}")
            return None if old else repr(error)
        if export.kind == "full":  # the run that requests a full export also waits for it
            return None
        return self._offer(export, said, old=old)

    def _offer(self, export: Export, said: str, *, old: bool) -> str | None:
        """Offers the export to every table it may belong to. A problem is reported once, on that table's page."""
        left: list[str] = []
        reported: list[str] = []
        for table in self._tables(export.table_arn):
            try:
                if reason := self._take(table, export, old=old):
                    left.append(reason)
            except (WindowError, ManifestError) as error:
                reported.append(self._observe(table, export, "not a window of this table", str(error), said))
            except Exception as error:  # one table must not stop the others
                if not isinstance(error, DdbAssetsError):
                    self.context.log.exception(f"{table.name}: export {export.id}")
                reason = f"{table.name}: {error}" if isinstance(error, DdbAssetsError) else f"{table.name}: {error!r}"
                what = "failed, is not tried again" if old else "failed, is tried again"
                reported.append(self._observe(table, export, what, reason, said))
                left.extend([] if old else [reason])
        return "; ".join(dict.fromkeys([*left, *reported])) if left else None

    def _take(self, table: Table, export: Export, *, old: bool) -> str | None:
        """Raises WindowError and ManifestError for an export that is never loaded into this table."""
        initial_load = find_initial_load(self.context.instance, table)
        named = any(other.table == export.table_arn for other in self.tables)
        if (
            named
            and table.table != export.table_arn
            and not (initial_load and initial_load.table_arn == export.table_arn)
        ):
            return None  # a table of the same name in another account or Region, which has a contract of its own
        if initial_load is None:
            return None if old else no_initial_load(table)
        if export.to_time and export.to_time > self.now:  # its partition exists only once our clock has passed its end
            end = export.to_time.isoformat()
            if old:
                raise WindowError(f"its window ends at {end}, which is too late for an export that began so long ago")
            return f"{export.id} is of a window that ends at {end}, later than this machine's clock"
        try:
            confirm(self._dynamodb(export.table_arn), table, export)
            key = self._key(table, export, initial_load)
        except UntrustedExportError as error:
            self._damaged(export.id, export.uri, error)
            return None
        except (AwsUnavailableError, WarehouseError) as error:  # without an answer it stays pending, however old
            return str(error)
        return self._arrived(table, export, key, initial_load)

    def _key(self, table: Table, export: Export, initial_load: InitialLoad) -> str:
        """The partition of an export; the ledger is asked if the export is not on the regular chain since the initial load."""
        try:
            return _partition(table, export, initial_load)
        except WindowError:
            if export.from_time is None or export.to_time is None:
                raise
            try:
                known = ask(self.warehouse, self.aws, table, patience=A_TICKS_PATIENCE)
            except NoInitialLoadError:
                known = None
            window = Window(export.from_time, export.to_time)
            key = known_partition(table.windows, known.coverage, window) if known else None
            if key is None or not window_partitions(table).has_partition_key(key):
                raise
            return key

    def _arrived(self, table: Table, export: Export, key: str, initial_load: InitialLoad) -> str | None:
        known = window_facts(self.context.instance, "window_export", table, key) or {}
        known_id = _export_id(known)
        other = bool(known) and not same_window(known, export.from_time, export.to_time)
        if known_id > export.id and not other:
            return None  # a newer export of the same window has everything of this one
        window = (export.from_time, export.to_time)
        if self.windows.setdefault((table.name, key), window) != window:
            return f"{table.name} {key}: another window of this partition is loaded first"
        if run := self._running("window_parquet" if other or known_id == export.id else "window_export", table, key):
            return f"{table.name} {key}: run {run} is working on it"
        if known_id != export.id:
            facts = window_export_facts(export, self.now)
            asset = metadata.key_of(table, "window_export")
            self.events.append(dg.AssetMaterialization(asset, partition=key, metadata=facts))
            self._evaluated(table, key, None, {"items_in_manifest": dg.MetadataValue.int(export.item_count)})
        elif self._made_of("window_parquet", table, key) == export.id:
            return None
        if export.to_time and export.to_time > initial_load.time:
            self.runs[table.name, key] = dg.RunRequest(
                run_key=f"{table.name}/{key}/{export.id}",
                partition_key=key,
                asset_selection=stage_keys(table, *after_export(table)),
                run_config=in_process(self.context.repository_def),
                tags={"ddb_assets/export": export.id},
            )
        return None

    def _dynamodb(self, arn: str) -> "DynamoDBClient":
        """A client for the Region of an ARN, one in a tick: each has connections of its own."""
        region = arn.split(":")[3]
        if region not in self.clients:
            self.clients[region] = self.aws.dynamodb(arn)
        return self.clients[region]

    def _tables(self, arn: str) -> list[Table]:
        """All contracts of this ARN; one that gives only a name means the table of that name in our own account."""
        return [table for table in self.tables if table.table in (arn, arn.rpartition("/")[2])]

    def _made_of(self, stage: Stage, table: Table, key: str) -> str:
        """The id of the export that this stage has of a window, empty for none."""
        return _export_id(window_facts(self.context.instance, stage, table, key) or {})

    def _running(self, stage: Stage, table: Table, key: str) -> str | None:
        """The run that is making this window of a stage, or will make it later; no second run is needed."""
        asset = metadata.key_of(table, stage)
        for run in self.unfinished:
            first = run.tags.get("dagster/partition") or run.tags.get("dagster/asset_partition_range_start", "")
            last = run.tags.get("dagster/partition") or run.tags.get("dagster/asset_partition_range_end", "")
            if asset in (run.asset_selection or ()) and first <= key <= last:
                return str(run.run_id)
        return None

    @cached_property
    def unfinished(self) -> Sequence[dg.DagsterRun]:
        """The runs that have not ended, as of the first question in this tick."""
        return self.context.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))

    def _observe(self, table: Table, export: Export, what: str, reason: str, said: str) -> str:
        """Reports an export that is not loaded on the asset's page, unless an earlier tick did."""
        if reason not in said:
            self._warn(export.id, reason)
            facts: dict[str, Any] = {metadata.URI: export.uri, metadata.EXPORT_ID: export.id, "reason": reason}
            asset = metadata.key_of(table, "window_export")
            self.events.append(dg.AssetObservation(asset, description=what, metadata=facts))
        return reason

    def _damaged(self, export_id: str, uri: str, error: ManifestError) -> None:
        """Fails the check of the window that the damaged export claims, if its summary can be read."""
        self._warn(export_id, str(error))
        try:
            summary = Claim.of(self.storage.read(uri, most=MAX_SUMMARY_BYTES))
        except StorageError:
            return
        for table in self._tables(summary.tableArn) if summary else ():
            with suppress(DdbAssetsError):  # then its window is unknown
                initial_load = find_initial_load(self.context.instance, table)
                if summary and initial_load:
                    window = Window(summary.exportFromTime, summary.exportToTime)
                    key = partition_of(table.windows, window, initial_load.time)
                    self._evaluated(table, key, str(error), {metadata.URI: dg.MetadataValue.text(uri)})

    def _evaluated(self, table: Table, key: str, problem: str | None, facts: metadata.Metadata) -> None:
        self.events.append(
            dg.AssetCheckEvaluation(
                asset_key=metadata.key_of(table, "window_export"),
                check_name=VERIFIED,
                passed=problem is None,
                blocking=True,
                description=problem and prose(problem),
                metadata={metadata.WINDOW: dg.MetadataValue.text(key), **facts},
            )
        )

    def _warn(self, export_id: str, text: str) -> None:
        self.context.log.warning(f"export {export_id}: {text}")


def _export_id(facts: Mapping[str, dg.MetadataValue]) -> str:
    return str(facts[metadata.EXPORT_ID].value) if metadata.EXPORT_ID in facts else ""


def _partition(table: Table, export: Export, initial_load: InitialLoad) -> str:
    """The partition key of an export. Raises WindowError and ManifestError for one that is not of this chain."""
    if export.table_arn != initial_load.table_arn or export.table_id != initial_load.table_id:
        raise ManifestError(
            f"it is of {export.table_arn} with id {export.table_id}, the initial load of {initial_load.table_arn} with id "
            f"{initial_load.table_id}: if the table was created again, materialize {table.full_chain}"
        )
    if export.from_time is None or export.to_time is None:
        raise ManifestError("it does not name its window")
    key = partition_of(table.windows, Window(export.from_time, export.to_time), initial_load.time)
    if not window_partitions(table).has_partition_key(key):
        raise WindowError(f"its window {key} is before the contract's start {table.start}, or has not ended")
    return key
