"""What loads of a table have made is found and dropped, all of it and nothing else."""

import pytest

from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.protocol import Warehouse
from ddb_assets.warehouse.results import Holdings
from ddb_assets_tests.warehouse.conformance.subject import Subject, load, loads, read
from ddb_assets_tests.warehouse.exports import BASE_MICROS, KEY, NOTE, VERSION, Source, at, relation, report, write

PATIENCE = 1.0


@pytest.fixture
def opened(subject: Subject, source: Source) -> Warehouse:
    """`orders` with a list, a full export and a window that deletes an item."""
    source.put(1, "a", "x", "y", "z")
    source.put(2, "b", "x")
    load(subject, source.full(10))
    source.delete(12, "b")
    load(subject, source.window(10, 20))
    return subject.warehouse


def test_all_that_the_ledger_lists_is_dropped_and_nothing_else(
    subject: Subject, opened: Warehouse, source: Source
) -> None:
    before = subject.tables()
    row = {"order_id": "c", "_ddb_version": BASE_MICROS + 10}
    other = write(source.folder / "customers", relation("customers", [KEY, VERSION, NOTE]), [row])
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/customers"
    load(subject, report([other], export_time=at(10), table_arn=arn).model_copy(update={"name": "customers"}))
    subject.run("CREATE TABLE orders__notes (a BIGINT)")
    all_of_them = subject.tables()
    held = opened.holdings("orders")
    assert {1, 2} <= set(held.tables.values())
    opened.forget("orders", held, patience=PATIENCE)
    assert all_of_them - subject.tables() == held.tables.keys()
    assert held.tables.keys() <= before
    for view in held.views:
        with pytest.raises(Exception, match=view):
            subject.rows(view, "order_id")
    assert opened.holdings("orders") == Holdings()
    assert not opened.recorded("orders").loads
    assert opened.rows(["customers"]) == {"customers": 1}
    assert len(opened.recorded("customers").loads) == 1


@pytest.mark.alike
def test_a_table_that_is_declared_again_begins_anew(subject: Subject, opened: Warehouse, source: Source) -> None:
    opened.forget("orders", opened.holdings("orders"), patience=PATIENCE)
    assert subject.tables() == set()
    load(subject, source.full(20))
    assert read(subject).keys() == {"a"}
    assert loads(subject) == 1


def test_a_load_in_between_stops_it(subject: Subject, opened: Warehouse, source: Source) -> None:
    held = opened.holdings("orders")
    source.put(22, "c", "x")
    load(subject, source.window(20, 30))
    with pytest.raises(LoadError, match="has been loaded in between: nothing was dropped"):
        opened.forget("orders", held, patience=PATIENCE)
    assert read(subject).keys() == {"a", "c"}
    assert loads(subject) == 3
