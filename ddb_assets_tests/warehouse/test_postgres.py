"""PostgreSQL: its URL, names, bound views, lost connections, and locks. The rest is the conformance suite."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ddb_assets.contract.report import Column, Report
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.warehouse.adapters import adapter_of
from ddb_assets.warehouse.connect import open_warehouse, table_name
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError, WarehouseError
from ddb_assets.warehouse.postgres.adapter import Postgres
from ddb_assets.warehouse.postgres.connection import PostgresEngine
from ddb_assets.warehouse.postgres.dialect import to_postgres
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets.warehouse.sql.warehouse import SqlWarehouse
from ddb_assets_tests.support.engines import read
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import (
    BASE_MICROS,
    EXTRA,
    KEY,
    VERSION,
    Item,
    Row,
    Source,
    at,
    relation,
    report,
    write,
)

URL = "postgresql://loader@db.example.com/sales"
VIEWS = WarehouseOptions(views="people")


@pytest.fixture
def other(postgres: PostgresEngine) -> Iterator["psycopg.Connection[Any]"]:
    """Another session of the same user, which commits each statement."""
    with PostgresEngine(postgres.server) as opened:
        yield opened.connection


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://loader:geheim@host/db", "must not hold a password: take it out and set DDB_ASSETS_POSTGRES_PASSWORD"),
        ("postgresql://loader@/db", "names no host"),
        ("postgresql://loader@host", "names no database"),
        ("postgresql://host/db", "names no user"),
        (f"{URL}?sslmode=prefer", "sslmode is 'prefer': one of verify-full, verify-ca, require, disable"),
        (f"{URL}?statement_timeout=soon", "statement_timeout is 'soon': write a number of seconds"),
        (f"{URL}?sshmode=x", "'sshmode' is not an option of a PostgreSQL URL: schema, sslmode, secret, statement_timeout"),
    ],
)  # fmt: skip
def test_a_url_with_an_error_is_refused_without_its_secrets(url: str, message: str) -> None:
    with pytest.raises(WarehouseError, match=message) as caught:
        open_warehouse(url)
    assert "geheim" not in str(caught.value)


def test_what_a_url_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert table_name(f"{URL}?schema=dynamodb", "orders") == "sales.dynamodb.orders"
    adapter = adapter_of(URL)
    assert (adapter.place(URL), adapter.place(f"{URL}?schema=x")) == ("db.example.com:5432/sales",) * 2
    assert (adapter.needs_aws(URL), adapter.login(URL)) == (False, None)
    login = adapter.login(f"{URL}?secret=wh")
    assert login is not None
    assert login.secret == "wh"
    monkeypatch.delenv("DDB_ASSETS_POSTGRES_PASSWORD", raising=False)
    with (
        pytest.raises(WarehouseError, match=r"no password for loader at db\.example\.com:5432/sales: set DDB"),
        open_warehouse(URL),
    ):
        pass


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDB_ASSETS_POSTGRES_PASSWORD", "geheim")
    url = "postgresql://loader@127.0.0.1:1/sales?sslmode=disable"
    with (
        pytest.raises(WarehouseError, match=r"PostgreSQL at 127\.0\.0\.1:1/sales: .*refused") as caught,
        open_warehouse(url),
    ):
        pass
    assert "geheim" not in str(caught.value)


def test_names_that_would_be_cut_are_refused(postgres: PostgresEngine, tmp_path: Path) -> None:
    long = Column(name="n" * 64, path=("n",), type="BIGINT")
    with pytest.raises(LoadError, match=r"cuts names at 63 bytes, and 'n{64}' is longer: give the table, the"):
        load(postgres, one(tmp_path, long, 1))
    fits = long.model_copy(update={"name": "é" * 31})
    load(postgres, one(tmp_path, fits, 1))
    assert postgres.connection.execute(f"SELECT {fits.name} FROM orders").fetchall() == [(1,)]


def test_a_text_with_the_letter_nul_is_named_and_nothing_is_loaded(postgres: PostgresEngine, tmp_path: Path) -> None:
    note = Column(name="note", path=("note",), type="VARCHAR(16)")
    with pytest.raises(LoadError, match="keeps no text with the letter NUL, and the export has one"):
        load(postgres, one(tmp_path, note, "geheim\0"))
    load(
        postgres, one(tmp_path, note.model_copy(update={"type": "SUPER"}), '"\\u0000"')
    )  # in a document it is written as text
    assert postgres.connection.execute("SELECT note FROM orders").fetchall() == [('"\\u0000"',)]


def test_an_error_about_a_value_does_not_quote_it(postgres: PostgresEngine) -> None:
    with pytest.raises(WarehouseError, match="error 22P02 about a value") as caught:
        postgres.execute(Statement("SELECT CAST('geheim' AS BIGINT)"))
    assert "geheim" not in str(caught.value)


def test_views_keep_their_rights_when_a_column_gets_another_type(
    postgres: PostgresEngine, other: "psycopg.Connection[Any]", tmp_path: Path
) -> None:
    n = Column(name="n", path=("n",), type="BIGINT")
    load(postgres, one(tmp_path, n, 5), tables=VIEWS)
    other.execute("DROP ROLE IF EXISTS reader")
    other.execute("CREATE ROLE reader")
    other.execute("GRANT SELECT ON people.orders TO reader WITH GRANT OPTION")
    other.execute("GRANT SELECT ON people.orders TO PUBLIC")
    other.execute("GRANT SELECT (n) ON people.orders TO reader")
    other.execute("ALTER VIEW people.orders SET (security_barrier = true)")
    other.execute("CREATE VIEW ours WITH (security_invoker = true) AS SELECT n FROM public.orders WHERE n > 1")
    other.execute("COMMENT ON VIEW ours IS 'it''s ours'")
    other.execute("CREATE INDEX of_n ON orders (n, order_id) WHERE n > 1")
    other.execute("GRANT SELECT (n) ON ours TO reader")
    more = Column(name="more", path=("more",), type="BIGINT")
    wider = n.model_copy(update={"type": "DECIMAL(21,2)"})
    load(postgres, one(tmp_path, wider, Decimal("5.50"), more, time=9), tables=VIEWS)
    assert other.execute("SELECT n, more FROM people.orders").fetchall() == [(Decimal("5.50"), None)]
    assert other.execute("SELECT n FROM ours").fetchall() == [(Decimal("5.50"),)]
    assert other.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'orders'").fetchall() == [("of_n",)]
    query = "SELECT grantee, privilege_type, is_grantable FROM information_schema.table_privileges WHERE table_name = 'orders'"
    assert {("reader", "SELECT", "YES"), ("PUBLIC", "SELECT", "NO")} <= set(other.execute(query).fetchall())
    kept = "SELECT relname, reloptions, obj_description(oid), attacl::text FROM pg_class JOIN pg_attribute ON attrelid = oid "
    assert other.execute(f"{kept} WHERE relname = 'ours' AND attname = 'n'").fetchall() == [
        ("ours", ["security_invoker=true"], "it's ours", "{reader=r/rdsdb}")
    ]
    assert other.execute(f"{kept} WHERE oid = 'people.orders'::regclass AND attname = 'n'").fetchall() == [
        ("orders", ["security_barrier=true"], None, "{reader=r/rdsdb}")
    ]
    other.execute("DROP OWNED BY reader")
    other.execute("DROP ROLE reader")


@pytest.mark.parametrize("view", ["VIEW theirs AS SELECT n + 1 AS n", "MATERIALIZED VIEW theirs AS SELECT n"])
def test_a_view_that_cannot_be_created_again_stops_the_load_and_stays(
    postgres: PostgresEngine, other: "psycopg.Connection[Any]", tmp_path: Path, view: str
) -> None:
    n = Column(name="n", path=("n",), type="BIGINT")
    load(postgres, one(tmp_path, n, 5))
    other.execute(f"CREATE {view} FROM public.orders")
    text = one(tmp_path, n.model_copy(update={"type": "VARCHAR(16)"}), "x", time=9)
    before = other.execute("SELECT n FROM theirs").fetchall()
    with pytest.raises(LoadError, match=r'theirs"? .*(DROP VIEW|drop it)'):
        load(postgres, text)
    assert other.execute("SELECT n FROM theirs").fetchall() == before
    other.execute(f"DROP {view.partition(' AS ')[0]}")
    load(postgres, text)
    assert other.execute("SELECT n FROM orders").fetchall() == [("x",)]


def test_the_ledger_and_the_rows_are_those_of_one_moment(
    postgres: PostgresEngine, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load that commits between the two does not look like somebody who changes rows."""
    source.put(1, "a", "x")
    load(postgres, source.full(5))
    source.put(11, "b", "y")
    window, ask, waiting = source.window(10, 20), postgres.ask, [1]

    def between(query: str, *values: object) -> list[tuple[Any, ...]]:
        if waiting and "_ddb_loads__orders" in query and query.startswith("SELECT"):
            waiting.pop()
            found = ask(query, *values)
            with PostgresEngine(postgres.server) as another:
                load(another, window)
            return found
        return ask(query, *values)

    monkeypatch.setattr(postgres, "ask", between)
    recorded = SqlWarehouse(postgres).recorded("orders", counted=True)
    assert not waiting
    assert (len(recorded.loads), recorded.differing) == (1, {})


