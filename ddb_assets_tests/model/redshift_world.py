"""The Redshift emulator as the warehouse of the model test, over the driver: our process crashes, and the server has faults.

`world.py` uses it.
"""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Relation
from ddb_assets.sandbox.redshift.faults import CONFLICT
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.sandbox.redshift.shared import VARBYTE
from ddb_assets.sandbox.redshift.wire import ServerError
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.settings import RedshiftSettings
from ddb_assets.warehouse.sql.statements import Statement, TableName, quoted
from ddb_assets_tests.model.world import Faults, ServerFault, SqlLoads

SCHEMA = "model"
BUCKET = "model-staging"
SESSIONS = ("0a1b2c3d", "4e5f6a7b")
"""Not random, so that the emulator need not translate the same statements again."""


class FragileRedshift(SqlLoads, RedshiftEngine):
    """A step before every statement, query, copy and commit, and one after every commit."""

    def __init__(self, server: RedshiftServer, faults: Faults) -> None:
        server.storage.s3.create_bucket(Bucket=BUCKET)
        url = f"{server.url}?sslmode=disable&schema={SCHEMA}&staging=s3://{BUCKET}/copy"
        super().__init__(RedshiftSettings.parse(url), storage=Storage(server.storage.s3))
        self._server, self._faults = server, faults
        self._reads = itertools.count()
        self._sessions = itertools.cycle(SESSIONS)
        self.session = next(self._sessions)
        self.hit = False

    def execute(self, statement: Statement) -> None:
        self._faults.step()
        super().execute(statement)

    def copy(self, relation: Relation, stage: TableName) -> int | None:
        self._faults.step()
        return super().copy(relation, stage)

    @contextmanager
    def transaction(self, lock: TableName | None = None) -> Iterator[None]:
        with super().transaction(lock):
            yield
        self._faults.step()

    @contextmanager
    def misbehaving(self, fault: ServerFault | None) -> Iterator[None]:
        """Arms the fault for the block. Afterwards `hit` says whether it happened."""
        faults, self.hit = self._server.faults, False
        match fault:
            case ServerFault("lost before commit"):
                faults.drop_before_commit()
            case ServerFault("lost after commit"):
                faults.drop_after_commit()
            case ServerFault("lost", number):
                faults.drop_at_statement(number)
            case ServerFault("conflict", number):
                faults.fail_statement(number, CONFLICT)
            case ServerFault("refused", number):
                faults.fail_statement(number, ServerError("Disk Full", "53100"))
            case ServerFault("copy", number):
                faults.fail_copy(number)
        try:
            yield
        finally:
            self.hit = fault is not None and not faults.armed
            faults.clear()

    def elsewhere(self, statement: Statement) -> None:
        """Runs a statement on a connection of its own, which commits."""
        with RedshiftEngine(self.settings, storage=self._storage) as other:
            other.execute(statement)

    def die(self) -> None:
        """The server loses the connection; the next process has another session."""
        self._drop()
        self.session = next(self._sessions)

    def wipe(self) -> None:
        """Drops every table."""
        self._run(Statement(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))

    def rows(self, name: str, columns: Iterable[str]) -> list[dict[str, Any]]:
        """The rows of a table or view with these columns and its other columns. A missing column is NULL."""
        if self.standing(TableName(SCHEMA, name)) is None:
            return []
        # a text of its own, because the driver caches the columns of a text; it reads VARBYTE as text
        cursor = self._run(Statement(f"SELECT * FROM {SCHEMA}.{quoted(name)} -- {next(self._reads)}"))
        present = [(column, kind == VARBYTE) for column, kind, *_ in cursor.description]
        return [
            dict.fromkeys(columns)
            | {c: v.encode() if v and binary else v for (c, binary), v in zip(present, row, strict=True)}
            for row in cursor.fetchall()
        ]
