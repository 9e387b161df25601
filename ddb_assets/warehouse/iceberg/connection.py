"""The engine of loads into Iceberg: DuckDB runs their statements on rows of Iceberg's tables, and a commit writes these back.

Between transactions DuckDB is empty. In one, a table is there once a statement names it, with the rows that the transaction
can concern (`held.py`). At the end, the tables that have changed become new snapshots (`commit.py`), and DuckDB forgets
everything. Rows are copied as streams, and DuckDB moves to disk what does not fit into memory.
"""

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import duckdb

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.column_type import SqlType
from ddb_assets.iceberg.catalog import open_catalog
from ddb_assets.iceberg.errors import IcebergError
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError, WarehouseError
from ddb_assets.warehouse.iceberg.commit import Change, apply, finish, is_pending
from ddb_assets.warehouse.iceberg.held import Held, Scope
from ddb_assets.warehouse.iceberg.rows import check_whole, fill, rows_of, staged_buckets
from ddb_assets.warehouse.iceberg.store import Store, explained
from ddb_assets.warehouse.iceberg.touched import Name, touched
from ddb_assets.warehouse.sql import ddl, ledgers, statements
from ddb_assets.warehouse.sql.engine import Layout, Standing, count_by_query
from ddb_assets.warehouse.sql.ledger import LEDGER, PREFIX, ledger
from ddb_assets.warehouse.sql.statements import LoadTarget, Statement, TableName, quoted

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table

    from ddb_assets.aws.clients import AWS

BUCKET_ROWS = 500_000
"""The rows of a bucket, about: some tens of megabytes of Parquet. A table with fewer rows is not partitioned."""
_TOMBSTONES = statements.tombstones(TableName(None, "")).name


