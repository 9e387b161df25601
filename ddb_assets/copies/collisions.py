"""Which items of the source share a key of the destination, counted exactly when the destination has another key.

Kept on disk (SQLite), so that memory stays flat and a resumed copy, which reads some items twice, counts none twice. Which
of them remains is decided by who is written last; putting keys together is `mapping.py`'s.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from ddb_assets.copies.digest import item_digest
from ddb_assets.dynamodb.item import Item

SAMPLE = 5
"""Keys that a report shows."""


class Collisions:
    """The keys a copy has seen, in a file of this path. To be used by one thread; a context manager, which closes it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._rows = sqlite3.connect(path, isolation_level=None)
        self._rows.execute(
            "CREATE TABLE IF NOT EXISTS seen (destination BLOB, source BLOB, key TEXT, PRIMARY KEY (destination, source))"
            " WITHOUT ROWID"
        )

    def see(self, pairs: Iterable[tuple[Item, Item]]) -> None:
        """Source key and destination key of each item of a page; durable on return."""
        rows = [(item_digest(there), item_digest(here), orjson.dumps(there).decode()) for here, there in pairs]
        with self._rows:
            self._rows.execute("BEGIN")
            self._rows.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", rows)

    def count(self) -> int:
        """Items that are not there because another one has their key."""
        (count,) = self._rows.execute("SELECT count(*) - count(DISTINCT destination) FROM seen").fetchone()
        return int(count)

    def sample(self) -> list[dict[str, Any]]:
        """Some of the keys that several items have, and how many have them, the most shared ones first."""
        found = self._rows.execute(
            "SELECT min(key), count(*) FROM seen GROUP BY destination HAVING count(*) > 1 ORDER BY 2 DESC, 1 LIMIT ?",
            (SAMPLE,),
        )
        return [{"key": orjson.loads(key), "items": count} for key, count in found]

    def remove(self) -> None:
        """The copy is done; also closes it."""
        self._rows.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._rows.close()
