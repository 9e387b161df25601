"""One load of a table at a time: a table that only one load can create, with the end of its lease as comment.

ClickHouse has no locks that a client could take. To create a table that exists is an error, though, and of two that create it
one succeeds. The load renews its lease while it runs; if its process dies, the lease ends, and the next load takes the lock
away. A load looks whether it still has the lock right before what it has staged becomes valid.
"""

import logging
import secrets
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from ddb_assets.warehouse.clickhouse.catalog import standing
from ddb_assets.warehouse.clickhouse.server import EXISTS, UNKNOWN_TABLE, Server, StatementError
from ddb_assets.warehouse.clickhouse.sql import LOCK, literal, table
from ddb_assets.warehouse.errors import InterruptedLoadError, WarehouseError

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
_PAUSE = 0.5


class Lock:
    """The right to change a root relation's tables, while it is entered. Waits up to `patience` seconds for another load."""

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
        self._renewal = threading.Thread(target=self._renew, name="ddb_assets-lock", daemon=True)
        self._renewal.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._renewal:
            self._renewal.join()
        with suppress(WarehouseError):  # then the lease ends it
            if self._is_ours():
                self._server.execute(f"DROP TABLE {self._name}")

    def check(self) -> None:
        """Raises InterruptedLoadError if the lock has been taken away, because it was not renewed in time."""
        # guard: ClickHouse: the lock is held
        if not self._is_ours():
            raise InterruptedLoadError(f"the load of {self._root} was delayed for so long that another one has begun")

    def _taken(self) -> bool:
        try:
            self._server.execute(
                f"CREATE TABLE {self._name} (nothing UInt8) ENGINE = Memory COMMENT {literal(self._comment())}"
            )
        except StatementError as error:
            if error.code != EXISTS:
                raise
            return False
        return True

    def _comment(self) -> str:
        return f"{self._holder} {self._now() + int(self._lease * 1_000_000)}"

    def _now(self) -> int:
        """The server's time, in microseconds."""
        return int(self._server.value("SELECT toUnixTimestamp64Micro(now64(6))"))

    def _read(self, name: str) -> tuple[str, int] | None:
        found = standing(self._server, name)
        if not found:
            return None
        holder, _, until = found.comment.partition(" ")
        return holder, int(until) if until.isdecimal() else 0

    def _is_ours(self) -> bool:
        found = self._read(LOCK + self._root)
        return found is not None and found[0] == self._holder

    def _take_away_expired(self) -> None:
        found = self._read(LOCK + self._root)
        if not found or found[1] > self._now():
            return
        aside = f"{self._root}__{self._holder}"
        moved = table(LOCK, aside)
        try:
            self._server.execute(f"RENAME TABLE {self._name} TO {moved}")
        except StatementError as error:
            if error.code not in {UNKNOWN_TABLE, EXISTS}:
                raise
            return  # another load was first
        if self._read(LOCK + aside) == found:
            logger.warning("the lock of %s had expired: its process has ended or hangs", self._root)
            self._server.execute(f"DROP TABLE {moved}")
        else:  # another load has just taken the lock again
            with suppress(StatementError):
                self._server.execute(f"RENAME TABLE {moved} TO {self._name}")

    def _renew(self) -> None:
        while not self._ended.wait(self._lease / 3):
            try:
                if not self._is_ours():
                    return
                self._server.execute(f"ALTER TABLE {self._name} MODIFY COMMENT {literal(self._comment())}")
            except WarehouseError as error:
                logger.warning("the lock of %s could not be renewed: %s", self._root, error)
