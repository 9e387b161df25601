"""DuckDB as the warehouse: the embedded default, a file that one process at a time can write.

Runs the load's Redshift statements in DuckDB's dialect. The order of a load and its SQL are in `sql/`.
"""

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Part, Relation
from ddb_assets.warehouse.duckdb import catalog
from ddb_assets.warehouse.duckdb.dialect import MACROS, to_duckdb
from ddb_assets.warehouse.duckdb.errors import check_database, copy_error, warehouse_error
from ddb_assets.warehouse.errors import LoadError, WarehouseError
from ddb_assets.warehouse.local_part import local_part
from ddb_assets.warehouse.sql.engine import Layout, Standing
from ddb_assets.warehouse.sql.plain_engine import PlainEngine
from ddb_assets.warehouse.sql.statements import Statement, TableName, quoted

MEMORY = ":memory:"
RETRY_SECONDS = 0.2

_PARQUET_TYPES = {
    "DOUBLE PRECISION": {"DOUBLE"},
    "VARCHAR": {"VARCHAR"},
    "SUPER": {"VARCHAR"},
    "VARBYTE": {"BLOB"},
    "TIMESTAMPTZ": {"TIMESTAMP WITH TIME ZONE"},
}
_locks: dict[str, threading.Lock] = {}  # DuckDB's file lock excludes other processes, not other threads of this one


