"""How long Dagster takes over a project of many tables: to load its definitions, and to evaluate their automation once.

    python -m ddb_assets_tests.bench.reload --tables 50

CPU seconds of one process, the least of a few runs, because wall time says more about the machine.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType

from ddb_assets.definitions import build_defs

TABLE = """\
type: ddb_assets.components.DynamoDBTable
attributes:
  table: Table{number}
  start: 2026-01-01
  nested: {{items: child}}
"""


def make_project(folder: Path, tables: int) -> Path:
    """A dg project with this many tables, each with a child relation; returns its package."""
    package = folder / f"project_of_{tables}"
    for number in range(tables):
        place = package / "defs" / f"t{number}"
        place.mkdir(parents=True)
        (place / "defs.yaml").write_text(TABLE.format(number=number))
    (package / "__init__.py").touch()
    (package / "definitions.py").touch()
    (folder / "pyproject.toml").write_text(
        f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{package.name}"\n'
    )
    sys.path.insert(0, str(folder))
    return package


def least(runs: int, action: Callable[[], object]) -> float:
    """CPU seconds of the fastest run."""
    taken = []
    for _ in range(runs):
        before = time.process_time()
        action()
        taken.append(time.process_time() - before)
    return min(taken)


def load(package: Path) -> dg.RepositoryDefinition:
    """What the code server does at a reload, once the modules are imported."""
    with DefinitionsLoadContext.scoped(DefinitionsLoadContext(DefinitionsLoadType.INITIALIZATION)):
        repository = build_defs(package).get_repository_def()
        repository.load_all_definitions()
    return repository


class Ticks:
    """Evaluations of all automation conditions one after another, as the daemon has them: with the cursor of the last one."""

    def __init__(self, package: Path, instance: dg.DagsterInstance) -> None:
        self.defs, self.instance = build_defs(package), instance
        self.cursor = self.next().cursor

    def next(self) -> dg.EvaluateAutomationConditionsResult:
        result = dg.evaluate_automation_conditions(
            defs=self.defs,
            instance=self.instance,
            cursor=getattr(self, "cursor", None),
            evaluation_time=datetime.now(UTC),
        )
        self.cursor = result.cursor
        return result


def main() -> None:
    """Prints one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=50)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder) as instance:
        os.environ.setdefault("DDB_ASSETS_LAKE", "s3://bucket/lake")
        package = make_project(Path(folder), asked.tables)
        print(f"load {asked.tables} tables: {least(asked.runs, lambda: load(package)):.2f} CPU s")  # noqa: T201
        ticks = Ticks(package, instance)
        print(f"one tick of their automation: {least(asked.runs, ticks.next):.2f} CPU s")  # noqa: T201


if __name__ == "__main__":
    main()
