"""The warehouse's assets over Redshift: what they show, what their checks find, and what an administrator sees."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from ddb_assets.contract.report import Report
from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.flatten.output import REPORT
from ddb_assets.orchestration import metadata
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.settings import PRICES
from ddb_assets.warehouse import receipts
from ddb_assets.warehouse.assets import warehouse_assets
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.settings import RedshiftSettings
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets.warehouse.url import warehouse_pool
from ddb_assets.windows.chain import find_initial_load
from ddb_assets.windows.warehouse_assets import window_warehouse_assets
from ddb_assets_tests.support.engines import select
from ddb_assets_tests.support.places import Place
from ddb_assets_tests.warehouse.exports import Source
from ddb_assets_tests.warehouse.test_redshift import on_s3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WINDOW, DAY = "2026-03-01T0000Z", 24 * 3600 * 1_000_000
ORDERS = Table(table="Orders", nested={"lines": "child"}, cadence="daily", warehouse=WarehouseOptions(views="people"))
REPLACED = ORDERS.model_copy(update={"load": "replace"})


class World:
    """A Dagster instance with new Parquet, and a Redshift without a staging folder."""

    def __init__(self, instance: dg.DagsterInstance, server: RedshiftServer, lake: Place, endpoint: str) -> None:
        self.instance, self.server, self.lake, self.endpoint = instance, server, lake, endpoint
        self.url = f"{server.url}?sslmode=disable"

    @property
    def receipts(self) -> str:
        return f"{self.lake.root}/receipts"

    def flattened(self, stage: Stage, made: Report, partition: str | None = None) -> None:
        folder = f"{self.lake.root}/{stage}/{made.export_id}"
        self.lake.storage.write(f"{folder}/{REPORT}", on_s3(made, self.lake).model_dump_json().encode())
        event = dg.AssetMaterialization(
            metadata.asset_key(stage, "orders"),
            partition=partition,
            metadata={metadata.FOLDER: folder, metadata.EXPORT_ID: made.export_id},
        )
        self.instance.report_runless_asset_event(event)

    def load(self, assets: dg.AssetsDefinition, partition: str | None = None) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            [assets],
            instance=self.instance,
            resources={
                "ddb_aws": AWSResource(endpoint=self.endpoint, region="us-east-1"),
                "ddb_lake": Lake(uri=self.lake.root),
                "ddb_warehouse": WarehouseTarget(url=self.url),
            },
            partition_key=partition,
            raise_on_error=False,
        )


@pytest.fixture
def world(
    redshift: RedshiftServer,
    over_redshift: RedshiftEngine,
    lake: Place,
    s3: "S3Client",
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "x")
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(instance, redshift, lake, s3.meta.endpoint_url)


def shown(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    for event in result.get_asset_materialization_events():
        made = event.step_materialization_data.materialization
        if made.asset_key.to_user_string() == asset:
            return {name: value.value for name, value in made.metadata.items()}
    raise AssertionError(f"{asset} was not materialized")


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {e.check_name: e.passed for e in result.get_asset_check_evaluations()}


PASSED = dict.fromkeys(("ledger_explains_rows", "rows_as_in_ledger", "keys_unique", "staging_empty"), True)


def test_an_initial_load_and_a_window_say_what_they_loaded_and_how(
    world: World, over_redshift: RedshiftEngine, source: Source
) -> None:
    source.put(-9, "a", "first", "x", "y")
    source.put(-8, "b", "gone")
    world.flattened("full_parquet", source.full(0))
    result = world.load(warehouse_assets(ORDERS, world.url))
    assert result.success
    assert checks(result) == PASSED
    source.put(11, "a", "second", "z")
    source.delete(12, "b")
    export = source.window(0, DAY)
    world.flattened("window_parquet", export, WINDOW)
    result = world.load(window_warehouse_assets(ORDERS, world.url), WINDOW)
    assert result.success
    assert checks(result) == PASSED
    facts = shown(result, "warehouse/orders")
    assert facts["dagster/table_name"] == f"{RedshiftSettings.parse(world.url).database}.public.orders"
    assert (facts["dagster/row_count"], facts["rows_loaded"], facts["deleted"]) == (1, 1, 1)
    assert facts["seconds"] > 0
    assert facts["copy_bytes"] == sum(part.bytes for part in export.root.parts)
    found = "SELECT table_name, loaded_rows FROM sys_load_history WHERE query_id = ?"
    ((staged, rows),) = over_redshift.fetch(Statement(found, (facts["copy_query_id"],)))
    assert (str(staged)[:11], rows) == ("_ddb_stage_", 2)
    labels = {label for (label,) in select(over_redshift, "SELECT DISTINCT query_label FROM sys_query_history")}
    assert {"ddb_assets orders", f"ddb_assets orders {WINDOW}"} <= {str(label).strip() for label in labels}
    assert shown(result, "warehouse/orders__lines")["copy_query_id"] != facts["copy_query_id"]
    assert select(over_redshift, "SELECT * FROM people.orders") == [("a", "second")]
    (ledger,) = receipts.ledgers(world.lake.storage, world.receipts, "orders")
    first, second = (
        receipts.read(world.lake.storage, world.receipts, "orders", which)
        for which in receipts.named(world.lake.storage, world.receipts, "orders", ledger)
    )
    assert (first.is_full, second.export_id) == (True, export.export_id)
    assert second.folder.startswith(f"{world.lake.root}/window_parquet/")
    assert second.warehouse == f"redshift://{world.server.url.partition('@')[2].partition(':')[0]}/dev/public"


def test_a_wrong_file_of_prices_fails_the_step_before_it_loads(
    world: World, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Afterwards it would be a failed run of a load that is done, and the next run would show no counts."""
    source.put(-9, "a", "first")
    world.flattened("full_parquet", source.full(0))
    own = tmp_path / "prices.yaml"
    own.write_text("s3: {thousand_reads: much}")
    monkeypatch.setenv(PRICES, str(own))
    result = world.load(warehouse_assets(ORDERS, world.url))
    assert not result.success
    (failed,) = result.get_step_failure_events()
    assert str(own) in str(failed.step_failure_data.error)
    assert receipts.ledgers(world.lake.storage, world.receipts, "orders") == []
    own.write_text("s3: {thousand_reads: 0.1}")
    assert shown(world.load(warehouse_assets(ORDERS, world.url)), "loads/orders_initial_load")["applied"]


