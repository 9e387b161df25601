"""Reading a `defs.yaml` without Dagster: the error names file, line and what is allowed, for every mistake."""

from pathlib import Path

import pytest

from ddb_assets.contract.contract_yaml import ConfigError, read_table, read_tables

HEAD = "type: ddb_assets.components.DynamoDBTable\nattributes:\n  table: Orders\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "defs.yaml"
    path.write_text(text)
    return path


def test_the_demo_tables_are_read(pytestconfig: pytest.Config) -> None:
    files = sorted(pytestconfig.rootpath.glob("ddb_assets/defs/*/defs.yaml"))
    tables = [table for path in files for table in read_tables(path)]
    assert {"Orders", "Customers", "Events"} <= {table.table for table in tables}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (HEAD + "  nestd:\n    items: child\n", 5, "nestd: unknown key; allowed here: table, name,"),
        (HEAD + "  nested:\n    items: rows\n", 5, "'flatten', 'json' or 'child'"),
        (HEAD + "  export:\n    bucket: b\n", 5, "export.bucket"),
        (HEAD.replace("table: Orders", "name: orders"), 3, "table: Field required"),
        ("type: other.Component\nattributes: {table: Orders}\n", 1, "must end in .DynamoDBTable"),
        ("attributes:\n  - Orders\n", 1, "`attributes`"),
        ("just text\n", 1, "`attributes`"),
        (HEAD + " indented: badly\n", 4, "not YAML"),
        (HEAD + "  name: \x07\n", 4, "not YAML"),
        (HEAD + "  name: !!python/name:os.system\n", 4, "could not determine a constructor"),
    ],
)
def test_a_mistake_names_file_and_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        read_tables(path)
    assert str(refused.value).startswith(f"{path}:{line}: ")
    assert message in str(refused.value)


def test_all_mistakes_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + "  owners: [nobody]\n  nested:\n    items: rows\n")
    with pytest.raises(ConfigError) as refused:
        read_tables(path)
    assert {line.split(": ")[0] for line in str(refused.value).splitlines()} == {f"{path}:4", f"{path}:6"}


def test_of_several_documents_the_named_one_is_taken(tmp_path: Path) -> None:
    path = written(tmp_path, f"{HEAD}---\n{HEAD.replace('Orders', 'Events')}")
    assert read_table(path, "Events").name == "events"
    with pytest.raises(ConfigError, match="declares 2 tables"):
        read_table(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.yaml"):
        read_tables(tmp_path / "no.yaml")
