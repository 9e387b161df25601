"""Every statement of a load is valid in Redshift, and does only what Redshift can do in a transaction."""

import pytest
import sqlglot
from sqlglot import exp

from ddb_assets.contract.column_type import SqlType
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.sql import evolution
from ddb_assets.warehouse.sql.engine import Layout
from ddb_assets.warehouse.sql.statements import IdentifierError, Statement, TableName, quoted
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.exports import Source


class Recording(DuckDBEngine):
    """Records the statements that it is given."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.seen: list[str] = []

    def execute(self, statement: Statement) -> None:
        self.seen.append(statement.text)
        super().execute(statement)


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    source = Source(tmp_path_factory.mktemp("parquet"))
    source.put(1, "a", "x", "l")
    exports = [source.full(5)]
    source.put(11, "b", "y", "m")
    source.delete(12, "a")
    exports += [source.window(10, 20), source.full(20), source.full(10), source.window(30, 10**14)]
    with Recording() as warehouse:
        for export in exports:
            load(warehouse, export)
            load(warehouse, export, soft_delete=True, schema="kept")
        load(warehouse, exports[-1], force=True, schema="kept")
    table = TableName("main", "orders")
    have = {"a": SqlType.parse("VARCHAR(16)"), "b": SqlType.parse("DECIMAL(38,2)")}
    want = {"a": SqlType.parse("VARCHAR(64)"), "b": SqlType.parse("VARCHAR(64)"), "c": SqlType.parse("SUPER")}
    steps = evolution.steps(table, want, Layout(have))
    return sorted({*warehouse.seen, *(s.text for step in steps for s in step.statements)})


def test_every_statement_is_redshift_sql(emitted: list[str]) -> None:
    assert len(emitted) > 45
    for text in emitted:
        parsed = sqlglot.parse_one(text, read="redshift")
        assert not isinstance(parsed, exp.Command), text
        assert len(sqlglot.parse(text, read="redshift")) == 1
        assert not list(parsed.find_all(exp.PrimaryKey, exp.PrimaryKeyColumnConstraint, exp.NotNullColumnConstraint))
        assert not isinstance(parsed, exp.TruncateTable)


def test_identifiers_are_all_quoted(emitted: list[str]) -> None:
    in_ledger = {"relation", "sequence", "export_id", "export_time", "table_id", "digest"}
    for text in emitted:
        for name in sqlglot.parse_one(text, read="redshift").find_all(exp.Identifier):
            assert name.quoted or "_ddb_loads__" in text, (name, text)
    assert in_ledger <= {name for text in emitted for name in _names(text)}


def _names(text: str) -> set[str]:
    return {column.name for column in sqlglot.parse_one(text, read="redshift").find_all(exp.Column)}


def test_staging_tables_have_no_schema(emitted: list[str]) -> None:
    staging = [
        table
        for text in emitted
        for table in sqlglot.parse_one(text, read="redshift").find_all(exp.Table)
        if table.name.startswith("_ddb_stage_")
    ]
    assert staging
    assert not any(table.db for table in staging)


def test_ddl_is_what_redshift_can_do() -> None:
    """One column per ALTER. A VARCHAR grows outside a transaction. Any other widening adds, copies and renames in one."""
    have = {"a": "VARCHAR(16)", "b": "BIGINT", "same": "VARCHAR(99)"}
    want = {"a": "VARCHAR(64)", "b": "DECIMAL(38,2)", "same": "VARCHAR(16)", "n": "SUPER", "m": "BOOLEAN"}
    steps = evolution.steps(
        TableName("s", "t"),
        {name: SqlType.parse(kind) for name, kind in want.items()},
        Layout({name: SqlType.parse(kind) for name, kind in have.items()}),
    )
    assert [(step.atomic, [s.text for s in step.statements]) for step in steps] == [
        (True, ['ALTER TABLE "s"."t" ADD COLUMN "n" SUPER', 'ALTER TABLE "s"."t" ADD COLUMN "m" BOOLEAN']),
        (False, ['ALTER TABLE "s"."t" ALTER COLUMN "a" TYPE VARCHAR(64)']),
        (
            True,
            [
                'ALTER TABLE "s"."t" ADD COLUMN "_ddb_widened" DECIMAL(38,2)',
                'UPDATE "s"."t" SET "_ddb_widened" = CAST("t"."b" AS DECIMAL(38,2))',
                'ALTER TABLE "s"."t" DROP COLUMN "b"',
                'ALTER TABLE "s"."t" RENAME COLUMN "_ddb_widened" TO "b"',
            ],
        ),
    ]


def test_a_column_is_never_narrowed_or_dropped() -> None:
    have = Layout({"a": SqlType.parse("VARCHAR(64)"), "other": SqlType.parse("DATE")})
    assert evolution.steps(TableName("s", "t"), {"a": SqlType.parse("BIGINT")}, have) == []
    assert evolution.steps(TableName("s", "t"), {"other": SqlType.parse("BIGINT")}, have, frozenset({"other"})) == []
    (step,) = evolution.steps(TableName("s", "t"), {"other": SqlType.parse("BIGINT")}, have)
    assert step.unless == Statement('SELECT COUNT("t"."other") FROM "s"."t"')
    assert "column 'other'" in step.refusal


@pytest.mark.parametrize("name", ["", "a\0b", "ä" * 64])
def test_a_name_that_redshift_would_change_is_refused(name: str) -> None:
    with pytest.raises(IdentifierError, match="1 to 127 bytes"):
        quoted(name)


def test_a_name_is_quoted_whatever_it_holds() -> None:
    assert quoted('x"; DROP TABLE y; --') == '"x""; DROP TABLE y; --"'
    assert quoted("ä" * 63) == f'"{"ä" * 63}"'
