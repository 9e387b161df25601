"""The history of a table as Dagster fills it: windows are exported with the items before them, and follow each other."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import dagster as dg
import pytest

from ddb_assets.definitions import build_defs
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.support.window_chain import (
    Chain,
    asset,
    hours_ago,
    key_of,
    loaded_orders,
    orders,
    own_chain,
    query,
)

FROM = 6  # hours ago; the time that the initial load shows
YAML = """\
type: ddb_assets.components.DynamoDBTable
attributes:
  table: Orders
  history: true
  nested: {items: child}
"""
EACH = ("orders", "orders__items")


@pytest.fixture(scope="module")
def remembering(sandboxed: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.Definitions]:
    """A project with a table that has a history."""
    root = tmp_path_factory.mktemp("remembering")
    path = root / "remembering" / "defs" / "orders" / "defs.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(YAML)
    (root / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "remembering"\n'
    )
    for name in ("__init__.py", "definitions.py"):
        (root / "remembering" / name).touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        yield build_defs(root / "remembering")


@pytest.fixture
def chain(sandboxed: Sandbox, remembering: dg.Definitions, tmp_path: Path) -> Iterator[Chain]:
    with own_chain(sandboxed, remembering, tmp_path) as chain:
        yield chain


def shown_at(moment: datetime) -> dict[str, tuple[str, int]]:
    """Status and number of lines of every order that the history has of a moment."""
    at = f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}'"
    valid = f"valid_from <= {at} AND (valid_to > {at} OR valid_to IS NULL)"
    lines = dict(query(f"SELECT order_id, count(*) FROM orders__items_history WHERE {valid} GROUP BY order_id"))
    found = query(f"SELECT order_id, status FROM orders_history WHERE {valid}")
    return {key: (status, lines.get(key, 0)) for key, status in found}


@pytest.mark.slow
def test_a_chain_of_windows_fills_a_history_that_is_proven(chain: Chain) -> None:
    graph = chain.definitions.resolve_asset_graph()
    for name in EACH:
        assert graph.get(asset(f"warehouse/{name}_history")).parent_keys == {asset(f"warehouse/{name}")}
    config = {"exports__orders_full_export": {"config": {"as_of": hours_ago(FROM).start.isoformat()}}}
    whole = [f"parquet/{name}_full_parquet" for name in EACH] + [f"loads/{name}_initial_load" for name in EACH]
    assert chain.run("exports/orders_full_export", *whole, config=config).success
    before = loaded_orders()
    partitions = [key_of(hours_ago(hours)) for hours in range(FROM, 0, -1)]
    windows = [f"parquet/{name}_window_parquet" for name in EACH] + [f"warehouse/{name}" for name in EACH]
    done = chain.run("exports/orders_window_export", *windows, partitions=partitions)
    assert done.success
    events = [event.materialization for event in done.get_asset_materialization_events()]
    made = {event.partition: event.metadata for event in events if event.asset_key == asset("warehouse/orders")}
    assert made.keys() == set(partitions)
    assert {metadata["broken_chain"].value for metadata in made.values()} == {0}
    assert {metadata["history_resolution"].value for metadata in made.values()} == {3600}
    checks = [one for one in done.get_asset_check_evaluations() if one.check_name == "history_unbroken"]
    proven = [(one.passed, one.metadata["proven"].value) for one in checks if one.partition]
    assert proven == [(True, True)] * FROM
    assert before != loaded_orders()
    assert loaded_orders() == orders(chain.sandbox)
    assert shown_at(hours_ago(FROM).start) == before
    assert shown_at(hours_ago(1).end) == loaded_orders()
