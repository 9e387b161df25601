"""Columns get another type in a table that others changed: its keys, its compression, views on it, columns in it."""

from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest

from ddb_assets.contract.column_type import SqlType, join
from ddb_assets.contract.report import Column, Report
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.sandbox.redshift.wire import ServerError
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError, WarehouseError
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.sql.engine import Keys, Layout
from ddb_assets.warehouse.sql.evolution import steps
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.support.engines import AnyEngine, select, to_redshift
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import (
    BASE_MICROS,
    EXTRA,
    VERSION,
    Row,
    Source,
    at,
    relation,
    report,
    write,
)
from ddb_assets_tests.warehouse.test_ledgers import exported

ORDERS = TableName("public", "orders")


def numbered(
    folder: Path, time: int, kind: str, value: object, *more: Column, note: str = "x", **values: object
) -> Report:
    key = Column(name="n", path=("n",), type=kind, role="key")
    text = Column(name="note", path=("note",), type="VARCHAR(16)")
    row: Row = {"n": value, "note": note, "_ddb_version": BASE_MICROS + time, **values}
    made = relation("orders", (key, *(more or (text,)), VERSION, EXTRA))
    return report([write(folder / str(time), made, [row])], export_time=at(time))


def run(warehouse: AnyEngine, *texts: str) -> None:
    """Runs a statement as somebody else would, in DuckDB's own SQL on DuckDB."""
    for text in texts:
        if isinstance(warehouse, DuckDBEngine):
            warehouse.connection.execute(text)
        else:
            warehouse.execute(Statement(text))


DESIGNS = {
    "as made": ((), Keys("KEY", "n", ())),
    "a DBA's sort key": (["ALTER SORTKEY (note, n)"], Keys("KEY", "n", ("note", "n"))),
    "a DBA's distribution": (["ALTER DISTSTYLE EVEN"], Keys("EVEN", "", ())),
    "another DBA's": (["ALTER DISTSTYLE ALL", "ALTER SORTKEY (n)"], Keys("ALL", "", ("n",))),
    "by the note": (["ALTER DISTKEY note"], Keys("KEY", "note", ())),
    "Redshift's own": (
        ["ALTER SORTKEY (n)", "ALTER SORTKEY AUTO", "ALTER DISTSTYLE AUTO"],
        Keys("AUTO", "n", ("n",), automatic=True),
    ),
}


@pytest.mark.parametrize("named", DESIGNS)
def test_keys_are_what_they_were_whoever_chose_them(over_redshift: RedshiftEngine, tmp_path: Path, named: str) -> None:
    changes, expected = DESIGNS[named]
    load(over_redshift, numbered(tmp_path, 5, "BIGINT", 5))
    run(over_redshift, *(f"ALTER TABLE orders {change}" for change in changes))
    assert over_redshift.keys(ORDERS) == expected
    load(over_redshift, numbered(tmp_path, 9, "DECIMAL(12,2)", Decimal("5.50")))
    assert over_redshift.keys(ORDERS) == expected
    assert select(over_redshift, "SELECT n FROM orders") == [(Decimal("5.50"),)]


