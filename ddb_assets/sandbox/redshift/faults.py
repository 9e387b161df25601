"""Misbehaviour on demand: what a test arms here, the next session that comes along runs into. Each fault happens once."""

import threading
from dataclasses import dataclass

from ddb_assets.sandbox.redshift.wire import ServerError

CONFLICT = ServerError(
    "1023",
    "XX000",
    "Serializable isolation violation on table - 100167, transactions forming the cycle are: 55705701, 55705754 (pid:16606)",
)
"""What Redshift says to a transaction that must be run again."""


@dataclass
class _Statement:
    """Counts down to a statement."""

    left: int
    error: ServerError | None


class Faults:
    """What will go wrong. Numbers count from 1, from the moment the fault is armed, over all sessions.

    With `early_snapshots` a transaction's snapshot is as old as its BEGIN, so that LOCK may wait beyond it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statements: list[_Statement] = []
        self._commit = ""
        self._file: int | None = None
        self._deviations: set[str] = set()
        self._delay = 0.0
        self.early_snapshots = False

    @property
    def deviations(self) -> set[str]:
        """How COPY deviates until `clear`: milliseconds, decimals, texts (see `copy_run.py`)."""
        return self._deviations

    def drop_before_commit(self) -> None:
        """The connection breaks when COMMIT arrives, and the transaction is rolled back."""
        self._commit = "before"

    def drop_after_commit(self) -> None:
        """The connection breaks after COMMIT was done and before the client hears of it."""
        self._commit = "after"

    def fail_statement(self, number: int, error: ServerError) -> None:
        """The n-th statement is refused with this error."""
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
        """The next COPY fails when it comes to its n-th file."""
        self._file = file

    def clear(self) -> None:
        """Disarms everything."""
        self._deviations.clear()
        with self._lock:
            self._statements.clear()
        self._commit, self._file, self._delay = "", None, 0.0
        self.early_snapshots = False

    @property
    def armed(self) -> bool:
        """Whether something that was armed has not happened yet."""
        with self._lock:
            return bool(self._statements or self._commit or self._file is not None)

    @property
    def delay(self) -> float:
        """Seconds to wait before a statement."""
        return self._delay

    def statement(self) -> ServerError | bool:
        """What becomes of the next statement: an error, True for a broken connection, False for nothing."""
        found: ServerError | bool = False
        with self._lock:
            for one in list(self._statements):
                one.left -= 1
                if one.left == 0:
                    self._statements.remove(one)
                    found = one.error or True
        return found

    def commit(self) -> str:
        """`before`, `after` or nothing: what happens to the next COMMIT."""
        with self._lock:
            found, self._commit = self._commit, ""
        return found

    def file(self, number: int) -> None:
        """Raises ServerError for the file that shall fail."""
        with self._lock:
            due = self._file == number
            if due:
                self._file = None
        if due:
            raise ServerError(
                "S3ServiceException:We encountered an internal error. Please try again.,Status 500,Error InternalError"
            )
