"""A look at a table whose warehouse is tables of Iceberg: it finds what is wrong, and changes nothing."""

from pathlib import Path

from ddb_assets.aws.clients import AWS
from ddb_assets.contract.table import Table
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.status.findings import findings
from ddb_assets.status.gather import of_warehouse
from ddb_assets.status.look import NOT_ASKED
from ddb_assets.status.pictures import Pictures
from ddb_assets.warehouse.iceberg.connection import IcebergEngine
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import Source, at

ORDERS = Table(table="Orders", load="replace", nested={"lines": "child"})


def found(url: str) -> dict[str, str]:
    said, _ = of_warehouse(AWS(), url, ORDERS)
    seen = Pictures(at(0), said, NOT_ASKED, NOT_ASKED, NOT_ASKED)
    return {one.code: one.what for one in findings(ORDERS, seen)}


def test_what_is_wrong_is_found_and_nothing_changes(tmp_path: Path) -> None:
    url = f"iceberg:///{tmp_path}/catalog.sqlite?namespace=main"
    assert found(url).keys() == {"never_loaded"}
    source = Source(tmp_path / "parquet")
    source.put(-2, "a", "note", "x")
    with IcebergEngine(CatalogUrl.parse(url)) as engine:
        catalog = engine.store.catalog
        assert catalog.list_tables("main") == []
        load(engine, source.full(-1))
        assert found(url) == {}
        catalog.load_table("main.orders").delete()
        assert "orders had 1 rows after its newest load and is empty" in found(url)["rows_changed"]
        catalog.drop_table("main.orders__lines")
        assert "orders__lines was loaded" in found(url)["table_dropped"]
        tables = [name for _, name in catalog.list_tables("main")]
        catalog.drop_table("main._ddb_loads__orders")
        assert found(url).keys() == {"ledger_lost"}
        assert [name for _, name in catalog.list_tables("main")] == [name for name in tables if "loads" not in name]
