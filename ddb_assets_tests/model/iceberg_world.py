"""Iceberg tables as the warehouse of the model test: our process crashes, also between the commits of one load.

`world.py` uses it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from pyiceberg.table import CommitTableResponse
from pyiceberg.table.update import TableRequirement, TableUpdate

from ddb_assets.contract.report import Relation
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.warehouse.iceberg.connection import IcebergEngine
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.model.world import Faults, ServerFault, SqlLoads
from ddb_assets_tests.support.engines import SmallBuckets, wipe


class FragileIceberg(SqlLoads, SmallBuckets):
    """A step before every statement, copy and transaction's commit, and before and after each commit of a table."""

    hit = False

    def __init__(self, folder: str, faults: Faults) -> None:
        super().__init__(CatalogUrl.parse(f"iceberg:///{folder}/catalog.sqlite?namespace=main"))
        self._faults = faults

    def __enter__(self) -> Self:
        super().__enter__()
        catalog: Any = self.store.catalog
        commit = catalog.commit_table

        def stepping(
            table: Any, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
        ) -> CommitTableResponse:
            self._faults.step()
            answer: CommitTableResponse = commit(table, requirements, updates)
            self._faults.step()
            return answer

        catalog.commit_table = stepping
        return self

    def execute(self, statement: Statement) -> None:
        self._faults.step()
        super().execute(statement)

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
        """There is no server."""
        assert fault is None
        yield

    def elsewhere(self, statement: Statement) -> None:
        """Runs a statement on an engine of its own, which commits."""
        with IcebergEngine(self.url) as other:
            other.execute(statement)

    def die(self) -> None:
        """Does nothing: what a transaction has in DuckDB is gone when it ends."""

    def wipe(self) -> None:
        """Drops every table."""
        wipe(self)

    def rows(self, name: str, columns: Iterable[str]) -> list[dict[str, Any]]:
        """The rows of a table with these columns and its other columns. A missing column is NULL."""
        if self.standing(TableName(self.default_schema, name)) is None:
            return []
        with IcebergEngine.transaction(self):
            found = IcebergEngine.fetch(self, Statement(f'SELECT * FROM "{name}"'))
            present = self.layout(TableName(self.default_schema, name)).types
        return [dict.fromkeys(columns) | dict(zip(present, row, strict=True)) for row in found]
