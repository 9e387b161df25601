"""The sensor of metrics, on a real log of Dagster and CloudWatch of the sandbox: what is sent, once, and when it cannot be.

That the facts of real loads and looks become metrics is shown in ddb_assets_tests/infrastructure/, whose flows run them.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st
from moto.backends import get_backend

from ddb_assets.alerts.metrics import data as metrics
from ddb_assets.alerts.metrics.data import Datum, calls, measured
from ddb_assets.alerts.metrics.sensor import NAME, Place, metrics_sensor
from ddb_assets.aws.clients import AWS
from ddb_assets.aws.errors import AwsError
from ddb_assets.contract.metrics import ALL, LONGEST, NAMESPACE, UNITS, Metric, chosen, dimension
from ddb_assets.contract.table import Table
from ddb_assets.orchestration import metadata
from ddb_assets.orchestration.log_place import CursorError
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import SettingError
from ddb_assets.warehouse.url import warehouse_name
from ddb_assets_tests.support.instances import in_memory

TABLE = Table(table="Orders")
LOADED, LOOKED, STREAM = metadata.key_of(TABLE, "warehouse"), metadata.key_of(TABLE, "status"), dg.AssetKey("stream")
URL = "redshift://loader:hunter2@main.example.com:5439/dev?schema=shop"
WINDOW = {"applied": True, "upserted": 3, "stale": 2, "quarantined": 1, "extra_values": 0, "rows_loaded": 9}


class World:
    """An instance of Dagster, an account of CloudWatch, and the sensor's cursor."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.cloudwatch = instance, AWS().cloudwatch()
        self.cursor: str | None = None

    def tick(self, *wanted: Metric) -> str:
        sensor = metrics_sensor([TABLE], {LOADED: ["orders"], STREAM: ["orders", "customers"]}, wanted or tuple(UNITS))
        resources = {"ddb_aws": AWSResource(), "ddb_warehouse": WarehouseTarget(url=URL)}
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources=resources, definitions=dg.Definitions()
        )
        result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return str(result.skip_reason.skip_message if result.skip_reason else "")

    def report(self, key: dg.AssetKey, **facts: Any) -> None:
        self.instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata=facts))

    def fail(self, key: dg.AssetKey) -> None:
        @dg.asset(key=key)
        def broken() -> None:
            raise ValueError("no export")

        dg.materialize([broken], instance=self.instance, raise_on_error=False)

    def sent(self) -> dict[str, dict[str, list[float]]]:
        """What CloudWatch has: by table the metrics, each with the number of its data, their maximum and their sum."""
        found: dict[str, dict[str, list[float]]] = {}
        for metric in self.cloudwatch.list_metrics(Namespace=NAMESPACE)["Metrics"]:
            places = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
            assert places["Warehouse"] == "redshift://main.example.com/dev/shop"
            now = datetime.now(UTC)
            points = self.cloudwatch.get_metric_statistics(
                Namespace=NAMESPACE,
                MetricName=metric["MetricName"],
                Dimensions=metric["Dimensions"],
                StartTime=now - timedelta(hours=1),
                EndTime=now + timedelta(minutes=1),
                Period=86400,
                Statistics=["SampleCount", "Maximum", "Sum"],
                Unit=UNITS[metric["MetricName"]],
            )["Datapoints"]
            found.setdefault(places["Table"], {})[metric["MetricName"]] = [
                sum(one["SampleCount"] for one in points),
                max(one["Maximum"] for one in points),
                sum(one["Sum"] for one in points),
            ]
        return found


@pytest.fixture
def world(sandbox: Sandbox) -> Iterator[World]:
    get_backend("cloudwatch")["123456789012"]["us-east-1"].reset()
    with in_memory() as instance:
        yield World(instance)


def test_what_loads_and_looks_report_is_sent_once(world: World) -> None:
    world.report(LOADED, **WINDOW)
    assert "from now on" in world.tick()
    world.report(LOADED, **WINDOW)
    world.report(LOADED, **WINDOW | {"upserted": 5, "quarantined": 0})
    world.report(LOADED, **WINDOW | {"applied": False})  # it was loaded before, and counted then
    world.report(LOADED)  # somebody reported it by hand
    world.report(LOOKED, lag=60.5, stream_lag=0.25, windows_behind=2, unexplained_rows=0, billed_bytes=10 << 20)
    world.report(dg.AssetKey(["warehouse", "foreign"]), **WINDOW)
    assert world.tick() == "data sent: 13"
    assert world.tick() == "nothing to send"
    assert world.sent() == {
        "orders": {
            "RowsLoaded": [2, 5, 8],
            "RowsStale": [2, 2, 4],
            "RowsQuarantined": [2, 1, 1],
            "ExtraValues": [2, 0, 0],
            "WindowAgeSeconds": [1, 60.5, 60.5],
            "StreamLagMillis": [1, 250, 250],
            "WindowsBehind": [1, 2, 2],
            "UnexplainedRows": [1, 0, 0],
            "BilledBytes": [1, 10 << 20, 10 << 20],
        }
    }


