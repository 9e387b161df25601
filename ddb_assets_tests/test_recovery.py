"""What goes wrong outside the chain, and how a table becomes whole again: dropped, changed by hand, made again."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ddb_assets.definitions import build_defs
from ddb_assets.exports.checks import judged
from ddb_assets.exports.loaded import ask
from ddb_assets.resources.aws import AWS
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.sandbox.server import Sandbox, Write
from ddb_assets.warehouse.duckdb import DuckDBWarehouse
from ddb_assets.warehouse.sql import Statement
from ddb_assets_tests.sandboxed import warehouse_file
from ddb_assets_tests.window_chain import (
    BEGUN,
    ORDERS,
    Chain,
    hours_ago,
    key_of,
    loaded_orders,
    orders,
    own_chain,
    sandboxed,
)

__all__ = ["sandboxed"]

SNAPSHOT = ("snapshots/orders", "baseline/orders", "baseline/orders__items")
LOAD = ("warehouse_baseline/orders", "warehouse_baseline/orders__items")
WINDOW = ("exports/orders", "parquet/orders", "parquet/orders__items", "warehouse/orders", "warehouse/orders__items")
FIRST, SECOND = 3, 2  # hours ago that the first baseline shows, and the second
RESTART = {"warehouse_baseline_orders": {"config": {"restart": True}}}


@pytest.fixture(scope="module")
def definitions(sandboxed: Sandbox) -> dg.Definitions:
    return build_defs()


@pytest.fixture
def chain(sandboxed: Sandbox, definitions: dg.Definitions, tmp_path: Path) -> Iterator[Chain]:
    """With a baseline of `FIRST` hours ago and all windows since, so that every check passes."""
    with own_chain(sandboxed, definitions, tmp_path) as chain:
        snapshot(chain, FIRST)
        assert chain.run(*LOAD).success
        assert chain.run(*WINDOW, partitions=since(FIRST)).success
        assert failing(chain) == {}
        yield chain


def snapshot(chain: Chain, hours: int) -> None:
    config = {"snapshots_orders": {"config": {"as_of": hours_ago(hours).start.isoformat()}}}
    assert chain.run(*SNAPSHOT, config=config).success


def since(hours: int) -> list[str]:
    return [key_of(hours_ago(before)) for before in range(hours, 0, -1)]


def failing(chain: Chain, now: datetime = BEGUN) -> dict[str, str]:
    """What each failed check of the chain says."""
    results = judged(chain.instance, ORDERS, ask(WarehouseTarget(), AWS(), ORDERS, counted=True), now)
    return {str(result.check_name): str(result.description) for result in results if not result.passed}


def requested(chain: Chain) -> set[str | None]:
    """The windows that the schedule asks for."""
    with dg.build_schedule_context(
        instance=chain.instance,
        scheduled_execution_time=BEGUN.replace(minute=0),
        resources={"aws": AWS(), "lake": Lake(), "warehouse": WarehouseTarget()},
    ) as context:
        runs: Any = chain.definitions.resolve_schedule_def("orders_windows")(context)
    return {run.partition_key for run in runs or () if isinstance(run, dg.RunRequest)}


def by_hand(*statements: str) -> None:
    with DuckDBWarehouse(warehouse_file()) as warehouse:
        for statement in statements:
            warehouse.execute(Statement(statement))


def failures(result: Any) -> str:
    assert not result.success
    found = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return "\n".join(str(data.user_failure_data.description) for data in found if data.user_failure_data)


def test_a_dropped_table_is_whole_again_after_a_restart_and_the_windows_since(chain: Chain) -> None:
    by_hand("DROP TABLE orders", "DROP TABLE orders__items")
    assert "orders is gone" in failing(chain)["records_agree"]
    snapshot(chain, SECOND)
    assert "start the table over with a full export" in failures(chain.run(*LOAD))
    assert chain.run(*LOAD, config=RESTART).success
    assert f"{SECOND} windows are missing" in failing(chain, BEGUN + timedelta(hours=1))["windows_complete"]
    assert requested(chain) == set(since(SECOND))
    assert chain.run(*WINDOW, partitions=since(SECOND)).success
    assert loaded_orders() == orders(chain.sandbox)
    assert failing(chain) == {}


def test_rows_that_somebody_deleted_fail_a_check_until_a_new_baseline_is_loaded(chain: Chain) -> None:
    gone = next(iter(loaded_orders()))
    by_hand(f"DELETE FROM orders WHERE order_id = '{gone}'")
    assert set(found := failing(chain)) == {"records_agree"}
    assert "rows after the newest load and has" in found["records_agree"]
    snapshot(chain, 1)
    assert chain.run(*LOAD).success
    assert chain.run(*WINDOW, partitions=since(1)).success
    assert loaded_orders() == orders(chain.sandbox)
    assert failing(chain) == {}


def test_a_table_that_was_made_again_is_followed_from_a_new_baseline(chain: Chain) -> None:
    client = chain.sandbox.dynamodb()
    client.delete_table(TableName="Orders")
    client.create_table(
        TableName="Orders",
        AttributeDefinitions=[{"AttributeName": "orderId", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "orderId", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    chain.sandbox.enable_recovery("Orders", hours_ago(FIRST).start)
    chain.sandbox.seed(
        "Orders",
        [
            Write(
                hours_ago(hours).start + timedelta(minutes=1),
                {"orderId": {"S": name}, "status": {"S": "new"}, "items": {"L": []}},
            )
            for hours, name in ((SECOND + 1, "in the baseline"), (SECOND - 1, "in a window"))
        ],
    )
    assert "was dropped and created again" in failures(chain.run(*WINDOW, partitions=since(1)))
    snapshot(chain, SECOND)
    assert chain.run(*LOAD).success
    assert set(loaded_orders()) == {"in the baseline"}
    assert chain.run(*WINDOW, partitions=since(SECOND)).success
    assert loaded_orders() == orders(chain.sandbox) == {"in the baseline": ("new", 0), "in a window": ("new", 0)}
    assert failing(chain) == {}
