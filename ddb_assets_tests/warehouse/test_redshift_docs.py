"""docs/redshift.md against the project: the options, variables, URLs, YAML and SQL that it shows are real."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import sqlglot
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema
from sqlglot import exp

from ddb_assets import settings
from ddb_assets.contract.table import Table
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.warehouse import checks
from ddb_assets.warehouse.redshift.settings import PASSWORD, RedshiftSettings
from ddb_assets_tests.test_readme import blocks


@pytest.fixture
def page(pytestconfig: pytest.Config) -> str:
    return (pytestconfig.rootpath / "docs" / "redshift.md").read_text()


def test_the_readme_leads_here(pytestconfig: pytest.Config) -> None:
    assert "(docs/redshift.md)" in (Path(pytestconfig.rootpath) / "README.md").read_text()


def test_every_option_of_the_url_is_there_with_its_default(page: str) -> None:
    table = page.split("| option |")[1].split("\n\n")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.MULTILINE))
    ours = {field.name: field.default for field in fields(RedshiftSettings)[4:]}
    assert list(documented) == list(ours)
    for name, default in ours.items():
        if default:
            assert documented[name] == f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def test_every_url_can_be_parsed(page: str) -> None:
    urls = [line for block in blocks(page, "") for line in block.split()] + re.findall(r"`(redshift:[^`]*)`", page)
    assert len(urls) == 5
    for url in urls:
        RedshiftSettings.parse(url)


def test_every_variable_exists(page: str) -> None:
    ours = {value for value in vars(settings).values() if isinstance(value, str)} | {PASSWORD}
    named = set(re.findall(r"\bDDB_ASSETS_\w+", page))
    assert PASSWORD in named
    assert named <= ours


def test_its_yaml_is_a_contract_and_an_instance(page: str) -> None:
    instance, contract = (yaml.safe_load(text) for text in blocks(page, "yaml"))
    assert set(contract["attributes"]["warehouse"]) == set(WarehouseOptions.model_fields)
    Table.model_validate(contract["attributes"])
    schema = dagster_instance_config_schema()
    found = validate_config({name: schema[name] for name in instance}, instance)
    assert found.success, found.errors


def test_its_statements_are_redshift_sql(page: str) -> None:
    for text in blocks(page, "sql"):
        if text.startswith("SELECT"):  # sqlglot cannot parse the others
            assert isinstance(sqlglot.parse_one(text, read="redshift"), exp.Select), text


def test_its_checks_are_those_of_the_assets(page: str) -> None:
    ours = {value for name, value in vars(checks).items() if name.isupper()}
    assert len(ours) == 6
    assert all(f"`{name}`" in page for name in ours)
