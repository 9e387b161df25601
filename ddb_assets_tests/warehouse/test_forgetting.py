"""What loads of a table have made in a warehouse is found and dropped, and nothing else."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.warehouse.errors import LoadError, WarehouseError
from ddb_assets.warehouse.protocol import PLAIN, LoadOptions
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.results import Holdings
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets.warehouse.sql.warehouse import SqlWarehouse
from ddb_assets_tests.support.engines import AnyEngine, select
from ddb_assets_tests.warehouse.exports import BASE_MICROS, KEY, NOTE, VERSION, Source, at, relation, report, write

SHOWN = LoadOptions(tables=WarehouseOptions(views="analytics"))
PATIENCE = 1.0


def loaded(warehouse: AnyEngine, source: Source, options: LoadOptions = PLAIN) -> SqlWarehouse:
    """`orders` with a list, a full export and a window that deletes an item."""
    opened = SqlWarehouse(warehouse)
    source.put(1, "a", "x", "y", "z")
    source.put(2, "b", "x")
    opened.load(source.full(10), options)
    source.delete(12, "b")
    opened.load(source.window(10, 20), options)
    return opened


def load_other(warehouse: AnyEngine, source: Source, name: str = "customers") -> None:
    """A table of another name with one row."""
    made = write(
        source.folder / name,
        relation(name, [KEY, VERSION, NOTE]),
        [{"order_id": "c", "_ddb_version": BASE_MICROS + 10}],
    )
    arn = f"arn:aws:dynamodb:eu-west-1:123456789012:table/{name}"
    SqlWarehouse(warehouse).load(report([made], export_time=at(10), table_arn=arn).model_copy(update={"name": name}))


def test_its_views_go_too_when_their_schema_is_named(warehouse: AnyEngine, source: Source) -> None:
    opened = loaded(warehouse, source, SHOWN)
    schema = warehouse.default_schema
    assert opened.holdings("orders").views == ()
    held = opened.holdings("orders", "analytics")
    assert held.views == ('"analytics"."orders"', '"analytics"."orders__lines"')
    opened.forget("orders", held, "analytics", patience=PATIENCE)
    assert warehouse.standing(TableName("analytics", "orders")) is None
    assert warehouse.standing(TableName(schema, "orders")) is None


def test_a_view_of_somebody_else_is_no_view_of_ours(warehouse: AnyEngine, source: Source) -> None:
    opened = loaded(warehouse, source)
    warehouse.execute(Statement("CREATE SCHEMA IF NOT EXISTS analytics"))
    warehouse.execute(Statement("CREATE VIEW analytics.orders AS SELECT 1 AS a"))
    with pytest.raises(LoadError, match="must be the view of"):
        opened.holdings("orders", "analytics")
    warehouse.execute(Statement("DROP VIEW analytics.orders"))


def test_a_table_that_no_load_has_made_stays(warehouse: AnyEngine, source: Source) -> None:
    opened = loaded(warehouse, source)
    warehouse.execute(Statement('DROP TABLE "orders__lines"'))
    warehouse.execute(Statement('CREATE TABLE "orders__lines" (mine INTEGER)'))
    with pytest.raises(LoadError, match="no load has created it"):
        opened.holdings("orders")
    warehouse.execute(Statement('DROP TABLE "orders__lines"'))
    warehouse.execute(Statement('CREATE TABLE "_ddb_tombstones__orders__lines" (mine INTEGER)'))
    warehouse.execute(Statement('CREATE TABLE "orders__lines" (_ddb_version BIGINT)'))
    with pytest.raises(LoadError, match="is a table of items by now"):
        opened.holdings("orders")


def test_a_list_that_two_ledgers_have_stays(warehouse: AnyEngine, source: Source) -> None:
    opened = loaded(warehouse, source)
    load_other(warehouse, source)
    rows = """UPDATE "_ddb_loads__customers" SET relation_columns = '{"customers":["a"],"orders__lines":["a"]}'"""
    warehouse.execute(Statement(f"{rows} WHERE relation = 'customers'"))
    with pytest.raises(LoadError, match="in the ledgers of orders and of customers"):
        opened.holdings("orders")


@contextmanager
def running_load(engine: RedshiftEngine, table: TableName) -> Iterator[None]:
    """A second session that holds the table's lock, as a load does."""
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with engine.another() as other, other.transaction(table):
            locked.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert locked.wait(10)
        yield
    finally:
        done.set()
        thread.join()


def test_a_load_that_is_running_is_not_disturbed(over_redshift: RedshiftEngine, source: Source) -> None:
    opened = loaded(over_redshift, source)
    held = opened.holdings("orders")
    with (
        running_load(over_redshift, TableName("public", "_ddb_tombstones__orders")),
        pytest.raises(WarehouseError, match="a load of this table is running"),
    ):
        opened.forget("orders", held, patience=PATIENCE)
    assert opened.holdings("orders") == held
    assert select(over_redshift, "SELECT COUNT(*) FROM _ddb_loads") == [(2,)]
    opened.forget("orders", held, patience=PATIENCE)
    assert opened.holdings("orders") == Holdings()
