"""`ddb-assets infra` as a shell sees it, what it printed for the demo tables, and the pages that show policies."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.cli.commands.infra import command
from ddb_assets.contract.metrics import NAMESPACE
from ddb_assets.infrastructure.alarms import EMAIL
from ddb_assets.infrastructure.resources import KEPT
from ddb_assets.infrastructure.roles import PRINCIPALS
from ddb_assets.sandbox.demo import TABLES
from ddb_assets.warehouse.url import warehouse_name
from ddb_assets_tests.cli.test_commands import answer, call
from ddb_assets_tests.infrastructure.documented import DEMO, POLICY, SETTINGS, demo_template, shown
from ddb_assets_tests.infrastructure.flows import written_project
from ddb_assets_tests.infrastructure.read_template import read, targets
from ddb_assets_tests.infrastructure.test_template import findings

PLACE = ("--lake", "s3://my-bucket/dynamodb")


@pytest.fixture
def root(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.rootpath


@pytest.fixture
def page(root: Path) -> str:
    return (root / "docs/infrastructure.md").read_text()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


def printed(root: Path, *options: str) -> str:
    return call("infra", "--project", str(root), *PLACE, *options).stdout


@pytest.mark.parametrize("name", DEMO)
def test_the_templates_of_the_demo_tables_are_what_the_command_prints(root: Path, name: str) -> None:
    """`python -m ddb_assets_tests.infrastructure.documented` writes them again."""
    text = (root / "infra" / name).read_text()
    assert text == demo_template(root, name)
    assert all(f"table/{table.name}" in text for table in TABLES)
    assert findings(text) == []


def test_json_is_the_same_template(root: Path) -> None:
    assert answer("infra", "--project", str(root), *PLACE) == read(printed(root))


def test_what_the_yaml_says_decides_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    project = written_project(tmp_path)
    found = read(printed(project))
    roles = {name for name in found["Resources"] if name.startswith("Role")}
    assert roles == {
        f"Role{one}"
        for one in (
            *(
                "Dagster",
                "Export",
                "Flatten",
                "Load",
                "Changes",
                "Stream",
                "Scan",
                "Status",
                "Retention",
                "Import",
                "Copy",
                "Alerts",
                "Job",
            ),
        )
    }
    alarms = [one["Properties"] for one in found["Resources"].values() if one["Type"] == "AWS::CloudWatch::Alarm"]
    assert {"orders-cdc", "products-cdc"} <= {
        place["Value"] for one in alarms for place in one["Dimensions"] if isinstance(place["Value"], str)
    }
    url = "redshift://loader@main.abc.eu-west-1.redshift.amazonaws.com/dev"
    assert "RoleRedshiftCopy" in read(printed(project, "--warehouse", url))["Resources"]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ((), "duckdb"),
        (("--warehouse", "redshift://me@main.example.com/dev?schema=shop"), "redshift://main.example.com/dev/shop"),
        (("--redshift", "--name", "shop"), "redshift://shop/warehouse"),
    ],
)
def test_the_alarms_name_the_warehouse_as_the_process_does(root: Path, options: tuple[str, ...], name: str) -> None:
    found = read(printed(root, "--metrics", "all", *options))
    alarms = [one["Properties"] for one in found["Resources"].values() if one["Type"] == "AWS::CloudWatch::Alarm"]
    named = {one["Dimensions"][1]["Value"] for one in alarms if one["Namespace"] == NAMESPACE}
    assert named == {name}
    if "--redshift" in options:
        workgroup = found["Resources"]["Warehouse"]["Properties"]["WorkgroupName"]  # what a reference to it becomes
        url = found["Outputs"]["WarehouseUrl"]["Value"]["Fn::Sub"].replace("${Warehouse}", workgroup)
        assert warehouse_name(url) == name


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--name", "Shop"), 1, "'Shop' cannot be the name of the stack's resources"),
        (("--own-table", "Orders"), 2, "write NAME=PK:TYPE[,SK:TYPE]"),
        (("--own-table", "Nothing=id:S"), 1, "no YAML of the project names the table 'Nothing'"),
        (("--kms-key", "alias/mine"), 2, "'alias/mine' is not the ARN of a KMS key"),
        (("--new-tables", "*"), 2, "'*' is not the name of a table"),
        (("--warehouse", "mysql://x"), 1, "is not the URL of a warehouse"),
        (("--iceberg", "iceberg://glue"), 1, "lacks location"),
        (("--metrics", "Rows"), 1, "DDB_ASSETS_METRICS has 'Rows', which is not a metric"),
        (("--own-database",), 1, "the stack can only make a database of Glue"),
        (("--redshift", "--warehouse", "redshift://me@host/dev"), 1, "names one that exists"),
        (("--project", "/"), 1, "is not in a Dagster project"),
    ],
)
def test_mistakes_are_named(root: Path, options: tuple[str, ...], code: int, said: str) -> None:
    done = call("infra", "--project", str(root), *PLACE, *options, code=code)
    assert said in " ".join(done.output.replace("│", " ").split())
    assert not done.stdout.startswith("AWSTemplate")


def test_a_template_that_is_too_long_for_a_call_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddb_assets.cli.infra.MAX_BODY", 100)
    assert "deploy it with --s3-bucket" in call("infra", "--project", str(root), *PLACE).stderr


@pytest.mark.parametrize("name", ["README.md", "docs/redshift.md", "docs/scale.md", "docs/scan.md", "docs/streams.md"])
def test_the_policies_that_pages_show_are_those_of_the_roles(root: Path, name: str) -> None:
    """`python -m ddb_assets_tests.infrastructure.documented` writes them again."""
    documents = shown(root)[root / name]
    text = (root / name).read_text()
    assert POLICY.findall(text) == documents
    assert text.count('"Action"') == sum(document.count('"Action"') for document in documents)


def test_every_option_is_described(page: str) -> None:
    table = page.split("| option |")[1].split("\n\n")[0]
    named = set(re.findall(r"^\| `(--[a-z-]+)", table, re.MULTILINE))
    assert named == {option for one in command.params for option in one.opts} - {"--help"}


def test_the_page_says_what_remains(root: Path, page: str) -> None:
    template: Any = read((root / "infra/everything.yaml").read_text())
    kept = {one["Type"] for one in template["Resources"].values() if one.get("DeletionPolicy") == KEPT}
    table = page.split("| what remains |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(AWS::\w+::\w+)`", table)) == kept


def test_the_page_names_the_parameters_and_outputs(root: Path, page: str) -> None:
    template: Any = read((root / "infra/everything.yaml").read_text())
    named = set(re.findall(r"`(\w+)`", page))
    assert {
        *template["Parameters"],
        "Lake",
        "ExportEventsUrl",
        "WarehouseUrl",
        "RoleDagsterArn",
        "LakeKeyArn",
        "AlarmTopicArn",
    } <= named
    assert {PRINCIPALS, EMAIL} <= targets(template)


def test_json_of_the_page_is_json(page: str) -> None:
    for text in re.findall(r"```json\n(.*?)```", page, re.DOTALL):
        json.loads(text)
