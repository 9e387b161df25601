"""What somebody dropped of the bookkeeping of loads in SQL; the tables that people see are in `conformance/`."""

import pytest

from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets_tests.support.engines import AnyEngine, select
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import Source


@pytest.fixture
def filled(warehouse: AnyEngine, source: Source) -> AnyEngine:
    """The initial load has `a` and `b`. The window deletes `b`."""
    source.put(1, "a", "first", "x")
    source.put(2, "b", "second", "y")
    load(warehouse, source.full(10))
    source.delete(12, "b")
    load(warehouse, source.window(10, 20))
    return warehouse


def test_a_table_of_deletes_is_missed_until_a_newer_full_export_brings_it_back(
    filled: AnyEngine, source: Source
) -> None:
    filled.execute(Statement("DROP TABLE _ddb_tombstones__orders"))
    for refused in (source.window(20, 30), source.full(10, digest="d2")):
        with pytest.raises(LoadError, match=r"_ddb_tombstones__orders.* has been dropped since"):
            load(filled, refused)
    assert load(filled, source.full(30)).applied
    assert load(filled, source.window(30, 40)).applied


def test_a_column_that_only_this_export_has_is_made(filled: AnyEngine, source: Source) -> None:
    filled.execute(Statement("UPDATE _ddb_loads__orders SET relation_columns = NULL"))  # a ledger of an earlier version
    filled.execute(Statement("ALTER TABLE orders DROP COLUMN note"))
    assert load(filled, source.window(20, 30)).applied
    assert select(filled, "SELECT COUNT(note) FROM orders") == [(0,)]