def test_who_waits_for_a_lock_and_who_is_cut_off_get_different_reasons(
    postgres: PostgresEngine, source: Source, other: "psycopg.Connection[Any]"
) -> None:
    load(postgres, source.full(5))
    stones = TableName("public", "_ddb_tombstones__orders")
    with other.transaction():
        other.execute(f"LOCK TABLE {stones} IN EXCLUSIVE MODE")
        with (
            pytest.raises(WarehouseError, match=r"still in use after 0\.1 seconds: .*lock timeout"),
            postgres.limited(0.1),
            postgres.transaction(stones),
        ):
            pass
    with pytest.raises(InterruptedLoadError, match="terminating"), postgres.limited(0.1), postgres.transaction(stones):
        postgres.ask(f"SELECT pg_terminate_backend({postgres.connection.info.backend_pid})")
    assert postgres.ask("SHOW lock_timeout") == [("0",)]


def test_a_view_of_another_user_is_named_before_anything_is_touched(
    postgres: PostgresEngine, other: "psycopg.Connection[Any]", tmp_path: Path
) -> None:
    """It could not be created again in its owner's name. As a superuser we could, so here another user loads."""
    n = Column(name="n", path=("n",), type="BIGINT")
    for statement in (
        "DROP ROLE IF EXISTS loader",
        "CREATE ROLE loader LOGIN",
        "GRANT CREATE, USAGE ON SCHEMA public TO loader",
    ):
        other.execute(statement)
    url = "postgresql://loader@" + f"{postgres.server.host}:{postgres.server.port}/postgres?sslmode=disable"
    with PostgresEngine(Postgres().server(url)) as loader:
        load(loader, one(tmp_path, n, 5))
        other.execute("CREATE VIEW theirs AS SELECT n FROM public.orders")
        message = r"column 'n' of .*orders\" has to become .*\"theirs\" of rdsdb\. Its owner runs: DROP VIEW"
        wider = one(tmp_path, n.model_copy(update={"type": "DECIMAL(21,2)"}), Decimal("5.50"), time=9)
        with pytest.raises(LoadError, match=message):
            load(loader, wider)
        assert other.execute("SELECT n FROM theirs").fetchall() == [(5,)]
        other.execute("DROP VIEW theirs")
        load(loader, wider)
    other.execute("DROP OWNED BY loader")
    other.execute("DROP ROLE loader")


