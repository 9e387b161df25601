"""Hourly windows of every demo table, backfilled from the Dagster UI by a browser. One is late, one is bad.

Pictures of the pages are kept in the folder DDB_ASSETS_PICTURES, if that is set.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote

import dagster as dg
import pytest

from ddb_assets.contract.stages import Stage, asset_name, asset_path
from ddb_assets.contract.windows import Cadence
from ddb_assets.orchestration.metadata import asset_key
from ddb_assets.sandbox.server import Sandbox, Write
from ddb_assets_tests.support.served import Project, graphql, until
from ddb_assets_tests.support.window_chain import loaded_orders, orders, query

pytest.importorskip("selenium", reason="needs selenium: pip install '.[test]'")
from ddb_assets_tests.browser.page import Page, browser, missing

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"needs {missing()} on the PATH"),
]

DEFINITIONS = """\
from pathlib import Path

import dagster as dg

from ddb_assets.definitions import build_defs


@dg.definitions
def defs() -> dg.Definitions:
    return build_defs(Path(__file__).parent)
"""
TABLES = {"orders": ("orders", "orders__items"), "customers": ("customers",), "events": ("events",)}
HOURS = (
    5  # hours ago; the time that the initial loads show. Two more than LATE, so that a range of windows is before it
)
BAD, LATE = 2, 3  # hours ago; begin of the bad window of customers, and of the late window of events
LONG = 900  # seconds; nothing takes that long, even on a busy machine
AGAIN = 1  # hours ago; an event of the late window is written again


def hour(before: int) -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=before)


@dataclass
class Ui:
    """Dagster in a browser. Windows are named by the hour in which they begin. All of them have ended."""

    project: Project
    url: str
    page: Page
    sandbox: Sandbox
    instance: dg.DagsterInstance
    now: datetime

    def key(self, before: int) -> str:
        return Cadence.parse("hourly").key(Cadence.parse("hourly").window_at(self.now - timedelta(hours=before)))

    @property
    def since(self) -> set[str]:
        """The windows since the initial loads."""
        return {self.key(before) for before in range(1, HOURS + 1)}

    @property
    def keys(self) -> set[str]:
        """All windows, also those before the initial loads on the same day."""
        covered = (self.now - timedelta(hours=HOURS)).hour
        return {self.key(before) for before in range(1, HOURS + covered + 1)}

    def counts(self, *, materialized: int, failed: int = 0) -> tuple[str, ...]:
        """The expected text of an asset's page of partitions. An hour that has ended since then is missing."""
        since = (datetime.now(UTC) - self.now) // timedelta(hours=1)
        missing = len(self.keys) + since - materialized - failed
        return f"Materialized ({materialized})", f"Failed ({failed})", f"Missing ({missing})"

    def launch(self, table: str, stages: tuple[Stage, ...], windows: str, *, picture: str = "") -> None:
        """Materializes these windows of the table's assets in these stages. Windows are written as people write them."""
        chosen = [asset_name("window_export", table)] if "window_export" in stages else []
        chosen += [asset_name(stage, name) for stage in stages if stage != "window_export" for name in TABLES[table]]
        self.page.open(f"{self.url}/locations/demo/asset-groups/{table}/lineage/{quote(','.join(chosen), safe='')}")
        self.page.press(f"Materialize selected ({len(chosen)})…" if len(chosen) > 1 else "Materialize selected…")
        self.page.press("All")
        self.page.fill("[", windows)
        if picture:
            self.page.keep(picture)
        label = "Launch backfill" if "..." in windows else "Launch 1 run"
        self.page.press(label)
        self.page.closes(label)

    def partitions(self, stage: Stage, name: str, *texts: str, picture: str) -> None:
        """Opens the asset's partitions and waits until all of these texts are there."""
        self.page.open(f"{self.url}/assets/{asset_name(stage, name)}?view=partitions")
        self.page.shows(*texts)
        self.page.keep(picture)

    def materialized(self, stage: Stage, name: str) -> set[str]:
        return self.instance.get_materialized_partitions(asset_key(stage, name))

    def rest(self, done: Callable[[], bool]) -> None:
        """Waits with a page that does nothing."""
        self.page.rest()
        until(done, LONG)

    def settled(self) -> bool:
        """Whether no backfill and no run is under way."""
        backfills = [backfill.status.name for backfill in self.instance.get_backfills()]
        ended = all(status.startswith(("COMPLETED", "FAILED")) for status in backfills)
        return ended and all(run.is_finished for run in self.instance.get_runs())


