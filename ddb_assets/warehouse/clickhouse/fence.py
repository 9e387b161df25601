"""Definitions of tables and views are changed by the load that has the lock, and by no other.

In ClickHouse no condition can be put on DDL, so a process that was paused could change a table that another load has
changed since. Therefore what takes the place of a table or view is made under a name of this load, then the lock is checked,
and then the two are exchanged. A load that takes a lock away first drops all that others have staged. So a statement that
comes too late finds nothing to exchange, and fails.
"""

import secrets
from collections.abc import Callable, Iterable

from ddb_assets.warehouse.clickhouse.lock import Lock
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.sql import STAGE, table

ANY_SIZE = "SETTINGS max_table_size_to_drop = 0"
"""For DROP TABLE: servers refuse to drop a large table otherwise."""


class Fence:
    """The changes of one load. `put` raises InterruptedLoadError when the lock has been lost."""

    def __init__(self, server: Server, lock: Lock) -> None:
        self._server, self._lock = server, lock
        self._own, self._made = secrets.token_hex(8), 0

    def put(self, place: str, make: Callable[[str], Iterable[str]], *, there: bool) -> None:
        """Gives the quoted name `place` to what the statements of `make` create, which get its quoted name at first.

        `there`: something has the name `place`, and is dropped then.
        """
        self._made += 1
        staged = table(STAGE, f"{self._own}_d{self._made}")
        for statement in make(staged):
            self._server.execute(statement)
        # guard: ClickHouse: definitions change with the lock
        self._lock.check()
        self._server.execute(f"EXCHANGE TABLES {place} AND {staged}" if there else f"RENAME TABLE {staged} TO {place}")
        if there:
            self._server.execute(f"DROP TABLE IF EXISTS {staged} {ANY_SIZE}")
