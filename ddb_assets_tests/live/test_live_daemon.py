"""The sensor of a stream under the real daemon: a change is in the live table, and nobody clicks anything."""

import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import dagster as dg
import pytest

from ddb_assets.aws.clients import AWS
from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import AUTOMATION
from ddb_assets.streams.destination import enable
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets_tests.support.sandboxed import demo_sandbox, warehouse_file
from ddb_assets_tests.support.served import Project, until

pytestmark = pytest.mark.slow

DEFINITIONS = """\
from pathlib import Path

import dagster as dg

from ddb_assets.definitions import build_defs


@dg.definitions
def defs() -> dg.Definitions:
    return build_defs(Path(__file__).parent)
"""
LONG = 600  # seconds; nothing takes that long, even on a busy machine
STREAM = "orders-cdc"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with demo_sandbox(tmp_path / "state", Clock()) as sandbox:
        kinesis = sandbox.kinesis()
        kinesis.create_stream(StreamName=STREAM, ShardCount=2)
        sandbox.clock.advance(timedelta(minutes=1))  # until it is active
        arn = kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]["StreamARN"]
        enable(sandbox.dynamodb(), "Orders", arn)
        sandbox.clock.advance(timedelta(minutes=1))
        yield sandbox


def is_live(key: str, status: str) -> bool:
    with open_warehouse(f"duckdb:///{warehouse_file()}", storage=AWS().storage()) as warehouse:
        try:
            return warehouse.query(f"SELECT status FROM orders_live WHERE order_id = '{key}'") == [(status,)]
        except WarehouseError:  # the view is made by the first run
            return False


def test_changes_are_in_the_live_table_by_themselves(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = {"table": "Orders", "nested": {"items": "child"}, "stream": STREAM}
    project = Project(tmp_path, {"orders": contract}, DEFINITIONS, monkeypatch)
    project.initial_load({"orders": ""})
    monkeypatch.setenv(AUTOMATION, "on")
    client = sandbox.dynamodb()
    order = client.scan(TableName="Orders", Limit=1)["Items"][0]
    instance = dg.DagsterInstance.get()
    with instance, project.code(), project.daemon():
        for status in ("FIRST", "SECOND", "THIRD"):
            put = time.monotonic()
            client.put_item(TableName="Orders", Item={**order, "status": {"S": status}})
            until(partial(is_live, order["orderId"]["S"], status), LONG)
            print(f"visible after {time.monotonic() - put:.1f} s")  # noqa: T201 -- for who measures it
        until(lambda: all(run.is_finished for run in instance.get_runs()), LONG)
    by_itself = [run for run in instance.get_runs() if "ddb_assets/stream" in run.tags]
    assert all(run.is_success for run in by_itself)
    assert {run.tags["dagster/sensor_name"] for run in by_itself} == {"ddb_assets_stream_orders_cdc"}
