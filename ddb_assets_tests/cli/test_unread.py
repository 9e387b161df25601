"""`ddb-assets load` of exports that cannot be read in part, or with the given key: refused, and nothing changes."""

import shutil
from pathlib import Path

import click.testing
import duckdb
import pytest
import yaml

from ddb_assets.cli import main

pytestmark = pytest.mark.usefixtures("state")

CASES = Path(__file__).parents[1] / "cases"


def case(name: str, folder: Path) -> Path:
    return Path(shutil.copytree(CASES / name, folder / name))


class Shell:
    """`ddb-assets load` into one warehouse."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "wh.duckdb"

    def load(self, source: Path, *options: str, code: int = 0) -> click.testing.Result:
        arguments = ("load", str(source), "--warehouse", f"duckdb:///{self.file}", *options)
        result = click.testing.CliRunner().invoke(main, arguments)
        assert result.exit_code == code, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    def rows(self, columns: str = "*") -> list[tuple[object, ...]]:
        with duckdb.connect(str(self.file), read_only=True) as connection:
            return connection.execute(f"SELECT {columns} FROM t ORDER BY 1").fetchall()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def contract(folder: Path, **said: object) -> tuple[str, str]:
    path = folder / "defs.yaml"
    attributes = {"table": "T", "key": "id", **said}
    path.write_text(yaml.safe_dump({"type": "ddb_assets.components.DynamoDBTable", "attributes": attributes}))
    return "--config", str(path)


def test_a_mistyped_key_leaves_the_table_as_it_was(
    tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports = case("mistyped_key_empties_table", tmp_path)
    shell.load(exports / "first", "--key", "id")
    before = shell.rows()
    monkeypatch.setenv("DDB_ASSETS_STATE", str(tmp_path / "another folder"))
    assert "its key was id, now it is ID" in shell.load(exports / "second", "--key", "ID", code=1).output
    said = shell.load(exports / "second", "--key", "ID", "--schemas", str(tmp_path / "none yet"), code=1).output
    assert "no key attribute 'ID'" in said
    assert "'id' (string), 'n' (number)" in said
    assert shell.rows() == before
    assert len(before) == 5


def test_a_bad_item_is_refused_and_its_good_row_stays(tmp_path: Path, shell: Shell) -> None:
    exports = case("one_bad_item_removes_its_good_row", tmp_path)
    shell.load(exports / "first", "--key", "id")
    before = shell.rows()
    said = shell.load(exports / "second", "--key", "id", code=1).output
    assert "of the 5 items of export 01700000000009-aaaabbbb 1 could not be read: nothing was loaded" in said
    assert "line 4: n: N '3x' is not a number" in said
    assert "max_quarantined: 1" in said
    assert shell.rows() == before
    (quarantine,) = (tmp_path / "state").rglob("_quarantine/*.jsonl")
    assert "".join(str(quarantine).split()) in "".join(said.split())


def test_a_bad_item_keeps_its_row_where_the_contract_allows_it(tmp_path: Path, shell: Shell) -> None:
    exports = case("one_bad_item_removes_its_good_row", tmp_path)
    allowed = contract(tmp_path, max_quarantined=1)
    shell.load(exports / "first", *allowed)
    before = shell.rows("id, n")
    assert (
        "1 rows were kept as they were and are marked in _ddb_stale_since"
        in shell.load(exports / "second", *allowed).output
    )
    assert shell.rows("id, n") == before
    assert [row for row in shell.rows("id, CAST(_ddb_stale_since AS VARCHAR)") if row[1]] == [
        ("k3", "2024-05-16 10:00:00")
    ]


def test_a_forgotten_sort_key_is_named(tmp_path: Path, shell: Shell) -> None:
    exports = case("forgotten_sort_key_bricks_table", tmp_path)
    said = shell.load(exports / "export", "--key", "pk", code=1).output
    assert "Its key was given as 'pk' alone: if the table has a sort key, add it (--key pk,SORT_KEY" in said
    assert "which distinguish them: 'sk'" in said
