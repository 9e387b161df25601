"""The user of docs/redshift.md, who has schemas of its own and nothing else, and the error when a right is missing."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from ddb_assets.contract.report import Column, Report
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.warehouse.errors import LoadError, WarehouseError
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.settings import PASSWORD
from ddb_assets.warehouse.sql.inspection import inspect
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.support.engines import select, to_redshift
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import (
    BASE_MICROS,
    DELETED,
    EXTRA,
    KEY,
    VERSION,
    Source,
    at,
    relation,
    report,
    write,
)

USER, SECRET = "loader", "Loader1"


@pytest.fixture
def admin(over_redshift: RedshiftEngine) -> Iterator[RedshiftEngine]:
    """An administrator who created the user and its schemas, as docs/redshift.md says."""
    if not over_redshift.fetch(Statement("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = ?", (USER,))):
        over_redshift.execute(Statement(f"CREATE USER {USER} PASSWORD '{SECRET}'"))
    for schema in ("own", "shown"):
        over_redshift.execute(Statement(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
        over_redshift.execute(Statement(f"CREATE SCHEMA {schema} AUTHORIZATION {USER}"))
    yield over_redshift
    for schema in ("own", "shown"):
        over_redshift.execute(Statement(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))


@pytest.fixture
def loader(
    admin: RedshiftEngine, redshift: RedshiftServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RedshiftEngine]:
    monkeypatch.setenv(PASSWORD, SECRET)
    with to_redshift(redshift, "own", USER) as warehouse:
        yield warehouse


def numbered(folder: Path, time: int, kind: str, value: object, *, window: bool = False) -> Report:
    key = KEY.model_copy(update={"name": "n", "path": ("n",), "type": kind})
    flag = (DELETED,) if window else ()
    made = relation("numbers", (key, VERSION, *flag, EXTRA))
    row = {"n": value, "_ddb_version": BASE_MICROS + time, "_ddb_deleted": False}
    root = write(folder / str(time), made, [row])
    return report([root], window=(at(time), at(time + 10))) if window else report([root], export_time=at(time))


def test_the_whole_chain_takes_a_schema_of_ones_own_and_no_more(
    loader: RedshiftEngine, source: Source, tmp_path: Path
) -> None:
    """Initial load, windows, deletes, a new column, a key of another type, a longer text, views, and a look at the table."""
    options = WarehouseOptions(views="shown", sortkey=("order_id",))
    source.put(1, "a", "first", "x")
    source.put(2, "b", "gone")
    source.put(11, "a", "second", "y")
    source.delete(12, "b")
    for export in (source.full(10), source.window(10, 20)):
        assert load(loader, export, tables=options).remarks == ()
        assert inspect(loader, "own", export).twice == 0
    assert select(loader, "SELECT * FROM shown.orders") == [("a", "second")]
    wider = [KEY, Column(name="note", path=("note",), type="VARCHAR(200)"), Column(name="x", path=("x",), type="DATE")]
    row = {"order_id": "c", "note": "n" * 200, "_ddb_version": BASE_MICROS + 30}
    root = write(tmp_path / "wider", relation("orders", (*wider, VERSION, EXTRA)), [row])
    load(loader, report([root], export_time=at(30)), tables=options)
    assert select(loader, "SELECT note, x FROM shown.orders") == [("n" * 200, None)]
    sorted_by = WarehouseOptions(views="shown", sortkey=("n",))
    load(loader, numbered(tmp_path, 5, "BIGINT", 5), tables=sorted_by)
    load(loader, numbered(tmp_path, 6, "DECIMAL(12,2)", Decimal("5.50"), window=True), tables=sorted_by)
    keys = loader.keys(TableName("own", "numbers"))
    assert (keys.style, keys.distkey, keys.sortkey) == ("KEY", "n", ("n",))
    assert select(loader, "SELECT n FROM shown.numbers ORDER BY n") == [(Decimal("5.00"),), (Decimal("5.50"),)]
    assert len(select(loader, "SELECT relation FROM own._ddb_loads")) == 5


def test_a_view_of_all_ledgers_that_is_somebody_elses_is_not_tried_each_time(
    admin: RedshiftEngine, loader: RedshiftEngine, redshift: RedshiftServer, source: Source
) -> None:
    source.put(1, "a", "x")
    load(loader, source.full(5))
    for text in ("DROP VIEW own._ddb_loads", "CREATE VIEW own._ddb_loads AS SELECT 1 AS a WITH NO SCHEMA BINDING"):
        admin.execute(Statement(text))
    redshift.statements.clear()
    assert load(loader, source.full(6)).applied
    assert not [text for text in redshift.statements if "VIEW" in text]


def test_a_schema_that_is_not_there_is_asked_of_the_administrator(
    admin: RedshiftEngine, redshift: RedshiftServer, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.put(1, "a", "x")
    monkeypatch.setenv(PASSWORD, SECRET)
    with (
        to_redshift(redshift, "nowhere", USER) as warehouse,
        pytest.raises(
            WarehouseError,
            match=r'denied for database dev; .* us the right: CREATE SCHEMA "nowhere" AUTHORIZATION "loader"',
        ),
    ):
        load(warehouse, source.full(5))
    with pytest.raises(WarehouseError, match='CREATE SCHEMA "nowhere" AUTHORIZATION "loader"'):
        load(loader_of(redshift), source.full(5), tables=WarehouseOptions(views="nowhere"))


def loader_of(redshift: RedshiftServer) -> RedshiftEngine:
    return to_redshift(redshift, "own", USER)


@pytest.mark.parametrize(
    ("grants", "said"),
    [
        (
            ["ALTER SCHEMA own OWNER TO awsuser"],
            'denied for schema own; .*: GRANT USAGE, CREATE ON SCHEMA "own" TO "loader"',
        ),
        (
            ["REVOKE TEMP ON DATABASE dev FROM PUBLIC"],
            'temporary tables in database "?dev"?; .*: GRANT TEMP ON DATABASE "dev" TO "loader"',
        ),
    ],
)
def test_every_right_that_is_missing_is_named(
    admin: RedshiftEngine,
    redshift: RedshiftServer,
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
    grants: list[str],
    said: str,
) -> None:
    source.put(1, "a", "x")
    for grant in grants:
        admin.execute(Statement(grant))
    monkeypatch.setenv(PASSWORD, SECRET)
    try:
        with loader_of(redshift) as warehouse, pytest.raises(WarehouseError, match=said):
            load(warehouse, source.full(5))
    finally:
        admin.execute(Statement("GRANT TEMP ON DATABASE dev TO PUBLIC"))


def test_a_table_of_somebody_else_is_neither_read_nor_changed(
    admin: RedshiftEngine, loader: RedshiftEngine, source: Source
) -> None:
    """Its columns are hidden from us. That must not look as if it had none."""
    source.put(1, "a", "x")
    admin.execute(Statement("CREATE TABLE own.orders (a INTEGER)"))
    with pytest.raises(LoadError, match=r'"own"\."orders" of awsuser exists, but we may not read it: .* OWNER TO'):
        load(loader, source.full(5))
    admin.execute(Statement("GRANT SELECT ON own.orders TO loader"))
    with pytest.raises(
        LoadError, match=r"of awsuser exists, but no load has created it, as it has no column _ddb_version"
    ):
        load(loader, source.full(5))


def test_a_table_that_another_user_owns_cannot_get_columns(
    admin: RedshiftEngine, loader: RedshiftEngine, source: Source, tmp_path: Path
) -> None:
    source.put(1, "a", "x")
    load(loader, source.full(5))
    admin.execute(Statement("ALTER TABLE own.orders OWNER TO awsuser"))
    admin.execute(Statement("GRANT SELECT, INSERT, DELETE ON own.orders TO loader"))
    load(loader, source.full(9))
    more = Column(name="more", path=("more",), type="BIGINT")
    root = write(tmp_path / "more", relation("orders", (KEY, more, VERSION, EXTRA)), [])
    with pytest.raises(
        WarehouseError, match=r'must be owner of relation orders; .*: ALTER TABLE "own"."orders" OWNER TO "loader"'
    ):
        load(loader, report([root], export_time=at(10)))
