"""`status` as a shell sees it: output, JSON, exit codes, and what it loads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from ddb_assets.settings import WAREHOUSE
from ddb_assets_tests.cli.test_commands import answer, call
from ddb_assets_tests.status.standing import DEFS, Standing, by_hand
from ddb_assets_tests.support.sandboxed import warehouse_file
from ddb_assets_tests.support.window_chain import BEGUN, hours_ago, query

ORDERS = ("--config", str(DEFS))
KEYS = {
    *("name", "table", "needs_a_person", "baseline", "exported", "flattened", "loaded", "shows_until", "behind"),
    *(
        "windows_behind",
        "stream_lag",
        "loads",
        "rows",
        "unexplained_rows",
        "quarantined",
        "extra_values",
        "billed_bytes",
        "usd",
    ),
    *("findings", "asked"),
}


def test_a_whole_table(standing: Standing) -> None:
    said = answer("status", *ORDERS)
    (orders,) = said["tables"]
    assert said["needs_a_person"] is orders["needs_a_person"] is False
    assert orders.keys() == KEYS
    assert orders["baseline"] == hours_ago(3).start.isoformat()
    assert orders["exported"] == orders["loaded"] == orders["shows_until"] == hours_ago(0).start.isoformat()
    assert orders["flattened"] == f"{hours_ago(1).start:%Y-%m-%dT%H%MZ}"
    assert (orders["windows_behind"], orders["loads"]) == (0, 4)
    assert orders["behind"] == pytest.approx((BEGUN - hours_ago(0).start).total_seconds(), abs=600)
    assert orders["rows"] == {name: query(f"SELECT count(*) FROM {name}")[0][0] for name in ("orders", "orders__items")}
    assert orders["billed_bytes"] >= 3 * 10 * 1024 * 1024
    assert orders["usd"] > 0
    assert orders["findings"] == []
    assert orders["asked"] == {"warehouse": "", "lake": "", "dynamodb": "", "dagster": "DAGSTER_HOME is not set"}
    printed = call("status", *ORDERS).output
    assert "1 tables, nothing to mend" in printed
    assert "dagster was not asked: DAGSTER_HOME is not set" in printed


def test_what_needs_a_person_is_exit_code_1_with_the_command_that_mends_it(standing: Standing) -> None:
    by_hand("DELETE FROM orders")
    printed = call("status", *ORDERS, code=1).output
    assert "1 of 1 tables need a person" in printed
    assert "orders: rows_changed (warehouse duckdb:///" in printed
    assert "\n  ddb-assets recover --table orders --restart --apply\n" in printed
    said = json.loads(call("status", *ORDERS, "--json", code=1).stdout)
    (found,) = said["tables"][0]["findings"]
    assert found.keys() == {"code", "what", "where", "command", "needs_a_person"}


def test_a_table_that_was_never_loaded(standing: Standing, tmp_path: Path) -> None:
    other = f"duckdb:///{tmp_path}/other.duckdb"
    printed = call("status", *ORDERS, "--warehouse", other, code=1).output
    assert "orders: never_loaded" in printed
    assert "orders: loaded_elsewhere" in printed
    assert 'dg launch --assets \'key:"exports/orders_full_export" or ' in printed
    assert not Path(tmp_path, "other.duckdb").exists()


def test_wrong_calls(standing: Standing) -> None:
    said = call("status", *ORDERS, "--table", "orderz", code=2).output
    assert "no table is named orderz: the files declare orders" in " ".join(said.replace("│", " ").split())
    assert "is not in a Dagster project" in call("status", "--project", "/", code=1).output


def test_it_asks_dagster_where_there_is_a_home(
    standing: Standing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way of a lost home: status names it, recover tells a new one, and status is content."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "no"))
    (orders,) = json.loads(call("status", *ORDERS, "--json", code=1).stdout)["tables"]
    assert [one["code"] for one in orders["findings"]] == ["dagster_unreachable"]
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (orders,) = json.loads(call("status", *ORDERS, "--json", code=1).stdout)["tables"]
    assert [one["code"] for one in orders["findings"]] == ["dagster_lost"]
    assert "tell Dagster" in call("recover", *ORDERS).output
    (done,) = answer("recover", *ORDERS, "--apply")["tables"]
    assert (done["reported"], done["findings"]) == (20, [])
    assert answer("status", *ORDERS)["tables"][0]["asked"]["dagster"] == ""
    with dg.DagsterInstance.get() as instance:
        assert len(instance.get_materialized_partitions(dg.AssetKey(["warehouse", "orders"]))) == 3


@pytest.mark.slow
def test_dagster_is_not_loaded_unless_it_is_asked(standing: Standing) -> None:
    script = (
        "import sys\nfrom ddb_assets.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\nsys.exit('dagster' in sys.modules)"
    )
    environment = {**os.environ, WAREHOUSE: f"duckdb:///{warehouse_file()}"}
    command = [sys.executable, "-c", script, "recover", *ORDERS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    status = subprocess.run(
        [*command[:3], "status", *ORDERS], env=environment, capture_output=True, text=True, check=False
    )
    assert status.returncode == 0, status.stdout + status.stderr
