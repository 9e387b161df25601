"""A load that crashes at any step leaves the old or the new tables, and the next load ends as if nothing had happened."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ddb_assets.contract.report import Relation, Report
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.support.engines import read
from ddb_assets_tests.support.examples import SOAK
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import Item, Source


class Crash(BaseException):
    """Not an Exception, so that nothing catches it and continues."""


class Dying(DuckDBEngine):
    """Calls `die` before its n-th step: a statement, a query, a copy, the commit, or the step after the commit."""

    def __init__(self, path: str | Path, last: int, die: Callable[[], None]) -> None:
        super().__init__(path)
        self.steps: list[str] = []
        self._last, self._die = last, die

    def _step(self, what: str) -> None:
        self.steps.append(what)
        if len(self.steps) == self._last:
            self._die()

    def execute(self, statement: Statement) -> None:
        self._step(statement.text)
        super().execute(statement)

    def copy(self, relation: Relation, stage: TableName) -> None:
        self._step("copy")
        super().copy(relation, stage)

    @contextmanager
    def transaction(self, lock: TableName | None = None) -> Iterator[None]:
        with super().transaction(lock):
            yield
            self._step("commit")
        self._step("committed")


def crash() -> None:
    raise Crash


def world(folder: Path) -> tuple[Source, list[Report], list[dict[str, Item]]]:
    """Three loads and the tables after each: an initial load, a window, and a newer initial load."""
    source = Source(folder)
    source.put(1, "a", "first", "x", "y")
    source.put(2, "b", "first", "x")
    source.put(3, "c", "first")
    source.put(11, "a", "second", "z")
    source.delete(12, "b")
    source.put(21, "d", "new", "w")
    source.delete(22, "c")
    states = [{key: item for key, (_, item) in source.state(time).items()} for time in (10, 30, 30)]
    return source, [source.full(10), source.window(10, 30), source.full(30)], states


def steps_of(path: Path, export: Report) -> list[str]:
    with Dying(path, 0, crash) as warehouse:
        load(warehouse, export)
        return warehouse.steps


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_crash_at_any_step_leaves_the_old_or_the_new(tmp_path: Path, number: int) -> None:
    _, exports, states = world(tmp_path / "parquet")
    old_file, file = tmp_path / "old.duckdb", tmp_path / "crashed.duckdb"
    with DuckDBEngine(old_file) as warehouse:
        for export in exports[:number]:
            load(warehouse, export)
    shutil.copyfile(old_file, trial := tmp_path / "trial.duckdb")
    steps = steps_of(trial, exports[number])
    assert steps[-2:] == ["commit", "committed"]
    assert len(steps) > 30
    for last, step in enumerate(steps, 1):
        if not SOAK and last % 12 != 4 * number and last < len(steps) - 1:
            continue  # each of the three exports crashes at a twelfth of the steps, all of them at the commit
        shutil.copyfile(old_file, file)
        with pytest.raises(Crash), Dying(file, last, crash) as warehouse:
            load(warehouse, exports[number])
        with DuckDBEngine(file) as warehouse:
            if last == len(steps):
                assert read(warehouse) == states[number]
            elif number:
                assert read(warehouse) == states[number - 1], step
            assert load(warehouse, exports[number]).applied == (last < len(steps))
            assert read(warehouse) == states[number]
            ledger = warehouse.connection.execute("SELECT max(sequence), count(*) FROM _ddb_loads").fetchall()
            assert ledger == [(number + 1, number + 1)]


KILLED = """
import os, signal, sys
from pathlib import Path
from ddb_assets.contract.report import Report
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.test_crash import Dying

def die():
    os.kill(os.getpid(), signal.SIGKILL)

file, report, last = sys.argv[1:]
with Dying(file, int(last), die) as warehouse:
    load(warehouse, Report.model_validate_json(Path(report).read_text()))
"""


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_a_file_that_opens(tmp_path: Path) -> None:
    """The process really dies, so DuckDB's write-ahead log is what brings the old tables back."""
    _, exports, states = world(tmp_path / "parquet")
    file, report = tmp_path / "killed.duckdb", tmp_path / "report.json"
    with DuckDBEngine(file) as warehouse:
        load(warehouse, exports[0])
    shutil.copyfile(file, trial := tmp_path / "trial.duckdb")
    steps = steps_of(trial, exports[1])
    report.write_text(exports[1].model_dump_json())
    insert = next(n for n, text in enumerate(steps, 1) if text.startswith('INSERT INTO "main"."orders__lines"'))
    for last in (insert, len(steps) - 1):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(file), str(report), str(last)], check=False, env=os.environ, timeout=60
        )
        assert done.returncode == -9
        with DuckDBEngine(file) as warehouse:
            assert read(warehouse) == states[0]
    with DuckDBEngine(file) as warehouse:
        load(warehouse, exports[1])
        assert read(warehouse) == states[1]
