"""What outlives a transaction that is rolled back: query ids, the history of loads and their errors, long names.

Written on a connection of its own.
"""

import threading
from dataclasses import dataclass
from datetime import datetime

from ddb_assets.sandbox.redshift.backend import Backend, literal


@dataclass(frozen=True)
class LoadFailure:
    """One row of SYS_LOAD_ERROR_DETAIL."""

    file: str
    column: str
    type: str
    length: str
    code: int
    message: str
    line: int = 0


class Journal:
    """The stand-in's own notes, shared by all sessions."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()

    def remember(self, short: str, long: str) -> None:
        """Notes a name that PostgreSQL knows by another."""
        self._write(
            f"INSERT INTO redshift.long_names VALUES ({literal(short)}, {literal(long)}) ON CONFLICT DO NOTHING"  # noqa: S608
        )

    def query_id(self) -> int:
        """A number for a COPY."""
        with self._lock:
            return int(self._backend.query("SELECT nextval('redshift.query_ids')")[0][0] or 0)

    def loaded(
        self, query: int, table: str, source: str, started: datetime, *, rows: int, files: int, size: int, status: str
    ) -> None:
        """Adds a row to SYS_LOAD_HISTORY."""
        self._write(
            "INSERT INTO redshift.loads (query_id, database_name, status, table_name, start_time, end_time, duration, "  # noqa: S608
            "data_source, file_format, loaded_rows, loaded_bytes, source_file_count, source_file_bytes, "
            "file_count_scanned, file_bytes_scanned, error_count) "
            f"SELECT {query}, current_database(), {literal(status)}, {literal(table)}, started, clock_timestamp(), "
            f"(extract(epoch FROM clock_timestamp() - started) * 1000000)::bigint, {literal(source)}, 'parquet', {rows}, "
            f"{size}, {files}, {size}, {files}, {size}, {int(status == 'aborted')} "
            f"FROM (SELECT {literal(started.isoformat())}::timestamp AS started) AS times"
        )

    def failed(self, query: int, started: datetime, failure: LoadFailure) -> None:
        """Adds a row to SYS_LOAD_ERROR_DETAIL."""
        texts = (failure.file[:256], failure.column[:127], failure.type[:10], failure.length[:10])
        self._write(
            "INSERT INTO redshift.load_errors (query_id, database_name, start_time, file_name, column_name, column_type, "  # noqa: S608
            "column_length, line_number, position, error_code, error_message) "
            f"VALUES ({query}, current_database(), {literal(started.isoformat())}, {', '.join(map(literal, texts))}, "
            f"{failure.line}, 0, {failure.code}, {literal(failure.message[:512])})"
        )

    def _write(self, sql: str) -> None:
        with self._lock:
            self._backend.query(sql)
