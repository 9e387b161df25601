"""Streaming ingestion: external schemas over Kinesis, materialized views of streams, and how attributes are named in them."""

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.sandbox.redshift.serving import ROLE, Database, connect

VIEW = (
    "CREATE MATERIALIZED VIEW {schema}.arrived AUTO REFRESH NO AS SELECT approximate_arrival_timestamp, refresh_time, "
    "shard_id, sequence_number, CASE WHEN CAN_JSON_PARSE(kinesis_data) THEN JSON_PARSE(kinesis_data) END AS record, "
    "CASE WHEN NOT CAN_JSON_PARSE(kinesis_data) THEN kinesis_data END AS unparsed FROM kds.{stream}"
)
REFRESH = "REFRESH MATERIALIZED VIEW arrived"


@dataclass
class Streamed:
    """A stream of two shards, and a schema with a materialized view of it."""

    db: Database
    kinesis: Any
    stream: str

    def put(self, *records: object) -> None:
        for place, record in enumerate(records):
            data = record if isinstance(record, bytes) else json.dumps(record).encode()
            self.kinesis.put_record(StreamName=self.stream, Data=data, PartitionKey=f"{place}")

    def refresh(self) -> None:
        self.db.run(REFRESH)


@pytest.fixture
def streamed(sandbox: Sandbox, streaming_redshift: RedshiftServer) -> Iterator[Streamed]:
    stream, kinesis = f"s{uuid.uuid4().hex}", sandbox.kinesis()
    kinesis.create_stream(StreamName=stream, ShardCount=2)
    sandbox.clock.advance(timedelta(minutes=1))
    schema = f"t{uuid.uuid4().hex[:12]}"
    with closing(connect(streaming_redshift)) as connection:
        db = Database(streaming_redshift, connection, schema)
        for statement in (
            f"CREATE SCHEMA {schema}",
            f"SET search_path TO {schema}",
            f"CREATE EXTERNAL SCHEMA IF NOT EXISTS kds FROM KINESIS REGION 'eu-west-1' IAM_ROLE '{ROLE}'",
            VIEW.format(schema=schema, stream=stream),
        ):
            db.run(statement)
        yield Streamed(db, kinesis, stream)
    streaming_redshift.faults.clear()


def test_a_refresh_brings_each_record_once_from_the_oldest_on(streamed: Streamed) -> None:
    streamed.put({"n": 1}, {"n": 2}, {"n": 3})
    for _ in range(2):
        streamed.refresh()
        assert streamed.db.run("SELECT record.n::BIGINT FROM arrived ORDER BY 1") == [[1], [2], [3]]
    streamed.put({"n": 4})
    streamed.refresh()
    assert streamed.db.one("SELECT COUNT(*) FROM arrived") == 4
    assert streamed.db.one("SELECT COUNT(DISTINCT refresh_time) FROM arrived") == 2
    assert streamed.db.one("SELECT SUM(scanned_rows) FROM sys_stream_scan_states WHERE mv_name = 'arrived' "
                           f"AND stream_name = '{streamed.stream}'") == 4  # fmt: skip


def test_what_is_no_json_stays_as_bytes(streamed: Streamed) -> None:
    """SUPER holds no text of more than 65,535 bytes, and reports differ on U+0000."""
    streamed.put({"n": 1}, b"no json", {"text": "x" * 65_536}, {"text": "\0"}, b'{"n": 1, "n": 2}')
    streamed.refresh()
    assert streamed.db.run("SELECT COUNT(record), COUNT(unparsed) FROM arrived") == [[1, 4]]


def test_rows_can_be_deleted_and_do_not_come_back(streamed: Streamed) -> None:
    streamed.put({"n": 1}, {"n": 2})
    streamed.refresh()
    streamed.db.run("DELETE FROM arrived WHERE record.n::BIGINT = 1")
    streamed.refresh()
    assert streamed.db.run("SELECT record.n::BIGINT FROM arrived") == [[2]]


def test_lists_are_unnested_with_their_positions(streamed: Streamed) -> None:
    streamed.put({"n": 1, "lines": [{"a": "x", "parts": ["p", "q"]}, {"a": "y"}]}, {"n": 2})
    streamed.refresh()
    both = "SELECT i, e.a::VARCHAR(9) FROM arrived AS n, n.record.lines AS e AT i ORDER BY i"
    assert streamed.db.run(both) == [[0, "x"], [1, "y"]]
    inner = "SELECT i, j, f::VARCHAR(9) FROM arrived AS n, n.record.lines AS e AT i, e.parts AS f AT j ORDER BY j"
    assert streamed.db.run(inner) == [[0, 0, "p"], [0, 1, "q"]]


