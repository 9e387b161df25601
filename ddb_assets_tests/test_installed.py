"""What an image has that was built with `pip install .`: every file that the definitions need, loaded from there."""

import json
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


@pytest.fixture(scope="module")
def installed(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the wheel, as setuptools chooses them, of a project with one more nested table."""
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
    build = ["-c", "import setuptools; setuptools.setup()", "-q", "build_py", "--build-lib", str(out)]
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


@pytest.mark.slow
def test_the_definitions_load_from_there(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed), "PATH": "", "DDB_ASSETS_STATE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    where, keys = json.loads(done.stdout.splitlines()[-1])
    assert Path(where).is_relative_to(installed)
    assert {"copies/orders_copy", "imports/products_import", "warehouse/orders", "warehouse/invoices"} <= set(keys)
