"""The disasters of a warehouse in ClickHouse: named by `status`, mended by `recover`. The other commands answer, too."""

from collections.abc import Iterator

import pytest

from ddb_assets.sandbox.clickhouse.server import ClickHouseServer
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.warehouse.clickhouse.settings import PASSWORD
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets_tests.cli.test_commands import answer
from ddb_assets_tests.recovery.test_recovering import ONE
from ddb_assets_tests.status.standing import Standing
from ddb_assets_tests.support.clickhouse import in_database
from ddb_assets_tests.support.examples import SOAK
from ddb_assets_tests.support.window_chain import orders


@pytest.fixture
def warehouse(
    sandboxed: Sandbox, clickhouse_server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ClickHouseWarehouse]:
    monkeypatch.setenv(PASSWORD, clickhouse_server.password)
    with in_database(clickhouse_server) as warehouse:
        yield warehouse


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.skipif(not SOAK, reason="a soak plays it; status/test_clickhouse_warehouse.py has what is found")
def test_each_disaster_is_named_and_mended(
    standing: Standing, clickhouse_server: ClickHouseServer, warehouse: ClickHouseWarehouse
) -> None:
    run, settings = warehouse.server.execute, warehouse.server.settings
    url = clickhouse_server.url.replace(f"/{clickhouse_server.database}?", f"/{settings.database}?")
    here = (*ONE, "--warehouse", url)

    def found() -> set[str]:
        return set(standing.found(dagster=False, address=url))

    def recovered(loads: int, *options: str) -> None:
        (done,) = answer("recover", *here, *options, "--apply")["tables"]
        assert done["error"] == done["refused"] == ""
        assert done["loads"] == loads
        expected = {(order, status) for order, (status, _) in orders(standing.chain.sandbox).items()}
        assert set(warehouse.query("SELECT order_id, status FROM orders")) == expected
        assert found() == set()

    assert found() == {"never_loaded"}
    recovered(4)
    (plan,) = answer("plan", *here)["tables"]
    assert (plan["needs_a_person"], plan["next"], plan["not_asked"]) == (False, "window", {})
    run("DELETE FROM _ddb_rows__orders WHERE 1")
    assert found() == {"rows_changed"}
    recovered(4, "--restart")
    run("DROP VIEW orders")
    assert found() == {"table_dropped"}
    recovered(4, "--restart")
    run("DROP TABLE _ddb_rows__orders")
    assert found() == {"table_dropped"}
    recovered(4, "--restart")
    run("DROP TABLE _ddb_loads__orders")
    assert found() == {"ledger_lost"}
    for (name,) in warehouse.query("SELECT name FROM system.tables WHERE database = currentDatabase()"):
        run(f"DROP TABLE `{name}`")
    assert found() == {"warehouse_lost"}
    recovered(4)
