"""`ddb-assets scan` as a user calls it, and docs/scan.md against the project."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from ddb_assets.cli import main
from ddb_assets.cli.commands import copy
from ddb_assets.cli.commands.scan import command
from ddb_assets.cli.sandbox import REAL_ACCOUNT
from ddb_assets.contract.scan import ScanOptions
from ddb_assets.contract.table import Table
from ddb_assets.costs.prices import prices
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.scans.cost import Cost, expected
from ddb_assets.settings import STATE
from ddb_assets_tests.support.fault_proxy import Fault, FaultProxy, Schedule
from ddb_assets_tests.support.tables import client_of, target_of
from ddb_assets_tests.test_readme import blocks


@pytest.fixture(autouse=True)
def environment(sandbox: Sandbox, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in REAL_ACCOUNT:
        monkeypatch.delenv(name, raising=False)
    found = {
        **sandbox.environment(),
        "AWS_ENDPOINT_URL": proxy.endpoint_url,
        STATE: str(tmp_path / "state"),
    }
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return found


@pytest.fixture
def orders(sandbox: Sandbox) -> str:
    """The table `Orders`, as the page names it."""
    client = client_of(sandbox.endpoint_url)
    if "Orders" not in client.list_tables()["TableNames"]:
        client.create_table(
            TableName="Orders",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            ProvisionedThroughput={"ReadCapacityUnits": 200, "WriteCapacityUnits": 50},
        )
        for number in range(30):
            item = {
                "pk": {"S": f"k{number}"},
                "status": {"S": "open" if number % 2 else "done"},
                "total": {"N": "1.50"},
            }
            client.put_item(TableName="Orders", Item=item)
    return "Orders"


def call(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["scan", *arguments])
    assert result.exit_code == code, result.output
    return result


def test_what_it_writes_is_flattened_and_loaded_as_an_export(orders: str) -> None:
    said = call(orders, "--out", "lake").output
    assert "it cost" in said
    assert "nothing beyond the provisioned capacity" in said
    (source,) = re.findall(r"the scan is in (\S+)", said)
    for words in (["flatten", source, "--out", "parquet"], ["load", source, "--warehouse", "duckdb:///w.duckdb"]):
        done = CliRunner().invoke(main, [*words, "--key", "pk"])
        assert done.exit_code == 0, done.output
        assert "30 items = 30 rows + 0 quarantined" in done.output


def test_it_says_before_and_afterwards_what_it_costs(orders: str, proxy: FaultProxy) -> None:
    before = proxy.requests["Scan"]
    plan = json.loads(call(orders, "--out", "lake", "--dry-run", "--json", "--max-rcu", "25%").stdout)
    assert proxy.requests["Scan"] == before
    assert not Path("lake").exists()
    assert (plan["items"], plan["rcu_per_second"], plan["usd"]) == (30, 50, None)
    assert plan["rcu"] == plan["segments"] / 2
    assert "nothing was read" in call(orders, "--out", "lake", "--dry-run").output
    done = json.loads(call(orders, "--out", "lake", "--json", "--consistent").stdout)
    assert (done["items"], done["scanned"], done["scan"]["consistent"]) == (30, 30, True)
    assert done["cost"]["rcu"] > 0
    assert done["expected"]["rcu"] == done["scan"]["segments"]


def test_costs_are_those_of_the_price_list(sandbox: Sandbox, orders: str) -> None:
    described = target_of(sandbox, orders)
    large: Any = {"size_bytes": 8_192_000_001, "on_demand": True}
    table = type(described)(**{name: getattr(described, name) for name in described.__slots__} | large)
    assert expected(table, 64, consistent=True) == Cost(
        2_000_001.0, round(2.000001 * prices().dynamodb.million_reads, 6)
    )
    assert expected(table, 64, consistent=False).rcu == 1_000_000.5
    assert expected(table, 64, consistent=True).money == "$0.25"
    assert Cost(1, 0.000001).money == "less than $0.01"


def test_a_part_is_said_to_be_one(orders: str) -> None:
    filters = ("--filter", "#s = :o", "--filter-names", '{"#s": "status"}', "--filter-values", '{":o": {"S": "open"}}')
    said = call(orders, "--out", "lake", *filters, "--projection", "total").output
    assert "items that do not pass '#s = :o' and attributes other than total and the key are left out" in said
    (source,) = re.findall(r"the scan is in (\S+)", said)
    summary = json.loads(Path(source, "manifest-summary.json").read_text())
    assert (summary["itemCount"], summary["scan"]["projection"]) == (15, ["total"])
    assert summary["scan"]["filter"]["FilterExpression"] == "#s = :o"
    refused = CliRunner().invoke(main, ["load", source, "--warehouse", "duckdb:///w.duckdb", "--key", "pk"])
    assert refused.exit_code == 1
    assert "a load would take them out of the warehouse" in refused.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--max-rcu", "half"), "Invalid value for --max-rcu: 'half' is neither a number of RCUs per second"),
        (("--max-rcu", "0"), "neither a number of RCUs per second"),
        (("--segments", "0"), "0 is not in the range 1<=x<=10000"),
        (("--filter-names", "{}"), "--filter-names and --filter-values are for a --filter"),
        (("--filter", "a = :b", "--filter-values", "b"), "Invalid value for --filter-values: not JSON"),
        (("--filter", "a = :b", "--filter-values", "[]"), "Invalid value for --filter-values"),
        (("--filter", ""), "Invalid value for --filter"),
    ],
)
def test_a_wrong_option_is_named(words: tuple[str, ...], said: str) -> None:
    assert said in " ".join(call("Orders", "--out", "lake", *words, code=2).output.split())


def test_what_a_copy_has_too_is_the_same_option() -> None:
    one, other = ({p.name: p for p in found.params if isinstance(p, click.Option)} for found in (command, copy.command))
    both = one.keys() & other.keys()
    assert both >= {"consistent", "workers", "segments", "deadline", "restart", "filter_names", "filter_values"}
    for name in both - {"dry", "max_rcu", "expression"}:
        assert (one[name].opts, one[name].help, one[name].default) == (
            other[name].opts,
            other[name].help,
            other[name].default,
        )
    assert "max_rcu" in both


def test_a_table_that_is_not_there(orders: str) -> None:
    assert "Nobodys" in call("Nobodys", "--out", "lake", code=1).output


@pytest.mark.slow
def test_sigterm_ends_it_cleanly_and_the_same_command_goes_on(
    orders: str, environment: dict[str, str], proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.schedule = Schedule(page_limit=1, rate=1.0, faults=frozenset({Fault.SLOW}), delay=0.2)
    before = proxy.requests["Scan"]
    words = [sys.executable, "-m", "ddb_assets.cli", "scan", orders, "--out", "lake", "--segments", "2"]
    running = subprocess.Popen(
        words, env={**os.environ, **environment}, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    while proxy.requests["Scan"] < before + 6:
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(signal.SIGTERM)
    _, complaint = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "Traceback" not in complaint
    proxy.schedule = Schedule()
    done = call(orders, "--out", "lake", "--segments", "2", "--json")
    assert "resumed the scan begun at" in done.stderr
    assert json.loads(done.stdout)["items"] == 30


@pytest.fixture
def page(pytestconfig: pytest.Config) -> str:
    return (pytestconfig.rootpath / "docs/scan.md").read_text()


def test_the_commands_of_the_page_work(page: str, orders: str, tmp_path: Path) -> None:
    lines = [shlex.split(line, comments=True) for block in blocks(page, "sh") for line in block.splitlines()]
    shown = [words for words in lines if words[:2] == ["ddb-assets", "scan"]]
    assert len(shown) >= 3
    for words in shown:
        local = [f"{tmp_path}/lake" if word.startswith("s3://") else word for word in words[2:]]
        call(*local)


def test_the_page_names_every_option_and_the_contract(page: str) -> None:
    own = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert own - set(re.findall(r"--[a-z-]+", page)) <= {"--help", "--json"}
    for name in ScanOptions.model_fields:
        assert f"`{name}`" in page
    for block in blocks(page, "yaml"):
        Table.model_validate(yaml.safe_load(block)["attributes"])
