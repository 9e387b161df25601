"""The rows that an import rejects: how many there are, how many are allowed, and the file that lists them."""

import threading
from collections.abc import Callable

from ddb_assets.bulk.reject_file import RejectFile
from ddb_assets.bulk.rows import BadRow, Row
from ddb_assets.imports.account import RejectedRow

SAMPLE_REJECTS = 10
STOP_AFTER = 1000  # without max_rejects: a wrong mapping rejects every row


class Rejects:
    """Counts rejected rows and writes them into the reject file. Thread-safe.

    `most` rejected rows are allowed, and one more calls `stop`. None: each one is a failure, and more than 1,000 call `stop`.
    A record that cannot be read counts as many times as it has lines, because each may have been a row.
    `before` lines were rejected by the runs that this one resumes. Without a file (a dry run) rows are only counted.
    """

    def __init__(self, file: RejectFile | None, most: int | None, before: int, stop: Callable[[str], object]) -> None:
        self._file = file
        self._most = most
        self._stop = stop
        self._lock = threading.Lock()
        self.before = before
        self.count = 0
        self.lines = 0
        self.sample: list[RejectedRow] = []

    def reject(self, row: Row | BadRow, uri: str, reason: str) -> None:
        """Notes a row that the table will never take."""
        with self._lock:
            self.count += 1
            self.lines += row.lines if isinstance(row, BadRow) else 1
            total = self.before + self.lines
            if len(self.sample) < SAMPLE_REJECTS:
                self.sample.append(RejectedRow(uri, row.line, reason))
        if self._file is None:
            return
        self._file.add(row, uri, "rejected", reason)
        if total > self._allowed:
            self._stop(f"more than {self._allowed:,} rows were rejected, the last one because of this: {reason}")

    def check_before(self) -> None:
        """Calls `stop` when the runs before have rejected too many already."""
        if self._file is not None and self.before > self._allowed:
            self._stop(
                f"more than {self._allowed:,} rows were rejected by earlier runs: see {self._file.place.uri}; mend the files "
                "or the mapping, allow more rejected rows, or restart the import"
            )

    @property
    def _allowed(self) -> int:
        return STOP_AFTER if self._most is None else self._most

    def unprocessed(self, row: Row, uri: str, reason: str) -> None:
        """Notes a row that was not written when the job stopped."""
        if self._file is not None:
            self._file.add(row, uri, "unprocessed", reason)

    def problem(self) -> str | None:
        """What is wrong when the job has read everything; None when nothing is."""
        total = self.before + self.lines
        if total <= (self._most or 0):
            return None
        rows = f"{self.before + self.count:,} rows"
        if self.lines > self.count:
            rows += f" of {total:,} lines"
        if self._file is None:
            return f"{rows} would be rejected"
        return f"{rows} were rejected: mend them in {self._file.place.uri} and redrive it"
