"""Faults on demand: a test arms one, and the next session has it. Each fault happens once."""

import threading
from dataclasses import dataclass

from ddb_assets.sandbox.redshift.wire import ServerError

CONFLICT = ServerError(
    "1023",
    "XX000",
    "Serializable isolation violation on table - 100167, transactions forming the cycle are: 55705701, 55705754 (pid:16606)",
)
"""Redshift's error for a transaction that must be run again."""


@dataclass
class _Statement:
    """A fault at a later statement, with a count of the statements until then."""

    left: int
    error: ServerError | None


class Faults:
    """The armed faults. Numbers count from 1, from the moment the fault is armed, over all sessions.

    With `early_snapshots` a transaction takes its snapshot at BEGIN, so that its LOCK may wait until the snapshot is outdated.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statements: list[_Statement] = []
        self._commit = ""
        self._file: int | None = None
        self._deviations: set[str] = set()
        self._delay = 0.0
        self._skipped = 0
        self.early_full_exports = False

    @property
    def deviations(self) -> set[str]:
        """How COPY misreads values until `clear`: milliseconds, decimals, texts (see `copy_run.py`)."""
        return self._deviations

    def drop_before_commit(self) -> None:
        """The connection breaks when COMMIT arrives; the transaction is rolled back."""
        self._commit = "before"

    def drop_after_commit(self) -> None:
        """The connection breaks after COMMIT was done, before the client gets the answer."""
        self._commit = "after"

    def fail_statement(self, number: int, error: ServerError) -> None:
        """The n-th statement fails with this error."""
        with self._lock:
            self._statements.append(_Statement(number, error))

    def drop_at_statement(self, number: int) -> None:
        """The connection breaks when the n-th statement arrives."""
        with self._lock:
            self._statements.append(_Statement(number, None))

    def delay_statements(self, seconds: float) -> None:
        """Every statement waits this long, until `clear`."""
        self._delay = seconds

    def fail_copy(self, file: int) -> None:
        """The next COPY fails at its n-th file."""
        self._file = file

    def skip_records(self, count: int) -> None:
        """The next refreshes skip so many records of streams."""
        self._skipped = count

    def skips_record(self) -> bool:
        """Whether the next record of a stream is skipped."""
        with self._lock:
            due = self._skipped > 0
            self._skipped -= due
        return due

    def clear(self) -> None:
        """Disarms everything."""
        self._deviations.clear()
        with self._lock:
            self._statements.clear()
        self._commit, self._file, self._delay, self._skipped = "", None, 0.0, 0
        self.early_full_exports = False

    @property
    def armed(self) -> bool:
        """Whether an armed fault has not happened yet."""
        with self._lock:
            return bool(self._statements or self._commit or self._file is not None)

    @property
    def delay(self) -> float:
        """Seconds to wait before a statement."""
        return self._delay

    def statement(self) -> ServerError | bool:
        """The fault of the next statement: an error, True for a broken connection, False for none."""
        found: ServerError | bool = False
        with self._lock:
            for one in list(self._statements):
                one.left -= 1
                if one.left == 0:
                    self._statements.remove(one)
                    found = one.error or True
        return found

    def commit(self) -> str:
        """The fault of the next COMMIT: `before`, `after` or none."""
        with self._lock:
            found, self._commit = self._commit, ""
        return found

    def file(self, number: int) -> None:
        """Raises ServerError for the file that must fail."""
        with self._lock:
            due = self._file == number
            if due:
                self._file = None
        if due:
            raise ServerError(
                "S3ServiceException:We encountered an internal error. Please try again.,Status 500,Error InternalError"
            )
