"""The warehouses whose loads are SQL in transactions: DuckDB, the Redshift emulator, and Iceberg tables."""

from collections.abc import Callable
from typing import Any

import pytest

from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.iceberg.connection import IcebergEngine
from ddb_assets.warehouse.iceberg.warehouse import IcebergWarehouse
from ddb_assets.warehouse.postgres.connection import PostgresEngine
from ddb_assets.warehouse.protocol import Warehouse
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.warehouse import RedshiftWarehouse
from ddb_assets.warehouse.sql import tables as sql_tables
from ddb_assets.warehouse.sql.statements import Statement, quoted
from ddb_assets.warehouse.sql.warehouse import SqlWarehouse
from ddb_assets_tests.support import engines


class SqlSubject:
    """Implements `Subject` over an engine that is open."""

    def __init__(self, engine: engines.AnyEngine, patch: pytest.MonkeyPatch) -> None:
        self._engine, self._patch = engine, patch
        self.pace = 1.0 if isinstance(engine, DuckDBEngine) and not isinstance(engine, IcebergEngine) else 1 / 12
        self.warehouse: Warehouse
        if isinstance(engine, RedshiftEngine):
            self.warehouse = RedshiftWarehouse(engine)
        else:
            self.warehouse = (IcebergWarehouse if isinstance(engine, IcebergEngine) else SqlWarehouse)(engine)

    def rows(self, relation: str, *columns: str) -> list[tuple[Any, ...]]:
        """By a query."""
        binary = self._binary(relation) if isinstance(self._engine, RedshiftEngine) else frozenset()
        read = [f"FROM_VARBYTE({quoted(name)}, 'hex')" if name in binary else quoted(name) for name in columns]
        found = self.warehouse.query(f"SELECT {', '.join(read)} FROM {quoted(relation)}")
        if not binary:
            return found
        return [
            tuple(
                bytes.fromhex(str(v)) if name in binary and v is not None else v
                for name, v in zip(columns, row, strict=True)
            )
            for row in found
        ]

    def _binary(self, relation: str) -> frozenset[str]:
        """The columns of bytes, which Redshift's driver takes for texts."""
        types = self.warehouse.columns([relation]).get(relation, {})
        return frozenset(name for name, kind in types.items() if kind.name == "VARBYTE")

    def run(self, sql: str) -> None:
        """As it is."""
        self._engine.execute(Statement(sql))

    def tables(self) -> set[str]:
        """As the catalog has them."""
        return {name for _, name in engines.tables(self._engine)}

    def staged(self) -> list[str]:
        """The temporary tables."""
        return [name for (name,) in engines.staging(self._engine)]

    def elsewhere(self, relation: str, *columns: str) -> list[tuple[Any, ...]]:
        """On a second connection; values that no engine reads in its own way."""
        query = f"SELECT {', '.join(map(quoted, columns))} FROM {quoted(relation)}"
        match self._engine:
            case RedshiftEngine() | PostgresEngine():
                with self._engine.another() as other:
                    return other.fetch(Statement(query))
            case IcebergEngine():
                with IcebergEngine(self._engine.url) as another:
                    return another.fetch(Statement(query))
            case _:
                with self._engine.connection.cursor() as cursor:
                    return cursor.execute(query).fetchall()

    def between(self, what: Callable[[], object]) -> None:
        """Before the load's transaction begins."""
        prepare, waiting = sql_tables.prepare, [what]

        def then(*arguments: Any, **more: Any) -> sql_tables.Tables:
            prepared = prepare(*arguments, **more)
            if waiting:
                waiting.pop()()
            return prepared

        self._patch.setattr(sql_tables, "prepare", then)
        self._patch.setattr("ddb_assets.warehouse.sql.load.RETRIES", (0.0,))

    def wipe(self) -> None:
        """Faster than another warehouse."""
        engines.wipe(self._engine)
