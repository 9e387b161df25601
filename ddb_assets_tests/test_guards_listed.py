"""The list of guards, the page about them, the code and the tests agree. `guards.py` shows that the tests notice each guard."""

import ast
import re

import pytest
from click.testing import CliRunner

from ddb_assets_tests.guards import ROOM, ROOT, Guard, guards, main, places, without

PAGE = ROOT / "docs" / "guards.md"
_ROW = re.compile(r"^\| (?!guard |---)(.*?) \| `(.*?)` \| (.*?) \| `(.*?)` `(.*?)` \|$", re.MULTILINE)


@pytest.mark.parametrize("guard", guards(), ids=lambda guard: guard.name)
def test_a_guard_is_marked_in_the_code_and_its_test_is_there(guard: Guard) -> None:
    for place, change in zip(places()[guard.name], guard.changes, strict=True):
        text = (ROOT / ROOM / place.file).read_text()
        changed = without(guard, place, change, text)
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(text))
    file, _, name = guard.test.partition("::")
    tests = ast.parse((ROOT / "ddb_assets_tests" / file).read_text()).body
    assert name in {node.name for node in tests if isinstance(node, ast.FunctionDef)}


def test_every_marker_is_a_guard() -> None:
    assert places().keys() == {guard.name for guard in guards()}


def test_the_page_lists_them_all() -> None:
    rows = _ROW.findall(PAGE.read_text())
    assert [(name, file) for name, file, *_ in rows] == [
        (guard.name, places()[guard.name][0].file) for guard in guards()
    ]
    tests = [f"{test}::{name}" for *_, test, name in rows]
    assert tests == [guard.test for guard in guards()]
    assert all(why for _, _, why, *_ in rows)


def test_a_name_that_is_none_is_said() -> None:
    result = CliRunner().invoke(main, ["lock", "lack"])
    assert result.exit_code == 1
    assert "there is no guard lack" in result.output
