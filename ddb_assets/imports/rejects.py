"""The rows of a job that are not in its table: counted, sampled for the report, and kept in the exceptions file."""

import threading
from collections.abc import Callable

from ddb_assets.bulk.reject_file import ExceptionsFile
from ddb_assets.bulk.rows import BadRow, Row
from ddb_assets.imports.report import SAMPLE_REJECTS, Rejected

STOP_AFTER = 1000  # when nobody said how many are allowed: a wrong mapping rejects every row


class Rejects:
    """`most` rejected rows are no failure; one more calls `stop`. None: each is a failure, 1,000 call `stop`.

    `before` were rejected by the runs that this one resumes. Without a file (a dry run) they are only counted, and nothing
    is stopped. Thread-safe.
    """

    def __init__(
        self, file: ExceptionsFile | None, most: int | None, before: int, stop: Callable[[str], object]
    ) -> None:
        self._file = file
        self._most = most
        self._stop = stop
        self._lock = threading.Lock()
        self.before = before
        self.count = 0
        self.sample: list[Rejected] = []

    def reject(self, row: Row | BadRow, uri: str, reason: str) -> None:
        """The table will never take this row."""
        with self._lock:
            self.count += 1
            total = self.before + self.count
            if len(self.sample) < SAMPLE_REJECTS:
                self.sample.append(Rejected(uri, row.line, reason))
        if self._file is None:
            return
        self._file.add(row, uri, "rejected", reason)
        most = STOP_AFTER if self._most is None else self._most
        if total == most + 1:
            self._stop(f"more than {most:,} rows were rejected, the last one because of this: {reason}")

    def unprocessed(self, row: Row, uri: str, reason: str) -> None:
        """The row was not written when the job stopped."""
        if self._file is not None:
            self._file.add(row, uri, "unprocessed", reason)

    def problem(self) -> str | None:
        """What is wrong at the end of a job that came to its end."""
        total = self.before + self.count
        if total <= (self._most or 0):
            return None
        if self._file is None:
            return f"{total:,} rows would be rejected"
        return f"{total:,} rows were rejected: mend them in {self._file.path} and redrive it"
