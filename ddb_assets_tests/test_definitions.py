"""The project as Dagster's own tools see it."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

BIN = Path(sys.executable).parent
MOST_LINES = 20
"""Of what Dagster's commands print about one mistake in YAML: the message, and the frames that Dagster leaves in the stack."""


@pytest.fixture
def root(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.rootpath


def run(folder: Path, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    own = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        **variables,
    }
    own.pop("VIRTUAL_ENV", None)
    return subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("dg check defs", "All component YAML validated successfully."),  # what `dg check yaml` does comes first
        ("dagster definitions validate -w workspace.yaml", ""),
    ],
)
def test_dagsters_own_checks_pass(root: Path, tmp_path: Path, command: str, said: str) -> None:
    done = run(root, *command.split(), DAGSTER_HOME=str(tmp_path))
    assert (done.returncode, said in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.slow
def test_dg_lists_every_table_of_the_defs_folder_and_one_that_it_scaffolds(root: Path, tmp_path: Path) -> None:
    for name in ("pyproject.toml", "setup.cfg", "README.md", "workspace.yaml"):
        shutil.copy(root / name, tmp_path)
    shutil.copytree(root / "ddb_assets", tmp_path / "ddb_assets")
    here = {"PYTHONPATH": str(tmp_path)}
    made = run(tmp_path, "dg", "scaffold", "defs", "ddb_assets.components.DynamoDBTable", "payments", **here)
    assert made.returncode == 0, made.stdout + made.stderr
    path = tmp_path / "ddb_assets/defs/payments/defs.yaml"
    assert "# key: PK,SK" in path.read_text()
    listed = run(tmp_path, "dg", "list", "defs", "--json", **here)
    assert listed.returncode == 0, listed.stderr
    assert '"warehouse/payments"' in listed.stdout, listed.stderr
    for folder in (path.parent for path in (root / "ddb_assets/defs").rglob("defs.yaml")):
        stage = folder.parent.name if folder.parent.name in {"copies", "imports"} else "warehouse"
        assert f'"{stage}/{folder.name}"' in listed.stdout

    path.write_text(path.read_text().replace("table:", "tabel:"))
    checked = run(tmp_path, "dg", "check", "yaml", **here)
    assert checked.returncode != 0
    assert "payments/defs.yaml:4" in checked.stdout + checked.stderr
    assert "'tabel' is not one of ['table', 'name'" in checked.stdout + checked.stderr

    path.write_text(path.read_text().replace("tabel:", "cadence: 7 min\n  table:"))
    checked = run(tmp_path, "dg", "check", "defs", DAGSTER_HOME=str(tmp_path), **here)
    assert checked.returncode != 0
    _, _, said = checked.stdout.partition("Validation failed for code location")
    assert "payments/defs.yaml:4: cadence: cadence '7 min' is not possible: choose 15 min" in said
    assert "Traceback" not in said
    assert "pydantic" not in said
    assert len(said.splitlines()) < MOST_LINES, said


def test_the_workspace_calls_the_location_what_pyproject_calls_it(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    (module,) = yaml.safe_load((root / "workspace.yaml").read_text())["load_from"]
    assert module["python_module"]["location_name"] == project["code_location_name"]
    assert module["python_module"]["module_name"] == f"{project['root_module']}.definitions"


def test_the_defs_folder_holds_yaml_only(root: Path) -> None:
    files = [
        path for path in (root / "ddb_assets/defs").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    assert files
    assert {path.name for path in files} == {"defs.yaml"}


def test_no_module_that_defines_dagster_objects_postpones_its_annotations(root: Path) -> None:
    for path in (root / "ddb_assets").rglob("*.py"):
        assert "from __future__ import annotations" not in path.read_text(), path