class DuckDBEngine(PlainEngine):
    """A DuckDB file, open and locked while it is entered as a context manager.

    `path` is a file, created with its folder if it does not exist, or `:memory:`. Waits up to `timeout` seconds for a file
    that another process holds. `storage` reads parts on S3, which are copied to a temporary folder one by one.

    Raises WarehouseError when the file cannot be opened.
    """

    default_schema = "main"
    session = "own"  # temporary tables belong to the connection; equal names have statements translated only once

    def __init__(
        self,
        path: str | Path,
        *,
        storage: Storage | None = None,
        timeout: float = 300.0,
    ) -> None:
        self._path = str(path)
        self._storage = storage or Storage()
        self._timeout = timeout
        self._open: duckdb.DuckDBPyConnection | None = None
        self._database = ""

    def __enter__(self) -> Self:
        deadline = time.monotonic() + self._timeout
        if self._path != MEMORY:
            self._path = self._prepared()
            if not _locks.setdefault(self._path, threading.Lock()).acquire(timeout=self._timeout):
                raise self._held("another load in this process")
        try:
            self._open = self._connected(deadline)
            self._configure(self._open)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
        if self._path != MEMORY:
            _locks[self._path].release()

    def another(self) -> None:
        """None, because the file is open only once."""

    def _prepared(self) -> str:
        """The absolute path of the file, whose folder exists."""
        try:
            path = Path(self._path).resolve()
            path.parent.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise WarehouseError(
                f"there can be no warehouse in {self._path}: {error}; name a file in a folder to write to"
            ) from error
        check_database(path)
        return str(path)

    def _connected(self, deadline: float) -> duckdb.DuckDBPyConnection:
        while True:
            try:
                return duckdb.connect(self._path)
            except duckdb.Error as error:
                busy = "lock on file" in str(error) or "different configuration" in str(error)
                if not busy:
                    raise WarehouseError(f"DuckDB cannot open {self._path}: {error}") from error
                if time.monotonic() > deadline:
                    raise self._held(str(error)) from error
            time.sleep(RETRY_SECONDS)

    def _held(self, holder: str) -> WarehouseError:
        return WarehouseError(
            f"{self._path} is in use, still after {self._timeout:g} seconds: DuckDB lets one process write at a time. "
            f"Close the program that has it open and try again ({holder})"
        )

    def _configure(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET preserve_insertion_order = false")  # rows have no order, and keeping one costs memory
        connection.execute("SET python_enable_replacements = false")  # a name is that of a table, never of a variable
        connection.execute(MACROS)
        row = connection.execute("SELECT current_database()").fetchone()
        self._database = str(row[0]) if row else ""

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """DuckDB's own connection, to query what was loaded."""
        if self._open is None:
            raise WarehouseError(f"{self._path} is not open: use the warehouse in a with statement")
        return self._open

    def transaction(self, lock: TableName | None = None) -> AbstractContextManager[None]:  # noqa: ARG002 -- the file is ours
        """Commits when its block ends, rolls back when it raises."""
        return self._committed()

    @contextmanager
    def _committed(self) -> Iterator[None]:
        with self._explained():
            self.connection.begin()
        try:
            yield
            with self._explained():
                self.connection.commit()
        except BaseException:
            with suppress(duckdb.Error):  # after a fatal error the transaction is already gone
                self.connection.rollback()
            raise

    def limited(self, seconds: float) -> AbstractContextManager[None]:  # noqa: ARG002 -- nothing waits here
        """No limit: whoever else wants the file waits for it to be closed."""
        return nullcontext()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Translates DuckDB's errors in its block."""
        try:
            yield
        except duckdb.Error as error:
            raise warehouse_error(error, self._path) from error

    def execute(self, statement: Statement) -> None:
        """Runs one statement of Redshift's dialect, unless it has no meaning for DuckDB."""
        if translated := to_duckdb(statement.text, self._database):
            with self._explained():
                self.connection.execute(translated, list(statement.values))

    def fetch(self, statement: Statement) -> list[tuple[object, ...]]:
        """Runs one query of Redshift's dialect."""
        self.execute(statement)
        with self._explained():
            return self.connection.fetchall()

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Runs one query of DuckDB's own."""
        with self._explained():
            return self.connection.execute(query, list(values)).fetchall()

    def has_schema(self, schema: str) -> bool:
        """Whether the file has this schema."""
        return catalog.has_schema(self._rows, self._database, schema)

    def tables(self, schema: str, prefix: str) -> list[str]:
        """The schema's tables whose names begin with the prefix."""
        return catalog.tables(self._rows, self._database, schema, prefix)

    def standing(self, name: TableName) -> Standing | None:
        """What the name stands for; a view with its text."""
        return catalog.standing(self._rows, self._database, name)

    def layouts(self, schema: str, names: Collection[str]) -> dict[str, Layout]:
        """The columns of these tables."""
        with self._explained():
            return catalog.layouts(self.connection, self._database, schema, names)

    def views_of(self, table: TableName, column: str) -> list[tuple[TableName, str]]:  # noqa: ARG002 -- DuckDB binds none
        """None: DuckDB resolves a view's columns when it is read."""
        return []

    def analyze(self, table: TableName) -> None:
        """Nothing: DuckDB keeps its statistics itself."""

    def leftovers(self, relations: Sequence[Relation]) -> list[str]:  # noqa: ARG002 -- parts are read where they are
        """Temporary tables, which a load drops."""
        found = self._rows("SELECT table_name FROM duckdb_tables() WHERE temporary")
        return sorted(str(name) for (name,) in found)

    def copy(self, relation: Relation, stage: TableName) -> None:
        """Fills the staging table from the relation's parts, one file after the other."""
        columns = ", ".join(quoted(c.name) for c in relation.columns)
        for part in relation.parts:
            with local_part(self._storage, part) as path:
                try:
                    self._check_columns(relation, part, path)
                    self.connection.execute(
                        f"INSERT INTO {stage} ({columns}) SELECT {columns} "  # noqa: S608 -- quoted
                        "FROM read_parquet(?, hive_partitioning = false)",
                        [str(path)],
                    )
                    row = self.connection.fetchone()
                except duckdb.Error as error:
                    raise copy_error(error, self._path, part.uri) from error
            # guard: DuckDB: part's rows
            if row is None or row[0] != part.rows:
                raise LoadError(
                    f"part {part.uri} has {row and row[0]} rows, the report says {part.rows}: flatten again"
                )

    def _check_columns(self, relation: Relation, part: Part, path: Path) -> None:
        found = self.connection.execute(
            "DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning = false)", [str(path)]
        ).fetchall()
        names = [name for name, *_ in found]
        # guard: DuckDB: part's columns
        if names != [c.name for c in relation.columns]:
            raise LoadError(
                f"part {part.uri} has the columns {', '.join(names)}, {relation.name!r} has "
                f"{', '.join(c.name for c in relation.columns)}: flatten the export again"
            )
        for column, (_, kind, *_) in zip(relation.columns, found, strict=True):
            declared = SqlType.parse(column.type)
            # guard: DuckDB: part's types
            if kind not in _PARQUET_TYPES.get(declared.name, {str(declared)}):
                raise LoadError(
                    f"column {column.name!r} of part {part.uri} is {kind}, {relation.name!r} has {column.type}: "
                    f"flatten the export again"
                )
