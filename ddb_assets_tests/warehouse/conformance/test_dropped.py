"""The next load notices what somebody dropped from the warehouse, and a new initial load brings it back."""

import re

import pytest

from ddb_assets.contract.table import Table
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import Recorded
from ddb_assets_tests.warehouse.conformance.subject import Subject, load, read
from ddb_assets_tests.warehouse.exports import Item, Source


def filled(subject: Subject, source: Source) -> None:
    """The initial load has `a` and `b`. The window deletes `b`."""
    source.put(1, "a", "first", "x")
    source.put(2, "b", "second", "y")
    load(subject, source.full(10))
    source.delete(12, "b")
    source.put(13, "c", "third")
    load(subject, source.window(10, 20))


@pytest.mark.parametrize(
    ("statement", "gone"),
    [
        ("ALTER TABLE orders DROP COLUMN note", "column 'note' of"),
        ("DROP TABLE orders__lines", '"orders__lines"'),
        ("ALTER TABLE orders__lines DROP COLUMN value", "column 'value' of"),
    ],
)
@pytest.mark.needs("mends")
def test_what_was_dropped_is_missed_until_a_newer_full_export_brings_it_back(
    subject: Subject, source: Source, statement: str, gone: str
) -> None:
    filled(subject, source)
    subject.run(statement)
    source.put(21, "d", "fourth", "z")
    with pytest.raises(LoadError, match="has been dropped since") as refused:
        load(subject, source.window(20, 30))
    assert gone in str(refused.value)
    assert "materialize exports/orders_full_export" in str(refused.value)
    with pytest.raises(LoadError, match="has been dropped since"):
        load(subject, source.full(10), force=True)  # otherwise the row from the window would keep its NULL
    for unreadable in ({"unread": "c"}, {"unkeyed": "c"}):
        with pytest.raises(LoadError, match="has been dropped since"):
            load(
                subject, source.full(30, **unreadable), max_quarantined=1
            )  # otherwise the row of `c` would keep its NULL
    assert load(subject, source.full(30)).applied
    assert read(subject) == {key: item for key, (_, item) in source.state(30).items()}
    source.put(31, "d", "fifth")
    assert load(subject, source.window(30, 40)).applied
    assert read(subject)["d"] == Item("fifth")


@pytest.mark.needs("mends")
def test_without_the_column_of_the_key_no_full_export_can_replace_the_rows(subject: Subject, source: Source) -> None:
    filled(subject, source)
    subject.run("ALTER TABLE orders__lines DROP COLUMN _ddb_version")
    with pytest.raises(
        LoadError, match=r"rows cannot be matched without it.*drop \S*orders__lines\S* and .*load --restart"
    ):
        load(subject, source.full(30))
    subject.run("DROP TABLE orders__lines")
    assert load(subject, source.full(30), restart=True).applied
    assert read(subject) == {key: item for key, (_, item) in source.state(30).items()}


@pytest.mark.alike
@pytest.mark.needs("mends")
def test_a_child_table_that_was_dropped_is_missed_by_an_export_that_is_applied_already(
    subject: Subject, source: Source
) -> None:
    filled(subject, source)
    applied, newest = source.window(10, 20), source.full(20)
    subject.run("DROP TABLE orders__lines")
    with pytest.raises(LoadError, match=r"orders__lines.*has been dropped since"):
        load(subject, applied)
    load(subject, newest)
    subject.run("DROP TABLE orders__lines")
    assert load(subject, newest).applied
    assert not load(subject, newest).applied
    assert read(subject) == {key: item for key, (_, item) in source.state(20).items()}


@pytest.mark.alike
@pytest.mark.parametrize(
    ("table", "named"),
    [
        (Table(table="Orders", load="replace"), "parquet/orders_full_parquet and warehouse/orders)"),
        (Table(table="Orders").with_paths({("initial_load", "orders"): ("shop", "orders")}), " and shop/orders)"),
    ],
)
@pytest.mark.needs("mends")
def test_a_refusal_names_the_assets_that_the_table_has(
    subject: Subject, source: Source, table: Table, named: str
) -> None:
    filled(subject, source)
    subject.run("ALTER TABLE orders DROP COLUMN note")
    chain = LoadOptions.of(table).full_chain
    with pytest.raises(LoadError, match=re.escape(named)):
        load(subject, source.window(20, 30), full_chain=chain)
    with pytest.raises(LoadError, match=re.escape(f"then {table.full_chain.parquet}")):
        load(subject, source.window(20, 30), restart=True, full_chain=chain)


@pytest.mark.alike
def test_the_ledger_tells_every_load_and_makes_nothing_to_do_so(subject: Subject, source: Source) -> None:
    warehouse = subject.warehouse
    assert warehouse.recorded("orders").loads == ()
    filled(subject, source)
    initial_load, window = warehouse.recorded("orders").loads
    assert (initial_load.sequence, initial_load.export_type, window.export_type) == (
        1,
        "FULL_EXPORT",
        "INCREMENTAL_EXPORT",
    )
    assert initial_load.export_time == window.from_time
    assert window.to_time
    assert window.table_id == initial_load.table_id
    assert warehouse.recorded("orders", counted=True).rows == {"orders": 2, "orders__lines": 1}
    assert warehouse.recorded("others", counted=True) == Recorded((), {})
