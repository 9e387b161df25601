"""The warehouses that a load must treat alike, and queries of their content."""

from typing import Any

import duckdb
import pytest

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.iceberg.connection import IcebergEngine
from ddb_assets.warehouse.postgres.connection import PostgresEngine
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.settings import RedshiftSettings
from ddb_assets.warehouse.sql.statements import Statement, TableName, quoted
from ddb_assets.warehouse.sql.warehouse import SqlWarehouse
from ddb_assets_tests.warehouse.conformance.clickhouse_subject import ClickHouseSubject
from ddb_assets_tests.warehouse.exports import Item


class SmallBuckets(IcebergEngine):
    """A warehouse whose tables are partitioned if they have two rows, so that windows replace a part of them."""

    bucket_rows = 1


AnyEngine = DuckDBEngine | RedshiftEngine | PostgresEngine

Followable = AnyEngine | ClickHouseWarehouse
"""Into these a stream of changes can be followed."""

followable = pytest.mark.parametrize("warehouse", ["duckdb", "clickhouse"], indirect=True)
"""For a test of `warehouse` that goes through the protocol only."""

on_duckdb = pytest.mark.parametrize("warehouse", ["duckdb"], indirect=True)
"""For a test of `warehouse` whose statements other tests send to Redshift too, so that only their outcome is of interest."""


def to_redshift(
    server: RedshiftServer, schema: str = "public", user: str = "", more: str = "", aws: AWS | None = None
) -> RedshiftEngine:
    storage = Storage(server.storage.s3)
    storage.s3.create_bucket(Bucket="staging")
    url = server.url.replace(server.user, user or server.user)
    settings = RedshiftSettings.parse(f"{url}?sslmode=disable&staging=s3://staging/copy&schema={schema}{more}")
    return RedshiftEngine(settings, storage=storage, aws=aws)


def wipe(warehouse: AnyEngine) -> None:
    """Drops every table and view. This is faster than a new warehouse; a new emulator would also translate all texts again."""
    if isinstance(warehouse, IcebergEngine):
        catalog = warehouse.store.catalog
        for namespace in catalog.list_namespaces():
            for name in catalog.list_tables(namespace):
                catalog.drop_table(name)
        warehouse.store.forget()
        return
    if isinstance(warehouse, DuckDBEngine):
        _wipe(warehouse.connection)
        return
    if isinstance(warehouse, PostgresEngine):
        for (schema,) in _of_postgres(
            warehouse, "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)'"
        ):
            warehouse.connection.execute(f"DROP SCHEMA {quoted(schema)} CASCADE")
        warehouse.connection.execute("CREATE SCHEMA public")
        return
    system = "('pg_catalog', 'information_schema', 'redshift')"
    for schema, view in select(
        warehouse, f"SELECT schemaname, viewname FROM pg_views WHERE schemaname NOT IN {system}"
    ):
        warehouse.execute(Statement(f"DROP VIEW {TableName(schema, view)}"))
    for schema, table in tables(warehouse):
        warehouse.execute(Statement(f"DROP TABLE {TableName(schema, table)} CASCADE"))


def _of_postgres(warehouse: PostgresEngine, query: str) -> list[tuple[Any, ...]]:
    return warehouse.connection.execute(query).fetchall()


def _wipe(connection: duckdb.DuckDBPyConnection) -> None:
    for (schema,) in connection.execute("SELECT schema_name FROM duckdb_schemas() WHERE NOT internal").fetchall():
        connection.execute(f"DROP SCHEMA {quoted(schema)} CASCADE")
    for (view,) in connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall():
        connection.execute(f"DROP VIEW {quoted(view)}")
    for database, table in connection.execute("SELECT database_name, table_name FROM duckdb_tables()").fetchall():
        connection.execute(f"DROP TABLE {quoted(database)}.main.{quoted(table)}")


def tables(warehouse: AnyEngine) -> list[tuple[Any, ...]]:
    """Schema and name of every permanent table."""
    if isinstance(warehouse, IcebergEngine):
        catalog = warehouse.store.catalog
        return [name for namespace in catalog.list_namespaces() for name in catalog.list_tables(namespace)]
    if isinstance(warehouse, DuckDBEngine):
        return warehouse.connection.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT temporary"
        ).fetchall()
    if isinstance(warehouse, PostgresEngine):
        return _of_postgres(
            warehouse, "SELECT schemaname, tablename FROM pg_tables WHERE schemaname !~ '^(pg_|information_s)'"
        )
    return select(
        warehouse,
        "SELECT DISTINCT schema_name, table_name FROM svv_redshift_columns WHERE LEFT(schema_name, 7) <> 'pg_temp'",
    )


def run(warehouse: Followable, sql: str) -> None:
    """What somebody else does to the table of a relation."""
    if isinstance(warehouse, ClickHouseWarehouse):
        ClickHouseSubject(warehouse).run(sql)
    else:
        warehouse.execute(Statement(sql))


def staging(warehouse: Followable) -> list[tuple[Any, ...]]:
    """The temporary tables."""
    if isinstance(warehouse, ClickHouseWarehouse):
        return warehouse.query("SELECT name FROM system.tables WHERE startsWith(name, '_ddb_stage__')")
    if isinstance(warehouse, DuckDBEngine):
        return warehouse.connection.execute("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall()
    if isinstance(warehouse, PostgresEngine):
        return _of_postgres(warehouse, "SELECT tablename FROM pg_tables WHERE schemaname ~ '^pg_temp'")
    return select(warehouse, "SELECT table_name FROM svv_redshift_columns WHERE LEFT(schema_name, 7) = 'pg_temp'")


def protocol(warehouse: Followable) -> SqlWarehouse | ClickHouseWarehouse:
    """By what users of a warehouse call it."""
    return warehouse if isinstance(warehouse, ClickHouseWarehouse) else SqlWarehouse(warehouse)


def select(warehouse: Followable, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query that all warehouses understand."""
    if isinstance(warehouse, ClickHouseWarehouse):
        return warehouse.query(sql)
    return warehouse.fetch(Statement(sql))


def read(warehouse: Followable, suffix: str = "", where: str = "") -> dict[str, Item]:
    """Key to item, from the root and the child table, or their views with a suffix.

    Fails on double rows, orphans and gaps in lists.
    """
    schema = warehouse.schema if isinstance(warehouse, ClickHouseWarehouse) else warehouse.default_schema
    orders, lists = (TableName(schema, f"{name}{suffix}") for name in ("orders", "orders__lines"))
    rows = select(warehouse, f"SELECT order_id, note FROM {orders} {where}")
    lines = select(warehouse, f'SELECT order_id, _ddb_index, "value" FROM {lists} ORDER BY order_id, _ddb_index')
    assert len({key for key, _ in rows}) == len(rows)
    found: dict[str, list[str]] = {key: [] for key, _ in rows}
    for key, index, value in lines:
        assert index == len(found[key])
        found[key].append(value)
    return {key: Item(note, tuple(found[key])) for key, note in rows}
