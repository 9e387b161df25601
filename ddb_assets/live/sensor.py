"""The sensor of a stream: starts a run that follows it as soon as there is something new.

One run at a time follows a stream. A run that failed is followed by another one a minute later, because other tables of the
stream may be fine.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial

import dagster as dg
import msgspec
from dagster import DagsterRunStatus, RunsFilter

from ddb_assets.aws.clients import AWS
from ddb_assets.errors import DdbAssetsError
from ddb_assets.live.news import SILENCE, has_news, known_positions
from ddb_assets.live.streams import FollowedStream
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.executor import STREAM_TAG
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.streams.position import Position
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.protocol import Warehouse
from ddb_assets.windows.automation import sensor_status
from ddb_assets.windows.table_assets import stage_keys

INTERVAL = 15  # seconds from one look to the next
AFTER_FAILURE = 60.0
PATIENCE = 5.0  # a tick may take 60 s, and the next one comes soon
UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def stream_sensor(stream: FollowedStream) -> dg.SensorDefinition:
    """The sensor `ddb_assets_stream_<stream>`."""
    keys = [
        metadata.asset_key("stream", stream.name),
        *(key for table in stream.tables for key in stage_keys(table, table.stream_stage)),
    ]

    @dg.sensor(
        name=stream.sensor,
        asset_selection=dg.AssetSelection.assets(*keys),
        minimum_interval_seconds=INTERVAL,
        default_status=sensor_status(),
        description=f"Loads what has arrived in stream {stream.name} into its tables.",
    )
    def found(
        context: dg.SensorEvaluationContext, ddb_aws: AWSResource, ddb_warehouse: WarehouseTarget
    ) -> dg.RunRequest | dg.SkipReason:
        tags = {STREAM_TAG: stream.name}
        if context.instance.get_runs_count(RunsFilter(tags=tags, statuses=UNFINISHED)):
            return dg.SkipReason("a run is following the stream")
        newest = _newest(context.instance, stream)
        if _failed_just_now(newest):
            return dg.SkipReason(f"the newest run failed less than {AFTER_FAILURE:.0f} s ago")
        aws = ddb_aws.clients
        opened = partial(
            open_warehouse, ddb_warehouse.address, storage=aws.storage(), aws=aws, label=stream.label, patience=PATIENCE
        )
        try:
            known = _positions(context, aws, opened, stream, newest)
            if not has_news(aws, stream, known) and not _silent_for_long(newest):
                return dg.SkipReason("nothing new")
        except DdbAssetsError as error:
            return dg.SkipReason(f"the stream or the warehouse cannot be asked: {error}")
        return dg.RunRequest(asset_selection=keys, tags=tags)

    return found


class _Seen(msgspec.Struct):
    """The sensor's cursor: the positions of these tables that the warehouse had after this run."""

    run: str | None
    tables: list[str]
    positions: list[Position]


def _positions(
    context: dg.SensorEvaluationContext,
    aws: AWS,
    opened: Callable[[], AbstractContextManager[Warehouse]],
    stream: FollowedStream,
    newest: dg.RunRecord | None,
) -> list[Position]:
    """Where the stream has been read to, for each table. The warehouse is asked once after each run, so that it can sleep.

    If something else than our runs moves a position, the next run finds out.
    """
    run, tables = newest.dagster_run.run_id if newest else None, [table.name for table in stream.tables]
    with suppress(msgspec.DecodeError):
        seen = msgspec.json.decode(context.cursor or "", type=_Seen)
        if (seen.run, seen.tables) == (run, tables):
            return seen.positions
    found = known_positions(aws, opened, stream)
    context.update_cursor(msgspec.json.encode(_Seen(run, tables, found)).decode())
    return found


def _newest(instance: dg.DagsterInstance, stream: FollowedStream) -> dg.RunRecord | None:
    found = instance.get_run_records(RunsFilter(tags={STREAM_TAG: stream.name}), limit=1)
    return found[0] if found else None


def _silent_for_long(newest: dg.RunRecord | None) -> bool:
    """Whether no run has followed the stream for so long that one must say that there is no gap."""
    return newest is None or (newest.end_time or 0.0) < time.time() - SILENCE.total_seconds()


def _failed_just_now(newest: dg.RunRecord | None) -> bool:
    return bool(
        newest
        and newest.dagster_run.status == DagsterRunStatus.FAILURE
        and (newest.end_time or 0.0) > time.time() - AFTER_FAILURE
    )
