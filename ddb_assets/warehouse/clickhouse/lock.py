"""One load of a table at a time: a table that only one load can create. Its comment names the holder and the end of the lease.

ClickHouse has no locks that a client could take. To create a table that exists is an error, though, and of two that create it
one succeeds. The load renews its lease while it runs, by a row with its name and the new end. If its process dies, the lease
ends, and the next load takes the lock away. Ends of leases are times of the server.

A process may also be paused, lose the lock, and wake up while another load is running or when it is done. Only the server can
stop it then. So the statement that decides has the lock as its condition (`held`), and each later one needs a staging table of
this load, which the other load drops. A renewal that comes too late is a row in the lock of another holder and does not count.
"""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

import logging
import secrets
import threading
import time
from contextlib import suppress
from string import hexdigits
from types import TracebackType
from typing import Self

from ddb_assets.errors import DdbAssetsError
from ddb_assets.warehouse.clickhouse.catalog import named, standing
from ddb_assets.warehouse.clickhouse.server import EXISTS, UNKNOWN_TABLE, Server, StatementError
from ddb_assets.warehouse.clickhouse.sql import ENDED, LOCK, literal, quoted, table
from ddb_assets.warehouse.errors import InterruptedLoadError, WarehouseError

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
_PAUSE = 0.5


class Lock:
    """The right to change a root relation's tables, while it is entered. Waits up to `patience` seconds for another load.

    An error in the block becomes InterruptedLoadError if the lock has been lost, because then it says nothing of the tables.
    """

    def __init__(self, server: Server, root: str, *, patience: float) -> None:
        self._server, self._root, self._patience, self._lease = server, root, patience, LEASE_SECONDS
        self._name = table(LOCK, root)
        self._holder = secrets.token_hex(8)
        self._ended = threading.Event()
        self._renewal: threading.Thread | None = None

    def __enter__(self) -> Self:
        until = time.monotonic() + self._patience
        while not self._taken():
            self._take_away_expired()
            if time.monotonic() > until:
                raise WarehouseError(
                    f"another load or `forget` of {self._root} is running: wait for it to end. If its process is gone, its "
                    f"lock ends {self._lease:.0f} seconds after that"
                )
            time.sleep(_PAUSE if self._patience > _PAUSE else self._patience / 5)
        self._drop_asides()
        self._renewal = threading.Thread(target=self._renew, name="ddb_assets-lock", daemon=True)
        self._renewal.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._renewal:
            self._renewal.join()
        lost = False
        with suppress(WarehouseError):  # then the lease ends it
            lost = not self._is_ours()
            if not lost:
                self._server.execute(f"DROP TABLE {self._name}")
        if lost and isinstance(error, DdbAssetsError):  # then a table may be gone because of that
            raise self.lost() from error

    def check(self) -> None:
        """Raises InterruptedLoadError if the lock has been taken away, because it was not renewed in time."""
        # guard: ClickHouse: the lock is held
        if not self._is_ours():
            raise self.lost()

    def lost(self) -> InterruptedLoadError:
        """The error of a load that has lost the lock."""
        return InterruptedLoadError(f"the load of {self._root} was delayed for so long that another one has begun")

    def held(self) -> str:
        """The condition of SQL that this load has the lock, for a statement that must not come too late."""
        return (
            f"(SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = {literal(LOCK + self._root)} "
            f"AND startsWith(comment, {literal(f'{self._holder} ')})) = 1"
        )

    def _taken(self) -> bool:
        try:
            self._server.execute(
                f"CREATE TABLE {self._name} (holder String, until Int64) ENGINE = MergeTree ORDER BY tuple() "
                f"COMMENT {literal(f'{self._holder} {self._end()}')}"
            )
        except StatementError as error:
            if error.code != EXISTS:
                raise
            return False
        return True

    def _end(self) -> int:
        return self._now() + int(self._lease * 1_000_000)

    def _now(self) -> int:
        """The server's time, in microseconds."""
        return int(self._server.value("SELECT toUnixTimestamp64Micro(now64(6))"))

    def _read(self, name: str) -> tuple[str, int] | None:
        found = standing(self._server, name)
        if not found:
            return None
        holder, _, until = found.comment.partition(" ")
        renewed = f"SELECT max(until) FROM {quoted(name)} WHERE holder = {literal(holder)}"
        try:
            return holder, max(int(until) if until.isdecimal() else 0, int(self._server.value(renewed)))
        except StatementError as error:
            if error.code != UNKNOWN_TABLE:
                raise
            return None  # it has just ended

    def _is_ours(self) -> bool:
        found = standing(self._server, LOCK + self._root)
        return found is not None and found.comment.startswith(f"{self._holder} ")

    def _take_away_expired(self) -> None:
        found = self._read(LOCK + self._root)
        if not found or found[1] > self._now():
            return
        aside = f"{self._root}__{self._holder}"
        moved = table(ENDED, aside)
        try:
            self._server.execute(f"RENAME TABLE {self._name} TO {moved}")
        except StatementError as error:
            if error.code not in {UNKNOWN_TABLE, EXISTS}:
                raise
            return  # another load was first
        if self._read(ENDED + aside) == found:
            logger.warning("the lock of %s had expired: its process has ended or hangs", self._root)
            self._server.execute(f"DROP TABLE IF EXISTS {moved}")
            return
        try:  # it has just been renewed, or another load has it now
            self._server.execute(f"RENAME TABLE {moved} TO {self._name}")
        except StatementError as error:
            if error.code not in {UNKNOWN_TABLE, EXISTS}:
                raise
            self._server.execute(f"DROP TABLE IF EXISTS {moved}")  # a third load has the lock, and its holder sees that

    def _drop_asides(self) -> None:
        """Drops ended locks of this table whose takers have died, or have just lost against this load."""
        for name in named(self._server, f"{ENDED}{self._root}__"):
            aside = name.removeprefix(f"{ENDED}{self._root}__")
            if len(aside) == len(self._holder) and set(aside) <= set(hexdigits):
                self._server.execute(f"DROP TABLE IF EXISTS {table(ENDED, name.removeprefix(ENDED))}")

    def _renew(self) -> None:
        while not self._ended.wait(self._lease / 3):
            try:
                if not self._is_ours():
                    return
                self._server.execute(f"INSERT INTO {self._name} VALUES ({literal(self._holder)}, {self._end()})")
            except WarehouseError as error:
                logger.warning("the lock of %s could not be renewed: %s", self._root, error)
