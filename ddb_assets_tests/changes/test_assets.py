"""The assets of the tables of changes: what they show, in which order they come, and which tables have them."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from pydantic import ValidationError

from ddb_assets.aws.clients import AWS
from ddb_assets.changes.assets import changes_assets
from ddb_assets.changes.chosen import keeps_changes
from ddb_assets.changes.read import read_changes
from ddb_assets.contract.report import Report
from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.flatten.output import REPORT
from ddb_assets.iceberg.catalog import open_catalog
from ddb_assets.orchestration import metadata
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.iceberg import IcebergTarget
from ddb_assets.resources.lake import Lake
from ddb_assets.settings import LAKE_FORMAT, WAREHOUSE, SettingError
from ddb_assets.windows.changes_assets import window_changes_assets
from ddb_assets.windows.table_assets import all_keys, stages
from ddb_assets_tests.support.places import Place
from ddb_assets_tests.warehouse.exports import Source
from ddb_assets_tests.warehouse.test_redshift import on_s3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WINDOW, DAY = "2026-03-01T0000Z", 24 * 3600 * 1_000_000
ORDERS = Table(table="Orders", nested={"lines": "child"}, cadence="daily", lake="iceberg")


class World:
    """A Dagster instance, and a bucket with new Parquet and the Iceberg tables."""

    def __init__(self, instance: dg.DagsterInstance, lake: Place, endpoint: str, state: Path) -> None:
        self.instance, self.lake, self.endpoint = instance, lake, endpoint
        self.url = f"iceberg:///{state}/catalog.sqlite?location={lake.root}/tables"

    def flattened(self, stage: Stage, made: Report, partition: str | None = None) -> None:
        folder = f"{self.lake.root}/{stage}/{made.export_id}"
        self.lake.storage.write(f"{folder}/{REPORT}", on_s3(made, self.lake).model_dump_json().encode())
        event = dg.AssetMaterialization(
            metadata.asset_key(stage, "orders"),
            partition=partition,
            metadata={metadata.FOLDER: folder, metadata.EXPORT_ID: made.export_id},
        )
        self.instance.report_runless_asset_event(event)

    def append(self, assets: dg.AssetsDefinition, partition: str | None = None) -> dict[str, dict[str, Any]]:
        """The facts by asset."""
        result = dg.materialize(
            [assets],
            instance=self.instance,
            resources={
                "ddb_aws": AWSResource(endpoint=self.endpoint, region="us-east-1"),
                "ddb_iceberg": IcebergTarget(url=self.url),
                "ddb_lake": Lake(uri=self.lake.root),
            },
            partition_key=partition,
        )
        return {
            event.materialization.asset_key.to_user_string(): {
                name: value.value for name, value in event.materialization.metadata.items()
            }
            for event in result.get_asset_materialization_events()
        }


@pytest.fixture
def world(bucket: Place, s3: "S3Client", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "x")
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(instance, bucket, s3.meta.endpoint_url, tmp_path)


def test_a_full_export_and_a_window_are_appended_on_s3(world: World, tmp_path: Path) -> None:
    source = Source(tmp_path / "parquet")
    source.put(-9, "a", "first", "x", "y")
    source.put(-8, "b", "gone")
    world.flattened("full_parquet", source.full(0))
    full = world.append(changes_assets(ORDERS))
    assert set(full) == {"iceberg/orders_initial_changes", "iceberg/orders__lines_initial_changes"}
    source.put(11, "a", "second", "z")
    source.delete(12, "b")
    world.flattened("window_parquet", source.window(0, DAY), WINDOW)
    window = world.append(window_changes_assets(ORDERS), WINDOW)
    facts = window["iceberg/orders__changes"]
    assert (facts["dagster/row_count"], facts["dagster/partition_row_count"], facts["rows_appended"]) == (4, 2, 2)
    assert (facts["dagster/table_name"], facts["applied"]) == ("ddb_assets.orders__changes", True)
    assert facts["dagster/uri"].startswith(f"{world.lake.root}/tables/")
    assert (facts["files"], facts["files_written"]) == (2, 1)
    assert {"_ddb_deleted", "_ddb_kind", "_ddb_day"} < {one.name for one in facts["dagster/column_schema"].columns}
    with open_catalog(world.url, AWS(endpoint=world.endpoint, region="us-east-1")) as catalog:
        table = catalog.load_table("ddb_assets.orders__changes")
        assert facts["snapshot_id"] == str(table.metadata.current_snapshot_id)
        found = read_changes(table).read_all().select(["order_id", "note", "_ddb_deleted"]).to_pylist()
    assert sorted(map(str, (tuple(row.values()) for row in found))) == [
        "('a', 'first', False)",
        "('a', 'second', False)",
        "('b', 'gone', False)",
        "('b', None, True)",
    ]
    again = world.append(window_changes_assets(ORDERS), WINDOW)["iceberg/orders__changes"]
    assert (again["applied"], again["dagster/row_count"], again["rows_appended"]) == (False, 4, 0)


def test_what_the_contract_refuses_is_not_appended(world: World, tmp_path: Path) -> None:
    source = Source(tmp_path / "parquet")
    source.put(-9, "a", "first")
    world.flattened("full_parquet", source.full(0, unread=["a"]))
    with pytest.raises(dg.Failure, match="could not be read"):
        world.append(changes_assets(ORDERS))


def keys(table: Table) -> set[str]:
    return {key.to_user_string() for key in all_keys(table) if key.path[0] == "iceberg"}


def test_a_contract_or_the_setting_chooses_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, parquet = Table(table="Orders"), Table(table="Orders", lake="parquet")
    assert (keys(plain), keys(parquet)) == (set(), set())
    assert keys(ORDERS) == {
        "iceberg/orders_initial_changes",
        "iceberg/orders__lines_initial_changes",
        "iceberg/orders__changes",
        "iceberg/orders__lines__changes",
        "iceberg/orders_upkeep",
    }
    monkeypatch.setenv(LAKE_FORMAT, "iceberg")
    assert keys(plain) == {"iceberg/orders_initial_changes", "iceberg/orders__changes", "iceberg/orders_upkeep"}
    assert keys(parquet) == set()
    monkeypatch.setenv(LAKE_FORMAT, "delta")
    with pytest.raises(SettingError, match="write parquet, or iceberg"):
        keeps_changes(plain)


def test_a_table_without_windows_has_one_asset_for_each_relation() -> None:
    for table in (
        Table(table="Orders", load="replace", lake="iceberg"),
        Table(table="Orders", source="scan", lake="iceberg"),
    ):
        assert keys(table) == {"iceberg/orders__changes", "iceberg/orders_upkeep"}
        assert stages(table)[-3:] == ("changes", "upkeep", "status")


def test_a_warehouse_in_iceberg_has_upkeep_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAREHOUSE, "iceberg://glue/lake?location=s3://bucket")
    assert keys(Table(table="Orders")) == {"iceberg/orders_upkeep"}
    assert keys(Table.model_validate({"table": "Orders", "source": "stream", "stream": "s"})) == set()


def test_cold_rows_have_upkeep_too(monkeypatch: pytest.MonkeyPatch) -> None:
    retained = Table(table="Orders", warehouse=WarehouseOptions(retain="400 days by created"))
    monkeypatch.setenv(WAREHOUSE, "redshift://loader@host/dev")
    assert keys(retained) == {"iceberg/orders_upkeep"}
    monkeypatch.setenv(WAREHOUSE, "duckdb:////tmp/w.duckdb")
    assert keys(retained) == set()


def test_a_table_of_a_stream_alone_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="`source: stream` makes none: take `lake` out"):
        Table.model_validate({"table": "Orders", "source": "stream", "stream": "s", "lake": "iceberg"})
    monkeypatch.setenv(LAKE_FORMAT, "iceberg")
    assert not keeps_changes(Table.model_validate({"table": "Orders", "source": "stream", "stream": "s"}))
