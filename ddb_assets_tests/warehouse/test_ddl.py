"""Tables as people and Redshift see them: distribution, comments, views, and two loads that change one table."""

import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.contract.report import Column, Report
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.sandbox.redshift.wire import ServerError
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.sql import tables
from ddb_assets.warehouse.sql.statements import TableName
from ddb_assets_tests.support.engines import AnyEngine, select, to_redshift
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import (
    BASE_MICROS,
    DELETED,
    EXTRA,
    INDEX,
    KEY,
    LINE,
    NOTE,
    VERSION,
    Row,
    Source,
    at,
    relation,
    report,
    write,
)

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/Orders"


def number(kind: str) -> Column:
    return Column(name="n", path=("n",), type=kind, role="key")


def full(folder: Path, rows: list[Row], *columns: Column, time: int = 5) -> Report:
    versioned = [{"_ddb_version": BASE_MICROS + time, **row} for row in rows]
    root = relation("orders", (*columns, VERSION, EXTRA))
    return report([write(folder / str(time), root, versioned)], export_time=at(time))


def comments(warehouse: AnyEngine, table: str) -> dict[str, str]:
    if isinstance(warehouse, DuckDBEngine):
        found = "SELECT column_name, comment FROM duckdb_columns()"
    else:
        found = "SELECT column_name, remarks FROM svv_redshift_columns"
    return dict(select(warehouse, f"{found} WHERE table_name = '{table}'"))


def test_comments_have_no_nul_and_an_end(warehouse: AnyEngine, tmp_path: Path) -> None:
    """An attribute's name may have 64 KB and any characters. AWS does not document how long a comment may be."""
    columns = [
        Column(name="nul", path=("a\0b",), type="BIGINT"),
        Column(name="long", path=("x" * 5000,), type="BIGINT"),
    ]
    load(warehouse, full(tmp_path, [], KEY, *columns))
    said = comments(warehouse, "orders")
    assert (said["nul"], said["long"]) == (r"a\0b", "x" * 1000)


def test_a_type_that_would_lose_values_leaves_the_keys_of_the_table(
    over_redshift: RedshiftEngine, redshift: RedshiftServer, tmp_path: Path
) -> None:
    """The load is refused before any key is removed, so there is nothing to undo."""
    options = WarehouseOptions(sortkey=("note",))
    load(over_redshift, full(tmp_path, [{"order_id": "a", "note": "x"}], KEY, NOTE), tables=options)
    other = NOTE.model_copy(update={"type": "BOOLEAN"})
    redshift.statements.clear()
    with pytest.raises(LoadError, match="no type holds the values of both"):
        load(over_redshift, full(tmp_path, [{"order_id": "a", "note": True}], KEY, other, time=9), tables=options)
    assert designs(over_redshift)["orders"] == ("KEY(order_id)", "note")
    assert not [text for text in redshift.statements if text.startswith("ALTER TABLE")]


def test_a_row_is_replaced_whole(warehouse: AnyEngine, tmp_path: Path) -> None:
    """The item no longer has an attribute that the export's older schema lacks, so the row loses it too."""
    load(warehouse, full(tmp_path, [{"order_id": "a", "note": "was there"}], KEY, NOTE))
    root = relation("orders", (KEY, VERSION, DELETED, EXTRA))
    row = {"order_id": "a", "_ddb_version": BASE_MICROS + 10, "_ddb_deleted": False}
    load(warehouse, report([write(tmp_path / "w", root, [row])], window=(at(10), at(20))))
    assert select(warehouse, "SELECT order_id, note FROM orders") == [("a", None)]


