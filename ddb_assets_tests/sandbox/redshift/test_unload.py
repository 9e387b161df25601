"""UNLOAD writes the rows of a query as Parquet, and refuses what Redshift refuses."""

import json
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddb_assets_tests.sandbox.redshift.serving import ROLE, Database
from ddb_assets_tests.support.places import Place


def test_rows_become_files_and_a_manifest(db: Database, lake: Place) -> None:
    db.run("CREATE TABLE t (a BIGINT, b VARCHAR(9), c DECIMAL(20,2), d DATE, e BOOLEAN, f DOUBLE PRECISION, g SUPER)")
    db.run("INSERT INTO t SELECT 1, 'it''s', 1.5, '2026-03-01', true, 0.1, JSON_PARSE('{\"x\":[1]}')")
    db.run("INSERT INTO t (a, b) VALUES (2, '')")
    db.run("INSERT INTO t (a) VALUES (3)")
    prefix = f"{lake.root}/out/"
    query = "SELECT a, b, c, d, e, f, g FROM t WHERE b IS NULL OR b <> ''none'' ORDER BY a"
    unload = f"UNLOAD ('{query}') TO '{prefix}' IAM_ROLE '{ROLE}' FORMAT AS PARQUET MANIFEST VERBOSE MAXFILESIZE 100 MB"
    db.run(unload)
    manifest = json.loads(lake.storage.read(f"{prefix}manifest"))
    assert manifest["meta"]["record_count"] == 3
    found = []
    for entry in manifest["entries"]:
        with lake.storage.open(entry["url"]) as file:
            found += pq.read_table(pa.BufferReader(file.read())).to_pylist()
    names = "abcdefg"
    assert found == [
        dict(zip(names, (1, "it's", Decimal("1.50"), date(2026, 3, 1), True, 0.1, '{"x": [1]}'), strict=True)),
        {**dict.fromkeys(names), "a": 2, "b": ""},
        {**dict.fromkeys(names), "a": 3},
    ]
    db.refused("not empty", unload)
    db.run(f"{unload} ALLOWOVERWRITE")


def test_nothing_is_a_manifest_without_files(db: Database, lake: Place) -> None:
    db.run("CREATE TABLE t (a BIGINT)")
    db.run(f"UNLOAD ('SELECT a FROM t') TO '{lake.root}/o/' IAM_ROLE default FORMAT PARQUET MANIFEST")
    assert json.loads(lake.storage.read(f"{lake.root}/o/manifest")) == {"entries": []}


@pytest.mark.parametrize(
    ("message", "query", "options"),
    [
        ("varbyte", "SELECT b FROM t", "IAM_ROLE default FORMAT PARQUET"),
        ("timestamp", "SELECT c FROM t", "IAM_ROLE default FORMAT PARQUET"),
        ("IAM_ROLE", "SELECT a FROM t", "FORMAT PARQUET"),
        ("Parquet only", "SELECT a FROM t", "IAM_ROLE default"),
        ("takes a SELECT", "DROP TABLE t", "IAM_ROLE default FORMAT PARQUET"),
        ("together", "SELECT a FROM t", "IAM_ROLE default FORMAT PARQUET ALLOWOVERWRITE CLEANPATH"),
        ("syntax error", "SELECT a FROM t", "IAM_ROLE default FORMAT PARQUET SLOWLY"),
    ],
)
def test_what_is_refused(db: Database, lake: Place, message: str, query: str, options: str) -> None:
    db.run("CREATE TABLE t (a BIGINT, b VARBYTE(9), c TIMESTAMP)")
    db.run("INSERT INTO t (a) VALUES (1)")
    db.refused(message, f"UNLOAD ('{query}') TO '{lake.root}/o/' {options}")
    assert not list(lake.storage.list(f"{lake.root}/o"))
