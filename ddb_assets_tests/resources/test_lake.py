"""The lake's layout below one URI."""

import pytest

from ddb_assets.aws.storage import StorageError
from ddb_assets.contract.export_target import ExportTarget
from ddb_assets.contract.table import Table
from ddb_assets.resources.lake import Lake
from ddb_assets.settings import SettingError

ORDERS = Table(table="Orders")


@pytest.mark.parametrize(
    ("uri", "prefix"), [("s3://b/p/", "p/exports"), ("s3://b/p/q", "p/q/exports"), ("s3://bkt", "exports")]
)
def test_everything_lies_below_the_root(uri: str, prefix: str) -> None:
    lake = Lake(uri=uri.replace("s3://b/", "s3://bkt/"))
    assert lake.exports_of(ORDERS) == ExportTarget(bucket="bkt", prefix=prefix)
    assert lake.parquet(ORDERS, "01-x") == f"{lake.root}/parquet/orders/full/01-x"
    assert lake.schemas == f"{lake.root}/schemas"


def test_a_table_may_have_its_own_place_for_exports() -> None:
    own = ExportTarget(bucket="theirs", prefix="x")
    assert Lake(uri="s3://bkt").exports_of(Table(table="Orders", export=own)) == own


def test_the_environment_gives_the_root_unless_the_field_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDB_ASSETS_LAKE", "s3://from-env")
    assert Lake().root == "s3://from-env"
    assert Lake(uri="s3://from-field").root == "s3://from-field"


def test_no_root_and_no_s3_uri_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DDB_ASSETS_LAKE", raising=False)
    with pytest.raises(SettingError, match="DDB_ASSETS_LAKE is not set"):
        _ = Lake().root
    with pytest.raises(StorageError, match="write s3://bucket/key"):
        _ = Lake(uri="bucket/prefix").root
    with pytest.raises(StorageError, match=r"'s3://b/prefix' names no bucket"):
        Lake(uri="s3://b/prefix").exports_of(ORDERS)
