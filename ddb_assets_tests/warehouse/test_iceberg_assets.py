"""The warehouse's assets over Iceberg tables on S3, with the URL in the setting as for any user."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from ddb_assets.aws.clients import AWS
from ddb_assets.contract.table import Table
from ddb_assets.iceberg.catalog import open_catalog
from ddb_assets.warehouse.assets import warehouse_assets
from ddb_assets.windows.warehouse_assets import window_warehouse_assets
from ddb_assets_tests.support.places import Place
from ddb_assets_tests.warehouse.exports import Source
from ddb_assets_tests.warehouse.test_assets import DAY, PASSED, WINDOW, World, checks, shown

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ORDERS = Table(table="Orders", nested={"lines": "child"}, cadence="daily")


class IcebergWorld(World):
    """The same, with Iceberg tables in the bucket of the Parquet."""

    def __init__(self, instance: dg.DagsterInstance, lake: Place, endpoint: str, state: Path) -> None:
        self.instance, self.lake, self.endpoint = instance, lake, endpoint
        self.url = f"iceberg:///{state}/catalog.sqlite?location={lake.root}/warehouse&namespace=shop"


@pytest.fixture
def world(bucket: Place, s3: "S3Client", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IcebergWorld]:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "x")
    with dg.DagsterInstance.ephemeral() as instance:
        yield IcebergWorld(instance, bucket, s3.meta.endpoint_url, tmp_path)


def test_an_initial_load_and_a_window_become_tables_on_s3(world: IcebergWorld, source: Source) -> None:
    source.put(-9, "a", "first", "x", "y")
    source.put(-8, "b", "gone")
    world.flattened("full_parquet", source.full(0))
    result = world.load(warehouse_assets(ORDERS, world.url))
    assert result.success
    assert checks(result) == PASSED
    source.put(11, "a", "second", "z")
    source.delete(12, "b")
    world.flattened("window_parquet", source.window(0, DAY), WINDOW)
    assets = window_warehouse_assets(ORDERS, world.url)
    result = world.load(assets, WINDOW)
    assert result.success
    assert checks(result) == PASSED
    facts = shown(result, "warehouse/orders")
    assert facts["dagster/table_name"] == "iceberg.shop.orders"
    assert (facts["dagster/row_count"], facts["rows_loaded"], facts["deleted"]) == (1, 1, 1)
    assert all("iceberg" in spec.kinds for spec in assets.specs)
    with open_catalog(world.url, AWS(endpoint=world.endpoint, region="us-east-1")) as catalog:
        orders = catalog.load_table("shop.orders")
        assert orders.location().startswith(f"{world.lake.root}/warehouse/shop/orders-")
        assert [row["note"] for row in orders.scan().to_arrow().to_pylist()] == ["second"]
        lines = catalog.load_table("shop.orders__lines").scan().to_arrow().to_pylist()
        assert [row["value"] for row in lines] == ["z"]
    assert not shown(world.load(assets, WINDOW), "warehouse/orders")["applied"]
