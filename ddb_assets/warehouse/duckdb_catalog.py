"""What is in a DuckDB file's catalog: schemas, tables, views, columns."""

import duckdb

from ddb_assets.column_type import MAX_VARBYTE, MAX_VARCHAR, SqlType
from ddb_assets.warehouse.protocol import Layout, Standing
from ddb_assets.warehouse.sql import Table

_CATALOG_TYPES = {
    "DOUBLE": "DOUBLE PRECISION",
    "VARCHAR": f"VARCHAR({MAX_VARCHAR})",
    "BLOB": f"VARBYTE({MAX_VARBYTE})",
    "JSON": "SUPER",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ",
}


def has_schema(connection: duckdb.DuckDBPyConnection, database: str, schema: str) -> bool:
    """See `Warehouse.has_schema`."""
    found = connection.execute(
        "SELECT 1 FROM duckdb_schemas() WHERE database_name = ? AND schema_name = ?", [database, schema]
    )
    return bool(found.fetchall())


def tables(connection: duckdb.DuckDBPyConnection, database: str, schema: str, prefix: str) -> list[str]:
    """See `Warehouse.tables`."""
    found = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? "
        "AND starts_with(table_name, ?) ORDER BY table_name",
        [database, schema, prefix],
    )
    return [str(name) for (name,) in found.fetchall()]


def standing(connection: duckdb.DuckDBPyConnection, database: str, name: Table) -> Standing | None:
    """See `Warehouse.standing`."""
    found = connection.execute(
        "SELECT 'view', sql FROM duckdb_views() WHERE database_name = $1 AND schema_name = $2 AND view_name = $3 "
        "UNION ALL SELECT 'table', '' FROM duckdb_tables() "
        "WHERE database_name = $1 AND schema_name = $2 AND table_name = $3",
        [database, name.schema, name.name],
    ).fetchone()
    return Standing("view" if found[0] == "view" else "table", "", str(found[1])) if found else None


def layout(connection: duckdb.DuckDBPyConnection, database: str, table: Table) -> Layout:
    """See `Warehouse.layout`. DuckDB keeps no length of text or bytes, so they have the largest."""
    found = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() "
        "WHERE database_name = ? AND schema_name = ? AND table_name = ? ORDER BY column_index",
        [database, table.schema, table.name],
    ).fetchall()
    types: dict[str, SqlType] = {}
    foreign: dict[str, str] = {}
    for name, kind in found:
        try:
            types[name] = SqlType.parse(_CATALOG_TYPES.get(kind, kind))
        except ValueError:
            foreign[name] = kind
    return Layout(types, foreign)
