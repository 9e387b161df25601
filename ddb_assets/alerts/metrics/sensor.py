"""`ddb_assets_metrics`: sends what loads and the status of tables have reported to CloudWatch, and the runs that failed.

It reads Dagster's log from where the last tick ended, so loads do not wait for CloudWatch and do not fail with it. A tick that
cannot send fails, and the next one sends the same again. The time of a datum is that of its event. A tick reads at most
1,000 data, which are one call unless names are long. So nothing is sent twice, unless the process dies between the call and
the end of the tick, or an answer is lost. That changes sums, but no maximum, and the alarms use maxima.

PutMetricData, not EMF: a call works from any machine, says whether CloudWatch took the data, and can name the time of the
event. Lines of EMF need an agent or a log driver that sends them to CloudWatch Logs, and lost lines go unnoticed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain

import dagster as dg

from ddb_assets.alerts.metrics.data import MOST, OLDEST, SOURCES, Datum, calls, failed, measured
from ddb_assets.aws.clients import AWS
from ddb_assets.aws.errors import explained
from ddb_assets.contract.metrics import NAMESPACE, Metric
from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.event_log import after, newest
from ddb_assets.orchestration.log_place import LogPlace
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.warehouse.url import warehouse_name
from ddb_assets.windows.automation import sensor_status

NAME = "ddb_assets_metrics"
EVERY_SECONDS = 60
AT_MOST = 1000
"""Events of a kind that one tick reads. The others wait for the next."""
FAILED, MADE = dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.ASSET_MATERIALIZATION


class Place(LogPlace):
    """How far the log was read."""

    failed: int
    made: int


def metrics_sensor(
    tables: Sequence[Table], assets: Mapping[dg.AssetKey, Collection[str]], wanted: Collection[Metric]
) -> dg.SensorDefinition:
    """The sensor for these metrics. `assets` has the names of the tables that each asset of the project is about."""
    sources: dict[dg.AssetKey, tuple[Stage, str]] = {
        metadata.key_of(table, stage): (stage, table.name) for table in tables for stage in SOURCES
    }

    @dg.sensor(
        name=NAME,
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=sensor_status(),
        description="Sends what loads and the status of tables report to CloudWatch, as metrics.",
    )
    def metrics(
        context: dg.SensorEvaluationContext, ddb_aws: AWSResource, ddb_warehouse: WarehouseTarget
    ) -> dg.SensorResult:
        instance = context.instance
        if context.cursor is None:
            begin = Place(failed=newest(instance, FAILED), made=newest(instance, MADE))
            return dg.SensorResult(
                cursor=begin.model_dump_json(), skip_reason=dg.SkipReason("sends what is reported from now on")
            )
        place = Place.parse(context.cursor, NAME)
        found: list[Datum] = []
        for data, then in chain(_failures(instance, assets, place.failed), _reports(instance, sources, place.made)):
            chosen = [datum for datum in data if datum.metric in wanted]
            if found and len(found) + len(chosen) > MOST:
                break
            found += chosen
            place = place.model_copy(update=then)
        recent = [datum for datum in found if datum.at > datetime.now(UTC) - OLDEST]
        if len(recent) < len(found):
            context.log.warning(
                f"{len(found) - len(recent):,} data points are older than {OLDEST.days} days. CloudWatch does not take them, "
                "so they are left out: the sensor was off, or could not send, for so long"
            )
        send(ddb_aws.clients, recent, warehouse_name(ddb_warehouse.address))
        said = f"data sent: {len(recent)}" if recent else "nothing to send"
        return dg.SensorResult(cursor=place.model_dump_json(), skip_reason=dg.SkipReason(said))

    return metrics


def send(aws: AWS, data: Sequence[Datum], warehouse: str) -> None:
    """Sends the data of tables of this warehouse. Raises AwsError."""
    for call in calls([datum.document(warehouse) for datum in data]):
        with explained("cloudwatch:PutMetricData", f"namespace {NAMESPACE}"):
            aws.cloudwatch().put_metric_data(Namespace=NAMESPACE, MetricData=call)


Read = Iterator[tuple[list[Datum], dict[str, int]]]
"""The data of each event, and the place behind it."""


def _failures(instance: dg.DagsterInstance, assets: Mapping[dg.AssetKey, Collection[str]], number: int) -> Read:
    for record in after(instance, FAILED, number, AT_MOST):
        keys = instance.get_asset_keys_for_run(record.event_log_entry.run_id)
        tables = sorted({table for key in keys for table in assets.get(key, ())})
        yield failed(tables, _time(record.timestamp)), {"failed": record.storage_id}


def _reports(instance: dg.DagsterInstance, sources: Mapping[dg.AssetKey, tuple[Stage, str]], number: int) -> Read:
    for record in after(instance, MADE, number, AT_MOST):
        event = record.asset_materialization
        data: list[Datum] = []
        if event and event.asset_key in sources:
            facts = {name: entry.value for name, entry in event.metadata.items()}
            data = measured(*sources[event.asset_key], facts, _time(record.timestamp))
        yield data, {"made": record.storage_id}


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
