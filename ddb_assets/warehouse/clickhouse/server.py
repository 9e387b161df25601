"""A connection to ClickHouse by its HTTP interface, and its errors as ours."""

import re
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from ddb_assets.warehouse.clickhouse.settings import ClickHouseSettings
from ddb_assets.warehouse.errors import InterruptedLoadError, WarehouseError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from ddb_assets.aws.clients import AWS
    from ddb_assets.warehouse.clickhouse.tables import Target

EXISTS, UNKNOWN_TABLE = 57, 60
UNREADABLE = frozenset({6, 27, 33, 36, 38, 41, 53, 69, 70, 72, 117, 131, 321, 349, 376, 407, 467, 636})
"""What is wrong with data: it cannot be parsed or converted, is out of range, or a value is missing.

ClickHouse quotes values in these errors, so their texts are not passed on: they would end in logs and alerts.
"""
_PASSING = frozenset({3, 159, 202, 209, 210, 236, 241, 242, 252, 279, 319, 425, 999})
"""Timeouts, lost connections, too many parts or queries, not enough memory now, no Keeper."""
_CODE = re.compile(r"[Cc]ode: ?(\d+)")
_NAME = re.compile(r"\(([A-Z][A-Z0-9]*_[A-Z0-9_]+)\)")


class StatementError(WarehouseError):
    """ClickHouse refuses a statement; `code` is its number of the error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Server:
    """A connection, open while it is entered as a context manager. Threads may use it at the same time.

    Each statement is committed by itself. Raises WarehouseError; InterruptedLoadError for what may pass. `reads_parts` is
    False if no load comes to its rows.
    """

    reads_parts = True

    def __init__(self, settings: ClickHouseSettings, aws: "AWS") -> None:
        self.settings, self._aws = settings, aws
        self._client: Client | None = None

    def __enter__(self) -> Self:
        user, password = self.settings.credentials(self._aws)
        try:
            self._client = clickhouse_connect.get_client(
                host=self.settings.host,
                port=self.settings.port,
                username=user,
                password=password,
                database=self.settings.database,
                interface="https" if self.settings.secure else "http",
                send_receive_timeout=self.settings.statement_timeout,
                autogenerate_session_id=False,  # sessions run one query at a time, and a load renews its lock meanwhile
                client_name="ddb_assets",
                settings={"select_sequential_consistency": 1},  # in ClickHouse Cloud another replica may answer
                show_clickhouse_errors=True,
            )
        except ClickHouseError as error:
            raise self._explained(error, "no connection") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client:
            with suppress(ClickHouseError):
                self._client.close()
        self._client = None

    def execute(self, statement: str, data: bytes | None = None) -> None:
        """Runs a statement; `data` is what an INSERT reads."""
        try:
            self._open.command(statement, data=data)
        except ClickHouseError as error:
            raise self._explained(error, "a statement of the load was refused") from None

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query. Times are of UTC and have no zone."""
        try:
            return [tuple(row) for row in self._open.query(query, query_tz="UTC").result_rows]
        except ClickHouseError as error:
            raise self._explained(error, "a query was refused") from None

    def value(self, query: str) -> Any:
        """The one value of a query."""
        return self.fetch(query)[0][0]

    def numbers(self, query: str) -> Sequence[int]:
        """The one row of a query for numbers."""
        return self.fetch(query)[0]

    def begin_staging(self, targets: "Sequence[Target]") -> None:
        """Called by a load when its tables are prepared. A rehearsal ends here."""

    @property
    def _open(self) -> "Client":
        if self._client is None:
            raise WarehouseError(f"the connection to ClickHouse at {self.settings.place} is closed")
        return self._client

    def _explained(self, error: ClickHouseError, what: str) -> WarehouseError:
        said = " ".join(str(error).split())
        found = _CODE.search(said)
        code = int(found[1]) if found else 0
        if code in UNREADABLE:
            name = "".join(f" ({name})" for name in _NAME.findall(said)[-1:])
            said = f"error {code}{name}; its text is in the log of ClickHouse only, because it may quote values"
        message = f"ClickHouse at {self.settings.place}: {what}: {said[:1500]}"
        if code in _PASSING or (not code and isinstance(error, OperationalError)):
            return InterruptedLoadError(message)
        return StatementError(code, message)
