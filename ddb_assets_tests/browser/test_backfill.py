"""A day of hourly windows of every demo table, backfilled from the Dagster UI by a browser.

Pictures of what was seen are kept in the folder that DDB_ASSETS_PICTURES names, if it does.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import dagster as dg
import duckdb
import pytest

from ddb_assets.definitions import build_defs
from ddb_assets.metadata import asset_key
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.sandboxed import sandboxed, warehouse_file

pytest.importorskip("selenium", reason="needs selenium: pip install '.[test]'")
from ddb_assets_tests.browser.served import INSTANCE, Page, browser, dagster, missing, project, until

__all__ = ["sandboxed"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"needs {missing()} on the PATH"),
]

TABLES = {"orders": ("orders", "orders__items"), "customers": ("customers",), "events": ("events",)}
HOURS = 24


@pytest.fixture
def home(sandboxed: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder whose instance has a baseline of `HOURS` hours ago of every table."""
    sandboxed.clock.advance(timedelta(minutes=10))  # so that the hour that has just ended can be exported
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    package = project(tmp_path, (now - timedelta(hours=HOURS)).date())
    state = tmp_path / "instance"
    state.mkdir()
    (state / "dagster.yaml").write_text(INSTANCE)
    monkeypatch.setenv("DAGSTER_HOME", str(state))
    monkeypatch.syspath_prepend(tmp_path)
    as_of = {"config": {"as_of": (now - timedelta(hours=HOURS)).isoformat()}}
    with dg.DagsterInstance.get() as instance:
        done = (
            build_defs(package)
            .resolve_job_def("baseline")
            .execute_in_process(
                instance=instance, run_config={"ops": {f"snapshots_{table}": as_of for table in TABLES}}
            )
        )
    assert done.success
    return tmp_path


def test_a_day_of_windows_backfilled_from_the_ui_is_green(home: Path, sandboxed: Sandbox) -> None:
    with dagster(home) as url, browser() as page:
        for table, relations in TABLES.items():
            chosen = [f"exports/{table}"] + [
                f"{stage}/{name}" for stage in ("parquet", "warehouse") for name in relations
            ]
            page.open(f"{url}/locations/demo/asset-groups/{table}/lineage/{quote(','.join(chosen), safe='')}")
            page.press(f"Materialize selected ({len(chosen)})…")
            page.press("All")
            _keep(page, f"{table}-backfill")
            page.press("Launch backfill")
            until(lambda: "Launch backfill" not in page.text(), 60)
        with dg.DagsterInstance.get() as instance:
            until(lambda: _ended(instance), 900)
            assert [run.run_id for run in instance.get_runs() if not run.is_success] == []
            windows = {table: instance.get_materialized_partitions(asset_key("warehouse", table)) for table in TABLES}
        assert {len(keys) >= HOURS for keys in windows.values()} == {True}
        assert len({frozenset(keys) for keys in windows.values()}) == 1
        for table, keys in windows.items():
            page.open(f"{url}/assets/warehouse/{table}?view=partitions")
            until(lambda keys=keys: f"Materialized ({len(keys)})" in page.text(), 60)  # type: ignore[misc]
            _keep(page, f"{table}-partitions")
            assert "Failed (0)" in page.text()
            assert "Missing (0)" in page.text()
        page.open(f"{url}/locations/demo/asset-groups/orders/lineage")
        until(lambda: "Materialize all" in page.text(), 60)
        _keep(page, "orders-lineage")
    with duckdb.connect(str(warehouse_file()), read_only=True) as connection:
        for table in TABLES:
            (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (None,)
            described = sandboxed.dynamodb().describe_table(TableName=table.capitalize())
            assert rows == described["Table"]["ItemCount"]


def _ended(instance: dg.DagsterInstance) -> bool:
    """Whether every backfill has come to its end."""
    backfills = instance.get_backfills()
    return len(backfills) == len(TABLES) and all(backfill.status.name.startswith("COMPLETED") for backfill in backfills)


def _keep(page: Page, name: str) -> None:
    if folder := os.environ.get("DDB_ASSETS_PICTURES"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.picture(Path(folder) / f"{name}.png")
