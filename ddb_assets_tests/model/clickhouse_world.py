"""ClickHouse's own engine as the warehouse of the model test: our process crashes or sleeps, and the server has faults.

`world.py` uses it.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast

from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Report
from ddb_assets.sandbox.clickhouse.server import ClickHouseServer
from ddb_assets.warehouse.bookkeeping import history_name
from ddb_assets.warehouse.clickhouse import ledger
from ddb_assets.warehouse.clickhouse.lock import LEASE_SECONDS
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.settings import ClickHouseSettings
from ddb_assets.warehouse.clickhouse.sql import quoted
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import LoadResult
from ddb_assets_tests.model.world import Crash, Faults, ServerFault

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

DATABASE = "model"
PATIENCE = 2 * LEASE_SECONDS


class FragileServer(Server):
    """A step before each statement that changes something. After a crash nothing reaches the server, until `revive`.

    What is sent is the text that `edited` returns.
    """

    def __init__(self, settings: ClickHouseSettings, faults: Faults) -> None:
        super().__init__(settings, AWS())
        self._faults, self._dead, self._later = faults, False, 0.0
        self.fault: ServerFault | None = None
        self.hit, self._number = False, 0
        self.sent: list[str] = []
        self.edited: Callable[[str], str] = str

    def __enter__(self) -> Self:
        super().__enter__()
        self._client = cast("Client", _Line(self._client, self))
        return self

    def wait(self, seconds: float) -> None:
        """A lease passes by the server's clock, instead of these seconds."""
        self._later += LEASE_SECONDS + 1

    def arm(self, fault: ServerFault | None) -> None:
        """The fault happens once; then `hit` says so. From now on `sent` has the statements that change something."""
        self.fault, self.hit, self._number, self.sent = fault, False, 0, []

    def revive(self) -> None:
        """The next process."""
        self._dead = False

    def send(self, call: Callable[[str], Any], text: str, *, changes: bool) -> Any:
        """Sends it, unless the process is dead or dies here, or the fault happens."""
        if self._dead:
            raise Crash
        if changes and threading.current_thread() is threading.main_thread():
            self.sent.append(text)
            try:
                self._faults.step()
            except Crash:
                self._dead = True
                raise
        text = self.edited(text.replace("now64(6)", f"now64(6) + INTERVAL {int(self._later)} SECOND"))
        sent = partial(call, text)
        self._number += 1
        if self.fault is None or self.hit or self._number != self.fault.number:
            return sent()
        self.hit = True
        match self.fault.kind:
            case "lost":
                raise OperationalError("Connection broken: IncompleteRead")
            case "no answer":
                sent()
                raise OperationalError("Read timed out")
            case "twice":  # the driver repeats what may not have arrived
                sent()
                return sent()
            case _:
                raise DatabaseError("Code: 243. DB::Exception: Cannot reserve 1.00 MiB. (NOT_ENOUGH_SPACE)")


class _Line:
    """The driver, whose calls `FragileServer.send` makes."""

    def __init__(self, client: Any, server: FragileServer) -> None:
        self._client, self._server, self.close = client, server, client.close

    def command(self, text: str, *, data: bytes | None) -> Any:
        return self._server.send(partial(self._client.command, data=data), text, changes=True)

    def query(self, text: str, **how: Any) -> Any:
        return self._server.send(partial(self._client.query, **how), text, changes=False)


class FragileClickHouse:
    """Implements `ModelWarehouse`. Whoever waits for a lock lets a lease pass by the clock."""

    def __init__(self, server: ClickHouseServer, faults: Faults) -> None:
        settings = ClickHouseSettings.parse(server.url.replace(f"/{server.database}?", f"/{DATABASE}?"))
        self.warehouse = ClickHouseWarehouse(settings, storage=Storage(), aws=AWS(), patience=PATIENCE)
        self.warehouse.server = self.server = FragileServer(settings, faults)
        self._faults, self._admin = faults, Server(ClickHouseSettings.parse(server.url), AWS())

    def __enter__(self) -> Self:
        self._admin.__enter__()
        self.wipe()
        self.warehouse.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self.warehouse.__exit__(*raised)
        self._admin.execute(f"DROP DATABASE {DATABASE} SYNC")
        self._admin.__exit__(*raised)

    @property
    def hit(self) -> bool:
        """Whether the fault has happened."""
        return self.server.hit

    def load(self, report: Report, options: LoadOptions) -> LoadResult:
        """With a step after it, too."""
        result = self.warehouse.load(report, options)
        self._faults.step()
        return result

    @contextmanager
    def misbehaving(self, fault: ServerFault | None) -> Iterator[None]:
        """Arms the fault for the block."""
        self.server.arm(fault)
        try:
            yield
        finally:
            self.server.fault = None

    def die(self) -> None:
        """The lock that it had is left; what it has staged, too."""
        self.server.revive()

    def wipe(self) -> None:
        """A new database."""
        self._admin.execute(f"DROP DATABASE IF EXISTS {DATABASE} SYNC")
        self._admin.execute(f"CREATE DATABASE {DATABASE} ENGINE = Atomic")

    def rows(self, name: str, columns: Iterable[str]) -> list[dict[str, Any]]:
        """The rows of a view. Bytes are read in hexadecimal, because a String is one of text to the driver."""
        seen = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table"
        present = [name for (name,) in self.server.fetch(f"{seen} = '{name}' ORDER BY position")]
        if not present:
            return []
        relation = name.removesuffix(history_name(""))  # whose history has its types
        types = self.warehouse.columns([relation]).get(relation, {})
        binary = {column for column in present if column in types and types[column].name == "VARBYTE"}
        read = ", ".join(f"hex({quoted(column)})" if column in binary else quoted(column) for column in present)
        return [
            dict.fromkeys(columns)
            | {c: bytes.fromhex(v) if c in binary and v is not None else v for c, v in zip(present, row, strict=True)}
            for row in self.server.fetch(f"SELECT {read} FROM {quoted(name)}")
        ]

    def ledger(self, root: str) -> list[dict[str, Any]]:
        """The loads that are done, since the table was last started over: others are no more, as in SQL."""
        return [vars(entry.row) for entry in ledger.read(self.server, root).done]
