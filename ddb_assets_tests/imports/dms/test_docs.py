"""docs/dms.md against the project: its sample is converted and imported, and every rule, setting and option is in it."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import click.testing
import pytest

from ddb_assets.cli import main
from ddb_assets.cli.commands import dms, import_
from ddb_assets.imports.dms.endpoint import CHANGES_NOTHING
from ddb_assets.imports.dms.names import NEEDED
from ddb_assets.imports.dms.rules import REFUSED_ACTIONS, FilterCondition
from ddb_assets.imports.dms.source_tables import TYPES
from ddb_assets.imports.import_config import read_import_config
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.importing import imported
from ddb_assets_tests.support.tables import items_of, new_table
from ddb_assets_tests.test_readme import blocks


@pytest.fixture
def page(pytestconfig: pytest.Config) -> str:
    return (pytestconfig.rootpath / "docs/dms.md").read_text()


def commands(page: str) -> list[list[str]]:
    return [shlex.split(line, comments=True) for block in blocks(page, "sh") for line in block.splitlines()]


def test_other_pages_lead_here(pytestconfig: pytest.Config) -> None:
    assert "(docs/dms.md)" in (pytestconfig.rootpath / "README.md").read_text()
    assert "(dms.md)" in (pytestconfig.rootpath / "docs/import.md").read_text()


def test_its_task_becomes_the_yaml_and_the_items_that_it_shows(
    sandbox: Sandbox, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rules, definition, items = blocks(page, "json")
    (rows,), (shown,) = blocks(page, "csv"), blocks(page, "yaml")
    folder = tmp_path / "hr/employee"
    folder.mkdir(parents=True)
    (folder / "LOAD00000001.csv").write_text(rows)
    (tmp_path / "table-mappings.json").write_text(rules)
    (tmp_path / "external-table.json").write_text(definition)
    call = ["dms", "convert", "table-mappings.json", "external-table.json"]
    done = click.testing.CliRunner().invoke(main, call)
    assert (done.exit_code, done.stdout) == (0, shown)
    (tmp_path / "import.yaml").write_text(shown)
    target = new_table(sandbox)
    told = read_import_config(tmp_path / "import.yaml").model_dump(exclude_unset=True)
    assert imported(sandbox.endpoint_url, target, folder, told).left_out == 1
    assert items_of(sandbox, target) == json.loads(items)


def test_its_commands_can_be_called(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    """`dms convert` in full; of imports the files are read and the bucket is not there."""
    monkeypatch.chdir(tmp_path)
    for name, value in {**sandbox.environment(), "DDB_ASSETS_STATE": str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    rules, definition, _ = blocks(page, "json")
    endpoint = {"BucketName": "my-bucket", "ExternalTableDefinition": definition}
    (tmp_path / "table-mappings.json").write_text(rules)
    (tmp_path / "external-table.json").write_text(definition)
    (tmp_path / "s3-settings.json").write_text(json.dumps(endpoint))
    for _, *words in commands(page):
        done = click.testing.CliRunner().invoke(main, words[: words.index(">")] if ">" in words else words)
        if words[0] == "dms":
            assert done.exit_code == 0, done.output
        else:
            assert done.exit_code == 1, words
            assert "People" in done.output, done.output  # the table that the task says is not there


def test_every_option_for_tasks_is_shown(page: str) -> None:
    def options(command: click.Command) -> set[str]:
        return {option for parameter in command.params for option in parameter.opts if option.startswith("--")}

    ours = {option for option in options(import_.command) if option.startswith("--dms")}
    convert = options(dms.convert)
    shown = {word for words in commands(page) for word in words if word.startswith("--")}
    assert ours | convert <= shown <= options(import_.command) | convert
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page)) <= options(import_.command) | convert


def test_every_rule_setting_and_type_is_named(page: str) -> None:
    named = set(re.findall(r"`([\w-]+)`", page))
    operators: Any = FilterCondition.model_fields["filter_operator"].annotation
    assert {*operators.__args__, *NEEDED, *REFUSED_ACTIONS} <= named
    assert TYPES.keys() - {"INT2", "INT4", "UINT2", "UINT4"} <= named
    settings = {
        name for row in re.findall(r"^\| (`[A-Z].*?) \|", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert settings == {
        "BucketName", "BucketFolder", "CdcPath", "CsvDelimiter", "CsvRowDelimiter", "CsvNullValue", "IgnoreHeaderRows",
        "Rfc4180", "DataFormat",
    }  # fmt: skip
    assert not {name.lower() for name in settings} & CHANGES_NOTHING
