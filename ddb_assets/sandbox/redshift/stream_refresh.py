"""REFRESH MATERIALIZED VIEW: reads what has arrived in a Kinesis stream since the last refresh, each record once.

The first refresh begins with the oldest record. Records and position are in one transaction. A fault makes Redshift skip
records, which it notes in SYS_STREAM_SCAN_ERRORS and SYS_STREAM_SCAN_STATES.
Facts: Redshift Database Developer Guide, "Streaming ingestion to a materialized view", SYS_STREAM_SCAN_STATES,
SYS_STREAM_SCAN_ERRORS.
"""
# ruff: noqa: S608  -- the emulator's own statements; texts go through literal()

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from ddb_assets.sandbox.redshift.backend import Backend, literal
from ddb_assets.sandbox.redshift.faults import Faults
from ddb_assets.sandbox.redshift.stream_views import ARRIVALS
from ddb_assets.sandbox.redshift.wire import ServerError

ROWS = 500  # in one INSERT
PAUSE = 0.2  # seconds; a shard answers five times a second


def refresh(backend: Backend, kinesis: Any, view: str, faults: Faults) -> None:
    """Refreshes the view of this name in PostgreSQL. Raises ServerError when it is none, or Kinesis refuses."""
    if backend.status != b"I":
        raise ServerError("REFRESH MATERIALIZED VIEW cannot run inside a transaction block", "25001")
    found = backend.query(f"SELECT view, about FROM redshift.stream_views WHERE view = to_regclass({literal(view)})")
    if not found:
        raise ServerError(f"{view} is not a materialized view", "42809")
    if kinesis is None:
        raise ServerError("the emulator was started without Kinesis", "0A000")
    oid, about = str(found[0][0]), json.loads(str(found[0][1]))
    backend.query("BEGIN")
    try:
        backend.query(f"LOCK TABLE {about['backing']} IN EXCLUSIVE MODE")
        _take(backend, kinesis, oid, about, faults)
        backend.query("COMMIT")
    except ClientError as error:
        backend.query("ROLLBACK")
        raise ServerError(f"Kinesis refused to read the stream: {error}", "XX000") from error
    except BaseException:
        backend.query("ROLLBACK")
        raise


def _take(backend: Backend, kinesis: Any, oid: str, about: dict[str, str], faults: Faults) -> None:
    positions = backend.query(f"SELECT shard, sequence FROM redshift.stream_positions WHERE view = {oid}")
    known = {row[0]: row[1] for row in positions}
    names = ", ".join(literal(about[name]) for name in ("schema", "stream", "name"))
    for shard in _shards(kinesis, about["stream"]):
        records = list(_records(kinesis, about["stream"], shard, known.get(shard)))
        now = _now(records)
        taken = [record for record in records if not faults.skips_record()]
        for start in range(0, len(taken), ROWS):
            rows = ", ".join(_row(shard, record, now) for record in taken[start : start + ROWS])
            backend.query(f"INSERT INTO redshift.{ARRIVALS} VALUES {rows}")
        if not records:
            continue
        last = literal(records[-1]["SequenceNumber"])
        skipped = len(records) - len(taken)
        backend.query(
            f"INSERT INTO redshift.stream_positions VALUES ({oid}, {literal(shard)}, {last}) "
            "ON CONFLICT (view, shard) DO UPDATE SET sequence = excluded.sequence"
        )
        backend.query(
            f"INSERT INTO redshift.stream_scans VALUES ({names}, {now}, {literal(shard)}, {last}, {len(taken)}, {skipped})"
        )
        if skipped:
            backend.query(
                f"INSERT INTO redshift.stream_errors VALUES ({names}, {now}, {literal(shard)}, {last}, "
                "'Record size exceeds the limit')"
            )
    backend.query(f"INSERT INTO {about['backing']} {about['select']}")
    backend.query(f"DELETE FROM redshift.{ARRIVALS}")


def _now(records: list[dict[str, Any]]) -> str:
    """The time of the refresh: after the records arrived, by whichever clock."""
    times = [datetime.now(UTC), *(record["ApproximateArrivalTimestamp"].astimezone(UTC) for record in records)]
    return literal(max(times).replace(tzinfo=None).isoformat())


def _row(shard: str, record: dict[str, Any], now: str) -> str:
    arrived = record["ApproximateArrivalTimestamp"].astimezone(UTC).replace(tzinfo=None).isoformat()
    texts = (arrived, record["PartitionKey"], shard, record["SequenceNumber"])
    return f"({', '.join(map(literal, texts))}, {now}, {literal(chr(92) + 'x' + record['Data'].hex())})"


def _shards(kinesis: Any, stream: str) -> Iterator[str]:
    arguments = {"StreamName": stream}
    while True:
        try:
            answer = kinesis.list_shards(**arguments)
        except kinesis.exceptions.ResourceNotFoundException as error:
            raise ServerError(f"Kinesis stream {stream} does not exist", "XX000") from error
        yield from (shard["ShardId"] for shard in answer["Shards"])
        if not answer.get("NextToken"):
            return
        arguments = {"NextToken": answer["NextToken"]}


def _records(kinesis: Any, stream: str, shard: str, after: str | None) -> Iterator[dict[str, Any]]:
    place = {"ShardIteratorType": "TRIM_HORIZON"}
    if after is not None:
        place = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": after}
    iterator = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, **place)["ShardIterator"]
    while iterator:
        try:
            answer = kinesis.get_records(ShardIterator=iterator)
        except kinesis.exceptions.ProvisionedThroughputExceededException:
            time.sleep(PAUSE)
            continue
        yield from answer["Records"]
        if not answer["Records"] and not answer["MillisBehindLatest"]:
            return
        iterator = answer.get("NextShardIterator")