def test_columns_say_where_they_come_from(warehouse: AnyEngine, tmp_path: Path) -> None:
    odd = Column(name="odd", path=("a", "it's.b\\c"), type="BIGINT")
    root = write(tmp_path / "r", relation("orders", (KEY, odd, VERSION, EXTRA)), [])
    child = write(
        tmp_path / "c",
        relation(
            "orders__lines", (KEY, INDEX, LINE, LINE.model_copy(update={"name": "sku", "path": ("sku",)}), VERSION)
        ),
        [],
    ).model_copy(update={"path": ("lines",)})
    load(warehouse, report([root, child], export_time=at(5)))
    assert comments(warehouse, "orders")["odd"] == r"a.it's\.b\\c"
    assert comments(warehouse, "orders")["order_id"] == "orderId"
    said = comments(warehouse, "orders__lines")
    assert (said["order_id"], said["value"], said["sku"]) == ("orderId", "lines[]", "lines[].sku")
    assert said["_ddb_index"].startswith("place in the list")
    added = Column(name="added", path=("added later",), type="BIGINT")
    load(warehouse, full(tmp_path, [], KEY, odd, added, time=9))
    assert comments(warehouse, "orders")["added"] == "added later"


def designs(warehouse: RedshiftEngine) -> dict[str, tuple[str, str]]:
    rows = select(warehouse, 'SELECT "table", diststyle, sortkey1 FROM svv_table_info')
    return {name: (style, sort) for name, style, sort in rows}


def test_rows_of_one_item_lie_together(over_redshift: RedshiftEngine, source: Source, redshift: RedshiftServer) -> None:
    source.put(1, "a", "x", "l")
    redshift.statements.clear()
    load(over_redshift, source.full(5), tables=WarehouseOptions(sortkey=("note", "order_id"), encode={"note": "zstd"}))
    found = designs(over_redshift)
    assert found["orders"] == ("KEY(order_id)", "note")
    assert found["orders__lines"] == ("KEY(order_id)", "order_id")
    assert found["_ddb_tombstones__orders"] == ("KEY(order_id)", "order_id")
    staged = [text for text in redshift.statements if text.startswith("CREATE TEMP TABLE")]
    assert len(staged) == 2
    assert all('DISTSTYLE KEY DISTKEY ("order_id")' in text for text in staged)
    made = next(text for text in redshift.statements if 'TABLE IF NOT EXISTS "public"."orders" ' in text)
    assert '"note" VARCHAR(64) ENCODE zstd' in made


@pytest.mark.parametrize(("style", "expected"), [("even", "EVEN"), ("all", "ALL"), ("auto", "AUTO(ALL)")])
def test_a_contract_can_say_where_rows_lie(
    over_redshift: RedshiftEngine, source: Source, style: str, expected: str
) -> None:
    source.put(1, "a", "x", "l")
    load(over_redshift, source.full(5), tables=WarehouseOptions.model_validate({"diststyle": style}))
    found = designs(over_redshift)
    assert {found[name][0] for name in ("orders", "orders__lines", "_ddb_tombstones__orders")} == {expected}


def test_a_key_of_bytes_is_left_to_redshift(over_redshift: RedshiftEngine, tmp_path: Path) -> None:
    key = KEY.model_copy(update={"type": "VARBYTE(64)"})
    load(over_redshift, full(tmp_path, [{"order_id": b"\x00\xff"}], key))
    assert designs(over_redshift)["orders"] == ("AUTO(ALL)", "AUTO(SORTKEY)")


def test_a_sort_key_of_columns_that_are_not_there_is_refused(warehouse: AnyEngine, source: Source) -> None:
    source.put(1, "a", "x")
    with pytest.raises(
        LoadError, match=r"sort key of .*orders.* created, .*the table has order_id, note, .*warehouse\.sortkey"
    ):
        load(warehouse, source.full(5), tables=WarehouseOptions(sortkey=("created", "note")))
    assert not warehouse.catalog(TableName(warehouse.default_schema, "orders"))


def test_a_key_that_is_widened_stays_the_key_of_the_table(over_redshift: RedshiftEngine, tmp_path: Path) -> None:
    """Redshift does not drop a column by which rows are distributed or sorted."""
    options = WarehouseOptions(sortkey=("n",))
    load(over_redshift, full(tmp_path, [{"n": 5}], number("BIGINT")), tables=options)
    load(over_redshift, full(tmp_path, [{"n": Decimal("5.5")}], number("DECIMAL(38,2)"), time=9), tables=options)
    found = designs(over_redshift)
    assert {found["orders"], found["_ddb_tombstones__orders"]} == {("KEY(n)", "n")}
    assert select(over_redshift, "SELECT n FROM orders") == [(Decimal("5.50"),)]
    assert comments(over_redshift, "orders")["n"] == "n"