def test_a_run_that_fails_counts_for_the_tables_that_it_is_about(world: World) -> None:
    world.tick()
    world.fail(STREAM)
    world.fail(LOADED)
    world.fail(dg.AssetKey("foreign"))
    assert world.tick() == "data sent: 3"
    assert world.sent() == {"orders": {"LoadFailures": [2, 1, 2]}, "customers": {"LoadFailures": [1, 1, 1]}}


def test_only_the_metrics_that_are_chosen_are_sent(world: World) -> None:
    world.tick()
    world.report(LOADED, **WINDOW)
    world.fail(LOADED)
    assert world.tick("RowsQuarantined") == "data sent: 1"
    assert world.sent() == {"orders": {"RowsQuarantined": [1, 1, 1]}}


def test_a_tick_that_cannot_send_fails_and_the_next_one_sends_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.tick()
    world.report(LOADED, **WINDOW)
    before = world.cursor
    with monkeypatch.context() as patch:
        patch.setattr("ddb_assets.aws.retries.ATTEMPTS", 1)
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(AwsError, match=r"cloudwatch:PutMetricData on namespace DdbAssets: AWS cannot be reached"):
            world.tick()
    assert world.cursor == before
    assert world.tick() == "data sent: 4"
    assert world.sent()["orders"]["RowsLoaded"] == [1, 3, 3]


def test_many_events_are_sent_by_several_ticks_each_of_them_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddb_assets.alerts.metrics.sensor.MOST", 10)
    world.tick()
    for _ in range(5):
        world.report(LOADED, **WINDOW)
    assert [world.tick() for _ in range(4)] == [*["data sent: 8"] * 2, "data sent: 4", "nothing to send"]
    assert world.sent()["orders"]["RowsLoaded"] == [5, 3, 15]


def test_what_is_too_old_for_cloudwatch_does_not_stop_the_rest(world: World) -> None:
    world.tick()
    with time_machine.travel(datetime.now(UTC) - timedelta(days=20), tick=True):
        world.report(LOADED, **WINDOW)
    world.report(LOADED, **WINDOW)
    assert world.tick() == "data sent: 4"
    assert world.sent()["orders"]["RowsLoaded"] == [1, 3, 3]


def test_the_names_of_the_setting() -> None:
    assert chosen("") == ()
    assert chosen(f" {ALL} ") == tuple(UNITS)
    assert chosen("LoadFailures, WindowAgeSeconds,") == ("WindowAgeSeconds", "LoadFailures")
    with pytest.raises(
        SettingError, match="DDB_ASSETS_METRICS has 'Rows', which is not a metric: write all, or names of Win"
    ):
        chosen("Rows,LoadFailures")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("duckdb:////var/lib/warehouse.duckdb", "duckdb"),
        ("redshift://me:secret@main.example.com:5439/dev", "redshift://main.example.com/dev"),
        ("redshift:///dev?workgroup=main&schema=shop&iam_role=default", "redshift://main/dev/shop"),
        ("iceberg://glue/shop?location=s3://bucket/tables", "iceberg://glue/shop"),
        ("iceberg:////var/catalog.sqlite?location=s3://bucket/tables", "iceberg"),
    ],
)
def test_the_name_of_a_warehouse_is_known_before_it_is_opened(url: str, name: str) -> None:
    assert warehouse_name(url) == name


@given(st.text())
def test_every_text_is_a_value_of_a_dimension(text: str) -> None:
    value = dimension(text)
    assert 1 <= len(value) <= LONGEST
    assert value.isascii()
    assert value.isprintable()
    assert not value.isspace()


@given(
    st.lists(
        st.builds(Datum, st.sampled_from([*UNITS]), st.text(max_size=300), st.just(1.0), st.just(datetime.now(UTC)))
    )
)
def test_calls_have_all_data_in_order_and_fit(data: list[Datum]) -> None:
    documents = [datum.document("redshift://main/dev") for datum in data]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "MOST", 3)
        patch.setattr(metrics, "MOST_BYTES", 3000)
        found = list(calls(documents))
    assert [document for call in found for document in call] == documents
    assert all(0 < len(call) <= 3 for call in found)
    assert all(len(call) == 1 or sum(len(str(document)) for document in call) < 3000 for call in found)


def test_a_fact_that_is_missing_is_not_zero() -> None:
    assert measured("status", "orders", {"lag": "unknown"}, datetime.now(UTC)) == []


def test_the_page_explains_each_metric(pytestconfig: pytest.Config) -> None:
    page = (Path(pytestconfig.rootpath) / "docs/alerts.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE))
    assert rows == UNITS


def test_a_cursor_survives_its_text() -> None:
    place = Place(failed=1, made=2)
    assert Place.parse(place.model_dump_json(), NAME) == place
    with pytest.raises(CursorError, match=r"the sensor ddb_assets_metrics cannot be read \(checked: Extra inputs"):
        Place.parse('{"failed": 1, "made": 2, "checked": 3}', NAME)
