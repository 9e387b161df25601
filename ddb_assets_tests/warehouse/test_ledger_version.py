"""The version of a ledger: a newer one is refused before anything is read or changed, one without a version is of today's."""

from collections.abc import Callable
from typing import Any

import pytest

from ddb_assets.contract.durable import NewerFormatError
from ddb_assets.contract.identity import Identity
from ddb_assets.contract.report import Report
from ddb_assets.iceberg.properties import FORMAT as ICEBERG_FORMAT
from ddb_assets.streams.position import BEGINNING_OF_STREAM
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.sql import tables
from ddb_assets.warehouse.sql.forgetting import forget, holdings
from ddb_assets.warehouse.sql.inspection import inspect
from ddb_assets.warehouse.sql.ledger import VERSION, ledger, loads
from ddb_assets.warehouse.sql.load_tail import move_stream, position
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets.warehouse.sql.warehouse import SqlWarehouse
from ddb_assets_tests.support.engines import AnyEngine, SmallBuckets, read, select
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import Item, Source

FIRST, SECOND = Item("first", ("line",)), Item("second", ("line",))


def first(source: Source) -> Report:
    """The first full export; a later one has another note."""
    source.put(5, "a", "first", "line")
    source.put(15, "a", "second", "line")
    return source.full(10)


def _said(warehouse: AnyEngine) -> object:
    table = ledger(warehouse.default_schema, "orders")
    [(found,)] = select(warehouse, f"SELECT {VERSION} FROM {table} WHERE relation IS NULL")
    return found


def _by_a_newer(warehouse: AnyEngine) -> None:
    """Leaves the ledger as a newer ddb_assets would."""
    table = ledger(warehouse.default_schema, "orders")
    with warehouse.transaction(table):
        warehouse.execute(Statement(f"UPDATE {table} SET {VERSION} = 2 WHERE relation IS NULL"))


MOVED = Moved("arn:stream", BEGINNING_OF_STREAM, BEGINNING_OF_STREAM.moved({"shard": "7"}))
CALLS: dict[str, Callable[[AnyEngine, Source], object]] = {
    "load": lambda engine, source: load(engine, source.window(10, 20)),
    "start over": lambda engine, source: load(engine, source.full(20), restart=True),
    "move a position": lambda engine, _: move_stream(engine, engine.default_schema, "orders", MOVED),
    "read a position": lambda engine, _: position(engine, engine.default_schema, "orders", "arn:stream"),
    "list loads": lambda engine, _: loads(engine, engine.default_schema, "orders"),
    "inspect": lambda engine, source: inspect(engine, engine.default_schema, source.full(20)),
    "list what is left": lambda engine, _: holdings(engine, engine.default_schema, "orders"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_newer_ledger_is_refused(warehouse: AnyEngine, source: Source, call: str) -> None:
    load(warehouse, first(source))
    _by_a_newer(warehouse)
    with pytest.raises(NewerFormatError, match=r"_ddb_loads__orders.*has version 2; .* reads version 1\b.*upgrade"):
        CALLS[call](warehouse, source)
    assert read(warehouse) == {"a": FIRST}
    assert _said(warehouse) == 2


def test_a_newer_ledger_is_not_given_columns(duckdb: AnyEngine, source: Source) -> None:
    """A newer ledger may lack a column because it has another one in its place."""
    load(duckdb, first(source))
    table = ledger(duckdb.default_schema, "orders")
    duckdb.execute(Statement(f"ALTER TABLE {table} DROP COLUMN kept_stale"))
    _by_a_newer(duckdb)
    with pytest.raises(NewerFormatError):
        load(duckdb, source.window(10, 20))
    assert "kept_stale" not in duckdb.catalog(table)


def test_a_ledger_that_is_migrated_while_a_load_prepares_is_refused(
    duckdb: AnyEngine, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newer load commits after the older one has looked, and before that has the lock."""
    load(duckdb, first(source))
    prepare = tables.prepare

    def prepared(*told: Any, **named: Any) -> tables.Tables:
        _by_a_newer(duckdb)
        return prepare(*told, **named)

    monkeypatch.setattr(tables, "prepare", prepared)
    with pytest.raises(NewerFormatError):
        load(duckdb, source.window(10, 20))
    assert read(duckdb) == {"a": FIRST}


def test_a_ledger_without_a_version_is_of_the_first(warehouse: AnyEngine, source: Source) -> None:
    load(warehouse, first(source))
    table = ledger(warehouse.default_schema, "orders")
    warehouse.execute(Statement(f"ALTER TABLE {table} DROP COLUMN {VERSION}"))
    assert len(loads(warehouse, warehouse.default_schema, "orders")) == 1
    assert SqlWarehouse(warehouse).rehearse(source.window(10, 20)).statements
    load(warehouse, source.window(10, 20))
    assert read(warehouse) == {"a": SECOND}
    assert _said(warehouse) == 1


def test_what_a_newer_ledger_lists_is_not_dropped(duckdb: AnyEngine, source: Source) -> None:
    load(duckdb, first(source))
    found = holdings(duckdb, duckdb.default_schema, "orders")
    _by_a_newer(duckdb)
    with pytest.raises(NewerFormatError):
        forget(duckdb, duckdb.default_schema, "orders", "", found, 0.0)
    assert read(duckdb) == {"a": FIRST}


@pytest.mark.parametrize("restart", [False, True])
def test_rows_of_a_newer_form_are_left_alone(duckdb: AnyEngine, source: Source, restart: bool) -> None:
    """Also by a load that starts the table over: the next run of the newer ddb_assets could not go on from that."""
    load(duckdb, first(source))
    newer = Identity(format=2, key=("orderId",), key_masks=(None,), mask_secret="", schema_id="", contract="c")
    said = f"UPDATE {ledger(duckdb.default_schema, 'orders')} SET row_identity = ? WHERE relation = 'orders'"
    duckdb.execute(Statement(said, (newer.model_dump_json(),)))
    with pytest.raises(NewerFormatError, match=r"_ddb_loads__orders.*the format of the rows has version 2; .*upgrade"):
        load(duckdb, source.full(20), restart=restart)
    assert read(duckdb) == {"a": FIRST}


def test_a_newer_iceberg_table_is_refused(iceberg: SmallBuckets, source: Source) -> None:
    load(iceberg, first(source))
    table = iceberg.store.catalog.load_table((iceberg.default_schema, "orders"))
    assert table.properties[ICEBERG_FORMAT.key] == "1"
    with table.transaction() as change:
        change.set_properties({ICEBERG_FORMAT.key: "2"})
    iceberg.store.forget()
    with pytest.raises(NewerFormatError, match=r"Iceberg table .*orders.* has version 2"):
        load(iceberg, source.window(10, 20))
    with table.transaction() as change:
        change.remove_properties(ICEBERG_FORMAT.key)
    iceberg.store.forget()
    load(iceberg, source.window(10, 20))
    assert read(iceberg) == {"a": SECOND}
