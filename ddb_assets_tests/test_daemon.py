"""Schedule, sensor and automation under the real daemon: a table changes, and nobody clicks anything."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from ddb_assets.contract.windows import Cadence, Window
from ddb_assets.microseconds import from_micros
from ddb_assets.orchestration.metadata import asset_key
from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import AUTOMATION
from ddb_assets.windows.table_assets import INITIAL_LOAD
from ddb_assets_tests.support.sandboxed import demo_sandbox, export_count
from ddb_assets_tests.support.served import Project, until
from ddb_assets_tests.support.window_chain import loaded_orders, orders

pytestmark = pytest.mark.slow

# A minute is the shortest interval of cron, and five minutes are too long for a test.
DEFINITIONS = """\
from pathlib import Path

import dagster as dg

# Each minute counts as a full hour, so what happens on the hour happens in every run of this test, not in some of them.
cron_tick_passed = dg.AutomationCondition.cron_tick_passed
dg.AutomationCondition.cron_tick_passed = staticmethod(lambda _, zone="UTC": cron_tick_passed("* * * * *", zone))

from ddb_assets.definitions import build_defs
from ddb_assets.windows import schedule, sensor

schedule.EVERY_5_MINUTES = "* * * * *"
sensor.INTERVAL = 5


@dg.definitions
def defs() -> dg.Definitions:
    return build_defs(Path(__file__).parent)
"""
LONG = 600  # seconds; nothing takes that long, even on a busy machine
CADENCE = Cadence.parse("15 min")
BEHIND = timedelta(minutes=80)
"""How far the sandbox's clock is behind ours. A partition exists once it has ended by our clock, so no test has to wait."""


class LateClock(Clock):
    def micros(self) -> int:
        return super().micros() - BEHIND // timedelta(microseconds=1)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with demo_sandbox(tmp_path / "state", LateClock()) as sandbox:
        yield sandbox


@pytest.fixture
def project(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    contract = {"table": "Orders", "cadence": "15 min", "nested": {"items": "child"}}
    start = (now(sandbox) - timedelta(days=1)).date()
    return Project(tmp_path, {"orders": {**contract, "start": str(start)}}, DEFINITIONS, monkeypatch)


def now(sandbox: Sandbox) -> datetime:
    return from_micros(sandbox.clock.micros())


def latest(sandbox: Sandbox) -> datetime:
    """The latest moment that can be exported."""
    answer = sandbox.dynamodb().describe_continuous_backups(TableName="Orders")["ContinuousBackupsDescription"]
    return answer["PointInTimeRecoveryDescription"]["LatestRestorableDateTime"]


def test_a_table_that_changes_is_followed_by_itself(
    project: Project, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = CADENCE.window_at(latest(sandbox) - timedelta(minutes=30))
    project.initial_load({"orders": first.start.isoformat()})
    monkeypatch.setenv(AUTOMATION, "on")  # as for many tables; nobody presses anything
    instance = dg.DagsterInstance.get()
    with instance, project.code(), project.daemon():
        until(lambda: export_count(sandbox, "Orders") > 1, LONG)  # the initial load is the first

        change_orders(sandbox)
        windows = [first]
        while windows[-1].end <= now(sandbox):
            windows.append(Window(windows[-1].end, windows[-1].end + CADENCE.length))
        sandbox.clock.advance(windows[-1].end - latest(sandbox) + timedelta(seconds=5))
        keys = {CADENCE.key(window) for window in windows}
        loaded = asset_key("warehouse", "orders__items")
        until(lambda: keys <= instance.get_materialized_partitions(loaded), LONG)
        until(lambda: all(run.is_finished for run in instance.get_runs()), LONG)

        assert loaded_orders() == orders(sandbox)
        runs = [run for run in instance.get_runs() if run.job_name != INITIAL_LOAD]
        hourly = [run for run in runs if not _of_windows(run)]  # they run checks, and look at the status
        assert {run.tags["dagster/sensor_name"] for run in hourly} <= {"ddb_assets_automation"}
        by_itself = [run for run in runs if _of_windows(run)]
        assert {run.tags["dagster/sensor_name"] for run in by_itself} == {"ddb_assets_exports"}
        assert all(run.is_success for run in by_itself)
        assert sorted(run.tags["dagster/partition"] for run in by_itself) == sorted(
            keys
        )  # Parquet to warehouse in one run
        assert export_count(sandbox, "Orders") == 1 + len(keys)
        ticks = [
            tick
            for state in instance.all_instigator_state()
            for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id)
        ]
        assert {tick.instigator_name for tick in ticks} == {
            "orders_windows",
            "ddb_assets_exports",
            "ddb_assets_automation",
        }
        assert [tick.error for tick in ticks if tick.error] == []


def _of_windows(run: dg.DagsterRun) -> bool:
    """Whether a run makes more than the status of tables."""
    return any(key.path[0] != "status" for key in run.asset_selection or ())


def change_orders(sandbox: Sandbox) -> None:
    """Puts one order, changes one and deletes one."""
    client = sandbox.dynamodb()
    first, second, *_ = client.scan(TableName="Orders", Limit=5)["Items"]
    client.put_item(TableName="Orders", Item={**first, "orderId": {"S": "put while nobody looked"}})
    client.put_item(TableName="Orders", Item={**first, "status": {"S": "changed"}, "items": {"L": []}})
    client.delete_item(TableName="Orders", Key={"orderId": second["orderId"]})
