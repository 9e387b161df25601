"""Records that survive the rollback of a transaction: statements, the history of loads and their errors, long names.

They are written on a separate connection.
"""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from ddb_assets.sandbox.redshift.backend import Backend, literal
from ddb_assets.sandbox.redshift.query_log import Ran


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


@dataclass(frozen=True)
class LoadedFile:
    """A file that a COPY read, and its number of rows; None if it was not read to its end."""

    uri: str
    size: int
    rows: int | None = None


class Journal:
    """The records of the emulator, shared by all sessions."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()

    def remember(self, short: str, long: str) -> None:
        """Records a long name, for which PostgreSQL has a shorter one."""
        self._write(
            f"INSERT INTO redshift.long_names VALUES ({literal(short)}, {literal(long)}) ON CONFLICT DO NOTHING"  # noqa: S608
        )

    def ran(self, statements: list[Ran]) -> None:
        """Adds rows to SYS_QUERY_HISTORY."""
        rows = [
            f"({one.query}, {literal(one.label)}, {one.transaction}, {one.session}, {literal(one.type)}, "
            f"{literal(one.status)}, {_time(one.started)}, {_time(one.ended)}, {_micros(one.started, one.ended)}, "
            f"{literal(one.error[:512])}, {one.rows}, {literal(one.text[:4000])})"
            for one in statements
        ]
        if rows:
            self._write(f"INSERT INTO redshift.queries VALUES {', '.join(rows)}")  # noqa: S608

    def loaded(self, ran: Ran, table: str, source: str, files: list[LoadedFile], *, status: str) -> None:
        """Adds a row to SYS_LOAD_HISTORY, and one per file to STL_LOAD_COMMITS."""
        size = sum(file.size for file in files)
        rows = sum(file.rows or 0 for file in files)
        now = datetime.now(UTC).replace(tzinfo=None)
        values = (
            f"{ran.query}, {ran.transaction}, {ran.session}, {literal(status)}, {literal(table)}, {_time(ran.started)}, "
            f"{_time(now)}, {_micros(ran.started, now)}, {literal(source)}, 'parquet', "
            f"{rows if status == 'completed' else 0}, {size}, {len(files)}, {size}, {len(files)}, {size}, "
            f"{int(status == 'aborted')}"
        )
        self._write(f"INSERT INTO redshift.loads VALUES ({values})")  # noqa: S608
        read = [f"({ran.query}, {literal(f.uri[:256])}, {f.rows}, {_time(now)})" for f in files if f.rows is not None]
        if read:
            self._write(f"INSERT INTO redshift.loaded_files VALUES {', '.join(read)}")  # noqa: S608

    def failed(self, ran: Ran, table: int, failure: LoadFailure) -> None:
        """Adds a row to SYS_LOAD_ERROR_DETAIL; `table` is the table's number."""
        texts = (failure.column[:127], failure.type[:10], failure.length[:10])
        self._write(
            f"INSERT INTO redshift.load_errors VALUES ({ran.query}, {ran.transaction}, {ran.session}, {table}, "  # noqa: S608
            f"{_time(ran.started)}, {literal(failure.file[:256])}, {failure.line}, {', '.join(map(literal, texts))}, "
            f"0, {failure.code}, {literal(failure.message[:512])})"
        )

    def _write(self, sql: str) -> None:
        with self._lock:
            self._backend.query(sql)


def _time(time: datetime) -> str:
    return literal(time.isoformat()) + "::timestamp"


def _micros(start: datetime, end: datetime) -> int:
    return round((end - start).total_seconds() * 1_000_000)
