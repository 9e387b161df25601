"""docs/import.md against the project: its samples are run in the sandbox, and every option, rule and field is in it."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click.testing
import pytest
import yaml

from ddb_assets.aws.storage import Storage
from ddb_assets.cli import main
from ddb_assets.cli.commands.import_ import command
from ddb_assets.components.dynamodb_import import Import
from ddb_assets.dynamodb.attribute_value import DESCRIPTORS
from ddb_assets.imports.account import ImportReport
from ddb_assets.imports.assets import CHECKS, ImportRunConfig
from ddb_assets.imports.bulk_put import writer
from ddb_assets.imports.formats.csv_format import CsvFormat
from ddb_assets.imports.import_config import ImportConfig, Rule, read_import_config
from ddb_assets.imports.mapping import expressions
from ddb_assets.imports.tables import new_table as new_table_module
from ddb_assets.imports.tables.table_plan import creation_parameters
from ddb_assets.sandbox import demo, demo_files
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import LAKE, STATE
from ddb_assets_tests.imports.dms import tasks
from ddb_assets_tests.imports.importing import imported
from ddb_assets_tests.imports.typed_items import state
from ddb_assets_tests.support.materializing import asset
from ddb_assets_tests.support.tables import items_of, new_table, target_of
from ddb_assets_tests.support.written_export import write_export
from ddb_assets_tests.test_readme import blocks

ROWS = 20
SKU = ("sku", "S")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        demo.load(running, 30)
        yield running


@pytest.fixture
def page(pytestconfig: pytest.Config) -> str:
    return (pytestconfig.rootpath / "docs/import.md").read_text()


def mappings(page: str) -> list[tuple[str, str, list[Any]]]:
    """Of each sample of a mapping: the YAML (empty: none), the CSV and the items that it makes."""
    found = re.findall(r"^```(yaml|csv|json)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    samples = []
    for number, (language, text) in enumerate(found):
        if language == "csv":
            before, config = found[number - 1] if number else ("", "")
            assert found[number + 1][0] == "json"
            samples.append((config if before == "yaml" else "", text, json.loads(found[number + 1][1])))
    return samples


def indexed(config: str) -> dict[str, Any]:
    """How a table gets the indexes that the YAML declares."""
    indexes = ImportConfig.model_validate({"indexes": (yaml.safe_load(config or "{}")).get("indexes")}).indexes
    made = creation_parameters("T", (SKU,), indexes or {})
    definitions = [(one["AttributeName"], one["AttributeType"]) for one in made["AttributeDefinitions"]]
    found = {"definitions": [one for one in definitions if one != SKU]}
    return found | ({"GlobalSecondaryIndexes": made["GlobalSecondaryIndexes"]} if indexes else {})


def test_the_readme_leads_here(pytestconfig: pytest.Config) -> None:
    assert "(docs/import.md)" in (pytestconfig.rootpath / "README.md").read_text()


def test_its_mappings_make_the_items_that_it_shows(sandbox: Sandbox, page: str, tmp_path: Path) -> None:
    for config, text, items in mappings(page):
        target = new_table(sandbox, SKU, **indexed(config))
        rules, rows = tmp_path / "import.yaml", tmp_path / "rows.csv"
        rules.write_text(config or "{}")
        rows.write_text(text, encoding="latin-1")
        told = read_import_config(rules).model_dump(exclude_unset=True)
        imported(sandbox.endpoint_url, target, rows, told)
        assert state(items_of(sandbox, target)) == state(items), config


def test_everything_that_a_configuration_may_say_is_shown(page: str) -> None:
    shown = [yaml.safe_load(config) for config, _, _ in mappings(page) if config]
    assert {name for config in shown for name in config} == ImportConfig.model_fields.keys()
    assert {name for config in shown for name in config.get("csv", {})} == CsvFormat.model_fields.keys()
    assert {str(type_) for config in shown for type_ in config.get("types", {}).values()} == DESCRIPTORS
    rules = [rule for config in shown for rule in config.get("attributes", {}).values()]
    assert {name for rule in rules if isinstance(rule, dict) for name in rule} == Rule.model_fields.keys()


def test_every_option_is_in_a_sample(page: str) -> None:
    known = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    lines = [shlex.split(line, comments=True) for block in blocks(page, "sh") for line in block.splitlines()]
    assert {word for words in lines for word in words if word.startswith("--")} == known
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page)) <= known


@pytest.mark.slow
def test_its_commands_do_what_they_say(
    sandbox: Sandbox, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order in which they stand, each with the exit code that it has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(new_table_module, "FIRST_LOOK", 0.05)
    monkeypatch.setattr(writer, "FIRST_LOOK", 0.05)
    own = {STATE: str(tmp_path / "state"), LAKE: f"s3://{demo.BUCKET}/lake"}
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "DDB_ASSETS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**sandbox.environment(), **own}.items():
        monkeypatch.setenv(name, value)
    _write_files(tmp_path)
    for line in (line for block in blocks(page, "sh") for line in block.splitlines()):
        _, _, *words = shlex.split(line, comments=True)
        done = click.testing.CliRunner().invoke(main, ["import", *words])
        assert done.exit_code == ("exits with 1" in line), f"{line}: {done.output}"
        left_over = tmp_path / "left-over.jsonl"
        if left_over.exists():
            left_over.write_text(left_over.read_text().replace('"sku":null', '"sku":"mended"'))
    client = sandbox.dynamodb()
    assert client.scan(TableName="Products-2", Select="COUNT")["Count"] == ROWS
    assert client.scan(TableName="Events-2", Select="COUNT")["Count"] == ROWS
    there = {item["sku"]["S"] for item in items_of(sandbox, target_of(sandbox, "Products"))}
    assert {"mended", "part-1", "measured", "answered", "dms-1", "dms-2", f"SKU-{demo_files.ARTICLES}"} <= there


def _write_files(folder: Path) -> None:
    """Those that the commands name."""
    declared = Path(demo.__file__).parents[1] / "defs/imports/products_import/defs.yaml"
    rules = yaml.safe_load(declared.read_text())["attributes"]
    (folder / "import.yaml").write_text(yaml.safe_dump({name: rules[name] for name in ("csv", "attributes")}))
    (folder / "products.csv").write_text("sku,price\n" + "".join(f"p{n},{n}\n" for n in range(ROWS)))
    (folder / "damaged.csv").write_text("sku,price\ngood,1\n,2\n")
    (folder / "measured.bin").write_text("sku,price\nmeasured,1\n")
    (folder / "answer.json").write_text('{"data": {"products": [{"sku": "answered"}]}}')
    (folder / "events.jsonl").write_text("".join(f'{{"deviceId": "d", "at": {n}}}\n' for n in range(ROWS)))
    (folder / "parts").mkdir()
    for number in range(2):
        Storage().write(str(folder / f"parts/{number}.jsonl.gz"), f'{{"sku": "part-{number}"}}\n'.encode())
    _write_task(folder)
    write_export(Storage(), str(folder / "orders-export"), lines=[[b'{"Item":{"orderId":{"S":"exported"}}}']])


def _write_task(folder: Path) -> None:
    """A DMS task, with its files of a full load and of changes."""
    columns = [tasks.column("sku", pk="true"), tasks.column("price", "INT4")]
    told = tasks.definition(tasks.table("products", columns, "shop"))
    where: tasks.Json = {"schema": "shop", "table": "products"}
    rules = [tasks.selection(**where), tasks.mapping(target="Products", partition_key_name="sku", **where)]
    (folder / "table-mappings.json").write_text(json.dumps({"rules": rules}))
    (folder / "external-table.json").write_text(json.dumps(told))
    for path, rows in {
        "shop/products/LOAD00000001": "dms-1,5\n",
        "changes/CDC00001": "I,products,shop,dms-2,6\n",
    }.items():
        Storage().write(str(folder / f"copied-bucket/{path}.csv"), rows.encode())


def test_its_yaml_is_a_component_and_a_runs_config(page: str) -> None:
    component, run = (yaml.safe_load(block) for block in blocks(page, "yaml")[-2:])
    assert component["attributes"].keys() == Import.model_fields.keys()
    made = asset("DynamoDBImport", ["imports", component["attributes"]["name"]], component["attributes"])
    [(op, told)] = run["ops"].items()
    assert op == made.op.name
    assert ImportRunConfig(**told["config"]).confirm == component["attributes"]["table"]
    assert told["config"].keys() == ImportRunConfig.model_fields.keys()
    assert {check.name for check in made.check_keys} == set(CHECKS) <= set(re.findall(r"`(\w+)`", page))


def test_every_field_of_the_report_is_explained(page: str) -> None:
    table = page.split("| field |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert told == {field.name for field in fields(ImportReport)}


def test_every_filter_and_function_of_expressions_is_named(page: str) -> None:
    told = page.split("The filters are ")[1].split(". None")[0]
    assert set(re.findall(r"`(\w+)`", told)) == set(expressions.FILTERS) | expressions.TEXT_FILTERS.keys()
    assert {name for name in expressions.FUNCTIONS if f"{name}(" not in page} == set()
