"""dbt joins by the asset keys alone: its source `warehouse.orders` is the asset `warehouse/orders`."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ddb_assets.components import DynamoDBTable

MODEL = dg.AssetKey("open_orders")


@pytest.fixture
def dbt_project(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.rootpath / "ddb_assets_tests/data/dbt"


def graph(own: dg.Definitions, manifest: Any) -> Any:
    """The assets of these definitions and of the dbt project, in one code location."""
    dagster_dbt = pytest.importorskip("dagster_dbt", reason="needs dagster-dbt: pip install 'ddb-assets[test]'")

    @dagster_dbt.dbt_assets(manifest=manifest)  # type: ignore[untyped-decorator]
    def models() -> None: ...

    return dg.Definitions.merge(own, dg.Definitions(assets=[models])).resolve_asset_graph()


@pytest.mark.parametrize("source", ["warehouse", "raw"])
def test_a_dbt_source_is_the_warehouses_table(dbt_project: Path, source: str) -> None:
    attributes: dict[str, Any] = {"table": "Orders", "nested": {"items": "child"}}
    if source != "warehouse":
        attributes["translation"] = {
            "key": f"{{{{ '{source}/' + spec.key.path[-1] if stage == 'warehouse' else spec.key.to_user_string() }}}}"
        }
    own = dg.build_defs_for_component(DynamoDBTable.from_attributes_dict(attributes=attributes))
    manifest = (dbt_project / "manifest.json").read_text().replace("warehouse", source)
    joined = graph(own, json.loads(manifest))
    tables = {dg.AssetKey([source, "orders"]), dg.AssetKey([source, "orders__items"])}
    assert joined.get(MODEL).parent_keys == tables
    for table in tables:
        assert joined.get(table).is_executable  # ours, and not a stub that dagster-dbt made for its source
        assert joined.get(table).child_keys == {MODEL}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("dbt") is None, reason="needs dbt-core and dbt-duckdb, which the test extra has not")
def test_the_manifest_is_what_dbt_makes_of_the_project(dbt_project: Path, tmp_path: Path) -> None:
    project = shutil.copytree(dbt_project, tmp_path / "dbt")
    command = [sys.executable, "-m", "dbt.cli.main", "--no-send-anonymous-usage-stats", "parse", "--profiles-dir", "."]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    made, kept = (json.loads((project / name).read_text()) for name in ("target/manifest.json", "manifest.json"))
    assert made["sources"].keys() == kept["sources"].keys()
    assert made["parent_map"] == kept["parent_map"]
