"""Runs the statements that PostgreSQL cannot run as they are: transactions, COPY, TRUNCATE, ALTER COLUMN TYPE, VACUUM.

It also applies the faults. `dialect.py` classifies statements.
"""

import re
import time

from ddb_assets.sandbox.redshift.backend import Backend, literal
from ddb_assets.sandbox.redshift.copy_run import CopyRun
from ddb_assets.sandbox.redshift.dialect import Plan
from ddb_assets.sandbox.redshift.query_log import Ran
from ddb_assets.sandbox.redshift.shared import Shared
from ddb_assets.sandbox.redshift.stream_refresh import refresh
from ddb_assets.sandbox.redshift.table_design import FIXED_ENCODINGS
from ddb_assets.sandbox.redshift.unload_run import unload
from ddb_assets.sandbox.redshift.wire import ConnectionLostError, ServerError

_TAGS = {
    "begin": "BEGIN",
    "truncate": "TRUNCATE TABLE",
    "lengthen": "ALTER TABLE",
    "copy": "COPY",
    "unload": "UNLOAD",
    "set": "SET",
}


class SessionCommands:
    """Runs these statements on a session's connection. Raises ServerError, or ConnectionLostError for a fault."""

    def __init__(self, backend: Backend, shared: Shared) -> None:
        self._backend = backend
        self._shared = shared

    def run(self, plan: Plan, ran: Ran) -> str:
        """Runs a plan that is not plain PostgreSQL and returns the command tag."""
        if plan.kind == "commit":
            return self._commit()
        if plan.kind == "rollback":
            self._backend.query("ROLLBACK")
            return "ROLLBACK"
        if self._backend.status == b"E":
            raise ServerError(
                "current transaction is aborted, commands ignored until end of transaction block", "25P02"
            )
        if plan.kind == "outside":
            if self._backend.status != b"I":
                raise ServerError(f"{plan.sql} cannot run inside a transaction block", "25001")
            return plan.sql
        if plan.kind in {"copy", "unload", "refresh"}:
            return self._exchange(plan, ran)
        if plan.kind == "user":
            self._shared.users[plan.setting[0]] = plan.setting[1]
        if plan.kind == "lengthen":
            self._check_lengthening(plan)
        self._backend.query(plan.sql)
        if plan.kind == "catalog":
            self._show_catalog(*plan.setting)
        if plan.kind == "begin" and self._shared.faults.early_full_exports:
            self._backend.query("SELECT 1")
        if plan.kind == "truncate" and self._backend.status == b"T":
            self._backend.query("COMMIT")
        return plan.tag or _TAGS[plan.kind]

    def _show_catalog(self, schema: str, database: str) -> None:
        """Makes a schema external, or gives an external schema another database, which changes no plan."""
        if schema not in self._shared.catalogs:
            self._shared.plans.forget()
        self._shared.catalogs[schema] = database

    def _exchange(self, plan: Plan, ran: Ran) -> str:
        """Runs what reads or writes something outside of the database."""
        shared = self._shared
        if plan.copy is not None:
            CopyRun(
                plan,
                plan.copy,
                ran,
                backend=self._backend,
                storage=shared.storage,
                journal=shared.journal,
                faults=shared.faults,
            ).run()
        elif plan.unload is not None:
            unload(self._backend, shared.storage, plan.unload, plan.sql)
        else:
            refresh(self._backend, shared.kinesis, plan.table, shared.faults)
        return plan.tag or plan.kind.upper()

    def _commit(self) -> str:
        fault = self._shared.faults.commit()
        if fault == "before":
            raise ConnectionLostError
        failed = self._backend.status == b"E"
        self._backend.query("COMMIT")
        if fault == "after":
            raise ConnectionLostError
        return "ROLLBACK" if failed else "COMMIT"

    def _check_lengthening(self, plan: Plan) -> None:
        if self._backend.status != b"I":
            raise ServerError("ALTER TABLE ALTER COLUMN cannot run inside a transaction block", "25001")
        found = self._backend.query(
            "SELECT t.typname, a.atttypmod, e.encoding, a.atthasdef "  # noqa: S608
            "FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
            "LEFT JOIN redshift.encodings e ON e.relation = a.attrelid AND e.attnum = a.attnum "
            f"WHERE a.attrelid = {literal(plan.table)}::regclass AND a.attname = {literal(plan.column)}"
        )
        if found and found[0][0] != "rs_varchar":
            raise ServerError(
                f'cannot alter type of column "{plan.column}": only the size of a VARCHAR column can be altered',
                "0A000",
            )
        if found and (found[0][2] in FIXED_ENCODINGS or found[0][3] == "t"):
            why = "it has a default" if found[0][3] == "t" else f"its encoding is {found[0][2]}"
            raise ServerError(f'cannot alter type of column "{plan.column}": {why}', "0A000")
        if found and plan.size < int(found[0][1] or 0):
            raise ServerError(f'cannot make column "{plan.column}" smaller: it may hold longer values', "0A000")

    def misbehave(self) -> None:
        """Applies the faults for the next statement. Raises ServerError, or ConnectionLostError to break the connection."""
        faults = self._shared.faults
        if faults.delay:
            time.sleep(faults.delay)
        fault = faults.statement()
        if isinstance(fault, ServerError):
            raise fault
        if fault:
            raise ConnectionLostError


_KINDS = re.compile(r"^(must be owner of|permission denied for) (table|view|sequence) ")


def as_redshift(error: ServerError) -> ServerError:
    """The error as Redshift words it, if PostgreSQL's words differ."""
    if error.code == "42501":
        return ServerError(_KINDS.sub(r"\1 relation ", error.message), error.code, error.detail)
    if error.code == "40001":
        return ServerError(
            "1023", "XX000", "Serializable isolation violation on table - 0, transactions forming the cycle are: 0, 0"
        )
    if error.code == "21000" and error.message.startswith("MERGE"):
        return ServerError("Found multiple matches to update the same tuple.", "XX000")
    return error
