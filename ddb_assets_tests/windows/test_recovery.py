"""Faults outside the chain, and how a table becomes complete again: dropped, changed by hand, recreated."""

from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from ddb_assets.aws.clients import AWS
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.sandbox.server import Sandbox, Write
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets.windows.checks import judged
from ddb_assets.windows.loaded import ask
from ddb_assets_tests.support.kept_chain import KeptChain
from ddb_assets_tests.support.sandboxed import warehouse_file
from ddb_assets_tests.support.window_chain import (
    BEGUN,
    ORDERS,
    Chain,
    hours_ago,
    key_of,
    loaded_orders,
    orders,
    own_chain,
    tick,
)

SNAPSHOT = ("exports/orders_full_export", "parquet/orders_full_parquet", "parquet/orders__items_full_parquet")
LOAD = ("loads/orders_initial_load", "loads/orders__items_initial_load")
WINDOW = (
    "exports/orders_window_export",
    "parquet/orders_window_parquet",
    "parquet/orders__items_window_parquet",
    "warehouse/orders",
    "warehouse/orders__items",
)
FIRST, SECOND = 3, 2  # hours ago that the first and the second initial load show
RESTART = {"loads__orders_initial_load": {"config": {"restart": True}}}


@pytest.fixture(scope="module")
def complete(sandboxed: Sandbox, definitions: dg.Definitions, tmp_path_factory: pytest.TempPathFactory) -> KeptChain:
    """A chain with an initial load of `FIRST` hours ago and all windows since."""
    with own_chain(sandboxed, definitions, tmp_path_factory.mktemp("complete")) as chain:
        full_export(chain, FIRST)
        assert chain.run(*LOAD).success
        assert chain.run(*WINDOW, partitions=since(FIRST)).success
        return KeptChain.of(chain, tmp_path_factory.mktemp("kept") / "state")


@pytest.fixture
def loaded(complete: KeptChain, chain: Chain) -> Chain:
    """With an initial load of `FIRST` hours ago and all windows since, so that every check passes."""
    complete.into(chain)
    assert failing(chain) == {}
    return chain


def full_export(chain: Chain, hours: int) -> None:
    config = {"exports__orders_full_export": {"config": {"as_of": hours_ago(hours).start.isoformat()}}}
    assert chain.run(*SNAPSHOT, config=config).success


def since(hours: int) -> list[str]:
    return [key_of(hours_ago(before)) for before in range(hours, 0, -1)]


def failing(chain: Chain, now: datetime = BEGUN) -> dict[str, str]:
    """The description of each failed check of the chain."""
    results = judged(chain.instance, ORDERS, ask(WarehouseTarget(), AWS(), ORDERS, counted=True), now)
    return {str(result.check_name): str(result.description) for result in results if not result.passed}


def windows_of(requests: dg.SkipReason | list[dg.RunRequest]) -> list[str | None]:
    assert isinstance(requests, list)
    return [request.partition_key for request in requests]


def by_hand(*statements: str) -> None:
    with DuckDBEngine(warehouse_file()) as warehouse:
        for statement in statements:
            warehouse.execute(Statement(statement))


def failures(result: Any) -> str:
    assert not result.success
    found = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return "\n".join(str(data.user_failure_data.description) for data in found if data.user_failure_data)


def test_a_dropped_table_is_whole_again_after_a_restart_and_the_windows_since(loaded: Chain) -> None:
    by_hand("DROP TABLE orders", "DROP TABLE orders__items")
    assert "orders is gone" in failing(loaded)["records_agree"]
    full_export(loaded, SECOND)
    assert "start the table over with a full export" in failures(loaded.run(*LOAD))
    assert loaded.run(*LOAD, config=RESTART).success
    assert f"{SECOND} windows are missing" in failing(loaded, BEGUN + timedelta(hours=1))["windows_complete"]
    assert windows_of(tick(loaded, minute=0)) == since(SECOND)
    assert loaded.run(*WINDOW, partitions=since(SECOND)).success
    assert loaded_orders() == orders(loaded.sandbox)
    assert failing(loaded) == {}


def test_rows_that_somebody_deleted_fail_a_check_until_a_new_initial_load_is_loaded(loaded: Chain) -> None:
    gone = next(iter(loaded_orders()))
    by_hand(f"DELETE FROM orders WHERE order_id = '{gone}'")
    assert set(found := failing(loaded)) == {"records_agree"}
    assert "rows after the newest load and has" in found["records_agree"]
    full_export(loaded, 1)
    assert loaded.run(*LOAD).success
    assert loaded.run(*WINDOW, partitions=since(1)).success
    assert loaded_orders() == orders(loaded.sandbox)
    assert failing(loaded) == {}


def test_a_table_that_was_recreated_is_followed_from_a_new_initial_load(loaded: Chain) -> None:
    client = loaded.sandbox.dynamodb()
    client.delete_table(TableName="Orders")
    client.create_table(
        TableName="Orders",
        AttributeDefinitions=[{"AttributeName": "orderId", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "orderId", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    loaded.sandbox.enable_recovery("Orders", hours_ago(FIRST).start)
    loaded.sandbox.seed(
        "Orders",
        [
            Write(
                hours_ago(hours).start + timedelta(minutes=1),
                {"orderId": {"S": name}, "status": {"S": "new"}, "items": {"L": []}},
            )
            for hours, name in ((SECOND + 1, "in the initial load"), (SECOND - 1, "in a window"))
        ],
    )
    assert "was dropped and created again" in failures(loaded.run(*WINDOW, partitions=since(1)))
    full_export(loaded, SECOND)
    assert loaded.run(*LOAD).success
    assert set(loaded_orders()) == {"in the initial load"}
    assert loaded.run(*WINDOW, partitions=since(SECOND)).success
    assert loaded_orders() == orders(loaded.sandbox) == {"in the initial load": ("new", 0), "in a window": ("new", 0)}
    assert failing(loaded) == {}
