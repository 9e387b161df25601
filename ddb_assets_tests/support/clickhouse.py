"""Warehouses in databases of a ClickHouse, one for each test."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage
from ddb_assets.sandbox.clickhouse.server import ClickHouseServer
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.settings import ClickHouseSettings
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets_tests.warehouse.exports import Item


@contextmanager
def in_database(
    server: ClickHouseServer, *, storage: Storage | None = None, more: str = ""
) -> Iterator[ClickHouseWarehouse]:
    """A warehouse in a new database, which is dropped afterwards. The password is in the environment."""
    name = f"t_{uuid.uuid4().hex}"
    with Server(ClickHouseSettings.parse(server.url), AWS()) as own:
        own.execute(f"CREATE DATABASE {name}")
        try:
            url = server.url.replace(f"/{server.database}?", f"/{name}?") + more
            with ClickHouseWarehouse(
                ClickHouseSettings.parse(url), storage=storage or Storage(), aws=AWS(), patience=20.0
            ) as opened:
                yield opened
        finally:
            own.execute(f"DROP DATABASE {name} SYNC")


def again(warehouse: ClickHouseWarehouse, *, patience: float = 20.0) -> ClickHouseWarehouse:
    """Another connection to the same database, to be entered."""
    return ClickHouseWarehouse(warehouse.server.settings, storage=Storage(), aws=AWS(), patience=patience)


def read(warehouse: ClickHouseWarehouse) -> dict[str, Item]:
    """Key to item, from the root and the child relation, each by a query of its own. Fails on double rows, orphans and gaps."""
    rows = warehouse.server.fetch("SELECT order_id, note FROM orders")
    lines = warehouse.server.fetch(
        "SELECT order_id, _ddb_index, value FROM orders__lines ORDER BY order_id, _ddb_index"
    )
    assert len(dict(rows)) == len(rows)
    found: dict[str, list[str]] = {key: [] for key, _ in rows}
    for key, index, value in lines:
        assert index == len(found[key])
        found[key].append(value)
    return {key: Item(note, tuple(found[key])) for key, note in rows}
