"""What is in a DuckDB file's catalog: schemas, tables, views, columns."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import duckdb

from ddb_assets.contract.column_type import MAX_VARBYTE, MAX_VARCHAR
from ddb_assets.warehouse.sql.engine import Layout, Standing
from ddb_assets.warehouse.sql.statements import TableName, quoted

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
    where, values = "WHERE database_name = ? AND schema_name = ?", [database, name.schema, name.name]
    if found := rows(f"SELECT sql FROM duckdb_views() {where} AND view_name = ?", values):  # noqa: S608 -- no names in it
        return Standing("view", "", str(found[0][0]))
    return Standing("table") if rows(f"SELECT 1 FROM duckdb_tables() {where} AND table_name = ?", values) else None  # noqa: S608


def layouts(
    connection: duckdb.DuckDBPyConnection, database: str, schema: str, names: Collection[str]
) -> dict[str, Layout]:
    """See `SqlEngine.layouts`. DuckDB keeps no length of text or bytes, so they have the largest.

    Names are looked up one by one: `duckdb_columns()` lists all of DuckDB's own views, which takes longer than ten names do.
    """
    found = {}
    for name in sorted(names):
        try:
            table = connection.table(".".join(map(quoted, (database, schema, name))))
        except (duckdb.CatalogException, duckdb.BinderException):  # it is not there, or a view of what is not
            continue
        kinds = [str(kind) for kind in table.types]
        columns = zip(table.columns, kinds, strict=True)
        found[name] = Layout.of([(column, _CATALOG_TYPES.get(kind, kind)) for column, kind in columns])
    return found
