"""Redshift as the warehouse, over redshift_connector.

Only this module handles transactions, the literal `%`, errors and lost connections. COPY is in `copy.py`, the order
of a load and its SQL in `sql/`.

The driver stays in autocommit and transactions begin in SQL, so that a statement that cannot run in one (ALTER COLUMN TYPE)
never runs in a transaction that the driver began. A statement without values goes to the server as it is; with values, the
driver replaces its `?`, so `%` never has a meaning.
"""

import secrets
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

from redshift_connector.core import Connection
from redshift_connector.cursor import Cursor
from redshift_connector.error import Error, InterfaceError

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage
from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Relation
from ddb_assets.errors import DdbAssetsError
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError, WarehouseError
from ddb_assets.warehouse.redshift import catalog
from ddb_assets.warehouse.redshift.copy import copied_from, copy_folder
from ddb_assets.warehouse.redshift.errors import ENDED, RefusedError, interrupts, load_failure, passes, said_by_server
from ddb_assets.warehouse.redshift.grants import needed
from ddb_assets.warehouse.redshift.login import connect
from ddb_assets.warehouse.redshift.settings import RedshiftSettings, check_reachable
from ddb_assets.warehouse.sql.engine import Keys, Layout, Standing, number
from ddb_assets.warehouse.sql.plain_engine import PlainEngine
from ddb_assets.warehouse.sql.statements import Statement, TableName, literal

_LOST = (InterfaceError, OSError, struct.error, IndexError)  # the last two: an incomplete answer
_CANCELLED = "57014"
_NOT_THERE = {"42703", "42P01"}  # a column, a table