def test_a_load_that_loses_its_connection_is_done_again(
    postgres: PostgresEngine, source: Source, other: "psycopg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends the session before a statement, at every statement in turn; once after COMMIT, when the ledger knows."""
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", (0.0,) * 4)
    source.put(1, "a", "x", "1")
    load(postgres, source.full(5))
    source.put(11, "a", "y", "2", "3")
    source.delete(12, "b")
    window, ask = source.window(10, 20), postgres.ask
    left = None

    def fragile(query: str, *values: object) -> list[tuple[Any, ...]]:
        nonlocal left
        answer = ask(query, *values) if left == 0 and query == "COMMIT" else None
        if left == 0:
            left = None
            other.execute("SELECT pg_terminate_backend($1, 5000)", [postgres.connection.info.backend_pid])
        elif left is not None:
            left -= 1
        return ask(query, *values) if answer is None else answer

    monkeypatch.setattr(postgres, "ask", fragile)
    number, reached = 0, True
    while reached:
        postgres.connection.execute("DELETE FROM _ddb_loads__orders WHERE sequence > 1")
        left = number
        load(postgres, window)
        reached, left = left is None, None
        assert read(postgres) == {"a": Item("y", ("2", "3"))}
        assert [load.sequence for load in SqlWarehouse(postgres).recorded("orders").loads] == [1, 2]
        number += 1
    assert number > 20


def test_a_lock_lets_people_read(postgres: PostgresEngine, source: Source, other: "psycopg.Connection[Any]") -> None:
    source.put(1, "a", "x", "1")
    load(postgres, source.full(5))
    other.execute("SET statement_timeout = '5s'")
    with postgres.transaction(TableName("public", "_ddb_tombstones__orders")):
        assert other.execute("SELECT count(*) FROM _ddb_tombstones__orders").fetchall() == [(0,)]
        with pytest.raises(psycopg.errors.LockNotAvailable), other.transaction():
            other.execute("LOCK TABLE _ddb_tombstones__orders IN EXCLUSIVE MODE NOWAIT")


def test_loads_side_by_side_are_applied_once_each(postgres: PostgresEngine, source: Source) -> None:
    """Six loads of one table, each export twice: no export is lost, and none is applied twice."""
    load(postgres, source.full(0))
    for time in range(1, 30, 2):
        source.put(time, f"k{time % 6}", f"at {time}", *"xy"[: time % 3])
    windows = [source.window(start, start + 10) for start in (0, 10, 20)]

    def applied(export: Report) -> bool:
        with PostgresEngine(postgres.server) as warehouse:
            return load(warehouse, export).applied

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(applied, windows * 2)) == [False] * 3 + [True] * 3
    assert read(postgres) == {key: item for key, (_, item) in source.state(30).items()}