@pytest.fixture(scope="module")
def ui(sandboxed: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """With initial loads of `HOURS` hours ago, and all windows since then backfilled except the late one."""
    sandboxed.clock.advance(timedelta(minutes=10))  # so that the last hour can be exported
    minute, now = timedelta(minutes=1), hour(0)
    event = {"deviceId": {"S": "changed twice"}, "at": {"N": "1"}}
    sandboxed.seed("Customers", [Write(hour(BAD) + minute, {"customerId": {"S": "odd"}, "odd": {"S": "new"}})])
    sandboxed.seed("Events", [Write(hour(LATE) + minute, {**event, "kind": {"S": "first"}})])
    sandboxed.seed("Events", [Write(hour(AGAIN) + minute, {**event, "kind": {"S": "last"}})])
    start = str((now - timedelta(hours=HOURS)).date())
    contracts: dict[str, dict[str, Any]] = {name: {"table": name.capitalize(), "start": start} for name in TABLES}
    contracts["orders"]["nested"] = {"items": "child"}
    contracts["customers"]["columns"] = {"odd": {"contract": "freeze"}}
    with pytest.MonkeyPatch.context() as patch:
        project = Project(tmp_path_factory.mktemp("project"), contracts, DEFINITIONS, patch)
        project.initial_load(dict.fromkeys(TABLES, hour(HOURS).isoformat()))
        with (
            dg.DagsterInstance.get() as instance,
            project.code(),
            project.daemon(),
            project.webserver() as url,
            browser() as page,
        ):
            # evaluated before and after, not while windows are recorded, because what it misses is loaded only on the hour
            switch(url, "start")
            until(lambda: _evaluated(instance), LONG)
            switch(url, "stop")
            ui = Ui(project, url, page, sandboxed, instance, now)
            first, last = min(ui.since), max(ui.since)
            stages: tuple[Stage, ...] = ("window_export", "window_parquet", "warehouse")
            ui.launch("orders", stages, f"[{min(ui.keys)}...{last}]", picture="orders-backfill")
            ui.launch("customers", stages, f"[{first}...{ui.key(BAD)}]")
            but_one = f"[{first}...{ui.key(LATE + 1)}], [{ui.key(LATE - 1)}...{last}]"
            ui.launch("events", stages, but_one, picture="events-backfill-but-one")
            ui.rest(lambda: bool(ui.materialized("window_export", "events")) and ui.settled())
            switch(url, "start")
            yield ui


def switch(url: str, how: Literal["start", "stop"]) -> None:
    """Starts or stops the sensor of the automation as the switch on its page does; the command would load the project."""
    selector = {
        "repositoryLocationName": "demo",
        "repositoryName": "__repository__",
        "sensorName": "ddb_assets_automation",
    }
    if how == "start":
        query = "mutation ($sensor: SensorSelector!) {done: startSensor(sensorSelector: $sensor) {__typename}}"
        answer = graphql(url, query, sensor=selector)
        assert answer["done"] == {"__typename": "Sensor"}, answer
        return
    query = (
        "query ($sensor: SensorSelector!) {sensorOrError(sensorSelector: $sensor) {... on Sensor {sensorState {id}}}}"
    )
    state = graphql(url, query, sensor=selector)["sensorOrError"]["sensorState"]
    query = "mutation ($id: String!) {done: stopSensor(id: $id) {__typename}}"
    answer = graphql(url, query, id=state["id"])
    assert answer["done"] == {"__typename": "StopSensorMutationResult"}, answer


def _evaluated(instance: dg.DagsterInstance) -> bool:
    """Whether the sensor has been evaluated, so that it notices what is new afterwards."""
    (state,) = instance.all_instigator_state()
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id)
    return any(tick.is_completed for tick in ticks)


