"""Finds the exports of windows when they arrive, whoever requested them: one sensor for each place of exports.

A tick finds the manifests that are new, verifies them, completes the partition of `exports/<table>_window_export` that each
belongs to and starts one run from Parquet to warehouse for it. `exports/arrivals.py` remembers what it has seen. Facts: a
tick may take 60 s; events of one tick are stored before its runs are started, and a run key is never used twice.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import sha256

import dagster as dg

from ddb_assets.contract.export_target import ExportTarget
from ddb_assets.contract.table import Table
from ddb_assets.exports.arrivals import Cursor
from ddb_assets.exports.notifications import Notifications
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.windows.automation import sensor_status
from ddb_assets.windows.table_assets import after_export, stage_keys
from ddb_assets.windows.tick import AT_MOST, Tick

INTERVAL = 60  # seconds from one look to the next


def manifest_sensors(tables: Sequence[Table]) -> list[dg.SensorDefinition]:
    """One sensor for the lake, and one for each other place that tables are exported to."""
    places: dict[ExportTarget | None, list[Table]] = {}
    for table in tables:
        if table.source == "exports" and table.load == "upsert":
            places.setdefault(table.export and table.export.place, []).append(table)
    names = Counter(_name(place) for place in places)
    return [_sensor(_name(place, distinct=names[_name(place)] > 1), place, found) for place, found in places.items()]


def _name(place: ExportTarget | None, *, distinct: bool = False) -> str:
    """The name of a place's sensor; `distinct` adds a hash, for places whose names differ only in punctuation."""
    if place is None:
        return "ddb_assets_exports"
    words = re.sub(r"[^A-Za-z0-9]+", "_", f"ddb_assets_exports_in_{place.bucket}_{place.prefix}").strip("_")
    return f"{words}_{sha256(f'{place.bucket}/{place.prefix}'.encode()).hexdigest()[:8]}" if distinct else words


def _sensor(name: str, place: ExportTarget | None, tables: list[Table]) -> dg.SensorDefinition:
    @dg.sensor(
        name=name,
        # a `target` would be one job, and tables differ in cadence and start
        asset_selection=dg.AssetSelection.assets(
            *(key for table in tables for key in stage_keys(table, *after_export(table)))
        ),
        minimum_interval_seconds=INTERVAL,
        default_status=sensor_status(),
        description="Completes the windows whose exports have arrived, and starts the runs that flatten and load them.",
    )
    def arrived(
        context: dg.SensorEvaluationContext, ddb_aws: AWSResource, ddb_lake: Lake, ddb_warehouse: WarehouseTarget
    ) -> dg.SensorResult:
        where, root = ddb_lake.exports_of(tables[0]), ddb_lake.exports_uri(tables[0])
        cursor, storage, now = Cursor.parse(context.cursor), ddb_aws.clients.storage(), datetime.now(UTC)
        found: Iterable[str]
        receipts: tuple[str, ...] = ()
        waiting = cursor.pending
        if place is None and ddb_lake.events_queue:
            queue = Notifications(ddb_aws.clients.sqs(), ddb_lake.events_queue, where)
            queue.delete(cursor.receipts)
            announced, receipts = queue.receive(AT_MOST)
            found = list(cursor.announced(announced, now))
            # their messages are deleted, so what this tick has no time for must stay
            waiting = waiting | dict.fromkeys(found, "")
        else:
            found = cursor.unseen(storage.folders(root, cursor.start_after), now)
        tick = Tick(context, storage, root, tables, now, ddb_aws.clients, ddb_warehouse)
        looked_at = tick.look(cursor.pending, found)
        after = cursor.after(looked_at, tick.pending(waiting), receipts=receipts)
        return dg.SensorResult(
            run_requests=list(tick.runs.values()) or None,
            skip_reason=None if tick.runs else tick.said(len(after.pending)),
            asset_events=tick.events,
            cursor=after.text(),
        )

    return arrived
