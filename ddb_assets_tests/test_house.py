"""The layout: a room imports only rooms below it, the core loads no Dagster, and help is fast."""

import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ddb_assets_tests.conftest import LONGEST

LINT = Path(sys.executable).with_name("lint-imports")
SHELLS = {"assets.py", "checks.py", "facts.py", "sensor.py"}
"""Where a stage meets Dagster."""
DAGSTER_ROOMS = {"orchestration", "resources", "windows", "components", "engines"}
WITHOUT_AWS = ("contract", "dynamodb", "flatten", "warehouse/sql", "exports/manifest.py", "exports/data_file.py")

HEAVY = ("pydantic", "polars", "pyarrow", "boto3", "botocore", "rich", "duckdb", "dagster", "moto")
"""Packages that the help of a command does not need."""


@pytest.fixture
def root(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.rootpath


def lint(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([LINT, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


def test_every_import_leads_down(root: Path) -> None:
    done = lint(root)
    assert done.returncode == 0, done.stdout + done.stderr


ELSEWHERE = {
    "contract.windows": "warehouse.protocol",
    "warehouse.sql.load": "warehouse.duckdb.connection",
    "warehouse.redshift.copy": "warehouse.duckdb.catalog",
    "warehouse.assets": "warehouse.sql.load",
    "cli.load": "warehouse.sql.statements",
}
"""Imports that the linter must find, by the module that has them."""


def test_imports_that_lead_elsewhere_are_found(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "ddb_assets", tmp_path / "ddb_assets", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "pyproject.toml", tmp_path)
    for module, imported in ELSEWHERE.items():
        changed = tmp_path / "ddb_assets" / f"{module.replace('.', '/')}.py"
        changed.write_text(f"{changed.read_text()}\n\nimport ddb_assets.{imported}\n")
    done = lint(tmp_path)
    assert done.returncode == 1
    said = done.stdout
    assert [name for name, other in ELSEWHERE.items() if f"ddb_assets.{name} -> ddb_assets.{other}" not in said] == []


def test_a_module_that_is_named_in_a_text_is_there(root: Path) -> None:
    """`x.py` is in the folder or the room of the module that names it, `room/x.py` is in that room."""
    package = root / "ddb_assets"
    named = [
        (path.relative_to(package), name)
        for path in package.rglob("*.py")
        for name in re.findall(r"`([\w/]+\.py)`", path.read_text())
    ]
    assert len(named) > 50
    assert not [
        f"{path}: {name}"
        for path, name in named
        if not any((package / place / name).is_file() for place in (path.parent, path.parts[0], ""))
    ]


def modules(root: Path, *places: str) -> list[str]:
    """The modules of these rooms and files that are not shells."""
    found = [
        path for place in places for path in ([root / place] if place.endswith(".py") else (root / place).rglob("*.py"))
    ]
    pure = [path.relative_to(root.parent) for path in found if path.name not in SHELLS | {"__main__.py"}]
    return sorted({".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in pure})


def loaded_with(names: list[str], *looked_for: str) -> str:
    """Which of these packages a process loads when it imports the modules."""
    script = (
        f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
        f"print(sorted({set(looked_for)!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_the_core_and_the_commands_never_load_dagster(root: Path) -> None:
    """Remote workers import the core, and people wait for commands. Only `demo` runs Dagster, so it is left out."""
    package = root / "ddb_assets"
    rooms = {path.name for path in package.iterdir() if path.is_dir()} - DAGSTER_ROOMS - {"defs", "__pycache__"}
    names = [name for name in modules(package, *rooms) if not name.startswith("ddb_assets.cli.demo")]
    assert len(names) > 150
    assert loaded_with(names, "dagster") == "[]"


def test_flattening_and_loading_do_not_load_boto3(root: Path) -> None:
    assert loaded_with(modules(root / "ddb_assets", *WITHOUT_AWS), "dagster", "boto3") == "[]"


def test_jobs_on_spark_load_pyspark_only_when_they_run() -> None:
    assert loaded_with(["ddb_assets.spark.publish", "ddb_assets.spark.run"], "dagster", "boto3", "pyspark") == "[]"


def test_what_help_needs_loads_nothing_heavy(root: Path) -> None:
    names = ["ddb_assets.cli", *modules(root / "ddb_assets", "cli/commands")]
    assert len(names) > 10
    assert loaded_with(names, *HEAVY) == "[]"


@pytest.mark.parametrize("name", ["import", "copy"])
def test_help_that_is_made_from_models_loads_no_more_than_them(name: str) -> None:
    script = (
        "import sys\nfrom ddb_assets.cli import main\n"
        f"main([{name!r}, '--help'], standalone_mode=False)\nprint(sorted({set(HEAVY)!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['pydantic']"


def cpu_seconds(*arguments: str) -> float:
    """The CPU seconds of Python with these arguments: the minimum of three runs, because other processes slow each run down."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(3))


def test_help_takes_little_more_than_click() -> None:
    """The one test that measures time. The limit is wide: help takes 0.1 s of CPU, and most packages of HEAVY take far more."""
    assert cpu_seconds("-m", "ddb_assets.cli", "flatten", "--help") < 3 * cpu_seconds("-c", "import click") + 0.2


def test_the_modules_that_begin_first_are_there() -> None:
    folder = Path(__file__).parent
    assert [name for name in LONGEST if not (folder / name).is_file()] == []