def test_an_older_full_export_that_comes_late_does_not_become_the_initial_load(world: World, source: Source) -> None:
    source.put(-9, "a", "first")
    older, newer = source.full(0), source.full(DAY)
    for export in (newer, older):
        world.flattened("full_parquet", export)
        result = world.load(warehouse_assets(ORDERS, world.url))
        assert result.success
    assert shown(result, "loads/orders_initial_load")["export_id"] == older.export_id
    initial_load = find_initial_load(world.instance, ORDERS)
    assert initial_load
    assert newer.export_time
    assert (initial_load.export_id, initial_load.time) == (newer.export_id, newer.export_time)


def test_what_could_not_be_read_is_refused_unless_the_contract_allows_it(
    world: World, over_redshift: RedshiftEngine, source: Source
) -> None:
    source.put(-9, "a", "first")
    source.put(-8, "b", "first")
    world.flattened("full_parquet", source.full(0))
    assert world.load(warehouse_assets(ORDERS, world.url)).success
    source.put(11, "a", "second")
    source.put(12, "b", "second")
    world.flattened("window_parquet", source.window(0, DAY, unread="a"), WINDOW)
    result = world.load(window_warehouse_assets(ORDERS, world.url), WINDOW)
    assert not result.success
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    assert "allows 0 (max_quarantined)" in str(failure.step_failure_data.error)
    assert select(over_redshift, "SELECT order_id, note FROM orders ORDER BY 1") == [("a", "first"), ("b", "first")]
    allowed = ORDERS.model_copy(update={"max_quarantined": 1})
    result = world.load(window_warehouse_assets(allowed, world.url), WINDOW)
    assert result.success
    assert checks(result) == PASSED
    facts = shown(result, "warehouse/orders")
    assert (facts["quarantined"], facts["kept_stale"]) == (1, 1)
    assert select(over_redshift, "SELECT order_id, note FROM people.orders ORDER BY 1") == [
        ("a", "first"),
        ("b", "second"),
    ]


