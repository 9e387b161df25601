"""A look at a table whose warehouse is ClickHouse: it finds what is wrong, and changes nothing."""

from pathlib import Path

from ddb_assets.aws.clients import AWS
from ddb_assets.contract.table import Table
from ddb_assets.sandbox.clickhouse.server import ClickHouseServer
from ddb_assets.status.findings import findings
from ddb_assets.status.gather import of_warehouse
from ddb_assets.status.look import NOT_ASKED
from ddb_assets.status.pictures import Pictures
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets_tests.warehouse.exports import Source, at

ORDERS = Table(table="Orders", load="replace", nested={"lines": "child"})


def test_what_is_wrong_is_found_and_a_start_over_mends_it(
    clickhouse_server: ClickHouseServer, clickhouse: ClickHouseWarehouse, tmp_path: Path
) -> None:
    run, settings = clickhouse.server.execute, clickhouse.server.settings
    url = clickhouse_server.url.replace(f"/{clickhouse_server.database}?", f"/{settings.database}?")

    def found() -> dict[str, str]:
        said, _ = of_warehouse(AWS(), url, ORDERS)
        seen = Pictures(at(0), said, NOT_ASKED, NOT_ASKED, NOT_ASKED)
        return {one.code: one.what for one in findings(ORDERS, seen)}

    def mended() -> bool:
        clickhouse.load(full, LoadOptions(restart=True))
        return not found()

    assert found().keys() == {"never_loaded"}
    source = Source(tmp_path)
    source.put(-2, "a", "note", "x")
    full = source.full(-1)
    clickhouse.load(full)
    assert found() == {}
    run("DELETE FROM _ddb_rows__orders WHERE 1")
    assert "had 1 rows after its newest load and is empty" in found()["rows_changed"]
    assert mended()
    run("DROP TABLE _ddb_rows__orders__lines")
    assert "orders__lines was loaded" in found()["table_dropped"]
    assert mended()
    run("DROP VIEW orders")
    assert "orders was loaded" in found()["table_dropped"]
    assert mended()
    run("DROP TABLE _ddb_loads__orders")
    assert found().keys() == {"ledger_lost"}