def test_a_part_with_other_columns_is_named(postgres: PostgresEngine, tmp_path: Path) -> None:
    """Two columns of one type. COPY goes by position, so it would not notice."""
    pair = tuple(Column(name=n, path=(n,), type="VARCHAR(64)") for n in ("billing", "shipping"))
    rows = [{"order_id": "a", "billing": "b", "shipping": "s", "_ddb_version": BASE_MICROS + 5}]
    made = write(tmp_path / "p", relation("orders", (KEY, *pair, VERSION, EXTRA)), rows)
    swapped = made.model_copy(update={"columns": (KEY, *reversed(pair), VERSION, EXTRA)})
    with pytest.raises(LoadError, match="has the columns order_id string, billing string, shipping string"):
        load(postgres, report([swapped], export_time=at(5)))


def test_a_part_that_lacks_rows_is_named(postgres: PostgresEngine, tmp_path: Path) -> None:
    """Two parts changed places in the report. The sum of their rows is right."""
    rows = [{"order_id": key, "_ddb_version": BASE_MICROS + 5} for key in "abc"]
    root = write(tmp_path, relation("orders", (KEY, VERSION, EXTRA)), rows, parts=2)
    first, second = root.parts
    parts = (first.model_copy(update={"rows": second.rows}), second.model_copy(update={"rows": first.rows}))
    with pytest.raises(LoadError, match=f"part {first.uri} has 2 rows, the report says 1"):
        load(postgres, report([root.model_copy(update={"parts": parts})], export_time=at(5)))


def test_values_are_numbered_in_the_order_of_their_places() -> None:
    text = "UPDATE a SET b = ? FROM c WHERE c.d = ? AND EXISTS (SELECT 1 FROM e WHERE e.f = ?) AND c.g IN (?, ?)"
    assert [f"${n}" for n in range(1, 6)] == [word.strip("(),") for word in to_postgres(text).split() if "$" in word]


def one(folder: Path, column: Column, value: object, *more: Column, time: int = 5) -> Report:
    """A full export with one item that has a value in this column."""
    columns = (KEY, column, *more, VERSION, EXTRA)
    row: Row = {KEY.name: "a", column.name: value, VERSION.name: BASE_MICROS + time}
    return report([write(folder / str(time), relation("orders", columns), [row])], export_time=at(time))
