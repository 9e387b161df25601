"""The protocol of a warehouse, which is all that other rooms use of it."""

import pytest

from ddb_assets.contract.column_type import SqlType
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.protocol import LoadOptions, Warehouse
from ddb_assets.warehouse.results import Recorded
from ddb_assets_tests.warehouse.conformance.subject import Subject
from ddb_assets_tests.warehouse.exports import Source, at


@pytest.fixture
def opened(subject: Subject) -> Warehouse:
    return subject.warehouse


def test_a_load_is_done_once_and_the_ledger_knows_it(opened: Warehouse, source: Source) -> None:
    source.put(1, "a", "x", "y", "z")
    source.put(12, "b", "x")
    initial_load, window = source.full(10), source.window(10, 20)
    assert [opened.load(export).applied for export in (initial_load, window, initial_load, window)] == [
        True,
        True,
        False,
        False,
    ]
    assert opened.load(window, LoadOptions(force=True)).applied
    known = opened.recorded("orders", counted=True)
    assert [load.export_id for load in known.loads] == [initial_load.export_id, window.export_id, window.export_id]
    assert [(load.sequence, load.export_time, load.from_time, load.to_time) for load in known.loads] == [
        (1, at(10), None, None),
        (2, None, at(10), at(20)),
        (3, None, at(10), at(20)),
    ]
    assert known.differing == {}
    assert known.initial_load == (at(10), known.loads[0])


def test_what_is_in_the_tables_can_be_asked(opened: Warehouse, source: Source) -> None:
    source.put(1, "a", "x", "y", "z")
    report = source.full(10)
    counts = opened.load(report).table_rows
    assert opened.rows(["orders", "orders__lines"]) == counts == {"orders": 1, "orders__lines": 2}
    columns = opened.columns(["orders", "nothing"])
    assert columns.keys() == {"orders"}
    assert columns["orders"]["_ddb_version"] == SqlType("BIGINT")
    assert opened.query(f"SELECT note FROM {opened.schema}.orders") == [("x",)]
    seen = opened.inspect(report)
    assert (seen.recorded, seen.counted, seen.twice, seen.leftovers) == (counts, counts, 0, ())


def test_rows_are_counted_in_the_order_that_was_asked_for(opened: Warehouse, source: Source) -> None:
    source.put(1, "a", "x", *map(str, range(500)))
    opened.load(source.full(10))
    for asked in (["orders", "orders__lines"], ["orders__lines", "orders"]) * 30:
        assert list(opened.rows(asked)) == asked


def test_a_table_that_somebody_changed_differs_from_the_ledger(
    opened: Warehouse, subject: Subject, source: Source
) -> None:
    source.put(1, "a", "x", "y", "z")
    opened.load(source.full(10))
    subject.run("DELETE FROM orders WHERE order_id = 'a'")
    subject.run("DROP TABLE orders__lines")
    assert opened.recorded("orders", counted=True).differing == {"orders": (1, 0), "orders__lines": (2, None)}
    assert opened.recorded("orders").differing == {}


def test_a_table_that_nobody_has_loaded_is_unknown(opened: Warehouse, source: Source) -> None:
    assert opened.recorded("orders", counted=True) == Recorded((), {})
    with pytest.raises(LoadError, match="has no initial load yet"):
        opened.load(source.window(10, 20))
    assert opened.recorded("orders") == Recorded((), {})