@pytest.mark.parametrize("number", range(1, 10))
def test_a_change_that_was_broken_off_is_finished_by_the_next_load(
    over_redshift: RedshiftEngine,
    redshift: RedshiftServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    """The process crashes at each statement after the keys are noted. The keys are not lost."""
    load(over_redshift, numbered(tmp_path, 5, "BIGINT", 5))
    run(over_redshift, "ALTER TABLE orders ALTER SORTKEY (note, n)")
    execute, left = over_redshift.execute, [number]
    noted: list[str] = []

    def dying(statement: Statement) -> None:
        if "INTO" in statement.text and "_ddb_changes" in statement.text and "orders" in statement.values:
            noted.append(statement.text)
        if noted:
            left[0] -= 1
            if left[0] <= 0:
                raise KeyboardInterrupt
        execute(statement)

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(over_redshift, "execute", dying)
        load(over_redshift, numbered(tmp_path, 9, "DECIMAL(12,2)", Decimal("5.50")))
    assert noted
    load(over_redshift, numbered(tmp_path, 11, "DECIMAL(12,2)", Decimal("6.50")))
    assert over_redshift.keys(ORDERS) == Keys("KEY", "n", ("note", "n"))
    assert select(over_redshift, "SELECT n FROM orders") == [(Decimal("6.50"),)]
    run(over_redshift, "UPDATE _ddb_changes SET began = began - INTERVAL '2 days'")
    load(over_redshift, numbered(tmp_path, 12, "DECIMAL(12,2)", Decimal("6.50")))
    assert select(over_redshift, "SELECT COUNT(*) FROM _ddb_changes") == [(0,)]


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("name", ["orders", "others"])
def test_another_load_leaves_a_change_alone_that_is_still_running(
    over_redshift: RedshiftEngine,
    redshift: RedshiftServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    *,
    dies: bool,
) -> None:
    """Redshift takes minutes to remove the distribution key of a large table. Loads continue in the meantime."""
    load(over_redshift, numbered(tmp_path, 5, "BIGINT", 5))
    meanwhile = numbered(tmp_path, 6, "BIGINT", 6) if name == "orders" else exported(tmp_path, name, 6, "a")
    execute, running = over_redshift.execute, list[str]()

    def slow(statement: Statement) -> None:
        if running and dies:
            raise KeyboardInterrupt
        if not running and 'ALTER TABLE "public"."orders" ALTER DISTSTYLE EVEN' in statement.text:
            running.append(statement.text)
            with to_redshift(redshift) as another:
                load(another, meanwhile)
        execute(statement)

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(over_redshift, "execute", slow)
        load(over_redshift, numbered(tmp_path, 9, "DECIMAL(12,2)", Decimal("5.50")))
    assert running
    load(over_redshift, numbered(tmp_path, 11, "DECIMAL(12,2)", Decimal("6.50")))
    assert over_redshift.keys(ORDERS) == Keys("KEY", "n", ())


def test_keys_come_back_when_the_change_is_refused(
    over_redshift: RedshiftEngine, redshift: RedshiftServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(over_redshift, numbered(tmp_path, 5, "BIGINT", 5))
    execute = over_redshift.execute

    def failing(statement: Statement) -> None:
        if statement.text.startswith('UPDATE "public"."orders"'):
            redshift.faults.fail_statement(1, ServerError("disk full", "53100"))
        execute(statement)

    monkeypatch.setattr(over_redshift, "execute", failing)
    with pytest.raises(WarehouseError, match="disk full"):
        load(over_redshift, numbered(tmp_path, 9, "DECIMAL(12,2)", Decimal("5.50")))
    assert over_redshift.keys(ORDERS) == Keys("KEY", "n", ())
    assert select(over_redshift, "SELECT n FROM orders") == [(5,)]


def test_an_interleaved_sort_key_is_not_lost(over_redshift: RedshiftEngine, tmp_path: Path) -> None:
    load(over_redshift, numbered(tmp_path, 5, "BIGINT", 5))
    run(
        over_redshift,
        "ALTER TABLE orders RENAME TO former",
        "CREATE TABLE orders (n BIGINT, note VARCHAR(16), _ddb_version BIGINT, _ddb_extra SUPER) "
        "INTERLEAVED SORTKEY (note, n)",
    )
    with pytest.raises(LoadError, match=r"part of an interleaved sort key.* ALTER SORTKEY NONE, load again"):
        load(over_redshift, numbered(tmp_path, 9, "DECIMAL(12,2)", Decimal("5.50")))
    assert over_redshift.keys(ORDERS).interleaved


def encodings(warehouse: RedshiftEngine) -> dict[str, str]:
    return dict(warehouse.layout(ORDERS).encodings)


@pytest.mark.parametrize(
    ("kind", "encoding", "then", "kept"),
    [
        ("BIGINT", "zstd", "DECIMAL(12,2)", "zstd"),
        ("BIGINT", "mostly16", "DECIMAL(12,2)", "mostly16"),
        ("BIGINT", "raw", "DECIMAL(12,2)", "raw"),
        ("BIGINT", "az64", "VARCHAR(16)", "lzo"),
        ("BIGINT", "mostly16", "VARCHAR(16)", "lzo"),
        ("VARCHAR(16)", "text255", "VARCHAR(64)", "text255"),
        ("VARCHAR(16)", "bytedict", "VARCHAR(64)", "bytedict"),
        ("VARCHAR(16)", "zstd", "VARCHAR(64)", "zstd"),
    ],
)
def test_compression_is_what_it_was(
    over_redshift: RedshiftEngine, tmp_path: Path, kind: str, encoding: str, then: str, kept: str
) -> None:
    """Also a compression under which Redshift does not lengthen a VARCHAR."""
    run(
        over_redshift,
        f"CREATE TABLE orders (n BIGINT, c {kind} ENCODE {encoding}, _ddb_version BIGINT, _ddb_extra SUPER)",
        "CREATE TABLE _ddb_tombstones__orders (n BIGINT, _ddb_version BIGINT)",
    )
    load(over_redshift, numbered(tmp_path, 9, "BIGINT", 1, Column(name="c", path=("c",), type=then)))
    assert encodings(over_redshift)["c"] == kept


def test_a_longer_text_is_no_new_column(
    over_redshift: RedshiftEngine, redshift: RedshiftServer, tmp_path: Path
) -> None:
    """The column is altered in place if it has no default. The catalog may call a missing default empty."""
    load(over_redshift, numbered(tmp_path, 5, "BIGINT", 5))
    redshift.statements.clear()
    longer = Column(name="note", path=("note",), type="VARCHAR(64)")
    load(over_redshift, numbered(tmp_path, 9, "BIGINT", 5, longer, note="y" * 60))
    changes = [text for text in redshift.statements if text.startswith("ALTER TABLE")]
    assert changes == ['ALTER TABLE "public"."orders" ALTER COLUMN "note" TYPE VARCHAR(64)']


def test_a_view_that_holds_a_column_is_named_before_anything_is_touched(
    over_redshift: RedshiftEngine, redshift: RedshiftServer, tmp_path: Path
) -> None:
    load(over_redshift, numbered(tmp_path, 5, "BIGINT", 5))
    run(over_redshift, "CREATE VIEW theirs AS SELECT n FROM orders")
    redshift.statements.clear()
    message = (
        r"column 'n' of \"public\"\.\"orders\" has to become DECIMAL\(21,2\), .* bound to: "
        r"\"public\"\.\"theirs\" of awsuser\. Its owner runs: DROP VIEW \"public\"\.\"theirs\"\. .* again, in Redshift WITH NO"
    )
    wider = numbered(tmp_path, 9, "DECIMAL(21,2)", Decimal("5.50"))
    with pytest.raises(LoadError, match=message):
        load(over_redshift, wider)
    assert not [text for text in redshift.statements if text.startswith("ALTER TABLE") and '"orders"' in text]
    longer = Column(name="note", path=("note",), type="VARCHAR(64)")
    load(over_redshift, numbered(tmp_path, 8, "BIGINT", 5, longer, note="y" * 60))  # the view holds another column
    run(over_redshift, "DROP VIEW theirs", "CREATE VIEW theirs AS SELECT n FROM public.orders WITH NO SCHEMA BINDING")
    load(over_redshift, wider)
    assert select(over_redshift, "SELECT n FROM theirs") == [(Decimal("5.50"),)]


def test_a_column_that_somebody_added_is_left_alone(warehouse: AnyEngine, source: Source) -> None:
    """The column may have any type. New rows have its default."""
    source.put(1, "a", "x")
    load(warehouse, source.full(5))
    schema = warehouse.default_schema
    run(warehouse, "ALTER TABLE orders ADD COLUMN theirs INTEGER DEFAULT 7", "ALTER TABLE orders ADD COLUMN t REAL")
    source.put(11, "b", "y")
    load(warehouse, source.window(10, 20), tables=WarehouseOptions(views="people"))
    assert select(warehouse, "SELECT order_id, theirs, t FROM orders ORDER BY order_id") == [
        ("a", 7, None), ("b", 7, None)
    ]  # fmt: skip
    assert list(warehouse.layout(TableName(schema, "orders")).foreign) == ["theirs", "t"]


def test_a_column_of_somebody_else_where_ours_is_to_be_is_said(warehouse: AnyEngine, tmp_path: Path) -> None:
    load(warehouse, numbered(tmp_path, 5, "BIGINT", 5))
    run(warehouse, "ALTER TABLE orders ADD COLUMN total INTEGER")
    total = Column(name="total", path=("total",), type="BIGINT")
    with pytest.raises(LoadError, match=r"column 'total' of .*orders\" is INTEGER, a type that no load uses.* RENAME"):
        load(warehouse, numbered(tmp_path, 9, "BIGINT", 5, total))


def test_a_table_that_no_load_has_made_is_left_alone(warehouse: AnyEngine, source: Source) -> None:
    stones = "CREATE TABLE _ddb_tombstones__orders (order_id VARCHAR(64), _ddb_version BIGINT)"
    run(warehouse, "CREATE TABLE orders (order_id VARCHAR(9))", stones)
    with pytest.raises(LoadError, match=r"exists, but no load has created it, as it has no column _ddb_version"):
        load(warehouse, source.full(5))
    assert select(warehouse, "SELECT order_id FROM orders") == []


def test_a_view_where_our_table_is_to_be_is_said(warehouse: AnyEngine, source: Source) -> None:
    run(warehouse, "CREATE VIEW orders AS SELECT 1 AS a")
    with pytest.raises(
        LoadError, match=r"must be a table, but there is a view.* of that name: give the DynamoDB table"
    ):
        load(warehouse, source.full(5))
    run(warehouse, "DROP VIEW orders")


@pytest.mark.parametrize("theirs", ["VIEW people.orders AS SELECT 1 AS a", "TABLE people.orders (a BIGINT)"])
def test_what_somebody_has_where_our_view_is_to_be_is_left_alone(
    warehouse: AnyEngine, source: Source, theirs: str
) -> None:
    if not warehouse.has_schema("people"):
        run(warehouse, "CREATE SCHEMA people")
    run(warehouse, f"CREATE {theirs}")
    with pytest.raises(LoadError, match=r"orders\" must be the view of .* another (view|table).* of that name: rename"):
        load(warehouse, source.full(5), tables=WarehouseOptions(views="people"))
    assert warehouse.standing(TableName("people", "orders"))
    run(warehouse, f"DROP {theirs.split()[0]} people.orders")


def test_a_view_that_cannot_be_replaced_is_dropped_and_made_in_one_transaction(
    over_redshift: RedshiftEngine, redshift: RedshiftServer, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.put(1, "a", "x")
    load(over_redshift, source.full(5), tables=WarehouseOptions(views="people"))
    execute, refused = over_redshift.execute, list[str]()

    def failing(statement: Statement) -> None:
        if not refused and statement.text.startswith("CREATE OR REPLACE"):
            refused.append(statement.text)
            redshift.faults.fail_statement(1, ServerError("cannot change number of columns in view", "42P16"))
        execute(statement)

    monkeypatch.setattr(over_redshift, "execute", failing)
    redshift.statements.clear()
    load(over_redshift, source.full(9), tables=WarehouseOptions(views="people"), soft_delete=True)
    (replaced,) = refused
    texts = list(redshift.statements)
    dropped = 'DROP VIEW IF EXISTS "people"."orders"'
    place = texts.index(dropped)
    lock = 'LOCK "public"."_ddb_tombstones__orders"'
    assert texts[place - 2 : place + 3] == ["BEGIN", lock, dropped, replaced, "COMMIT"]
    assert select(over_redshift, "SELECT * FROM people.orders") == [("a", "x")]


def test_only_its_own_columns_and_rows_make_a_view_the_one_that_is_wanted(
    over_redshift: RedshiftEngine, redshift: RedshiftServer, source: Source
) -> None:
    """`is_view`: with another column, another order of columns, or without the view, the view is created again."""
    source.put(1, "a", "x")
    load(over_redshift, source.full(5), tables=WarehouseOptions(views="people"))
    view = TableName("people", "orders")
    types = {name: SqlType("BIGINT") for name in ("order_id", "note")}
    assert over_redshift.is_view(view, types)
    assert not over_redshift.is_view(view, {"order_id": SqlType("BIGINT")})
    assert not over_redshift.is_view(view, dict(reversed(types.items())))
    assert not over_redshift.is_view(TableName("people", "none"), types)
    redshift.faults.fail_statement(1, ServerError("permission denied for relation orders", "42501"))
    with pytest.raises(WarehouseError, match="permission denied"):  # what could not be read is not absent
        over_redshift.is_view(view, types)
    run(over_redshift, "CREATE OR REPLACE VIEW people.orders AS SELECT note FROM public.orders WITH NO SCHEMA BINDING")
    load(over_redshift, source.full(9), tables=WarehouseOptions(views="people"))
    assert select(over_redshift, "SELECT * FROM people.orders") == [("a", "x")]


def test_nobody_loads_while_ddl_runs(over_redshift: RedshiftEngine, redshift: RedshiftServer, tmp_path: Path) -> None:
    """Every change of a table begins with the lock of loads."""
    load(over_redshift, numbered(tmp_path, 5, "BIGINT", 5))
    redshift.statements.clear()
    load(
        over_redshift,
        numbered(tmp_path, 9, "DECIMAL(12,2)", Decimal("5.50"), Column(name="m", path=("m",), type="DATE")),
    )
    texts = [text for text in redshift.statements if not text.startswith("SELECT")]
    lock = 'LOCK "public"."_ddb_tombstones__orders"'
    changes = [n for n, text in enumerate(texts) if text.startswith('ALTER TABLE "public"."orders" ADD COLUMN')]
    assert len(changes) == 2
    for place in changes:
        assert texts[place - 2 : place] == ["BEGIN", lock]


@pytest.mark.parametrize(
    ("present", "kinds", "changes"),
    [
        ("BIGINT", [f"DECIMAL(18,{scale})" for scale in range(2, 18, 2)], 8),
        ("DECIMAL(18,2)", ["DECIMAL(18,4)", "DECIMAL(38,4)"], 2),
        ("VARCHAR(100)", [f"VARCHAR({size})" for size in range(101, 400, 10)], 2),
        ("VARBYTE(64)", [f"VARBYTE({64 << n})" for n in range(1, 12)], 6),
    ],
)
def test_a_column_that_grows_bit_by_bit_changes_seldom(present: str, kinds: list[str], changes: int) -> None:
    """Redshift counts dropped columns towards its 1,600. Headroom never turns numbers into texts."""
    table, have, taken = TableName("public", "t"), SqlType.parse(present), 0
    document = have
    for kind in map(SqlType.parse, kinds):
        joined = join(document, kind)
        assert joined is not None
        document = joined
        for step in steps(table, {"c": document}, Layout({"c": have})):
            assert step.to is not None
            have, taken = step.to, taken + 1
        assert steps(table, {"c": document}, Layout({"c": have})) == []
        assert have.name == document.name
    assert taken <= changes


def test_numbers_with_more_and_more_digits_stay_numbers(warehouse: AnyEngine, tmp_path: Path) -> None:
    """5, 5.25 and 5.125, in the types that the schema document gets because of them."""
    for time, (kind, price) in enumerate([("BIGINT", "5"), ("DECIMAL(21,2)", "5.25"), ("DECIMAL(23,4)", "5.125")]):
        column = Column(name="price", path=("price",), type=kind)
        load(warehouse, numbered(tmp_path, time, "BIGINT", 1, column, price=Decimal(price)))
    assert str(warehouse.catalog(TableName(warehouse.default_schema, "orders"))["price"]) == "DECIMAL(23,4)"
    assert select(warehouse, "SELECT price FROM orders") == [(Decimal("5.1250"),)]


def test_what_another_loader_is_changing_is_waited_for(over_redshift: RedshiftEngine, tmp_path: Path) -> None:
    """The other load has removed and restored the keys in the meantime, so the column cannot be dropped."""
    load(over_redshift, numbered(tmp_path, 5, "BIGINT", 5))
    with pytest.raises(InterruptedLoadError, match="because of another transaction: cannot drop column"):
        over_redshift.execute(Statement("ALTER TABLE orders DROP COLUMN n"))