class IcebergEngine(DuckDBEngine):
    """The tables of a catalog, open while it is entered as a context manager. `storage` reads parts.

    Raises WarehouseError when the catalog cannot be opened.
    """

    bucket_rows = BUCKET_ROWS

    def __init__(self, url: CatalogUrl, *, storage: Storage | None = None, aws: "AWS | None" = None) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="ddb_assets-iceberg-")
        super().__init__(Path(self._scratch.name, "work.duckdb"), storage=storage)
        self.url, self._aws = url, aws
        self.default_schema = url.namespace
        self._unit: dict[TableName, Held] | None = None
        self._there: set[TableName] | None = None
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.store = Store(self._closing.enter_context(open_catalog(self.url, self._aws)), self.url)
        except IcebergError as error:
            raise WarehouseError(str(error)) from error
        super().__enter__()
        if self.default_schema != "main":
            self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(self.default_schema)}")
        self.connection.execute(f"SET schema = {statements.literal(self.default_schema)}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._closing.close()
        self._scratch.cleanup()

    # transactions

    def transaction(self, lock: TableName | None = None) -> AbstractContextManager[None]:
        """Commits to Iceberg when its block ends; one inside another is a part of it.

        There is no lock: of two transactions that change a table, the second to commit raises InterruptedLoadError.
        """
        return self._transaction(lock)

    @contextmanager
    def _transaction(self, lock: TableName | None = None) -> Iterator[None]:
        if self._unit is not None:
            yield
            return
        self._begin(lock)
        try:
            yield
            self._commit()
        finally:
            self._end()

    def reading(self) -> AbstractContextManager[None]:
        """All of it in one transaction, so that each table is read once."""
        return self._transaction()

    def _begin(self, lock: TableName | None) -> None:
        self.store.forget()
        with self._explained():
            self.connection.begin()
        self._unit, self._there = {}, None
        if lock is not None and lock.name.startswith(_TOMBSTONES):
            # first, as its commit decides: all else is as new as the ledger, or newer, and then this fails
            own = ledger(str(lock.schema), lock.name.removeprefix(_TOMBSTONES))
            self._bring((own.schema, own.name), rows=False)

    def _end(self) -> None:
        self._unit = None
        self.store.forget()
        with suppress(duckdb.Error):  # after a fatal error the transaction is already gone
            self.connection.rollback()

    def _commit(self) -> None:
        changes = self._changes()
        apply(self.store, changes, self._written)

    def _changes(self) -> list[Change]:
        """What the transaction has changed; dropped tables are dropped, and new ones are there without rows."""
        held, there = self._known, self._present()
        for name in sorted(held.keys() - there, key=lambda one: (one.name.startswith(PREFIX), one.name)):
            self.store.drop(name)
        changes = []
        for name in sorted(there, key=lambda one: one.name):
            one = held.get(name) or Held(name, None, changed=True, rows=0)
            columns = super().layouts(str(name.schema), [name.name])[name.name].types
            if one.table is None:
                one.table = self.store.create(name, columns)
            # guard: columns that a load would lose
            if one.changed and (foreign := self.store.layout(name).foreign):
                raise LoadError(
                    f"somebody has added columns to {name} that a load would lose, as it writes rows again and has no such "
                    f"types: {', '.join(f'{column} ({kind})' for column, kind in foreign.items())}; drop them"
                )
            changes.append(Change(one, columns, self._buckets(one), one.changed))
        return changes

    def _buckets(self, held: Held) -> int:
        """How many buckets the table is to have. Only a table that is written as a whole gets another number."""
        if not held.changed or held.scope.buckets is not None or not held.hashed:
            return held.buckets
        return max(1, -(-self._count(held.name) // self.bucket_rows))

    def _present(self) -> set[TableName]:
        """The tables in DuckDB."""
        if self._there is None:
            found = self._rows(
                "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT temporary AND database_name = ?",
                [self._database],
            )
            self._there = {TableName(schema, name) for schema, name in found}
        return self._there

    @property
    def _known(self) -> dict[TableName, Held]:
        if self._unit is None:
            raise AssertionError("rows are only there within a transaction")
        return self._unit

    # statements

    def execute(self, statement: Statement) -> None:
        """Runs one statement, outside of a transaction in one of its own."""
        with self._transaction():
            self._run(statement)

    def fetch(self, statement: Statement) -> list[tuple[object, ...]]:
        """Runs one query, outside of a transaction in one of its own."""
        with self._transaction():
            self._run(statement)
            with self._explained():
                return self.connection.fetchall()

    def _run(self, statement: Statement) -> None:
        found = touched(statement.text)
        if found.does == "comment":
            return  # Iceberg has nowhere to put it
        if found.does == "schema" and found.target:
            (self.store.drop_schema if found.drops else self.store.provide)(found.target[1])
            return
        if found.drops and {name for _, name in found.tables} == {LEDGER}:
            return  # the view is only made for whoever reads it
        if found.does == "shape":
            for schema in {schema for schema, _ in found.tables if schema}:
                self._provide(schema)
        for name in found.tables:
            self._bring(name, rows=found.does != "shape")
        if claimed := _claims(statement, found.target):
            self._bring((claimed.schema, claimed.name), rows=True)
            return  # the commit itself fails if another load was first
        super().execute(statement)
        if found.does == "shape":
            self._there = None
        if found.does == "rows" and found.target and (held := self._named(found.target)):
            with self._explained():
                row = self.connection.fetchone()
            held.changed = held.changed or bool(row and row[0])

    def _named(self, name: Name) -> Held | None:
        return self._known.get(TableName(name[0] or self.default_schema, name[1]))

    def _bring(self, named: Name, *, rows: bool) -> None:
        """Makes a table of the catalog be there in DuckDB, and its rows."""
        name = TableName(named[0] or self.default_schema, named[1])
        if name.name == LEDGER and not self.store.has(name):
            if rows:
                self._show_ledgers(str(name.schema))
            return
        held = self._known.get(name)
        if held is None:
            if name in self._present() or (table := self.store.table(name)) is None:
                return  # new in this transaction, temporary, or not there
            if name.name.startswith(PREFIX):
                table = self._recover(name, table)
            held = self._known[name] = Held(name, table)
            self._provide(str(name.schema))
            types = self.store.layout(name).types
            if not types:
                raise LoadError(f"{name} has no column of a type that loads know, so no load has created it")
            made = ddl.create_table(name, types, ddl.Design())[0]
            super().execute(made)
            self._present().add(name)
        if rows and held.rows is None:
            with explained(f"{name} cannot be read"), self._explained():
                fill(self.connection, held, super().layouts(str(name.schema), [name.name])[name.name].types)

    def _provide(self, schema: str) -> None:
        """Makes the schema in DuckDB; in the catalog it is made when it gets a table."""
        with self._explained():
            self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")

    def _written(self, held: Held, buckets: int) -> "Iterator[pa.RecordBatch]":
        types = super().layouts(str(held.name.schema), [held.name.name])[held.name.name].types
        with self._explained():
            yield from rows_of(self.connection, held, types, buckets)

    # what a load says of its rows, and asks of tables

    def expect(
        self,
        staged: LoadTarget,
        tables: Sequence[tuple[TableName, Mapping[str, SqlType]]],
        newer_than: int | None,
    ) -> None:
        """Brings of these tables only what the rest of the load can concern, if they have not been brought yet."""
        keys = [column.name for column in staged.relation.keys]
        for name, types in tables:
            self._bring((name.schema, name.name), rows=False)
            held = self._known.get(name)
            if held is None or held.rows is not None or not keys:
                continue
            held.keys = keys
            if newer_than is not None:
                held.scope = Scope(newer_than=(staged.relation.column("version").name, newer_than))
            elif held.buckets > 1:
                query = staged_buckets(
                    LoadTarget(name, types, staged.relation, staged.stage), self._database, held.buckets
                )
                held.scope = Scope(buckets=frozenset(found for (found,) in self._rows(query)))

    def counted(self, tables: Sequence[TableName]) -> dict[str, int]:
        """How many rows each table has; a table that nothing has brought is not read for it."""
        with self._transaction():
            return {table.name: self._count(table) for table in tables}

    def _count(self, table: TableName) -> int:
        self._bring((table.schema, table.name), rows=False)
        held = self._known.get(table)
        if held is not None and held.rows is None and not held.changed:
            check_whole(held)
            return held.stored
        # guard: rows that were not brought count
        return count_by_query(super().fetch, [table])[table.name] + (held.aside if held else 0)

    def has_schema(self, schema: str) -> bool:
        """Whether the catalog has this namespace."""
        return self.store.has_schema(schema)

    def tables(self, schema: str, prefix: str) -> list[str]:
        """The names of the namespace's tables that begin like this."""
        return sorted(name for name in self._names(schema) if name.startswith(prefix))

    def _names(self, schema: str) -> set[str]:
        """Those of the catalog, but as the transaction has them."""
        found = set(self.store.names(schema))
        if self._unit is not None:
            there = {name.name for name in self._present() if name.schema == schema}
            found = (found - {name.name for name in self._unit if name.schema == schema}) | there
        return found

    def standing(self, name: TableName) -> Standing | None:
        """What the name stands for. The view of all ledgers is made when somebody reads it."""
        if name.name in self._names(str(name.schema)):
            return Standing("table")
        if name.name == LEDGER and (own := self.tables(str(name.schema), PREFIX)):
            return Standing("view", definition=" ".join(f"{name.schema}.{one}" for one in own))
        return None

    def layouts(self, schema: str, names: Collection[str]) -> dict[str, Layout]:
        """The columns of these tables."""
        found = super().layouts(schema, names) if self._unit is not None else {}
        dropped = self._unit.keys() - self._present() if self._unit else set()
        for name in names:
            table = TableName(schema, name)
            if name not in found and table not in dropped and name in self.store.names(schema):
                found[name] = self.store.layout(table)
        return found

    def leftovers(self, relations: Sequence[Any]) -> list[str]:  # noqa: ARG002 -- staging is in DuckDB, which forgets it
        """None."""
        return []

    def _recover(self, own: TableName, table: "Table") -> "Table":
        """Finishes the load that a ledger lists, if it was broken off; returns the ledger."""
        if not is_pending(table):
            return table
        # guard: a load that was broken off is finished
        finish(self.store, own)
        if self._known:  # some of it was looked at before
            raise InterruptedLoadError(f"a load that was broken off has been finished: {own}")
        self.store.forget()
        return self.store.table(own) or table

    def _show_ledgers(self, schema: str) -> None:
        with suppress(WarehouseError):
            ledgers.show(self, schema)
        for name in self.tables(schema, PREFIX):
            self._bring((schema, name), rows=True)


def _claims(statement: Statement, target: Name | None) -> TableName | None:
    """The ledger that a statement only claims (`ledgers.claim`)."""
    if target and target[0] and target[1].startswith(PREFIX):
        own = TableName(target[0], target[1])
        if statement == ledgers.claiming(own):
            return own
    return None
