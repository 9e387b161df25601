"""The change log: every write that reached a table, on disk, and what can be read from it.

One SQLite file holds, per table and key, the image after each write with its time in microseconds; an item's present
state is its newest image, its old image the one before. So tables, full exports at any time and windows of changes come
from one place, and none of them is held in memory. It knows bytes and times, not DynamoDB's types (`image`) nor its API
(`tables`).
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator
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
# The table itself only grows at its end and the indexes are narrow: a million writes in random key order stay fast.

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
    """An item as it is kept: storage key, image, size in bytes by DynamoDB's rules."""

    key: bytes
    image: bytes
    size: int


@dataclass(frozen=True, slots=True)
class LoggedWrite:
    """One backdated write: when, which key, and the image after it (None: deleted)."""

    micros: int
    key: bytes
    image: bytes | None
    size: int


@dataclass(frozen=True, slots=True)
class Change:
    """What a window did to one key: its last write in the window, the image after it, the image before the window."""

    key: bytes
    micros: int
    new: bytes | None
    old: bytes | None
    size: int


class ChangeLog:
    """The log of all tables of a sandbox, in one file. Safe to use from several threads; `close` it at the end."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self._lock = threading.RLock()
        self._micros: int | None = None  # the time of the open transaction
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")  # a sandbox outlives no power cut
        self._db.execute("PRAGMA cache_size = -32768")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Closes the file; the log cannot be used afterwards."""
        with self._lock:
            self._db.close()

    def add_table(self, table_id: str) -> int:
        """Opens the log of a new table and returns its number in this file; a recreated table gets another."""
        with self._lock:
            number = self._db.execute(
                "INSERT INTO ddb_table (id, items, bytes) VALUES (?, 0, 0)", (table_id,)
            ).lastrowid
        assert number is not None  # noqa: S101 - an INSERT always sets it; this tells the type checker
        return number

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Writes inside carry one time, become visible together, and are undone if the block raises. May be nested."""
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

    def append(self, number: int, key: bytes, image: bytes | None, size: int) -> None:
        """Logs one write now. Within a transaction the last write to a key is the one that counts."""
        with self.transaction():
            assert self._micros is not None  # noqa: S101 - set by the transaction around this line
            self._db.execute(GROW, (*self._append(number, LoggedWrite(self._micros, key, image, size)), number))

    def load(self, number: int, writes: Iterable[LoggedWrite]) -> int:
        """Logs a backdated history, lazily and in batches; returns how many writes it had."""
        count = 0
        rows = iter(writes)
        while True:
            batch = [row for _, row in zip(range(LOAD_BATCH), rows, strict=False)]
            if not batch:
                return count
            with self.transaction():
                grown = [self._append(number, row) for row in batch]
                self._db.execute(GROW, (sum(items for items, _ in grown), sum(size for _, size in grown), number))
            count += len(batch)

    def _append(self, number: int, write: LoggedWrite) -> tuple[int, int]:
        """Inserts the row; says by how many items and bytes the table's present state grows."""
        newest = self._db.execute(NEWEST, (number, write.key)).fetchone()
        self._db.execute(APPEND, (number, write.key, write.micros, write.size, write.image))
        if newest is None:
            return int(write.image is not None), write.size
        micros, image, size = newest
        if micros > write.micros:
            return 0, 0
        return (write.image is not None) - (image is not None), write.size - size

    def newest(self, number: int, key: bytes) -> bytes | None:
        """The item's present image, None when there is no item of this key."""
        with self._lock:
            row = self._db.execute(NEWEST, (number, key)).fetchone()
        return row[1] if row else None

    def page(self, number: int, low: bytes, high: bytes, limit: int) -> list[Stored]:
        """At most `limit` present items with `low <= key < high`, in key order."""
        where = {"number": number, "low": low, "high": high, "before": FOREVER, "limit": limit}
        with self._lock:
            return [Stored(*row) for row in self._db.execute(STATE + "LIMIT :limit", where)]

    def totals(self, number: int) -> tuple[int, int]:
        """How many items the table has now, and their size in bytes."""
        with self._lock:
            row = self._db.execute("SELECT items, bytes FROM ddb_table WHERE number = ?", (number,)).fetchone()
        return row[0], row[1]

    @contextmanager
    def reader(self) -> Iterator["LogReader"]:
        """A connection of its own that sees one state of the log throughout and holds up no writer.

        It holds every write timed before now: one that has its time but is not committed yet is waited for.
        """
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            with self._lock:
                db.execute("BEGIN")
                db.execute("SELECT count(*) FROM ddb_table").fetchone()  # SQLite fixes the state at the first read
            yield LogReader(db)
        finally:
            db.close()


class LogReader:
    """Streams for exports, in key order, one row in memory at a time."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def items_at(self, number: int, before: int) -> Iterator[Stored]:
        """The table's items as all writes before this time (microseconds, exclusive) had left them."""
        for row in self._db.execute(STATE, {"number": number, "low": b"", "high": KEY_END, "before": before}):
            yield Stored(*row)

    def changes(self, number: int, start: int, end: int) -> Iterator[Change]:
        """One change per key written in `[start, end)`; nothing for a key absent at the start and at the end."""
        for key, micros, new, new_size, old, old_size in self._db.execute(
            CHANGES, {"number": number, "start": start, "end": end}
        ):
            yield Change(key, micros, new, old, new_size + (old_size or 0))
