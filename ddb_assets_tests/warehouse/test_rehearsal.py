"""A rehearsal says what the load does: its statements, its columns, its refusals. It changes nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from ddb_assets.contract.history import HistoryOptions
from ddb_assets.contract.report import Column, Hidden, Report
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.streams.position import BEGINNING_OF_STREAM
from ddb_assets.warehouse.errors import LoadError, WarehouseError
from ddb_assets.warehouse.iceberg.connection import IcebergEngine
from ddb_assets.warehouse.sql.noting import NotingEngine
from ddb_assets.warehouse.sql.rehearsal import rehearse
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.support.engines import AnyEngine, on_duckdb
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import EXTRA, KEY, VERSION, Item, Source, at, relation, report, write
from ddb_assets_tests.warehouse.rehearsing import compare, refused, without_rows
from ddb_assets_tests.warehouse.test_load_stream import Filled
from ddb_assets_tests.warehouse.test_tail import Streamed

DESIGN = WarehouseOptions(views="people", sortkey=("order_id",))


def export(folder: Path, time: int, *columns: Column, key: Column = KEY) -> Report:
    named = relation("orders", (key, *columns, VERSION, EXTRA))
    row = {key.name: "a", "_ddb_version": int(at(time).timestamp() * 1_000_000)}
    return report([write(folder / str(time), named, [row])], export_time=at(time))


def column(name: str, kind: str, **more: bool) -> Column:
    return Column(name=name, path=(name,), type=kind, **more)


def test_a_new_table_and_every_kind_of_change(warehouse: AnyEngine, tmp_path: Path) -> None:
    short, wide = KEY.model_copy(update={"type": "VARCHAR(16)"}), KEY.model_copy(update={"type": "VARCHAR(128)"})
    first = (column("n", "BIGINT"), column("t", "VARCHAR(16)"))
    made = compare(warehouse, export(tmp_path, 1, *first, key=short), tables=DESIGN)
    assert (list(made.before), list(made.after)) == ([], ["orders"])
    assert compare(warehouse, export(tmp_path, 2, *first, key=short), tables=DESIGN).statements == ()
    more = (column("n", "DECIMAL(38,2)"), column("t", "VARCHAR(600)"), column("j", "SUPER"))
    grown = compare(warehouse, export(tmp_path, 3, *more, key=wide), tables=DESIGN, soft_delete=True)
    assert grown.before["orders"]["n"] != grown.after["orders"]["n"]
    assert {"j", "_ddb_deleted_at"} <= grown.after["orders"].keys()


@on_duckdb
def test_texts_become_numbers_only_if_none_is_lost(warehouse: AnyEngine, tmp_path: Path) -> None:
    compare(warehouse, export(tmp_path, 1, column("n", "VARCHAR(16)")))
    warehouse.execute(Statement('UPDATE "main"."orders" SET n = \'12\''))
    retyped = compare(warehouse, export(tmp_path, 2, column("n", "BIGINT", declared=True)))
    assert any("_ddb_widened" in text for text in retyped.statements)
    warehouse.execute(Statement('UPDATE "main"."orders" SET n = 12'))
    assert "no type holds the values of both" in refused(warehouse, export(tmp_path, 3, column("n", "BOOLEAN")))


def test_what_is_hidden_and_a_history_and_a_table_that_starts_over(duckdb: AnyEngine, source: Source) -> None:
    source.hashed = True
    source.put(1, "a", "s3cret", "line")
    load(duckdb, source.full(10))
    masked = (Hidden(path="note", how="sha256", columns={"orders": ("_ddb_extra", "note")}),)
    hiding = source.window(10, 30).model_copy(update={"hidden": masked})
    said = compare(duckdb, hiding, history=HistoryOptions())
    assert said.remarks[0].startswith("note is hidden now")
    assert any(text.startswith('CREATE OR REPLACE VIEW "main"."orders_history"') for text in said.statements)
    assert "note must not be seen" in refused(duckdb, source.window(30, 40), history=HistoryOptions())
    over = compare(duckdb, source.full(50), restart=True)
    assert 'DELETE FROM "main"."_ddb_hidden__orders"' in over.statements


@on_duckdb
def test_refusals_are_those_of_the_load(warehouse: AnyEngine, source: Source) -> None:
    assert "has no initial load yet" in refused(warehouse, source.window(10, 30))
    load(warehouse, source.full(10))
    assert "begins before" in refused(warehouse, source.window(5, 30))
    other = source.full(40, table_arn="arn:aws:dynamodb:eu-west-1:123456789012:table/Other")
    assert "come from" in refused(warehouse, other)
    warehouse.execute(Statement('ALTER TABLE "main"."orders" DROP COLUMN "note"'))
    assert "has been dropped since" in refused(warehouse, source.window(10, 30))
    warehouse.execute(Statement('DROP TABLE "main"."orders"'))
    assert "is gone, but its ledger says" in refused(warehouse, source.window(10, 30))


def test_iceberg_tables(iceberg: IcebergEngine, tmp_path: Path) -> None:
    compare(iceberg, export(tmp_path, 1, column("n", "BIGINT")))
    grown = compare(iceberg, export(tmp_path, 2, column("n", "DECIMAL(38,2)"), column("j", "SUPER")))
    assert (grown.before["orders"].keys() ^ grown.after["orders"].keys()) == {"j"}


def test_records_of_a_stream_that_fills_the_table(duckdb: AnyEngine, source: Source) -> None:
    filled = Filled(duckdb, source)
    change = ("a", 1, Item("s3cret", ("x",)))
    assert compare(duckdb, filled.landing(change), moved=filled.move()).after.keys() == {"orders", "orders__lines"}
    masked = (Hidden(path="note", how="sha256", columns={"orders": ("_ddb_extra", "note")}),)
    hiding = filled.landing(("b", 2, Item("new"))).model_copy(update={"hidden": masked})
    said = compare(duckdb, hiding, moved=filled.move(), soft_delete=True, tables=DESIGN)
    assert said.remarks[0].startswith("note is hidden now")
    over = compare(duckdb, hiding, moved=replace(filled.move(), start=BEGINNING_OF_STREAM), restart=True)
    assert 'DELETE FROM "main"."orders"' in over.statements
    with pytest.raises(LoadError, match="a stream has filled 'orders'"):
        rehearse(duckdb, without_rows(source.full(10)))


@pytest.mark.parametrize("restart", [False, True])
def test_a_table_with_a_tail(duckdb: AnyEngine, source: Source, restart: bool) -> None:
    source.put(1, "a", "s3cret")
    load(duckdb, source.full(10))
    Streamed(duckdb, source).say(("a", 20, Item("said")))
    masked = (Hidden(path="note", how="sha256", columns={"orders": ("_ddb_extra", "note")}),)
    coming = source.full(30).model_copy(update={"hidden": masked})
    said = compare(duckdb, coming, restart=restart, tables=DESIGN)
    assert any('"_ddb_tail__orders"' in text for text in said.statements)


def test_what_is_loaded_already_is_said(duckdb: AnyEngine, source: Source) -> None:
    first = source.full(10)
    load(duckdb, first)
    with pytest.raises(LoadError, match="is loaded already"):
        rehearse(duckdb, without_rows(first))


def test_the_ledger_of_an_earlier_version_is_said(duckdb: AnyEngine, source: Source) -> None:
    columns = "relation VARCHAR(16), sequence BIGINT, export_id VARCHAR(16)"
    duckdb.execute(Statement(f'CREATE TABLE "main"."_ddb_loads" ({columns})'))
    with pytest.raises(LoadError, match="ledger of an earlier version"):
        rehearse(duckdb, source.full(10))


def test_rows_are_not_copied_where_nothing_is_run(duckdb: AnyEngine, source: Source) -> None:
    with pytest.raises(WarehouseError, match="only noted"):
        NotingEngine(duckdb).copy(source.full(10).root, TableName(None, "stage"))
