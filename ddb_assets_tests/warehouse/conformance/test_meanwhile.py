"""Another load of the table gets in between: when a load has looked at the tables, and before it changes them."""

import pytest

from ddb_assets.contract.report import Report
from ddb_assets_tests.warehouse.conformance.subject import Subject, load, read
from ddb_assets_tests.warehouse.exports import Item, Source


@pytest.mark.needs("overlap")
def test_items_that_another_load_could_not_read_meanwhile_are_updated(subject: Subject, source: Source) -> None:
    for key in "ab":
        source.put(1, key, f"first {key}")
    for export in (source.full(10), source.full(20, unread="a"), source.full(30)):
        load(subject, export, max_quarantined=1)
    source.put(35, "a", "second a")
    subject.between(lambda: load(subject, source.full(50, unread="a"), max_quarantined=1))
    assert load(subject, source.window(30, 40)).upserted == 1
    assert read(subject) == {"a": Item("second a"), "b": Item("first b")}


@pytest.mark.needs("overlap")
def test_rows_of_a_list_that_another_load_brought_meanwhile_go_with_their_item(
    subject: Subject, source: Source
) -> None:
    def without_list(made: Report) -> Report:
        rows, size = {"orders": made.root.rows}, sum(part.bytes for part in made.root.parts)
        return made.model_copy(update={"relations": made.relations[:1], "rows": rows, "bytes_parquet": size})

    for key in "ab":
        source.put(1, key, f"first {key}", "x")
    load(subject, without_list(source.full(10)))
    source.put(25, "a", "second a")
    subject.between(lambda: load(subject, source.full(20), max_quarantined=1))
    load(subject, without_list(source.window(20, 30)))
    assert sorted(subject.rows("orders", "order_id", "note")) == [("a", "second a"), ("b", "first b")]
    assert subject.rows("orders__lines", "order_id") == [("b",)]
