"""What loads in SQL have of their own: names in statements, the schema of a load, and the lines of the log."""

import logging
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.contract.report import Column
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets.warehouse.sql.warehouse import SqlWarehouse
from ddb_assets_tests.support.engines import AnyEngine, read, select
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import (
    BASE_MICROS,
    EXTRA,
    KEY,
    VERSION,
    Row,
    Source,
    at,
    relation,
    report,
    write,
)


def test_the_log_says_what_a_load_did(duckdb: DuckDBEngine, source: Source, caplog: pytest.LogCaptureFixture) -> None:
    source.put(1, "a", "a secret", "x")
    export = source.full(10)
    with caplog.at_level(logging.INFO, logger="ddb_assets.warehouse"):
        load(duckdb, export)
        load(duckdb, export)
    applied, again = caplog.messages
    assert applied.startswith(f"table orders: export {export.export_id} applied in ")
    assert applied.endswith(" s: 1 upserted, 0 deleted, 0 stale, 0 quarantined")
    assert again == f"table orders: export {export.export_id} was applied before"


def test_two_tables_of_one_name_have_a_schema_each(warehouse: AnyEngine, source: Source) -> None:
    """Its name is not code either."""
    source.put(1, "a", "x")
    load(warehouse, source.full(10))
    source.put(11, "b", "y")
    other = source.full(20, table_arn="arn:aws:dynamodb:eu-west-1:123456789012:table/Other")
    with pytest.raises(LoadError, match=r"give one of the two tables another name or schema$"):
        load(warehouse, other)
    assert load(warehouse, other, schema='sch"ema; --').applied
    assert set(read(warehouse)) == {"a"}
    assert sorted(select(warehouse, 'SELECT order_id FROM "sch""ema; --".orders')) == [("a",), ("b",)]


def test_duckdb_keeps_the_text_of_a_document(duckdb: DuckDBEngine, tmp_path: Path) -> None:
    """Redshift changes the order of members."""
    text = '{"n":1.10,"big":12345678901234567890123456789012345678,"s":"O\'B","l":["1E+125",null]}'
    root = relation("orders", (KEY, Column(name="json", path=("json",), type="SUPER"), VERSION, EXTRA))
    rows: list[Row] = [{"order_id": "a", "json": text, "_ddb_version": BASE_MICROS + 9}]
    load(duckdb, report([write(tmp_path, root, rows)], export_time=at(9)))
    assert select(duckdb, "SELECT json FROM orders") == [(text,)]


def test_the_rows_of_all_tables_are_counted_in_one_query(
    warehouse: AnyEngine, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.put(1, "a", "x", "y", "z")
    load(warehouse, source.full(10))
    fetch, asked = type(warehouse).fetch, list[str]()

    def watched(engine: Any, statement: Statement) -> list[tuple[object, ...]]:
        asked.append(statement.text)
        return fetch(engine, statement)

    monkeypatch.setattr(type(warehouse), "fetch", watched)
    assert SqlWarehouse(warehouse).recorded("orders", counted=True).differing == {}
    assert len([sql for sql in asked if "COUNT(*)" in sql]) == 1