def test_windows_backfilled_from_the_ui_are_green(ui: Ui) -> None:
    keys = ui.keys
    assert len(keys) >= HOURS
    for name in TABLES["orders"]:
        ui.partitions("warehouse", name, *ui.counts(materialized=len(keys)), picture=f"{name}-partitions")
    assert loaded_orders() == orders(ui.sandbox)


def test_the_lineage_of_a_table_is_one_graph(ui: Ui) -> None:
    ui.page.open(f"{ui.url}/locations/demo/asset-groups/orders/lineage")
    stages: tuple[Stage, ...] = ("full_parquet", "initial_load", "window_parquet", "warehouse")
    names = [asset_path(stage, name)[1] for stage in stages for name in TABLES["orders"]]
    names += [asset_path(stage, "orders")[1] for stage in ("dynamodb", "full_export", "window_export")]
    ui.page.tells_apart(*names)
    ui.page.keep("orders-group")
    ui.page.open(f"{ui.url}/assets/warehouse/orders?view=lineage&lineageScope=upstream&lineageDepth=9")
    ui.page.tells_apart("orders_table", "orders_full_export", "orders_initial_load", "orders_window_parquet")
    ui.page.keep("orders-lineage")


def test_a_late_window_is_loaded_and_loaded_again_and_the_table_is_right(ui: Ui) -> None:
    late = ui.key(LATE)
    kind = "SELECT kind FROM events WHERE device_id = 'changed twice'"
    ui.partitions("warehouse", "events", *ui.counts(materialized=HOURS - 1), picture="events-without-the-late-one")
    assert query(kind) == [("last",)]
    for loads in (1, 2):
        ui.launch("events", ("window_export", "window_parquet", "warehouse"), late)
        wanted = dg.AssetRecordsFilter(asset_key=asset_key("warehouse", "events"), asset_partitions=[late])
        ui.rest(lambda: len(ui.instance.fetch_materializations(wanted, limit=9).records) == loads)  # noqa: B023
        ui.rest(ui.settled)
        newest = ui.instance.fetch_materializations(wanted, limit=1).records[0].asset_materialization
        assert newest
        assert newest.metadata["applied"].value is (loads == 1)
        ui.partitions("warehouse", "events", *ui.counts(materialized=HOURS), picture="events-with-the-late-one")
        assert query(kind) == [("last",)]
        scanned = ui.sandbox.dynamodb().scan(TableName="Events", Select="COUNT")["Count"]
        assert query('SELECT count(*), count(DISTINCT (device_id, "at")) FROM events') == [(scanned, scanned)]


def test_a_bad_window_is_held_its_neighbours_are_loaded_and_it_is_released_when_it_is_mended(ui: Ui) -> None:
    bad = ui.key(BAD)
    keys = {key for key in ui.since if key <= bad}
    odd = "SELECT count(*) FROM customers WHERE customer_id = 'odd'"
    ui.rest(lambda: ui.materialized("warehouse", "customers") == keys - {bad} and ui.settled())
    assert bad in ui.materialized("window_parquet", "customers")
    ui.partitions("warehouse", "customers", f"Materialized ({len(keys) - 1})", picture="customers-held")
    ui.page.open(f"{ui.url}/assets/{asset_name('window_parquet', 'customers')}?view=checks")
    ui.page.shows("contract_kept")
    ui.page.keep("customers-checks")
    assert query(odd) == [(0,)]
    ui.project.declare("customers", {"table": "Customers", "start": min(ui.keys)[:10]})
    ui.launch("customers", ("window_parquet",), bad)
    ui.rest(lambda: ui.materialized("warehouse", "customers") == keys and ui.settled())
    ui.partitions("warehouse", "customers", *ui.counts(materialized=len(keys)), picture="customers-released")
    assert query(odd) == [(1,)]
    scanned = ui.sandbox.dynamodb().scan(TableName="Customers", Select="COUNT")["Count"]
    assert query("SELECT count(*) FROM customers") == [(scanned,)]
