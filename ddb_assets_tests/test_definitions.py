"""The project as Dagster's own tools see it."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

MOST_LINES = 20
"""Of what Dagster's commands print about one mistake in YAML: the message, and the frames that Dagster leaves in the stack."""
FORKS = """
import gc, json, os, sys
import dagster as dg, dagster._cli.definitions, dagster_dg_cli.cli
import dagster_dg_cli.cli.check, dagster_dg_cli.cli.list, dagster_dg_cli.cli.scaffold
from dagster.components.core.package_entry import discover_entry_point_package_objects
discover_entry_point_package_objects()  # of the packages that have components, ours too
dg.DagsterInstance.local_temp().dispose()
gc.freeze()
mains = {"dg": dagster_dg_cli.cli.main, "dagster": dagster._cli.main}
for line in sys.stdin:
    command, variables, *files = json.loads(line)
    child = os.fork()
    if not child:
        for descriptor, path in enumerate(files, 1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        os.environ.update(variables)
        sys.argv = command
        sys.exit(mains[command[0]]())
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Commands:
    """Runs `dg` and `dagster` in a copy of the project, each in a process that is forked: their modules are imported once.

    `test_installed.py` runs `dg` as a process of its own.
    """

    def __init__(self, folder: Path, running: "subprocess.Popen[str]") -> None:
        self.folder, self._running = folder, running

    def __call__(self, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        files = [self.folder / "out.txt", self.folder / "err.txt"]
        assert self._running.stdin
        assert self._running.stdout
        self._running.stdin.write(json.dumps([command, variables, *map(str, files)]) + "\n")
        self._running.stdin.flush()
        code = int(self._running.stdout.readline())
        return subprocess.CompletedProcess(command, code, *(path.read_text() for path in files))


@pytest.fixture
def root(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.rootpath


@pytest.fixture(scope="module")
def run(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    folder = tmp_path_factory.mktemp("project")
    for name in ("pyproject.toml", "setup.cfg", "README.md", "workspace.yaml"):
        shutil.copy(pytestconfig.rootpath / name, folder)
    shutil.copytree(pytestconfig.rootpath / "ddb_assets", folder / "ddb_assets")
    own = {**os.environ, "PYTHONPATH": str(folder), "DAGSTER_DISABLE_TELEMETRY": "yes"}
    own.pop("VIRTUAL_ENV", None)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", FORKS], cwd=folder, env=own, stdin=pipe, stdout=pipe, text=True
    ) as forks:
        yield Commands(folder, forks)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("dg check defs", "All component YAML validated successfully."),  # what `dg check yaml` does comes first
        ("dagster definitions validate -w workspace.yaml", ""),
    ],
)
def test_dagsters_own_checks_pass(run: Commands, tmp_path: Path, command: str, said: str) -> None:
    done = run(*command.split(), DAGSTER_HOME=str(tmp_path))
    assert (done.returncode, said in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.slow
def test_dg_lists_every_table_of_the_defs_folder_and_one_that_it_scaffolds(
    root: Path, run: Commands, tmp_path: Path
) -> None:
    made = run("dg", "scaffold", "defs", "ddb_assets.components.DynamoDBTable", "payments")
    assert made.returncode == 0, made.stdout + made.stderr
    path = run.folder / "ddb_assets/defs/payments/defs.yaml"
    assert "# key: PK,SK" in path.read_text()
    listed = run("dg", "list", "defs", "--json")
    assert listed.returncode == 0, listed.stderr
    assert '"warehouse/payments"' in listed.stdout, listed.stderr
    for folder in (path.parent for path in (root / "ddb_assets/defs").rglob("defs.yaml")):
        stage = folder.parent.name if folder.parent.name in {"copies", "imports"} else "warehouse"
        assert f'"{stage}/{folder.name}"' in listed.stdout

    path.write_text(path.read_text().replace("table:", "tabel:"))
    # of the files with one component's type, it looks only at the one that the disk lists last, unless it gets a path
    checked = run("dg", "check", "yaml", str(path.parent))
    assert checked.returncode != 0
    assert "payments/defs.yaml:4" in checked.stdout + checked.stderr
    assert "'tabel' is not one of ['table', 'name'" in checked.stdout + checked.stderr

    path.write_text(path.read_text().replace("tabel:", "cadence: 7 min\n  table:"))
    checked = run("dg", "check", "defs", DAGSTER_HOME=str(tmp_path))
    assert checked.returncode != 0
    _, _, said = checked.stdout.partition("Validation failed for code location")
    assert "payments/defs.yaml:4: cadence: cadence '7 min' is not possible: choose 15 min" in said
    assert "Traceback" not in said
    assert "pydantic" not in said
    assert len(said.splitlines()) < MOST_LINES, said
    shutil.rmtree(path.parent)


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