def test_a_replaced_table_has_the_same_checks(world: World, source: Source) -> None:
    source.put(1, "a", "first", "x")
    world.flattened("full_parquet", source.full(5))
    assets = warehouse_assets(REPLACED, world.url)
    result = world.load(assets)
    assert result.success
    assert checks(result) == PASSED
    assert shown(result, "warehouse/orders")["copy_query_id"] > 0
    again = world.load(assets)
    assert checks(again) == PASSED
    assert "copy_bytes" not in shown(again, "warehouse/orders")


def test_rows_that_others_change_and_keys_that_are_there_twice_are_found(
    world: World, over_redshift: RedshiftEngine, source: Source
) -> None:
    """The window does not have key `old`, so only a look at the whole table finds that it is there twice."""
    source.put(-9, "old", "first", "x")
    world.flattened("full_parquet", source.full(-1))
    assert world.load(warehouse_assets(ORDERS, world.url)).success
    source.put(11, "a", "second", "z")
    world.flattened("window_parquet", source.window(0, DAY), WINDOW)
    windows = window_warehouse_assets(ORDERS, world.url)
    assert world.load(windows, WINDOW).success
    again = "INSERT INTO orders (order_id, note, _ddb_version) SELECT order_id, note, _ddb_version FROM orders"
    over_redshift.execute(Statement(f"{again} WHERE order_id = 'old'"))
    result = world.load(windows, WINDOW)
    assert checks(result) == PASSED | {"rows_as_in_ledger": False}
    over_redshift.execute(Statement(f"{again} WHERE order_id = 'a'"))
    result = world.load(windows, WINDOW)
    assert checks(result) == PASSED | {"rows_as_in_ledger": False, "keys_unique": False}
    (found,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "rows_as_in_ledger"]
    assert found.description == "`orders`: 2 then, 4 now"


def test_what_a_load_leaves_behind_is_found(world: World, over_redshift: RedshiftEngine, source: Source) -> None:
    source.put(1, "a", "first", "x")
    made = source.full(5)
    over_redshift.execute(Statement(f'CREATE TEMP TABLE "_ddb_stage_{over_redshift.session}_0" (a BIGINT)'))
    assert over_redshift.leftovers([made.root]) == [f"_ddb_stage_{over_redshift.session}_0"]
    over_redshift.execute(Statement(f'DROP TABLE "_ddb_stage_{over_redshift.session}_0"'))
    uri = f"s3://staging/copy/_ddb_copy_{over_redshift.session}/orders/manifest.json"
    world.lake.storage.write(uri, b"{}")
    assert over_redshift.leftovers([made.root]) == [uri]
    world.lake.storage.delete([uri])
    assert over_redshift.leftovers([made.root]) == []


@pytest.mark.parametrize(
    ("url", "pool"),
    [
        ("duckdb:////data/x.duckdb", "warehouse"),
        ("redshift://me@main.eu-west-1.aws:5439/dev?schema=a", "warehouse_main_eu_west_1_aws_dev"),
        ("redshift:///dev?workgroup=my-group", "warehouse_my_group_dev"),
        ("redshift://me@/dev?cluster=main", "warehouse_main_dev"),
        ("redshift://me@[x/dev", "warehouse"),
    ],
)  # fmt: skip
def test_loads_into_one_warehouse_share_a_pool(url: str, pool: str) -> None:
    assert warehouse_pool(url) == pool
    assert warehouse_assets(ORDERS, url).op.pool == pool
    assert window_warehouse_assets(ORDERS, url).op.pool == pool
