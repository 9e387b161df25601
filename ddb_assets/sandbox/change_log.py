"""The change log: all writes to the sandbox's tables, on disk.

One SQLite file has, per table and key, the image after each write and its time in microseconds. The newest image is the
item's present state. So tables, full exports at any time and windows of changes are read from one place, and none of them
is kept in memory. The log knows bytes and times; DynamoDB's types are in `image`, its API in `tables`.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.image import KEY_END

SCHEMA = """
CREATE TABLE ddb_table (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, items INTEGER NOT NULL, bytes INTEGER NOT NULL
);
CREATE TABLE write (
    id INTEGER PRIMARY KEY, number INTEGER NOT NULL, key BLOB NOT NULL, micros INTEGER NOT NULL,
    bytes INTEGER NOT NULL, image BLOB
);
CREATE UNIQUE INDEX write_by_key ON write (number, key, micros);
CREATE INDEX write_by_time ON write (number, micros, key);
"""
# The table only grows at its end and the indexes are narrow, so a million writes in random key order are fast.

STATE = """
SELECT key, image, bytes FROM write AS w
WHERE number = :number AND key >= :low AND key < :high AND image IS NOT NULL
  AND micros = (SELECT max(micros) FROM write WHERE number = w.number AND key = w.key AND micros < :before)
ORDER BY key
"""
CHANGES = """
SELECT last.key, last.micros, new.image, new.bytes, old.image, old.bytes
FROM (SELECT key, max(micros) AS micros FROM write INDEXED BY write_by_time
      WHERE number = :number AND micros >= :start AND micros < :end GROUP BY key) AS last
JOIN write AS new ON new.number = :number AND new.key = last.key AND new.micros = last.micros
LEFT JOIN write AS old ON old.number = :number AND old.key = last.key AND old.micros =
     (SELECT max(micros) FROM write WHERE number = :number AND key = last.key AND micros < :start)
WHERE new.image IS NOT NULL OR old.image IS NOT NULL
ORDER BY last.key
"""
NEWEST = "SELECT micros, image, bytes FROM write WHERE number = ? AND key = ? ORDER BY micros DESC LIMIT 1"
APPEND = "INSERT OR REPLACE INTO write (number, key, micros, bytes, image) VALUES (?, ?, ?, ?, ?)"
GROW = "UPDATE ddb_table SET items = items + ?, bytes = bytes + ? WHERE number = ?"
FOREVER = 1 << 62
LOAD_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored item: storage key, image, and size in bytes by DynamoDB's rules."""

    key: bytes
    image: bytes
    size: int


@dataclass(frozen=True, slots=True)
class LoggedWrite:
    """One backdated write: its time (microseconds), its storage key, and the image after it (None: deleted)."""

    micros: int
    key: bytes
    image: bytes | None
    size: int


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one key in a window or in a transaction: the time of its last write, the images after it and before.

    `size` is that of both images. `expired`: Time to Live has deleted the item.
    """

    key: bytes
    micros: int
    new: bytes | None
    old: bytes | None
    size: int
    expired: bool = False


Newest = tuple[int, bytes | None, int] | None
"""The newest write to a key: its time, the image after it, and its size in bytes."""
Listener = Callable[[int, Change], None]
"""Called with each committed change of a table, by the table's number, in the order of the changes."""