class RedshiftEngine(PlainEngine):
    """A connection to Redshift, open while it is entered as a context manager.

    `label` becomes the session's query_group, by which an administrator finds our queries. After a lost connection, the next
    statement outside a transaction connects again. Raises WarehouseError when connecting fails or a statement is refused,
    InterruptedLoadError when trying again may help.
    """

    def __init__(
        self, settings: RedshiftSettings, *, storage: Storage, aws: AWS | None = None, label: str = "ddb_assets"
    ) -> None:
        self.settings = settings
        self._storage = storage
        self._aws = aws or AWS()
        self._label = label
        self._open: Connection | None = None
        self._cursor: Cursor | None = None
        self._in_transaction = False
        self.session = secrets.token_hex(4)

    def __enter__(self) -> Self:
        self._connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()

    def another(self) -> "RedshiftEngine":
        """A second session of the same user."""
        return RedshiftEngine(self.settings, storage=self._storage, aws=self._aws, label=self._label)

    @property
    def storage(self) -> Storage:
        """The files that COPY reads and UNLOAD writes."""
        return self._storage

    @property
    def aws(self) -> AWS:
        """Where credentials come from."""
        return self._aws

    @property
    def default_schema(self) -> str:
        """The schema of the URL."""
        return self.settings.schema

    def _connect(self) -> Connection:
        check_reachable(self.settings)
        self._open = connect(self.settings, self.settings.arguments(self._aws))
        self._open.autocommit = True
        self._cursor = self._open.cursor()  # for all statements: to make one takes as long as to send one
        self._cursor.paramstyle = "qmark"
        self.execute(Statement(f"SET query_group TO {literal(self._label)}"))
        self._set_timeout(self.settings.statement_timeout)
        self.execute(Statement(f"SET analyze_threshold_percent TO {self.settings.analyze_threshold}"))
        return self._open

    def _connect_again(self) -> None:
        """After a lost connection. The settings were right before, so the server is only away for a while."""
        try:
            self._connect()
        except DdbAssetsError as error:
            # guard: a cluster that is away
            raise InterruptedLoadError(str(error)) from error

    def _drop(self) -> None:
        if self._open is not None:
            with suppress(Error, *_LOST):
                self._open.close()
            self._open = self._cursor = None

    @contextmanager
    def transaction(self, lock: TableName | None = None) -> Iterator[None]:
        """Commits when its block ends, rolls back when it raises.

        The lock is taken first, so that the transaction sees what its last holder committed.
        """
        self.execute(Statement("BEGIN"))
        self._in_transaction = True
        try:
            if lock is not None:
                # guard: lock
                self.execute(Statement(f"LOCK {lock}"))
            yield
            self.execute(Statement("COMMIT"))
        except BaseException:
            # guard: rollback
            self._rollback()
            raise
        finally:
            self._in_transaction = False

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """By the session's statement_timeout, which Redshift counts while a statement waits too."""
        self._set_timeout(seconds)
        try:
            yield
        except RefusedError as refused:
            if refused.code != _CANCELLED:
                raise
            raise WarehouseError(
                f"waited {seconds:g} seconds in vain: a load of this table is running, or somebody else has locked it; try "
                "again later"
            ) from None
        finally:
            with suppress(WarehouseError):
                self._set_timeout(self.settings.statement_timeout)

    def _set_timeout(self, seconds: float) -> None:
        self.execute(Statement(f"SET statement_timeout TO {int(seconds * 1000)}"))

    def _rollback(self) -> None:
        if self._cursor is not None:
            try:
                self._cursor.execute("ROLLBACK")
            except (Error, *_LOST):
                self._drop()  # which rolls back too

    def execute(self, statement: Statement) -> None:
        """Runs one statement."""
        self._run(statement)

    def fetch(self, statement: Statement) -> list[tuple[object, ...]]:
        """Runs one query and returns its rows."""
        return [tuple(row) for row in self._run(statement).fetchall()]

    def _run(self, statement: Statement) -> Any:
        if self._cursor is None:
            # guard: nothing goes on in half a transaction
            if self._in_transaction:
                raise InterruptedLoadError("the connection to Redshift was lost")
            self._connect_again()
        assert self._cursor is not None  # noqa: S101 -- connecting has set it or raised
        try:
            self._cursor.execute(statement.text, statement.values or None)
        # guard: every class of the driver
        except (Error, *_LOST) as error:
            raise self._failure(error, statement) from error
        return self._cursor

    def _failure(self, error: Exception, statement: Statement) -> WarehouseError:
        """Our error for the driver's; closes a connection that can no longer be used."""
        if isinstance(error, _LOST) and not said_by_server(error):
            # guard: a lost connection is opened again
            self._drop()
            return InterruptedLoadError(
                f"the connection to Redshift at {self.settings.place} was lost; the ledger knows whether the load is there"
            )
        refused = RefusedError.of(error)
        if refused.code in ENDED:
            self._drop()
        # guard: other errors are not
        if reason := interrupts(refused):
            return InterruptedLoadError(reason)
        return refused.advised(needed(refused, statement.text, self.settings.user))

    def has_schema(self, schema: str) -> bool:
        """Asked of PG_NAMESPACE, which every user may read."""
        return catalog.has_schema(self, schema)

    def tables(self, schema: str, prefix: str) -> list[str]:
        """Asked of PG_CLASS."""
        return catalog.tables(self, schema, prefix)

    def standing(self, name: TableName) -> Standing | None:
        """Asked of PG_CLASS, as SVV_REDSHIFT_COLUMNS hides what we have no right on."""
        return catalog.standing(self, name, self._schema(name))

    def layouts(self, schema: str, names: Collection[str]) -> dict[str, Layout]:
        """The columns of these tables."""
        return catalog.layouts(self, schema, names)

    def catalog_type(self, kind: SqlType) -> SqlType:
        """The same."""
        return kind

    def keys(self, table: TableName) -> Keys:
        """How the table is distributed and sorted."""
        return catalog.keys(self, table, self._schema(table))

    def views_of(self, table: TableName, column: str) -> list[tuple[TableName, str]]:
        """Views with a schema binding; late-binding views are bound to no column."""
        return catalog.views_of(self, table, column, self._schema(table))

    def _schema(self, table: TableName) -> str:
        return table.schema or self.default_schema

    def is_view(self, view: TableName, columns: Mapping[str, SqlType]) -> bool:
        """Whether the view shows columns of these names; their types follow the table's, as it is bound late."""
        try:
            found = self._run(Statement(f"SELECT * FROM {view} LIMIT 0")).description  # noqa: S608 -- quoted
        except RefusedError as refused:
            # guard: a view that cannot be read
            if refused.code not in _NOT_THERE:
                raise
            return False  # it does not exist, or shows a column that the table no longer has
        # guard: views that are not up to date
        return [name for name, *_ in found] == [name.lower() for name in columns]

    def analyze(self, table: TableName) -> None:
        """Redshift itself skips a table of which less has changed than the session's threshold."""
        self.execute(Statement(f"ANALYZE {table}"))

    def copy(self, relation: Relation, stage: TableName) -> int | None:
        """Fills a staging table by one COPY of all parts; see `SqlEngine.copy`."""
        if not relation.parts:
            return None
        with copied_from(self._storage, self.settings, relation, stage, self.session) as statements:
            try:
                for statement in statements:
                    self.execute(statement)
            except RefusedError as refused:
                self._rollback()  # the reasons can only be read after it
                # guard: S3 that fails for a moment
                if passes(refused):
                    raise InterruptedLoadError(
                        f"S3 failed during the COPY of {relation.name!r}: {refused}"
                    ) from refused
                raise self._copy_error(relation, refused) from refused
        return number(self, Statement("SELECT pg_last_copy_id()"))

    def leftovers(self, relations: Sequence[Relation]) -> list[str]:
        """Temporary tables of this session, and files that were written for COPY and not deleted."""
        found = self.fetch(
            Statement(
                "SELECT table_name FROM svv_redshift_columns WHERE database_name = current_database() "
                "AND schema_name LIKE 'pg_temp%' AND table_name LIKE ?",
                (f"%stage%{self.session}%",),
            )
        )
        folders = [copy_folder(self.settings, relation, self.session) for relation in relations]
        files = {entry.uri for folder in folders if folder for entry in self._storage.list(folder)}
        return sorted({str(name) for (name,) in found} | files)

    def _copy_error(self, relation: Relation, refused: RefusedError) -> LoadError:
        rows: list[tuple[object, ...]] = []
        for statement in refused.reasons():
            with suppress(WarehouseError):
                rows = self.fetch(statement)
                break
        return load_failure(relation, refused, rows)
