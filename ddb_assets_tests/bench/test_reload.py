"""The bench of many tables measures what it says: every table is loaded, and each tick continues from the one before."""

from pathlib import Path

import dagster as dg
import pytest

from ddb_assets_tests.bench.reload import Ticks, least, load, make_project


@pytest.mark.slow
def test_it_loads_and_evaluates_the_tables_that_it_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = make_project(tmp_path, 2)
    repository = load(package)
    assert {schedule.name for schedule in repository.schedule_defs} == {"table0_windows", "table1_windows"}
    with dg.DagsterInstance.ephemeral() as instance:
        ticks = Ticks(package, instance)
        first = ticks.cursor
        assert least(1, ticks.next) > 0
        assert ticks.cursor.evaluation_id == first.evaluation_id + 1
        evaluated = {result.key for result in ticks.next().results}
    assert {dg.AssetKey(["warehouse", f"table{number}"]) for number in range(2)} <= evaluated
