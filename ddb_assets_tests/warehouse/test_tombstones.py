"""The table in which loads in SQL keep the deletes that a late window must not undo, and which of them it forgets."""

from datetime import timedelta

from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets_tests.support.engines import AnyEngine, select
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import BASE_MICROS, Source


def tombstones(warehouse: AnyEngine) -> dict[str, int]:
    rows = select(warehouse, "SELECT order_id, _ddb_version FROM _ddb_tombstones__orders")
    assert len(dict(rows)) == len(rows)
    return {key: version - BASE_MICROS for key, version in rows}


def test_a_delete_has_a_tombstone_until_the_key_is_put_again(duckdb: DuckDBEngine, source: Source) -> None:
    source.put(1, "a", "first")
    load(duckdb, source.full(10))
    source.delete(11, "a")
    load(duckdb, source.window(10, 20))
    assert tombstones(duckdb) == {"a": 11}
    source.put(21, "a", "back", "x")
    load(duckdb, source.window(20, 30))
    assert tombstones(duckdb) == {}


def test_a_full_export_makes_older_tombstones_needless(duckdb: DuckDBEngine, source: Source) -> None:
    for key in "abc":
        source.put(1, key, "first", "x")
    load(duckdb, source.full(10))
    source.delete(15, "c")
    source.delete(22, "b")
    initial_load = source.full(20)
    load(duckdb, source.window(10, 20))
    load(duckdb, source.window(20, 30))
    assert tombstones(duckdb) == {"b": 22, "c": 15}
    load(duckdb, initial_load)
    assert tombstones(duckdb) == {"b": 22}


def test_deletes_are_kept_as_long_as_asked(duckdb: DuckDBEngine, source: Source) -> None:
    source.put(1, "a", "first")
    initial_load = source.full(10)
    source.delete(21, "a")
    source.put(41, "c", "x")
    exports = initial_load, source.window(20, 30), source.window(40, 50)
    for micros, kept in ((29, {"a": 21}), (15, {})):
        for export in exports:
            load(duckdb, export, force=True, tombstone_retention=timedelta(microseconds=micros))
        assert tombstones(duckdb) == kept


def test_deletes_of_soft_deleted_items_are_never_forgotten(duckdb: DuckDBEngine, source: Source) -> None:
    source.put(1, "a", "x", "l")
    load(duckdb, source.full(10), soft_delete=True)
    source.delete(21, "a")
    load(duckdb, source.window(20, 30), soft_delete=True)
    later = source.window(10_000, 10_010)
    load(duckdb, later, soft_delete=True, tombstone_retention=timedelta(microseconds=10))
    assert tombstones(duckdb) == {"a": 21}
    assert select(duckdb, "SELECT COUNT(deletes_forgotten_before) FROM _ddb_loads") == [(0,)]
