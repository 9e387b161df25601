"""Which catalog Iceberg tables are in."""

import pytest

from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.resources.iceberg import IcebergTarget
from ddb_assets.resources.lake import Lake
from ddb_assets.settings import ICEBERG, STATE, SettingError


def test_without_a_setting_it_is_a_file_with_tables_in_the_lake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE, "/state")
    monkeypatch.delenv(ICEBERG, raising=False)
    lake = Lake(uri="s3://bucket/lake/")
    found = CatalogUrl.parse(IcebergTarget().address(lake))
    assert (found.file, found.location) == ("/state/iceberg.sqlite", "s3://bucket/lake/iceberg")
    monkeypatch.setenv(ICEBERG, "iceberg:////other")
    assert IcebergTarget().address(lake) == "iceberg:////other"
    assert IcebergTarget(url="iceberg:////given").address(lake) == "iceberg:////given"


def test_without_a_lake_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ICEBERG, raising=False)
    monkeypatch.delenv("DDB_ASSETS_LAKE", raising=False)
    with pytest.raises(SettingError, match="DDB_ASSETS_LAKE is not set"):
        IcebergTarget().address(Lake())
