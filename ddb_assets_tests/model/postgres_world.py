"""PostgreSQL as the warehouse of the model test: our process crashes, and the server rolls back. `world.py` uses it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ddb_assets.contract.report import Relation
from ddb_assets.warehouse.postgres.connection import PostgresEngine
from ddb_assets.warehouse.server_url import ServerUrl
from ddb_assets.warehouse.sql.statements import Statement, TableName, quoted
from ddb_assets_tests.model.world import Faults, ServerFault, SqlLoads
from ddb_assets_tests.support.engines import wipe


class FragilePostgres(SqlLoads, PostgresEngine):
    """A step before every statement, query, copy and commit, and one after every commit."""

    hit = False

    def __init__(self, server: ServerUrl, faults: Faults) -> None:
        super().__init__(server)
        self._faults = faults
        self.session = "own"  # with equal texts, statements need not be translated again

    def fetch(self, statement: Statement) -> list[tuple[object, ...]]:
        self._faults.step()
        return super().fetch(statement)

    def copy(self, relation: Relation, stage: TableName) -> None:
        self._faults.step()
        super().copy(relation, stage)

    @contextmanager
    def transaction(self, lock: TableName | None = None) -> Iterator[None]:
        with super().transaction(lock):
            yield
            self._faults.commit()
        self._faults.step()

    @contextmanager
    def misbehaving(self, fault: ServerFault | None) -> Iterator[None]:
        """`warehouse/test_postgres.py` has a server that ends sessions."""
        assert fault is None
        yield

    def elsewhere(self, statement: Statement) -> None:
        """Runs a statement on a connection of its own, which commits."""
        with PostgresEngine(self.server) as other:
            other.execute(statement)

    def die(self) -> None:
        """The server loses the connection. The next statement opens another."""
        self.connection.close()

    def wipe(self) -> None:
        """Drops everything."""
        wipe(self)

    def rows(self, name: str, columns: Iterable[str]) -> list[dict[str, Any]]:
        """The rows of a table or view with these columns and its other columns. A missing column is NULL."""
        if self.standing(TableName(self.default_schema, name)) is None:
            return []
        found = self.connection.execute(f"SELECT * FROM {quoted(name)}")
        present = [column.name for column in found.description or ()]
        return [dict.fromkeys(columns) | dict(zip(present, row, strict=True)) for row in found.fetchall()]
