"""The names of the assets of each stage: lineage shows their last part, and dbt finds the warehouse's tables by their key."""

import re
from itertools import combinations
from typing import get_args

import pytest

from ddb_assets.contract.stages import FullChain, Stage, asset_name, asset_path, name_of
from ddb_assets.contract.table import Table

STAGES: tuple[Stage, ...] = get_args(Stage)


def test_the_last_part_of_a_key_says_which_stage_it_is() -> None:
    of_a_table = [stage for stage in STAGES if stage not in {"stream", "import", "copy"}]
    shown = [asset_path(stage, "orders")[-1] for stage in of_a_table]
    assert len(set(shown)) == len(shown)
    assert asset_name("window_parquet", "orders__items") == "parquet/orders__items_window_parquet"


def test_no_two_stages_make_the_same_key_for_any_table_names() -> None:
    """Views are in the warehouse beside the tables: `components/relation_names.py` keeps their names apart."""
    views = {"live", "history"}
    names = ["orders", *(asset_path(stage, "orders")[-1] for stage in STAGES)]
    paths = {(stage, name): asset_path(stage, name) for stage in STAGES if stage not in views for name in names}
    same = [pair for pair in combinations(paths, 2) if paths[pair[0]] == paths[pair[1]]]
    assert same == []


def test_the_warehouse_has_the_key_that_dbt_gives_to_a_source() -> None:
    """dagster-dbt, `default_asset_key_fn`: the key of a dbt source is the source's name and the table's name."""
    source = {"resource_type": "source", "source_name": "warehouse", "name": "orders__items"}
    assert asset_path("warehouse", "orders__items") == (source["source_name"], source["name"])


@pytest.mark.parametrize("stage", STAGES)
def test_a_path_names_its_table(stage: Stage) -> None:
    assert name_of(stage, asset_path(stage, "orders")) == "orders"
    assert name_of(stage, ("elsewhere", asset_path(stage, "orders")[-1])) is None
    assert name_of(stage, ("orders",)) is None


def test_names_are_made_in_one_place(pytestconfig: pytest.Config) -> None:
    """A module that writes a stage's folder or builds a key itself would miss a change of the names."""
    spelled = re.compile(r"AssetKey\(\[|(?:exports|loads|parquet|warehouse|dynamodb)/\{")
    package = pytestconfig.rootpath / "ddb_assets"
    assert [path.name for path in package.rglob("*.py") if spelled.search(path.read_text())] == []


def test_a_new_initial_load_names_its_three_assets() -> None:
    chain = FullChain.usual("orders")
    assert str(chain) == "exports/orders_full_export, parquet/orders_full_parquet and loads/orders_initial_load"
    assert chain == Table(table="Orders").full_chain
    assert chain.restart.endswith("; then load every window since that export again")


def test_a_table_that_is_replaced_is_loaded_by_the_asset_that_people_query() -> None:
    chain = Table(table="Orders", load="replace").full_chain
    assert str(chain) == "exports/orders_full_export, parquet/orders_full_parquet and warehouse/orders"
    assert "then parquet/orders_full_parquet and warehouse/orders with `restart: true`" in chain.restart
    assert "window" not in chain.restart


def test_a_table_that_is_scanned_begins_with_a_scan() -> None:
    chain = Table(table="Orders", source="scan").full_chain
    assert str(chain) == "scans/orders_scan, parquet/orders_full_parquet and warehouse/orders"
    assert chain.restart.startswith("with a scan: materialize scans/orders_scan, then parquet/orders_full_parquet")
    assert "window" not in chain.restart