def test_loaders_that_widen_the_same_column_at_once_end_well(
    redshift: RedshiftServer, over_redshift: RedshiftEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All plan for the table as it is, and the widest goes first. The others must not make its column narrower."""
    rows: list[tuple[str, object]] = [
        ("DECIMAL(38,2)", Decimal("2.50")),
        ("VARCHAR(16)", "text"),
        ("VARCHAR(64)", "x" * 60),
        ("BIGINT", 7),
    ]

    def window(place: int) -> Report:
        kind, value = rows[place]
        start = 10 * (place + 1)
        root = relation("orders", (KEY, NOTE.model_copy(update={"type": kind}), VERSION, DELETED, EXTRA))
        row = {"order_id": str(place), "note": value, "_ddb_version": BASE_MICROS + start, "_ddb_deleted": False}
        return report([write(tmp_path / f"w{place}", root, [row])], window=(at(start), at(start + 10)))

    load(over_redshift, full(tmp_path, [{"order_id": "a", "note": 1}], KEY, NOTE.model_copy(update={"type": "BIGINT"})))
    take, planned = tables._take, threading.Barrier(3)
    turns = [threading.Event() for _ in range(4)]
    turns[0].set()
    waiting = {"2": 0, "1": 1, "0": 2}  # when each load goes ahead, by its row; the fourth row needs no wider column

    def in_turn(*step: Any) -> None:
        turn = waiting.pop(threading.current_thread().name, None)
        if turn is None:
            return take(*step)
        planned.wait(60)
        turns[turn].wait(60)
        try:
            return take(*step)
        finally:
            turns[turn + 1].set()

    monkeypatch.setattr(tables, "_take", in_turn)
    failures: list[BaseException] = []

    def run(export: Report) -> None:
        try:
            with to_redshift(redshift) as warehouse:
                load(warehouse, export)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, name=str(place), args=(window(place),)) for place in range(len(rows))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert select(over_redshift, "SELECT note FROM orders ORDER BY order_id") == [
        ("2.5",), ("text",), ("x" * 60,), ("7",), ("1",)
    ]  # fmt: skip


def test_views_show_live_rows_without_bookkeeping(warehouse: AnyEngine, source: Source, tmp_path: Path) -> None:
    """A view has every column of its table, also after columns were added or widened."""
    options = WarehouseOptions(views="people")
    source.put(1, "a", "stays", "l")
    source.put(2, "b", "goes")
    load(warehouse, source.full(5), tables=options, soft_delete=True)
    source.delete(11, "b")
    load(warehouse, source.window(10, 20), tables=options, soft_delete=True)
    assert len(select(warehouse, "SELECT * FROM orders")) == 2
    assert select(warehouse, "SELECT * FROM people.orders") == [("a", "stays")]
    assert select(warehouse, "SELECT * FROM people.orders__lines") == [("a", 0, "l")]
    more = Column(name="more", path=("more",), type="BIGINT")
    row: Row = {"order_id": "c", "note": "new", "more": 1, "_ddb_version": BASE_MICROS + 30}
    made = report(
        [write(tmp_path / "x", relation("orders", (KEY, NOTE, more, VERSION, EXTRA)), [row])], export_time=at(30)
    )
    load(warehouse, made, tables=options, soft_delete=True)
    assert select(warehouse, "SELECT order_id, note, more FROM people.orders") == [("c", "new", 1)]
    wider = more.model_copy(update={"type": "VARCHAR(64)"})
    row = {"order_id": "c", "note": "new", "more": "x", "_ddb_version": BASE_MICROS + 40}
    made = report(
        [write(tmp_path / "y", relation("orders", (KEY, NOTE, wider, VERSION, EXTRA)), [row])], export_time=at(40)
    )
    load(warehouse, made, tables=options, soft_delete=True)
    assert select(warehouse, "SELECT order_id, note, more FROM people.orders") == [("c", "new", "x")]


def test_views_are_made_when_they_must(over_redshift: RedshiftEngine, source: Source, redshift: RedshiftServer) -> None:
    source.put(1, "a", "x", "l")
    load(over_redshift, source.full(5), tables=WarehouseOptions(views="people"))
    assert [text for text in redshift.statements if " VIEW " in text][-1].endswith("WITH NO SCHEMA BINDING")
    redshift.statements.clear()
    load(over_redshift, source.full(9), tables=WarehouseOptions(views="people"))
    assert not [text for text in redshift.statements if " VIEW " in text]


def test_views_have_a_schema_of_their_own(warehouse: AnyEngine, source: Source) -> None:
    with pytest.raises(LoadError, match=r"cannot be in its own schema: name another one in warehouse\.views"):
        load(warehouse, source.full(5), tables=WarehouseOptions(views=warehouse.default_schema))


def test_statistics_are_made_after_the_commit(
    over_redshift: RedshiftEngine, source: Source, redshift: RedshiftServer
) -> None:
    source.put(1, "a", "x", "l")
    redshift.statements.clear()
    load(over_redshift, source.full(5))
    assert list(redshift.statements)[-3:] == ["COMMIT", 'ANALYZE "public"."orders"', 'ANALYZE "public"."orders__lines"']
    redshift.statements.clear()
    redshift.statements.clear()
    assert not load(over_redshift, source.full(5)).applied
    assert not [text for text in redshift.statements if text.startswith("ANALYZE")]


def test_a_load_without_statistics_is_a_load(
    over_redshift: RedshiftEngine, source: Source, redshift: RedshiftServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether ANALYZE is refused or the connection breaks at it."""
    source.put(1, "a", "x", "l")
    analyze = over_redshift.analyze

    def failing(table: TableName) -> None:
        if table.name == "orders":
            redshift.faults.fail_statement(1, ServerError("disk full", "53100"))
        else:
            redshift.faults.drop_at_statement(1)
        analyze(table)

    monkeypatch.setattr(over_redshift, "analyze", failing)
    result = load(over_redshift, source.full(5))
    assert (result.applied, result.sequence, result.rows) == (True, 1, {"orders": 1, "orders__lines": 1})
    refused, lost = result.remarks
    assert refused == "the load is done, but the statistics of 'orders' could not be updated: disk full"
    assert "of 'orders__lines' could not be updated: the connection to Redshift" in lost


def test_a_view_knows_of_deleted_rows_as_soon_as_the_table_keeps_them(warehouse: AnyEngine, source: Source) -> None:
    """The columns are the same before and after."""
    options = WarehouseOptions(views="people")
    source.put(1, "a", "stays")
    source.put(2, "b", "goes")
    load(warehouse, source.full(5), tables=options)
    source.delete(11, "b")
    load(warehouse, source.window(10, 20), tables=options, soft_delete=True)
    assert len(select(warehouse, "SELECT * FROM orders")) == 2
    assert select(warehouse, "SELECT * FROM people.orders") == [("a", "stays")]


def test_views_can_be_asked_for_later(warehouse: AnyEngine, source: Source) -> None:
    source.put(1, "a", "x", "l")
    load(warehouse, source.full(5))
    load(warehouse, source.full(9), tables=WarehouseOptions(views="people"))
    assert select(warehouse, "SELECT * FROM people.orders") == [("a", "x")]
    assert select(warehouse, "SELECT * FROM people.orders__lines") == [("a", 0, "l")]


def test_a_list_that_is_no_child_table_any_more_follows_its_key(over_redshift: RedshiftEngine, tmp_path: Path) -> None:
    lines = relation("orders__lines", (number("BIGINT"), INDEX, LINE, VERSION, EXTRA), ("lines",))
    row: Row = {"n": 1, "_ddb_version": BASE_MICROS + 5}
    root = write(tmp_path / "r", relation("orders", (number("BIGINT"), VERSION, EXTRA)), [row])
    load(over_redshift, report([root, write(tmp_path / "l", lines, [{**row, "_ddb_index": 0}])], export_time=at(5)))
    load(over_redshift, full(tmp_path, [{"n": "x"}], number("VARCHAR(16)"), time=9))
    assert designs(over_redshift)["orders__lines"] == ("KEY(n)", "AUTO(SORTKEY)")
    assert str(over_redshift.catalog(TableName("public", "orders__lines"))["n"]) == "VARCHAR(64)"
