"""The materialized view into which Redshift reads a stream: one for each stream, in the schema of the tables.

It keeps each record as it came, because Redshift stops reading a stream when an expression of the view fails. AUTO REFRESH is
off: with it, a stream that never rests keeps a serverless workgroup running, and billed, all the time.
Facts: Redshift Database Developer Guide, "Streaming ingestion to a materialized view", CREATE EXTERNAL SCHEMA, DELETE,
SYS_STREAM_SCAN_STATES, SYS_STREAM_SCAN_ERRORS.
"""
# ruff: noqa: S608  -- names come from quoted(), texts from literal(), values are bound

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from ddb_assets.contract.names import default_name
from ddb_assets.microseconds import to_micros
from ddb_assets.streams.position import Position
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.streaming.typed import text
from ddb_assets.warehouse.sql.engine import number
from ddb_assets.warehouse.sql.settling import MARGIN
from ddb_assets.warehouse.sql.statements import Statement, TableName, literal, quoted
from ddb_assets.warehouse.times import timestamp_value

_LONGEST = 80  # of a stream's name within the name of its view, which has at most 127 bytes
_ARN = re.compile(r"arn:[a-z-]+:kinesis:(?P<region>[a-z0-9-]+):[0-9]+:stream/")


class StreamRecords:
    """The records of a stream of this name or ARN in a schema."""

    def __init__(self, engine: RedshiftEngine, schema: str, stream: str) -> None:
        self._engine = engine
        self.stream = stream.rpartition("/")[2]
        found = _ARN.match(stream)
        self._region = found["region"] if found else ""
        self.view = TableName(schema, f"_ddb_records__{default_name(self.stream)[:_LONGEST]}")
        place = "__".join(filter(None, ("_ddb_kinesis", schema, self._region.replace("-", "_"))))
        self.source = TableName(place, self.stream)

    def provide(self) -> bool:
        """Creates the external schema and the view, unless they are there; returns whether the view is new.

        Raises LoadError for a view of something else.
        """
        found = self._engine.standing(self.view)
        if found is None:
            if not self._engine.has_schema(str(self.source.schema)):
                self._engine.execute(self.external_schema())
            self._engine.execute(self.created())
            return True
        if not found.definition.lstrip().upper().startswith("CREATE MATERIALIZED VIEW") or quoted(self.stream) not in (
            found.definition
        ):
            raise LoadError(
                f"{self.view} must be the materialized view of stream {self.stream}, but is something else: rename or drop it"
            )
        return False

    def external_schema(self) -> Statement:
        """Creates the schema by which Redshift reads streams, with the role that COPY has."""
        role = self._engine.settings.iam_role
        who = "default" if role == "default" else literal(role)
        region = f" REGION {literal(self._region)}" if self._region else ""
        return Statement(
            f"CREATE EXTERNAL SCHEMA {quoted(str(self.source.schema))} FROM KINESIS{region} IAM_ROLE {who}"
        )

    def created(self) -> Statement:
        """Creates the view. What is no JSON, or none that SUPER holds, stays as bytes."""
        parses = "CAN_JSON_PARSE(kinesis_data)"
        return Statement(
            f"CREATE MATERIALIZED VIEW {self.view} AUTO REFRESH NO AS SELECT approximate_arrival_timestamp, refresh_time, "
            f"shard_id, sequence_number, CASE WHEN {parses} THEN JSON_PARSE(kinesis_data) END AS record, "
            f"CASE WHEN NOT {parses} THEN kinesis_data END AS unparsed FROM {self.source}"
        )

    def refresh(self) -> None:
        """Brings what has arrived. A statement of its own, as Redshift may refuse it in a transaction."""
        self._engine.execute(Statement(f"REFRESH MATERIALIZED VIEW {self.view}"))

    def count(self) -> int:
        """How many records there are."""
        return number(self._engine, Statement(f"SELECT COUNT(*) FROM {self.view}"))

    def by_table(self) -> dict[str | None, int]:
        """How many records there are of each table; under None those that name none, or could not be parsed."""
        name = text('m."record"."tableName"')
        found = self._engine.fetch(Statement(f"SELECT {name}, COUNT(*) FROM {self.view} AS m GROUP BY 1"))
        return {None if table is None else str(table): int(str(count)) for table, count in found}

    def newest(self) -> datetime | None:
        """When the newest record arrived, UTC without a time zone."""
        ((found,),) = self._engine.fetch(Statement(f"SELECT MAX(approximate_arrival_timestamp) FROM {self.view}"))
        return found if isinstance(found, datetime) else None

    def position(self) -> Position:
        """The newest record of each shard."""
        if self._engine.standing(self.view) is None:
            return Position({})
        newest = "MAX(LPAD(sequence_number, 128, '0'))"
        found = self._engine.fetch(Statement(f"SELECT shard_id, {newest} FROM {self.view} GROUP BY shard_id"))
        return Position({str(shard): str(last).lstrip("0") for shard, last in found})

    def forget(self, limit: datetime) -> None:
        """Deletes the records that arrived before a moment that exports have settled, except the newest one of each shard.

        That one says how far the shard was read. Records arrive after they are stamped, by clocks that differ by MARGIN at
        most, so nothing is deleted that the views still show.
        """
        later = TableName(None, "later")
        newest = f"SELECT MAX(LPAD(sequence_number, 128, '0')) FROM {self.view} AS {later} WHERE {later}.shard_id = "
        self._engine.execute(
            Statement(
                f"DELETE FROM {self.view} WHERE approximate_arrival_timestamp < CAST(? AS TIMESTAMP) AND "
                f"LPAD(sequence_number, 128, '0') < ({newest}{quoted(self.view.name)}.shard_id)",
                (timestamp_value(to_micros(limit - MARGIN)),),
            )
        )

    def problems(self, since: datetime | None) -> list[str]:
        """What Redshift could not read since this moment: records that it skipped, and its errors."""
        mine = "mv_name = ? AND external_schema_name = ? AND record_time >= CAST(? AS TIMESTAMP)"
        values = (self.view.name, self.source.schema, timestamp_value(to_micros(since)) if since else "1970-01-01")
        found = []
        ((skipped,),) = self._engine.fetch(
            Statement(f"SELECT SUM(skipped_rows) FROM sys_stream_scan_states WHERE {mine}", values)
        )
        if skipped:
            found.append(f"Redshift skipped {int(str(skipped)):,} records (SYS_STREAM_SCAN_STATES)")
        for reason, count in self._engine.fetch(
            Statement(
                f"SELECT error_reason, COUNT(*) FROM sys_stream_scan_errors WHERE {mine} GROUP BY 1 ORDER BY 2 DESC LIMIT 3",
                values,
            )
        ):
            found.append(f"{int(str(count)):,} times {str(reason).strip()} (SYS_STREAM_SCAN_ERRORS)")
        return found

    @contextmanager
    def exact_names(self) -> Iterator[None]:
        """Within its block, the case of quoted names counts: that of attributes, and of the stream.

        A view keeps the names as they were read when it was created (Redshift, enable_case_sensitive_super_attribute).
        """
        setting = "SET enable_case_sensitive_identifier TO"
        self._engine.execute(Statement(f"{setting} true"))
        try:
            yield
        finally:
            self._engine.execute(Statement(f"{setting} false"))
