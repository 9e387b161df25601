"""An image that was built with `pip install .` has every file that the definitions need, and loads them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LOAD = """
import json
from ddb_assets import definitions
keys = definitions.build_defs().resolve_asset_graph().get_all_asset_keys()
print(json.dumps([definitions.__file__, sorted(key.to_user_string() for key in keys)]))
"""

SHOP = '''
"""Somebody else's project, with names of its own that resemble ours."""

from pathlib import Path

import dagster as dg


@dg.asset(deps=[["warehouse", "orders"]], automation_condition=dg.AutomationCondition.eager())
def report(aws: dg.ResourceParam[str]) -> None: ...


@dg.definitions
def defs() -> dg.Definitions:
    own = dg.Definitions(
        assets=[report],
        jobs=[dg.define_asset_job("initial_load", selection=[report])],
        resources={"aws": "own", "lake": "own", "warehouse": "own"},
        executor=dg.multiprocess_executor.configured({"max_concurrent": 2}),
    )
    return dg.Definitions.merge(dg.load_from_defs_folder(path_within_project=Path(__file__).parent), own)
'''
LISTED = """
import json
import dagster as dg
from ddb_assets.orchestration.run_config import in_process
from shop.definitions import defs
loaded = defs()
dg.Definitions.validate_loadable(loaded)
repository = loaded.get_repository_def()
graph = repository.asset_graph
sensor = repository.get_sensor_def("ddb_assets_automation")
config = in_process(repository)
dg.validate_run_config(repository.get_implicit_global_asset_job_def(), config)
print(json.dumps({
    "run_config": config,
    "jobs": [job.name for job in loaded.jobs],
    "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
    "resources": sorted(loaded.resources),
    "automated": sorted(key.to_user_string() for key in sensor.asset_selection.resolve(graph)),
    "groups": {key.to_user_string(): graph.get(key).group_name for key in graph.get_all_asset_keys()},
    "parents": [key.to_user_string() for key in graph.get(dg.AssetKey("report")).parent_keys],
}))
"""


@pytest.fixture(scope="module")
def installed(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that setuptools puts into the wheel of a project with one more nested table."""
    project, out = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("installed")
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(pytestconfig.rootpath / name, project)
    shutil.copytree(
        pytestconfig.rootpath / "ddb_assets", project / "ddb_assets", ignore=shutil.ignore_patterns("__pycache__")
    )
    deep = project / "ddb_assets/defs/teams/billing/invoices"
    deep.mkdir(parents=True)
    (deep / "defs.yaml").write_text(
        "type: ddb_assets.components.DynamoDBTable\n\nattributes:\n  table: Invoices\n", encoding="utf-8"
    )
    build = [
        "-c",
        "import setuptools; setuptools.setup()",
        "-q",
        "build_py",
        "--build-lib",
        str(out),
        "egg_info",
        "--egg-base",
        str(out),
    ]
    done = subprocess.run([sys.executable, *build], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_every_definition_is_in_the_wheel_however_deep(installed: Path, pytestconfig: pytest.Config) -> None:
    source = pytestconfig.rootpath / "ddb_assets"
    declared = {path.relative_to(source) for path in source.rglob("defs.yaml")}
    packed = {path.relative_to(installed / "ddb_assets") for path in installed.rglob("defs.yaml")}
    assert declared
    assert packed == {*declared, Path("defs/teams/billing/invoices/defs.yaml")}
    for pattern in ("*.sql", "*.yaml", "py.typed"):
        assert {path.name for path in source.rglob(pattern)} <= {path.name for path in installed.rglob(pattern)}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dg project that uses ours as a library."""
    tmp_path = tmp_path_factory.mktemp("others")
    orders = tmp_path / "shop/defs/orders"
    orders.mkdir(parents=True)
    (orders / "defs.yaml").write_text(
        "type: ddb_assets.components.DynamoDBTable\nattributes:\n  table: Orders\n"
        "post_processing:\n  assets:\n    - attributes: {group_name: sales, tags: {tier: gold}}\n"
    )
    (tmp_path / "shop/__init__.py").touch()
    (tmp_path / "shop/definitions.py").write_text(SHOP)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "shop"\n'
    )
    return tmp_path


def in_shop(shop: Path, installed: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=shop,
        env={
            "PYTHONPATH": os.pathsep.join([str(installed), str(shop)]),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "DDB_ASSETS_STATE": str(shop),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "HOME": str(shop),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def printed(installed: Path, shop: Path) -> list[str]:
    """What a process of the other project prints that loads our definitions, and then its own."""
    return in_shop(shop, installed, sys.executable, "-W", "ignore", "-c", LOAD + LISTED).splitlines()[-2:]


@pytest.mark.slow
def test_the_definitions_load_from_there(installed: Path, printed: list[str]) -> None:
    where, keys = json.loads(printed[0])
    assert Path(where).is_relative_to(installed)
    assert {"copies/orders_copy", "imports/products_import", "warehouse/orders", "warehouse/invoices"} <= set(keys)


@pytest.mark.slow
def test_a_project_of_others_loads_a_table_beside_its_own_definitions(printed: list[str]) -> None:
    found = json.loads(printed[1])
    assert set(found["jobs"]) == {"initial_load", "ddb_assets_initial_load"}
    assert found["resources"] == ["aws", "ddb_aws", "ddb_iceberg", "ddb_lake", "ddb_warehouse", "lake", "warehouse"]
    assert {"ddb_assets_automation", "ddb_assets_exports", "default_automation_condition_sensor"} == set(
        found["sensors"]
    )
    assert "warehouse/orders" in found["automated"]
    assert "report" not in found["automated"]
    assert found["run_config"] == {}  # its executor knows no entry `in_process`
    assert found["groups"]["exports/orders_window_export"] == found["groups"]["warehouse/orders"] == "sales"
    assert found["parents"] == ["warehouse/orders"]


@pytest.mark.slow
def test_a_project_of_others_is_offered_our_components(installed: Path, shop: Path) -> None:
    offered = in_shop(shop, installed, "dg", "list", "components", "--json")
    for what in ("Table", "Import", "Copy"):
        assert f'"ddb_assets.components.DynamoDB{what}"' in offered
