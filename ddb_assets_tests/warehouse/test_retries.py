"""Which errors of Redshift pass with a retry, and what becomes of a load that meets one."""

import time
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from ddb_assets.contract.report import Report
from ddb_assets.sandbox.redshift.faults import CONFLICT
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.sandbox.redshift.wire import ServerError
from ddb_assets.warehouse.errors import LoadError, WarehouseError
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets_tests.support.engines import read, select
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import Item, Source

PASSING = {
    "1023": CONFLICT,
    "1018": ServerError("1018", "XX000", "Relation does not exist"),
    "could not serialize": ServerError("could not serialize access", "40001"),
    "deadlock": ServerError("deadlock detected", "40P01"),
    "concurrent": ServerError("could not complete because of conflict with concurrent transaction", "XX000"),
    "oid": ServerError("could not open relation with OID 123456", "XX000"),
    "catalog": ServerError("tuple concurrently updated", "XX000"),
    "shutdown": ServerError("terminating connection due to administrator command", "57P01", severity="FATAL"),
    "crash": ServerError("terminating connection because of crash of another server process", "57P02"),
    "unique": ServerError(
        'duplicate key value violates unique constraint "pg_namespace_nspname_index"', "23505", "already exists"
    ),
    "schema": ServerError('schema "x" already exists', "42P06"),
    "table": ServerError('relation "orders" already exists', "42P07"),
    "column": ServerError('column "note" of relation "orders" already exists', "42701"),
}


@pytest.fixture
def exports(source: Source) -> tuple[Report, Report]:
    source.put(1, "a", "first", "x")
    source.put(11, "a", "second", "y")
    return source.full(10), source.window(10, 20)


@pytest.mark.parametrize(("first", "errors"), [("BEGIN", list(PASSING)[::2]), ("DELETE FROM", list(PASSING)[1::2])])
def test_what_passes_by_itself_is_tried_again(
    over_redshift: RedshiftEngine,
    redshift: RedshiftServer,
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
    first: str,
    errors: list[str],
) -> None:
    """Before the transaction and within it, one window after the other with half of the errors. Every load is applied once."""
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", (0.0,))
    load(over_redshift, source.full(10))
    for number, name in enumerate(errors, 1):
        source.put(10 * number + 1, "a", name, "x")
        with monkeypatch.context() as patch:
            armed = fail_at(over_redshift, redshift, patch, first, PASSING[name])
            assert load(over_redshift, source.window(10 * number, 10 * number + 10)).applied, name
        assert armed == [first], name
        assert read(over_redshift) == {"a": Item(name, ("x",))}
        assert select(over_redshift, "SELECT COUNT(*) FROM _ddb_loads") == [(number + 1,)], name


@pytest.mark.parametrize("first", ["SELECT relkind", "COPY"])
def test_a_restart_of_the_cluster_is_waited_for(
    over_redshift: RedshiftEngine,
    redshift: RedshiftServer,
    exports: tuple[Report, Report],
    monkeypatch: pytest.MonkeyPatch,
    first: str,
) -> None:
    """The server does not answer at first, before the transaction and within it."""
    load(over_redshift, exports[0])
    execute, away, pauses = over_redshift._run, ExitStack(), list[float]()

    def restarting(statement: Statement) -> object:
        if not pauses and statement.text.startswith(first):
            away.enter_context(redshift.down())
        return execute(statement)

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            away.close()

    monkeypatch.setattr(over_redshift, "_run", restarting)
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.time", SimpleNamespace(sleep=pause, monotonic=time.monotonic))
    with away:
        assert load(over_redshift, exports[1]).applied
    assert len(pauses) == 3
    assert read(over_redshift) == {"a": Item("second", ("y",))}


def fail_at(
    warehouse: RedshiftEngine,
    server: RedshiftServer,
    monkeypatch: pytest.MonkeyPatch,
    first: str,
    error: ServerError,
) -> list[str]:
    """Makes the first statement that begins like this fail; gives a list that is empty until then."""
    execute, armed = warehouse.execute, list[str]()

    def failing(statement: Statement) -> None:
        if not armed and statement.text.startswith(first):
            armed.append(first)
            server.faults.fail_statement(1, error)
        execute(statement)

    monkeypatch.setattr(warehouse, "execute", failing)
    return armed


S3 = [
    "S3ServiceException:We encountered an internal error. Please try again.,Status 500,Error InternalError",
    "S3ServiceException:Please reduce your request rate.,Status 503,Error SlowDown,Rid ABC",
    "Spectrum Scan Error: S3 HTTP response error code: 503",
]


@pytest.mark.parametrize("said", S3)
def test_s3_that_fails_within_copy_is_asked_again(
    over_redshift: RedshiftEngine,
    redshift: RedshiftServer,
    exports: tuple[Report, Report],
    monkeypatch: pytest.MonkeyPatch,
    said: str,
) -> None:
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", (0.0,))
    armed = fail_at(over_redshift, redshift, monkeypatch, "COPY", ServerError(said))
    assert load(over_redshift, exports[0]).applied
    assert armed == ["COPY"]


@pytest.mark.parametrize("status", ["403,Error AccessDenied", "404,Error NoSuchKey"])
def test_s3_that_refuses_is_not(
    over_redshift: RedshiftEngine,
    redshift: RedshiftServer,
    exports: tuple[Report, Report],
    monkeypatch: pytest.MonkeyPatch,
    status: str,
) -> None:
    fail_at(over_redshift, redshift, monkeypatch, "COPY", ServerError(f"S3ServiceException:no,Status {status}"))
    with pytest.raises(LoadError, match="COPY of 'orders' failed"):
        load(over_redshift, exports[0])


def test_conflicts_without_end_say_what_would_help(
    over_redshift: RedshiftEngine,
    redshift: RedshiftServer,
    exports: tuple[Report, Report],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", (0.0,))
    for number in (1, 2):
        redshift.faults.fail_statement(number, CONFLICT)
    with pytest.raises(WarehouseError, match=r"1023: .*; .* ALTER DATABASE name ISOLATION LEVEL SNAPSHOT"):
        load(over_redshift, exports[0])


def test_a_constraint_of_somebody_else_is_an_error_of_ours(
    over_redshift: RedshiftEngine, exports: tuple[Report, Report]
) -> None:
    """The driver has an exception class for each kind of SQLSTATE."""
    load(over_redshift, exports[0])
    over_redshift.execute(Statement("DELETE FROM orders"))
    over_redshift.execute(Statement("ALTER TABLE orders ADD COLUMN theirs INTEGER NOT NULL DEFAULT 1"))
    over_redshift.execute(Statement("INSERT INTO orders (order_id) VALUES ('theirs')"))
    with pytest.raises(WarehouseError, match="null value in column"):
        over_redshift.execute(Statement("INSERT INTO orders (order_id, theirs) VALUES ('b', NULL)"))
