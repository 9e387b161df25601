"""The chain of the sandbox's `Orders` with tables of changes: their newest versions are what the warehouse has."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import time_machine

from ddb_assets.aws.clients import AWS
from ddb_assets.changes.read import read_changes
from ddb_assets.definitions import build_defs
from ddb_assets.iceberg.catalog import open_catalog
from ddb_assets.resources.iceberg import IcebergTarget
from ddb_assets.resources.lake import Lake
from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import LAKE_FORMAT
from ddb_assets_tests.support.sandboxed import demo_sandbox
from ddb_assets_tests.support.window_chain import BEGUN, Chain, Ticks, hours_ago, key_of, own_chain, query

FROM = 2  # hours ago; the time that the initial load shows


@pytest.fixture(scope="module")
def sandboxed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with time_machine.travel(BEGUN, tick=True), demo_sandbox(tmp_path_factory.mktemp("state"), Clock()) as sandbox:
        yield sandbox


@pytest.fixture
def chain(sandboxed: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chain]:
    monkeypatch.setenv(LAKE_FORMAT, "iceberg")
    definitions = build_defs()
    with own_chain(sandboxed, definitions, tmp_path) as chain:
        yield chain


def newest(relation: str) -> set[tuple[object, ...]]:
    """Key and version of the newest version of each item in its table of changes, without deleted ones."""
    with open_catalog(IcebergTarget().address(Lake()), AWS()) as catalog:
        rows = read_changes(catalog.load_table(f"ddb_assets.{relation}__changes")).read_all().to_pylist()
    last = {row["order_id"]: row for row in sorted(rows, key=lambda row: row["_ddb_version"])}
    return {(key, row["_ddb_version"], row["status"]) for key, row in last.items() if not row["_ddb_deleted"]}


@pytest.mark.slow
def test_the_newest_versions_are_those_of_the_warehouse(chain: Chain) -> None:
    tables = ("orders", "orders__items")
    stages = (("parquet", "_full_parquet"), ("loads", "_initial_load"), ("iceberg", "_initial_changes"))
    whole = [f"{folder}/{name}{ending}" for folder, ending in stages for name in tables]
    config = {"exports__orders_full_export": {"config": {"as_of": hours_ago(FROM).start.isoformat()}}}
    assert chain.run("exports/orders_full_export", *whole, config=config).success
    for hours in range(FROM, 0, -1):
        chain.export(hours_ago(hours))
    requests = Ticks(chain).tick().run_requests or []
    assert [request.partition_key for request in requests] == [key_of(hours_ago(hours)) for hours in range(FROM, 0, -1)]
    for request in requests:
        selected = [key.to_user_string() for key in request.asset_selection or ()]
        assert {"iceberg/orders__changes", "iceberg/orders__items__changes"} < set(selected)
        assert chain.run(*selected, partitions=[str(request.partition_key)]).success
    warehouse = set(query("SELECT order_id, _ddb_version, status FROM orders"))
    assert len(warehouse) > 10
    assert newest("orders") == warehouse
    lines = chain.instance.get_latest_materialization_event(dg.AssetKey(["iceberg", "orders__items__changes"]))
    assert lines
    assert lines.asset_materialization
    assert lines.asset_materialization.metadata["applied"].value is True
