"""The README against the project: the commands, settings, tree and YAML that it shows exist. So do the links of all pages."""

import re
from pathlib import Path

import click
import pytest
import yaml

from ddb_assets import settings
from ddb_assets.cli import COMMANDS, main
from ddb_assets.contract.table import Table


@pytest.fixture
def root(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.rootpath


@pytest.fixture
def readme(root: Path) -> str:
    return (root / "README.md").read_text()


def blocks(readme: str, language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    return [text for named, text in fenced if named == language]


def test_every_make_target_it_names_exists_and_the_other_way_round(root: Path, readme: str) -> None:
    named = set(re.findall(r"\bmake ([a-z]+)\b", readme))
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE))
    assert named == targets


def test_every_command_is_shown_with_options_that_it_has(readme: str) -> None:
    lines = [line.split("#")[0].split() for block in blocks(readme, "sh") for line in block.splitlines()]
    calls = [line[1:] for line in lines if line[:1] == ["ddb-assets"]]
    assert {call[0] for call in calls} == set(COMMANDS)
    for name, *words in calls:
        command = main.get_command(None, name)  # type: ignore[arg-type]
        if isinstance(command, click.Group):
            command = command.commands[words[0]]
        assert command
        known = {option for parameter in command.params for option in parameter.opts}
        own = words[: words.index("--")] if "--" in words else words
        assert {word for word in own if word.startswith("--")} <= known


def test_every_setting_is_named(readme: str) -> None:
    ours = {value for value in vars(settings).values() if isinstance(value, str) and value.startswith("DDB_ASSETS_")}
    assert set(re.findall(r"^\| `(DDB_ASSETS_\w+)`", readme, re.MULTILINE)) == ours


def test_the_yaml_it_shows_is_a_contract(readme: str) -> None:
    (shown,) = blocks(readme, "yaml")
    assert Table.model_validate(yaml.safe_load(shown)["attributes"]).nested == {"lineItems": "child"}


def test_the_tree_it_shows_is_the_tree(root: Path, readme: str) -> None:
    (tree,) = [block for block in blocks(readme, "") if block.startswith("ddb_assets/")]
    package = root / "ddb_assets"
    folders = {path.name for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"}
    modules = {path.name for path in package.glob("*.py") if path.name != "__init__.py"}
    assert set(re.findall(r"^  (\w+)/", tree, re.MULTILINE)) == folders
    assert set(re.findall(r"\w+\.py", tree)) == modules


def headings(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def test_every_link_between_pages_leads_to_a_file_and_a_heading(root: Path) -> None:
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text())]
    between = [(page, link) for page, link in links if not re.match(r"[a-z]+:", link)]
    assert len(between) > 20
    broken = []
    for page, link in between:
        file, _, anchor = link.partition("#")
        target = (page.parent / file) if file else page
        if not target.exists() or (anchor and anchor not in headings(target)):
            broken.append(f"{page.relative_to(root)}: {link}")
    assert not broken
