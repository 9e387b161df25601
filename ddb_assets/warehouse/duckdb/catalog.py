"""What is in a DuckDB file's catalog: schemas, tables, views, columns."""

from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from ddb_assets.contract.column_type import MAX_VARBYTE, MAX_VARCHAR
from ddb_assets.warehouse.sql.engine import Layout, Standing
from ddb_assets.warehouse.sql.statements import TableName

Rows = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
"""Runs a query of DuckDB's own with its values, its errors translated into ours."""
_CATALOG_TYPES: dict[str, str] = {
    "DOUBLE": "DOUBLE PRECISION",
    "VARCHAR": f"VARCHAR({MAX_VARCHAR})",
    "BLOB": f"VARBYTE({MAX_VARBYTE})",
    "JSON": "SUPER",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ",
}


def has_schema(rows: Rows, database: str, schema: str) -> bool:
    """See `SqlEngine.has_schema`."""
    found = rows("SELECT 1 FROM duckdb_schemas() WHERE database_name = ? AND schema_name = ?", [database, schema])
    return bool(found)


def tables(rows: Rows, database: str, schema: str, prefix: str) -> list[str]:
    """See `SqlEngine.tables`."""
    found = rows(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? "
        "AND starts_with(table_name, ?) ORDER BY table_name",
        [database, schema, prefix],
    )
    return [str(name) for (name,) in found]


def standing(rows: Rows, database: str, name: TableName) -> Standing | None:
    """See `SqlEngine.standing`."""
    found = rows(
        "SELECT 'view', sql FROM duckdb_views() WHERE database_name = $1 AND schema_name = $2 AND view_name = $3 "
        "UNION ALL SELECT 'table', '' FROM duckdb_tables() "
        "WHERE database_name = $1 AND schema_name = $2 AND table_name = $3",
        [database, name.schema, name.name],
    )
    return Standing("view" if found[0][0] == "view" else "table", "", str(found[0][1])) if found else None


def layouts(rows: Rows, database: str, schema: str, names: Collection[str]) -> dict[str, Layout]:
    """See `SqlEngine.layouts`. DuckDB keeps no length of text or bytes, so they have the largest."""
    found = rows(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() "
        "WHERE database_name = ? AND schema_name = ? AND list_contains(?, table_name) ORDER BY table_name, column_index",
        [database, schema, list(names)],
    )
    return {
        table: Layout.of([(str(name), str(_CATALOG_TYPES.get(kind, kind))) for _, name, kind in columns])
        for table, columns in groupby(found, itemgetter(0))
    }
