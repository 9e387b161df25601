"""PostgreSQL as the warehouse, over psycopg: transactions, errors, views that are bound to columns, and rows by COPY.

A view is bound to the columns that it reads. When one of them gets another type, the views that are ours are dropped, and
created again at the end of the transaction, with their rights.
Facts: PostgreSQL, "COPY" (in CSV, an empty text has quotes and NULL has none), "Error Codes".
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg.types.string import TextLoader
from pyarrow import csv

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Relation
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError, WarehouseError
from ddb_assets.warehouse.local_part import batches, check_columns, local_part
from ddb_assets.warehouse.postgres.adapter import TLS_MODES
from ddb_assets.warehouse.postgres.catalog import PostgresCatalog
from ddb_assets.warehouse.postgres.dialect import to_postgres
from ddb_assets.warehouse.server_url import ServerUrl
from ddb_assets.warehouse.sql.evolution import WIDENED
from ddb_assets.warehouse.sql.statements import TAIL, VERSIONS, Statement, TableName, quoted

_PASSING = ("40", "53", "57P", "08", "55P03")  # rolled back, no resources, shut down, no connection, locked
_MADE_BY_ANOTHER = {"42P07", "42701", "42P06", "23505", "XX000"}  # a table, column or schema that is there by now
_NAME = r'"(?:[^"]|"")+"'
_DROP_COLUMN = re.compile(rf'ALTER TABLE ((?:{_NAME}\.)?{_NAME}) DROP COLUMN "((?:[^"]|"")+)"')
_RENAME = re.compile(rf'ALTER TABLE ((?:{_NAME}\.)?{_NAME}) RENAME COLUMN "{WIDENED}" ')
_OF_TWO_TABLES, _OWN = re.compile(r'(_live|_history)"$'), re.compile(r"_ddb_[a-z]+__")
_REPLACES = re.compile(rf"(?:DROP VIEW IF EXISTS|CREATE OR REPLACE VIEW) ((?:{_NAME}\.)?{_NAME})")


class PostgresEngine(PostgresCatalog):
    """A connection, open while it is entered as a context manager.

    Raises WarehouseError when connecting fails or a statement is refused, InterruptedLoadError when trying again may help.
    """

    def __init__(self, server: ServerUrl, *, storage: Storage | None = None, aws: AWS | None = None) -> None:
        self.server, self._storage, self._aws = server, storage or Storage(), aws or AWS()
        self._open: psycopg.Connection[Any] | None = None
        self._in_transaction = False
        self._dropped: dict[
            str, tuple[str, list[str]]
        ] = {}  # views of this transaction: how to create them, what was said of them
        self.session = secrets.token_hex(4)

    def __enter__(self) -> Self:
        user, password = self.server.credentials(self._aws)
        with self._explained():
            self._open = psycopg.connect(
                host=self.server.host,
                port=self.server.port,
                dbname=self.server.database,
                user=user,
                password=password,
                sslmode=self.server.options.get("sslmode", TLS_MODES[0]),
                options=f"-c statement_timeout={self.server.timeout}s -c timezone=UTC -c datestyle=ISO",
                application_name="ddb_assets",
                connect_timeout=20,
                autocommit=True,
                cursor_factory=psycopg.RawCursor,
            )
            self._open.adapters.register_loader("json", TextLoader)
            self._open.execute(f"SET search_path = {quoted(self.default_schema)}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    @property
    def connection(self) -> "psycopg.Connection[Any]":
        """The open connection; opened again if it was lost outside a transaction."""
        if self._open is None or self._open.closed:
            if self._in_transaction:
                raise InterruptedLoadError(f"the connection to PostgreSQL at {self.server.place} was lost")
            self.__enter__()
        assert self._open is not None  # noqa: S101 -- entering has set it or raised
        return self._open

    @property
    def default_schema(self) -> str:
        """The schema of the URL."""
        return self.server.options.get("schema", "public")

    def another(self) -> "PostgresEngine":
        """A second session of the same user."""
        return PostgresEngine(self.server, storage=self._storage, aws=self._aws)

    @contextmanager
    def transaction(self, lock: TableName | None = None) -> Iterator[None]:
        """All statements see one moment, which begins when the lock is there (PostgreSQL, "Explicit Locking")."""
        # guard: PostgreSQL: one moment
        self.ask("BEGIN ISOLATION LEVEL REPEATABLE READ")
        self._in_transaction, before = True, dict(self._dropped)
        try:
            if lock is not None:
                # guard: PostgreSQL: lock
                self.ask(f"LOCK TABLE {lock} IN EXCLUSIVE MODE")  # others may read meanwhile
            yield
            # guard: PostgreSQL: views come back
            self._create_again()
            self.ask("COMMIT")
        except BaseException:
            self._dropped = before
            with suppress(WarehouseError):  # a lost connection has rolled back
                self.ask("ROLLBACK")
            raise
        finally:
            self._in_transaction = False

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """By the timeout for locks."""
        self.ask(f"SET lock_timeout = {max(1, int(seconds * 1000))}")
        try:
            yield
        except InterruptedLoadError as error:
            if "lock timeout" not in str(error):
                raise
            raise WarehouseError(
                f"a table was still in use after {seconds:g} seconds: {error}; try again later"
            ) from None
        finally:
            self.ask("SET lock_timeout = 0")

    def execute(self, statement: Statement) -> None:
        """Runs one statement of Redshift's dialect, unless it has no meaning here."""
        self.fetch(statement)

    def fetch(self, statement: Statement) -> list[tuple[object, ...]]:
        """Runs one query of Redshift's dialect."""
        sql = to_postgres(statement.text)
        if found := _DROP_COLUMN.match(statement.text):
            for view, _, ours in self.bound(found[1], found[2].replace('""', '"')):
                if ours:
                    self._dropped[str(view)] = self.made(str(view)), self.said_of(str(view))
                    self.ask(f"DROP VIEW {view}")
            if kind := self.kind_of(found[1], WIDENED):  # so that indexes, comments and the place of the column stay
                sql = f'ALTER TABLE {found[1]} ALTER COLUMN "{found[2]}" TYPE {kind} USING {WIDENED}'
        if found := _RENAME.match(statement.text):
            sql = f"ALTER TABLE {found[1]} DROP COLUMN {WIDENED}"
        if (found := _REPLACES.match(statement.text)) and self._in_transaction:
            self._dropped.setdefault(found[1], ("", self.said_of(found[1])))
        return self.ask(sql, *statement.values) if sql else []

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Runs a statement of PostgreSQL's own."""
        with self._explained():
            cursor = self.connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def _create_again(self) -> None:
        """A view of ours that compares two tables waits until the next transaction has changed the other one, too.

        Raises LoadError for another view that cannot be created again, so that nothing is changed.
        """
        for view, (made, said) in self._dropped.copy().items():
            there = bool(self.made(view))
            try:
                with self._explained(), self.connection.transaction():
                    for statement in [*([made] if made and not there else []), *(said if made or there else [])]:
                        self.connection.execute(statement)
            except WarehouseError as error:
                # guard: PostgreSQL: a view that does not fit
                if not _OF_TWO_TABLES.search(view) or not {TAIL, VERSIONS} & {*_OWN.findall(made)}:
                    raise LoadError(
                        f"a column of a table gets another type, and the view {view} does not fit it: {error}. Nothing was "
                        "changed: drop it, load again, and create it for the new type"
                    ) from None
                continue
            del self._dropped[view]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Translates the driver's errors in its block. Values that an error may quote are not passed on."""
        try:
            yield
        except psycopg.Error as error:
            code, said = error.sqlstate or "", error.diag.message_primary or " ".join(str(error).split())
            at = f"PostgreSQL at {self.server.place}"
            if code == "22021":
                raise LoadError(f"{at} keeps no text with the letter NUL, and the export has one") from None
            if code.startswith("22"):
                said = f"error {code} about a value"
            again = code in _MADE_BY_ANOTHER or code.startswith(_PASSING) or (not code and self._open is not None)
            raise (InterruptedLoadError if again else WarehouseError)(f"{at}: {said}") from None

    def analyze(self, table: TableName) -> None:
        """Updates the planner's statistics."""
        self.ask(f"ANALYZE {table}")

    def copy(self, relation: Relation, stage: TableName) -> None:
        """Fills the staging table from the relation's parts, one file after the other."""
        columns = ", ".join(quoted(c.name) for c in relation.columns)
        for part in relation.parts:
            with local_part(self._storage, part) as path, self._explained():
                # guard: PostgreSQL: part's columns
                check_columns(path, part, relation)
                cursor = self.connection.cursor()
                with (
                    pq.ParquetFile(path) as file,
                    cursor.copy(f"COPY {stage} ({columns}) FROM STDIN (FORMAT csv)") as copy,
                ):
                    for batch in batches(file):
                        copy.write(_csv(batch))
            # guard: PostgreSQL: part's rows
            if cursor.rowcount != part.rows:
                raise LoadError(
                    f"part {part.uri} has {cursor.rowcount} rows, the report says {part.rows}: flatten again"
                )


def _csv(batch: pa.RecordBatch) -> bytes:
    """The rows as CSV, bytes as hexadecimal digits."""
    for place, field in enumerate(batch.schema):
        if pa.types.is_binary(field.type):
            digits = [None if value is None else f"\\x{value.hex()}" for value in batch.column(place).to_pylist()]
            batch = batch.set_column(place, field.name, pa.array(digits, pa.string()))
    with pa.BufferOutputStream() as sink:
        csv.write_csv(batch, sink, csv.WriteOptions(include_header=False))
        return bytes(sink.getvalue())
