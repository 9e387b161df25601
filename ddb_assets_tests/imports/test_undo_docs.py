"""docs/undo.md against the project: its samples are run in the sandbox, and every option and field is in it."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click.testing
import pytest

from ddb_assets.cli import main
from ddb_assets.cli.commands.undo import command
from ddb_assets.imports.undoing.undo import UndoReport
from ddb_assets.sandbox import demo
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import STATE
from ddb_assets_tests.support.tables import items_of, target_of
from ddb_assets_tests.test_readme import blocks


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        demo.load(running, 30)
        yield running


@pytest.fixture
def page(pytestconfig: pytest.Config) -> str:
    return (pytestconfig.rootpath / "docs/undo.md").read_text()


def lines(page: str) -> list[list[str]]:
    return [shlex.split(line, comments=True) for block in blocks(page, "sh") for line in block.splitlines()]


def test_every_option_is_in_a_sample(page: str) -> None:
    known = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert {word for words in lines(page) if "undo" in words for word in words if word.startswith("--")} == known


def test_every_field_of_the_report_is_explained(page: str) -> None:
    table = page.split("| field |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert told == {field.name for field in fields(UndoReport)}


def test_its_commands_do_what_they_say(
    sandbox: Sandbox, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them, in the order in which they stand."""
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "DDB_ASSETS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**sandbox.environment(), STATE: str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "prices.csv").write_text("sku,price\na,1\nb,2\n")
    target = target_of(sandbox, "Products")
    first = items_of(sandbox, target)
    sandbox.dynamodb().update_continuous_backups(
        TableName="Products", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    counts = []
    for words in lines(page):
        done = click.testing.CliRunner().invoke(main, words[1:])
        assert done.exit_code == 0, f"{words}: {done.output}"
        counts.append(len(items_of(sandbox, target)) - len(first))
    assert counts == [2, 2, 0, 0, 0, 2]
