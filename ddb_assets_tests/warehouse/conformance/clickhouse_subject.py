"""ClickHouse, whose relations are views over tables of rows."""

import re
from collections.abc import Callable
from datetime import UTC
from typing import Any

from ddb_assets.warehouse.clickhouse.sql import ROWS, STAGE, quoted
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets_tests.support.clickhouse import again


class ClickHouseSubject:
    """Implements `Subject` in a database of its own."""

    pace = 1 / 12

    def __init__(self, warehouse: ClickHouseWarehouse) -> None:
        self.warehouse = warehouse

    def rows(self, relation: str, *columns: str) -> list[tuple[Any, ...]]:
        """By a query of the view."""
        return self._seen(self.warehouse, relation, *columns)

    def elsewhere(self, relation: str, *columns: str) -> list[tuple[Any, ...]]:
        """In another session."""
        with again(self.warehouse) as other:
            return self._seen(other, relation, *columns)

    def _seen(self, warehouse: ClickHouseWarehouse, relation: str, *columns: str) -> list[tuple[Any, ...]]:
        """Bytes are read in hexadecimal, because a String is one of text to the driver; every time is of UTC."""
        types = warehouse.columns([relation]).get(relation, {})
        kinds = [types[name].name if name in types else "" for name in columns]
        read = [
            f"hex({quoted(name)})" if kind == "VARBYTE" else quoted(name)
            for name, kind in zip(columns, kinds, strict=True)
        ]

        def value(found: Any, kind: str) -> Any:
            if kind == "VARBYTE" and found is not None:
                return bytes.fromhex(found)
            return found.replace(tzinfo=UTC) if kind == "TIMESTAMPTZ" and found is not None else found

        return [
            tuple(value(found, kind) for found, kind in zip(row, kinds, strict=True))
            for row in warehouse.query(f"SELECT {', '.join(read)} FROM {quoted(relation)}")
        ]

    def run(self, sql: str) -> None:
        """On the table of rows of a relation. A dropped relation goes with its view."""
        server = self.warehouse.server
        match sql.split():
            case ["DROP", "TABLE", name]:
                for one in (name, f"{ROWS}{name}"):
                    server.execute(f"DROP TABLE {quoted(one)} SYNC")
            case ["UPDATE", name, "SET", *changes]:
                update = f"ALTER TABLE {quoted(f'{ROWS}{name}')} UPDATE {' '.join(changes)}"
                server.execute(f"{update} SETTINGS mutations_sync = 2")
            case ["CREATE", "TABLE", *_]:
                server.execute(f"{sql} ENGINE = MergeTree ORDER BY tuple()")
            case _:
                server.execute(re.sub(r"(?<=ALTER TABLE |DELETE FROM )(\w+)", rf"{ROWS}\1", sql))

    def tables(self) -> set[str]:
        """As the database has them."""
        return {name for name, engine in self._names() if engine != "View"}

    def staged(self) -> list[str]:
        """The tables that loads stage in."""
        return [name for name, _ in self._names() if name.startswith(STAGE)]

    def between(self, what: Callable[[], object]) -> None:
        """A load waits for another one of its table, so there is nothing between."""
        raise AssertionError("a scenario with `overlap` is not for ClickHouse")

    def wipe(self) -> None:
        """Drops views, then tables."""
        for name, _ in sorted(self._names(), key=lambda one: one[1] != "View"):
            self.warehouse.server.execute(f"DROP TABLE {quoted(name)} SYNC")

    def _names(self) -> list[tuple[str, str]]:
        """Name and engine of everything in the database."""
        found = self.warehouse.query("SELECT name, engine FROM system.tables WHERE database = currentDatabase()")
        return [(str(name), str(engine)) for name, engine in found]
