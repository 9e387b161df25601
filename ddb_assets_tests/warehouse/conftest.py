"""A DuckDB warehouse in memory, and what is in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ddb_assets.warehouse.duckdb import DuckDBWarehouse
from ddb_assets_tests.warehouse.exports import Item, Source


@pytest.fixture
def warehouse() -> Iterator[DuckDBWarehouse]:
    with DuckDBWarehouse(":memory:") as open_:
        yield open_


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path / "parquet")


def wipe(warehouse: DuckDBWarehouse) -> None:
    """Drops every table: as new, but faster than a new one, which would have to translate every statement again."""
    for schema, table in warehouse.connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT temporary"
    ).fetchall():
        warehouse.connection.execute(f'DROP TABLE "{schema}"."{table}"')


def read(warehouse: DuckDBWarehouse) -> dict[str, Item]:
    """Key to item, put together from the root and the child table; fails on double rows, orphans and gaps in lists."""
    rows = warehouse.connection.execute('SELECT order_id, note FROM "orders"').fetchall()
    lines = warehouse.connection.execute(
        'SELECT order_id, _ddb_index, "value" FROM "orders__lines" ORDER BY order_id, _ddb_index'
    ).fetchall()
    assert len({key for key, _ in rows}) == len(rows)
    found: dict[str, list[str]] = {key: [] for key, _ in rows}
    for key, index, value in lines:
        assert index == len(found[key])
        found[key].append(value)
    return {key: Item(note, tuple(found[key])) for key, note in rows}
