"""`ddb-assets demo` as `make demo` calls it: it proves its counts, reuses its exports, and fails if a count is wrong."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import pytest
from click.testing import CliRunner, Result

from ddb_assets.cli import demo_stream, main
from ddb_assets.cli.demo import asset_keys
from ddb_assets.contract.stages import FULL_CHAIN
from ddb_assets.definitions import build_defs
from ddb_assets.orchestration.metadata import asset_key

pytestmark = pytest.mark.slow


DEMO = ["demo", "--items", "60", "--json"]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """The demo's state folder, in an environment that leads to somebody's account otherwise."""
    others = {"DDB_ASSETS_WAREHOUSE": "redshift://production", "AWS_PROFILE": "x"}
    with patch.dict(os.environ, {**others, "DDB_ASSETS_STATE": str(tmp_path)}), warnings.catch_warnings():
        yield tmp_path


BRIEFLY = "from ddb_assets.cli import demo_stream, main\ndemo_stream.LOOKS = 2\nmain()"


def demo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """A call as a process, which looks at a stream twice."""
    command = [sys.executable, "-c", BRIEFLY, *DEMO, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def demo_again(*arguments: str) -> Result:
    """A further call, in this process, which has imported Dagster already."""
    with patch.dict(os.environ):  # the demo sets variables
        return CliRunner().invoke(main, [*DEMO, *arguments])


def test_the_tables_of_the_demo_are_chosen_whatever_their_groups() -> None:
    defs = build_defs()
    regrouped = defs.map_resolved_asset_specs(func=lambda spec: spec.replace_attributes(group_name="sales"))
    relations = ("orders", "orders__items")
    expected = {asset_key("full_export", "orders")}
    expected |= {asset_key(stage, name) for stage in FULL_CHAIN[1:] for name in relations}
    assert set(asset_keys(defs, ["orders"], FULL_CHAIN)) == expected
    assert set(asset_keys(regrouped, ["orders"], FULL_CHAIN)) == expected


def test_the_demo_reconciles_applies_each_export_once_and_notices_a_lost_row(state: Path) -> None:
    first, second = demo(), demo_again()
    assert (first.returncode, second.exit_code) == (0, 0), first.stderr + second.stderr
    before, after = (tables(said) for said in (first.stdout, second.stdout))
    for name, items in {"orders": 12, "customers": 6, "events": 42}.items():
        assert before[name]["source_items"] == before[name]["rows"][name] == items
        assert (before[name]["applied"], after[name]["applied"]) == (True, False)
        assert before[name]["export_id"] == after[name]["export_id"]
    assert before["orders"]["rows"]["orders__items"] > 12
    assert json.loads(first.stdout)["sample"]["rows"]

    with duckdb.connect(str(state / "warehouse.duckdb")) as connection:
        connection.execute("DELETE FROM events WHERE rowid = (SELECT min(rowid) FROM events)")
    third = demo_again()
    assert third.exit_code == 1
    assert "do not add up" in third.stderr
    assert "Traceback" not in third.stderr


def tables(said: str) -> dict[str, Any]:
    return {table["table"]: table for table in json.loads(said)["tables"]}


@pytest.mark.usefixtures("state")
def test_the_demo_of_a_stream_shows_changes_at_once_and_heals_what_was_lost() -> None:
    done = demo("--stream")
    assert done.returncode == 0, done.stderr
    check_stream(done.stdout)
    assert done.stderr.strip() == "", "a library that warns warns on the user's terminal"


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("warehouse", ["redshift", "clickhouse"])
def test_the_demo_of_a_stream_does_the_same_on_a_server(warehouse: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_stream, "LOOKS", 2)
    done = demo_again("--stream", f"--{warehouse}")
    assert done.exit_code == 0, done.stderr
    check_stream(done.stdout)


def check_stream(said: str) -> None:
    found = json.loads(said)
    assert found["changes"] > 20
    assert found["slowest_seconds"] < 60
    assert (found["differ"]["at_rest"], found["differ"]["left"]) == (0, 0)
    assert found["differ"]["lost"] > 10
