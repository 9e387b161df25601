"""`cost`: a project's tables on the sandbox, this month's exports, and mistakes."""

import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from ddb_assets.cli.sandbox import REAL_ACCOUNT, environment
from ddb_assets.costs.month import LEAST_BILLED
from ddb_assets.costs.prices import GB, Prices, prices
from ddb_assets.costs.s3_requests import S3Requests
from ddb_assets.exports.follow import wait
from ddb_assets.exports.request import Destination, FullExport, TableExports
from ddb_assets.orchestration.s3_requests import request_facts
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


def test_requests_to_s3_are_as_many_as_the_newest_window_made(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def line(name: str) -> dict[str, Any]:
        (table,) = answer("cost", "--project", str(project), "--table", name, "--json")["tables"]
        (found,) = [one for one in table["lines"] if one["what"] == "S3 requests"]
        return dict(found)

    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert line("orders")["usd"] == 0
    assert "not known" in line("orders")["how"]
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    made = {"parquet/orders_window_parquet": S3Requests(10, 50), "warehouse/orders": S3Requests(4, 6)}
    with dg.DagsterInstance.get() as instance:
        for key, requests in made.items():
            facts = request_facts(requests, prices())
            instance.report_runless_asset_event(dg.AssetMaterialization(key.split("/"), metadata=facts))
    assert line("orders")["usd"] == pytest.approx(720 * (14 * 0.005 + 56 * 0.0004) / 1000)
    assert "720 times 14 PUT and LIST, 56 GET" in line("orders")["how"]
    assert "not known" in line("events")["how"]


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