class ChangeLog:
    """The log of all tables of a sandbox, in one file. Safe for several threads; call `close` at the end.

    `listener` hears of changes, not of a backdated history.
    """

    def __init__(self, path: Path, clock: Clock, listener: Listener = lambda _number, _change: None) -> None:
        self.path = path
        self.clock = clock
        self._listener = listener
        self._changes: dict[tuple[int, bytes], Change] = {}  # those of the open transaction
        self._lock = threading.RLock()
        self._micros: int | None = None  # the time of the open transaction
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")  # a sandbox need not survive a power cut
        self._db.execute("PRAGMA cache_size = -32768")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Closes the file; the log cannot be used afterwards."""
        with self._lock:
            self._db.close()

    def add_table(self, table_id: str) -> int:
        """Adds a table and returns its number in this file. A recreated table has another id, so it gets another number."""
        with self._lock:
            number = self._db.execute(
                "INSERT INTO ddb_table (id, items, bytes) VALUES (?, 0, 0)", (table_id,)
            ).lastrowid
        assert number is not None  # noqa: S101 - an INSERT always sets it; this tells the type checker
        return number

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A block whose writes have the same time, become visible together, and are undone if it raises. May be nested."""
        with self._lock:
            if self._micros is not None:
                yield
                return
            self._micros = self.clock.tick()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            finally:
                self._micros = None
                changes, self._changes = self._changes, {}
            for (number, _), change in changes.items():
                self._listener(number, change)

    def append(self, number: int, key: bytes, image: bytes | None, size: int, *, expired: bool = False) -> None:
        """Logs one write with the present time. Within a transaction the last write to a key replaces earlier ones."""
        with self.transaction():
            assert self._micros is not None  # noqa: S101 - set by the transaction around this line
            write = LoggedWrite(self._micros, key, image, size)
            newest = self._append(number, write)
            self._db.execute(GROW, (*_growth(newest, write), number))
            _, old, old_size = newest or (0, None, 0)
            if earlier := self._changes.get((number, key)):
                old, old_size = earlier.old, earlier.size - old_size
            self._changes[number, key] = Change(key, write.micros, image, old, size + old_size, expired)

    def load(self, number: int, writes: Iterable[LoggedWrite]) -> int:
        """Logs a backdated history, read lazily in batches; returns the number of writes."""
        count = 0
        rows = iter(writes)
        while True:
            batch = [row for _, row in zip(range(LOAD_BATCH), rows, strict=False)]
            if not batch:
                return count
            with self.transaction():
                grown = [_growth(self._append(number, row), row) for row in batch]
                self._db.execute(GROW, (sum(items for items, _ in grown), sum(size for _, size in grown), number))
            count += len(batch)

    def _append(self, number: int, write: LoggedWrite) -> Newest:
        """Inserts the row, and returns the newest before it."""
        newest: Newest = self._db.execute(NEWEST, (number, write.key)).fetchone()
        self._db.execute(APPEND, (number, write.key, write.micros, write.size, write.image))
        return newest

    def newest(self, number: int, key: bytes) -> bytes | None:
        """The present image of an item; None when there is no item with this key."""
        with self._lock:
            row = self._db.execute(NEWEST, (number, key)).fetchone()
        return row[1] if row else None

    def page(self, number: int, low: bytes, high: bytes, limit: int) -> list[Stored]:
        """The first `limit` present items with `low <= key < high`, in key order."""
        where = {"number": number, "low": low, "high": high, "before": FOREVER, "limit": limit}
        with self._lock:
            return [Stored(*row) for row in self._db.execute(STATE + "LIMIT :limit", where)]

    def totals(self, number: int) -> tuple[int, int]:
        """The present number of items of the table, and their size in bytes."""
        with self._lock:
            row = self._db.execute("SELECT items, bytes FROM ddb_table WHERE number = ?", (number,)).fetchone()
        return row[0], row[1]

    @contextmanager
    def reader(self) -> Iterator["LogReader"]:
        """A separate connection that sees one state of the log and does not block writers.

        It sees every write with an earlier time: it waits for a write that has its time but is not committed yet.
        """
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            with self._lock:
                db.execute("BEGIN")
                db.execute("SELECT count(*) FROM ddb_table").fetchone()  # SQLite fixes the state at the first read
            yield LogReader(db)
        finally:
            db.close()


def _growth(newest: Newest, write: LoggedWrite) -> tuple[int, int]:
    """By how many items and bytes the present state of a table grows with this write."""
    if newest is None:
        return int(write.image is not None), write.size
    micros, image, size = newest
    if micros > write.micros:
        return 0, 0
    return (write.image is not None) - (image is not None), write.size - size


class LogReader:
    """Reads rows for exports in key order, one at a time."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def items_at(self, number: int, before: int) -> Iterator[Stored]:
        """The items of the table at a time (microseconds): after all writes before it, without those at it."""
        for row in self._db.execute(STATE, {"number": number, "low": b"", "high": KEY_END, "before": before}):
            yield Stored(*row)

    def changes(self, number: int, start: int, end: int) -> Iterator[Change]:
        """One change per key that was written in `[start, end)`; none for a key that exists neither before nor after."""
        for key, micros, new, new_size, old, old_size in self._db.execute(
            CHANGES, {"number": number, "start": start, "end": end}
        ):
            yield Change(key, micros, new, old, new_size + (old_size or 0))
