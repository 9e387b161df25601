"""A load never touches the tables of another DynamoDB table, even if contracts give them equal names."""

from pathlib import Path

import pytest

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets_tests.support.engines import AnyEngine, read, select
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import (
    BASE_MICROS,
    EXTRA,
    INDEX,
    KEY,
    LINE,
    NOTE,
    VERSION,
    Item,
    Source,
    at,
    relation,
    report,
    write,
)

OTHER = "arn:aws:dynamodb:eu-west-1:123456789012:table/Lines"


def named(folder: Path, name: str) -> Report:
    """A full export of another DynamoDB table, with a name from its contract."""
    rows = [{"order_id": "z", "note": "other", "_ddb_version": BASE_MICROS + 5}]
    root = write(folder, relation(name, (KEY, NOTE, VERSION, EXTRA)), rows)
    return report([root], export_time=at(5), table_arn=OTHER)


def test_a_table_named_like_the_list_of_another_changes_nothing(
    warehouse: AnyEngine, source: Source, tmp_path: Path
) -> None:
    source.put(1, "a", "first", "x", "y")
    load(warehouse, source.full(3))
    with pytest.raises(LoadError, match=r"orders__lines.* exists, but no load of Orders has created it"):
        load(warehouse, named(tmp_path / "other", "orders__lines"))
    assert read(warehouse) == {"a": Item("first", ("x", "y"))}
    source.put(4, "b", "second", "z")
    load(warehouse, source.full(6))  # and the first one can still be loaded
    assert read(warehouse) == {"a": Item("first", ("x", "y")), "b": Item("second", ("z",))}


def test_a_list_named_like_another_table_changes_nothing(warehouse: AnyEngine, source: Source, tmp_path: Path) -> None:
    load(warehouse, named(tmp_path / "other", "orders__lines"))
    source.put(1, "a", "first", "x")
    with pytest.raises(LoadError, match=r"orders__lines.* is already a table of items"):
        load(warehouse, source.full(3))
    assert select(warehouse, "SELECT order_id, note FROM orders__lines") == [("z", "other")]


def test_two_lists_of_one_name_are_told_apart(warehouse: AnyEngine, tmp_path: Path) -> None:
    def export(root: str, arn: str, place: int) -> Report:
        key = {"order_id": root, "_ddb_version": BASE_MICROS + 5}
        relations = [
            write(tmp_path / root, relation(root, (KEY, VERSION, EXTRA)), [key]),
            write(
                tmp_path / f"{root}-lines",
                relation("a__b__c", (KEY, INDEX, LINE, VERSION, EXTRA), ("lines",)),
                [{**key, "_ddb_index": 0, "value": root}],
            ),
        ]
        return report(relations, export_time=at(5 + place), table_arn=arn)

    load(warehouse, export("a", OTHER, 0))
    with pytest.raises(LoadError, match=r"a__b__c.* has rows, but by its ledger no load of Orders has written them"):
        load(warehouse, export("a__b", OTHER + "2", 0))
    assert select(warehouse, 'SELECT "value" FROM a__b__c') == [("a",)]


def test_a_first_load_that_failed_is_no_other_table(
    warehouse: AnyEngine, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables are there, empty, and so is the ledger."""
    source.put(1, "a", "first", "x")
    made = source.full(3)

    def broken(*_: object) -> None:
        raise LoadError("broken")

    with monkeypatch.context() as patched:
        patched.setattr(warehouse, "copy", broken)
        with pytest.raises(LoadError, match="broken"):
            load(warehouse, made)
    assert load(warehouse, made).applied


def test_a_table_of_somebody_else_is_left_alone(warehouse: AnyEngine, source: Source) -> None:
    warehouse.execute(Statement("CREATE TABLE orders (order_id VARCHAR(64), _ddb_version BIGINT)"))
    source.put(1, "a", "first", "x")
    with pytest.raises(LoadError, match="orders"):
        load(warehouse, source.full(3))
    assert select(warehouse, "SELECT COUNT(*) FROM orders") == [(0,)]
