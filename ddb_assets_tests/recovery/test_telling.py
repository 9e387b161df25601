"""A new Dagster is told what the ledger has, and goes on where the lost one was."""

import shutil

from ddb_assets.aws.clients import AWS
from ddb_assets.recovery.facts import tell
from ddb_assets.settings import warehouse_address
from ddb_assets_tests.status.standing import ORDERS, WINDOW, Standing, since
from ddb_assets_tests.support.instances import in_memory
from ddb_assets_tests.support.sandboxed import warehouse_file
from ddb_assets_tests.support.window_chain import Chain, Ticks, loaded_orders, orders
from ddb_assets_tests.windows.test_recovery import failing


def test_dagster_is_told_what_the_ledger_has(standing: Standing) -> None:
    with in_memory() as other:
        assert set(standing.found(other)) == {"dagster_lost"}
        told = tell(other, AWS(), standing.lake, warehouse_address(), ORDERS)
        assert told == 1 + 2 + 2 + 3 * (1 + 2 + 2)
        assert standing.found(other) == {}
        assert tell(other, AWS(), standing.lake, warehouse_address(), ORDERS) == 0
        assert len(since(3)) == 3


def test_a_new_dagster_goes_on_where_the_lost_one_was(standing: Standing) -> None:
    """What it is told is enough for sensors, checks and steps: nothing runs twice, and the next window is loaded."""
    chain, (*_, last) = standing.chain, since(3)
    shutil.copy(standing.early, warehouse_file())  # the newest window is still to come
    with in_memory() as other:
        new = Chain(chain.sandbox, other, chain.definitions, chain.prefix)
        assert tell(other, AWS(), standing.lake, warehouse_address(), ORDERS) == 5 + 2 * 5
        ticks = Ticks(new)
        assert [run.partition_key for run in ticks.tick().run_requests or []] == [last]
        assert new.run(*WINDOW, partitions=[last]).success
        assert not ticks.tick().run_requests
        assert loaded_orders() == orders(chain.sandbox)
        assert new.materialized("warehouse/orders") == set(since(3))
        standing.chain.instance, mine = other, standing.chain.instance
        try:
            assert failing(standing.chain) == {}
            assert standing.found() == {}
        finally:
            standing.chain.instance = mine
