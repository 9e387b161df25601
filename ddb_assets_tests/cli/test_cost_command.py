"""`cost`: a project's tables on the sandbox, this month's exports, and mistakes."""

import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from ddb_assets.cli.sandbox import REAL_ACCOUNT, environment
from ddb_assets.costs.month import LEAST_BILLED
from ddb_assets.costs.prices import GB, Prices, prices
from ddb_assets.exports.follow import wait
from ddb_assets.exports.request import Destination, FullExport, TableExports
from ddb_assets.sandbox import demo
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import PRICES
from ddb_assets_tests.cli.test_commands import answer, call

TABLES = {"orders": {"table": "Orders", "max_cost": 5}, "events": {"table": "Events", "load": "replace"}}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(export_delay=timedelta(0)) as sandbox:
        demo.load(sandbox, 30)
        yield sandbox


@pytest.fixture
def project(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in REAL_ACCOUNT:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment(sandbox).items():
        monkeypatch.setenv(name, value)
    package = tmp_path / f"shop_{uuid.uuid4().hex}"
    for name, contract in TABLES.items():
        (package / "defs" / name).mkdir(parents=True)
        declared = {"type": "ddb_assets.components.DynamoDBTable", "attributes": contract}
        (package / "defs" / name / "defs.yaml").write_text(yaml.safe_dump(declared))
    for name in ("__init__.py", "definitions.py"):
        (package / name).touch()
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{package.name}"\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_what_is_spent_and_what_will_be(project: Path, sandbox: Sandbox) -> None:
    client = sandbox.dynamodb()
    before = answer("cost", "--project", str(project), "--json")
    orders = {table["name"]: table for table in before["tables"]}["orders"]
    assert (orders["exports_this_month"], orders["usd_this_month"], orders["max_cost"]) == (0, 0, 5)
    lines = {line["what"]: line for line in orders["lines"]}
    assert lines["windows"]["usd"] == pytest.approx(720 * LEAST_BILLED / GB * 0.10)
    assert lines["initial load"]["once"]
    assert before["prices"]["source"].startswith("second-hand")

    asked = TableExports(client, "Orders").request(FullExport("x"), Destination(demo.BUCKET))
    done = wait(client, asked.arn, timeout=timedelta(minutes=1))
    after = answer("cost", "--project", str(project), "--table", "orders", "--rpu", "8", "--json")
    (orders,) = after["tables"]
    assert (orders["exports_this_month"], orders["billed_bytes_this_month"]) == (1, done.billed_bytes)
    assert {line["what"] for line in orders["lines"]} >= {"Redshift Serverless"}
    shown = call("cost", "--project", str(project), "--rpu", "8").output
    assert "(exports: 1)" in shown
    assert "of 5.00 that `max_cost` allows" in shown
    assert "second-hand" in shown
    assert "orders: Orders" in shown
    assert "events: Events" in shown
    assert "full exports" in shown


def test_a_table_that_is_not_declared_and_prices_that_are_none(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = call("cost", "--project", str(project), "--table", "oders", code=2).output
    assert "no table is named oders: the project declares events, orders" in " ".join(said.split())
    (tmp_path / "own.yaml").write_text("dynamodb: {export_gb: much}\n")
    monkeypatch.setenv(PRICES, str(tmp_path / "own.yaml"))
    assert "dynamodb.export_gb" in call("cost", "--project", str(project), code=1).output


def test_the_prices_of_the_page_are_prices(pytestconfig: pytest.Config) -> None:
    page = (pytestconfig.rootpath / "docs/cost.md").read_text()
    (own,) = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "export_gb" in text]
    listed = prices().model_dump()
    for group, value in yaml.safe_load(own).items():
        listed[group] = {**listed[group], **value} if isinstance(value, dict) else value
    assert Prices.model_validate(listed).region == "eu-central-1"
