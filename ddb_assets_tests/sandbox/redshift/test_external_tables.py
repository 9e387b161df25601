"""Iceberg tables of the Glue Data Catalog are read as they are when a statement begins, and never changed."""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from pyiceberg.catalog.glue import GlueCatalog
from redshift_connector.error import Error

from ddb_assets.sandbox.redshift.external_tables import BINARY_BYTES, TEXT_BYTES
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.sandbox.redshift.serving import ROLE, Database, connect

DATABASE = "lake"


@pytest.fixture(scope="module")
def catalog(sandbox: Sandbox) -> GlueCatalog:
    sandbox.s3().create_bucket(Bucket="iceberg")
    made = GlueCatalog("test", client=sandbox.glue(), warehouse="s3://iceberg", **sandbox.data_catalog().files)
    made.create_namespace(DATABASE)
    return made


@pytest.fixture
def outer(streaming_redshift: RedshiftServer) -> Iterator[Database]:
    schema = f"t{uuid.uuid4().hex[:12]}"
    made = Database(streaming_redshift, connect(streaming_redshift), schema)
    made.run(f"CREATE SCHEMA {schema}")
    made.run(f"SET search_path TO {schema}")
    made.run(f"CREATE EXTERNAL SCHEMA IF NOT EXISTS cold FROM DATA CATALOG DATABASE '{DATABASE}' IAM_ROLE '{ROLE}'")
    yield made
    for connection in (made.connection, *made.others):
        with suppress(Error, OSError):
            connection.close()


def numbers(*values: int) -> pa.Table:
    return pa.table({"n": pa.array(values, pa.int64())})


def test_a_statement_reads_the_newest_snapshot(catalog: GlueCatalog, outer: Database) -> None:
    """Also in a transaction that began before the snapshot, and when the statement is prepared already."""
    outer.refused("does not exist", "SELECT n FROM cold.newest")
    table = catalog.create_table((DATABASE, "newest"), numbers().schema)
    query = "SELECT n FROM cold.newest ORDER BY n"
    assert outer.run(query) == []
    table.append(numbers(1))
    assert outer.run(query) == [[1]]
    outer.run("BEGIN")
    assert outer.run(query) == [[1]]
    table.append(numbers(2))
    assert outer.run(query) == [[1], [2]]
    outer.run("ROLLBACK")
    assert outer.run(query) == [[1], [2]]
    table.delete("n = 1")
    assert outer.run(query) == [[2]] == outer.other().run(query)


def test_it_can_be_joined_and_shown_by_a_late_binding_view_only(catalog: GlueCatalog, outer: Database) -> None:
    catalog.create_table((DATABASE, "joined"), numbers().schema).append(numbers(1, 2))
    outer.run("CREATE TABLE own (n BIGINT)")
    outer.run("INSERT INTO own SELECT joined.n + 1 FROM cold.joined")
    both = f"SELECT own.n FROM {outer.schema}.own INNER JOIN cold.joined ON joined.n = own.n"
    outer.refused("External tables are not supported in views", f"CREATE VIEW v AS {both}")
    outer.run(f"CREATE VIEW v AS {both} WITH NO SCHEMA BINDING")
    assert outer.run("SELECT n FROM v") == [[2]]
    outer.run("CREATE TABLE copied AS SELECT n FROM cold.joined")
    assert outer.one("SELECT COUNT(*) FROM copied") == 2
    for change in ("INSERT INTO cold.joined VALUES (3)", "DELETE FROM cold.joined", "UPDATE cold.joined SET n = 3"):
        outer.refused("only reads", change)
    outer.run("DELETE FROM own USING cold.joined WHERE joined.n = own.n")
    assert outer.run("SELECT n FROM own") == [[3]]


def test_types_are_those_of_redshift(catalog: GlueCatalog, outer: Database) -> None:
    moment = datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)
    values = {
        "a": pa.array([True, None]),
        "b": pa.array([date(2026, 3, 1), None]),
        "c": pa.array([moment.replace(tzinfo=None), None], pa.timestamp("us")),
        "d": pa.array([moment, None], pa.timestamp("us", "UTC")),
        "e": pa.array([Decimal("123456789012345678901234567890.12345678"), None], pa.decimal128(38, 8)),
        "f": pa.array(["", None]),
        "g": pa.array([b"\0\xff", None]),
        "h": pa.array([0.1, None]),
    }
    table = pa.table(values)
    catalog.create_table((DATABASE, "typed"), table.schema).append(table)
    found = outer.run("SELECT a, b, c, d, e, f, FROM_VARBYTE(g, 'hex'), h FROM cold.typed")
    row = [True, date(2026, 3, 1), moment.replace(tzinfo=None), moment, values["e"][0].as_py(), "", "00ff", 0.1]
    assert sorted(found, key=str) == sorted([row, [None] * 8], key=str)


def test_long_values_are_cut(catalog: GlueCatalog, outer: Database) -> None:
    long = pa.table({"a": ["x" * (TEXT_BYTES - 1) + "é"], "b": [b"y" * (BINARY_BYTES + 1)]})
    catalog.create_table((DATABASE, "long"), long.schema).append(long)
    query = "SELECT OCTET_LENGTH(a), OCTET_LENGTH(b) FROM cold.long"
    assert outer.run(query) == [[TEXT_BYTES - 1, BINARY_BYTES]]


def test_what_is_no_iceberg_table_is_refused(sandbox: Sandbox, catalog: GlueCatalog, outer: Database) -> None:
    assert catalog.namespace_exists(DATABASE)
    sandbox.glue().create_table(DatabaseName=DATABASE, TableInput={"Name": "hive"})
    outer.refused("Iceberg tables only", "SELECT 1 FROM cold.hive")
    outer.refused("FROM DATA CATALOG DATABASE", "CREATE EXTERNAL SCHEMA s FROM DATA CATALOG DATABASE 'x'")