def test_the_case_of_quoted_attributes_counts_where_a_session_says_so(streamed: Streamed) -> None:
    """A view keeps the names as they were read when it was created, a late-binding view reads them as each session does."""
    streamed.put({"Name": "x", "name": "y"})
    streamed.refresh()
    db, query = streamed.db, 'SELECT arrived.record."Name"::VARCHAR(9) AS found FROM {0}.arrived'
    assert db.one(query.format(db.schema)) == "y"
    db.run("SET enable_case_sensitive_identifier TO true")
    assert db.one(query.format(db.schema) + " ") == "x"
    db.run(f"CREATE VIEW bound AS {query.format(db.schema)}")
    db.run(f"CREATE VIEW late AS {query.format(db.schema)} WITH NO SCHEMA BINDING")
    assert db.run("SELECT b.found, l.found FROM bound AS b, late AS l") == [["x", "x"]]
    db.refused("capital letters", 'SELECT 1 AS "One"')
    db.run("SET enable_case_sensitive_identifier TO false")
    assert db.run("SELECT b.found, l.found  FROM bound AS b, late AS l") == [["x", "y"]]


def test_what_redshift_skips_is_in_its_system_views(streamed: Streamed) -> None:
    streamed.put({"n": 1}, {"n": 2})
    streamed.db.server.faults.skip_records(1)
    streamed.refresh()
    assert streamed.db.one("SELECT COUNT(*) FROM arrived") == 1
    mine = f"WHERE stream_name = '{streamed.stream}'"
    assert streamed.db.one(f"SELECT SUM(skipped_rows) FROM sys_stream_scan_states {mine}") == 1
    assert "size" in streamed.db.one(f"SELECT error_reason FROM sys_stream_scan_errors {mine}")


@pytest.mark.parametrize(
    ("message", "statement"),
    [
        ('near "SORTKEY"', "CREATE MATERIALIZED VIEW x AUTO REFRESH NO SORTKEY(shard_id) AS SELECT shard_id FROM kds.s"),
        ("Column aliases", "CREATE MATERIALIZED VIEW x AS SELECT shard_id FROM (SELECT shard_id FROM kds.s) AS t"),
        ("Column aliases", "CREATE MATERIALIZED VIEW x AS WITH t AS (SELECT 1 AS a FROM kds.s) SELECT a FROM t"),
        ("Column aliases", "CREATE MATERIALIZED VIEW x AS SELECT t.shard_id FROM kds.s AS t"),
        ("incrementally", "CREATE MATERIALIZED VIEW x AS SELECT COUNT(*) AS n FROM kds.s"),
        ("no AUTO REFRESH", "CREATE MATERIALIZED VIEW x AUTO REFRESH YES AS SELECT shard_id FROM {0}.arrived"),
        ("no external schema", "CREATE MATERIALIZED VIEW x AS SELECT shard_id FROM {0}.arrived"),
        ("does not exist", "SELECT * FROM kds.{1}"),
        ("except by DELETE", "UPDATE arrived SET shard_id = 'x'"),
        ("except by DELETE", "INSERT INTO arrived (shard_id) VALUES ('x')"),
        ("cannot be altered", "ALTER TABLE arrived RENAME COLUMN shard_id TO shard"),
        ("cannot be altered", "ALTER TABLE arrived ADD COLUMN more INT"),
        ("DROP MATERIALIZED VIEW", "DROP VIEW arrived"),
        ("not a materialized view", "REFRESH MATERIALIZED VIEW missing"),
        ("IAM_ROLE", "CREATE EXTERNAL SCHEMA other FROM KINESIS"),
    ],
)  # fmt: skip
def test_what_redshift_refuses(streamed: Streamed, message: str, statement: str) -> None:
    streamed.db.refused(message, statement.format(streamed.db.schema, streamed.stream))


def test_a_refresh_is_no_part_of_a_transaction(streamed: Streamed) -> None:
    streamed.db.run("BEGIN")
    streamed.db.refused("transaction block", REFRESH)
    streamed.db.run("ROLLBACK")


def test_a_materialized_view_is_a_view_and_dropped_as_one(streamed: Streamed) -> None:
    db = streamed.db
    assert db.one(
        "SELECT definition FROM pg_views WHERE viewname = 'arrived' AND schemaname = %s", db.schema
    ).startswith("CREATE MATERIALIZED VIEW")
    db.run("CREATE VIEW above AS SELECT shard_id FROM arrived")
    db.refused("depend", "DROP MATERIALIZED VIEW arrived")
    db.run("DROP MATERIALIZED VIEW arrived CASCADE")
    db.refused("does not exist", "SELECT * FROM above")
