"""The warehouse in a database of ClickHouse: loads of exports and streams as in any other."""
# ruff: noqa: S608  -- names come from quoted(), values from literal()

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Report
from ddb_assets.streams.position import Position
from ddb_assets.warehouse.clickhouse import catalog, history_state, ledger, positions
from ddb_assets.warehouse.clickhouse.forgetting import forget, holdings
from ddb_assets.warehouse.clickhouse.inspection import differing, inspect
from ddb_assets.warehouse.clickhouse.known import loads
from ddb_assets.warehouse.clickhouse.load import load
from ddb_assets.warehouse.clickhouse.load_tail import load_tail
from ddb_assets.warehouse.clickhouse.self_test import self_test
from ddb_assets.warehouse.clickhouse.server import Server
from ddb_assets.warehouse.clickhouse.settings import ClickHouseSettings
from ddb_assets.warehouse.clickhouse.sql import quoted
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import PLAIN, LoadOptions, nothing
from ddb_assets.warehouse.refused import NoColdTier, NoOwnStreams
from ddb_assets.warehouse.results import (
    Finding,
    Holdings,
    Inspection,
    LoadResult,
    Recorded,
    Rehearsal,
    TailResult,
)

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS

PATIENCE = 300.0


class ClickHouseWarehouse(NoOwnStreams, NoColdTier):
    """Implements `Warehouse`. A load waits up to `patience` seconds for another load of the same table."""

    def __init__(
        self, settings: ClickHouseSettings, *, storage: Storage, aws: "AWS", patience: float = PATIENCE
    ) -> None:
        self.server = Server(settings, aws)
        self._storage, self._patience = storage, patience

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.__exit__(kind, error, trace)

    @property
    def schema(self) -> str:
        """The database."""
        return self.server.settings.database

    def load(self, report: Report, options: LoadOptions = PLAIN) -> LoadResult:
        """Applies the export; its tables change together (`publish.py`)."""
        return load(self.server, self._storage, report, options, patience=self._patience)

    def load_tail(self, report: Report, moved: Moved, options: LoadOptions = PLAIN) -> TailResult:
        """Applies the records in a few inserts; the one that moves the position shows them."""
        return load_tail(self.server, self._storage, report, moved, options, patience=self._patience)

    def load_stream(self, report: Report, moved: Moved, options: LoadOptions = PLAIN) -> LoadResult:
        """Applies the records like a window; the row of the ledger that decides has the position."""
        return load(self.server, self._storage, report, options, patience=self._patience, moved=moved)

    def move_stream(self, root: str, moved: Moved) -> None:
        """Adds a row to the table of positions, under the lock of loads."""
        positions.move(self.server, root, moved, patience=self._patience)

    def stream_position(self, root: str, stream: str) -> Position:
        """Reads the table of positions."""
        return positions.position(self.server, root, stream)

    def rehearse(self, report: Report, options: LoadOptions = PLAIN, *, streamed: bool = False) -> Rehearsal:
        """Runs the load without sending what it would change."""
        from ddb_assets.warehouse.clickhouse.rehearsal import rehearse

        return rehearse(self.server, report, options, streamed=streamed)

    def inspect(self, report: Report) -> Inspection:
        """Counts rows and repeated keys as a reader sees them."""
        return inspect(self.server, report)

    def recorded(self, root: str, *, counted: bool = False) -> Recorded:
        """Reads the ledger; a load that is decided and not finished is not in it."""
        done = ledger.read(self.server, root).done
        if not (done and counted):
            return Recorded(loads(done), {})
        rows = done[-1].row.table_rows
        return Recorded(loads(done), differing(self.server, rows), rows)

    def remembered(self, root: str) -> tuple[tuple[datetime, datetime], ...]:
        """Reads the table of the history's exports."""
        return history_state.spans(self.server, root)

    def columns(self, relations: Collection[str]) -> dict[str, Mapping[str, SqlType]]:
        """The columns of the tables of rows, as the views show them."""
        return {name: found.types for name, found in catalog.tables(self.server, relations).items()}

    def rows(self, relations: Collection[str]) -> dict[str, int]:
        """Counts the rows of the views."""
        return {name: int(self.server.value(f"SELECT count() FROM {quoted(name)}")) for name in relations}

    def query(self, text: str) -> list[tuple[object, ...]]:
        """Runs it as it is, in ClickHouse's dialect."""
        return self.server.fetch(text)

    def holdings(self, root: str, views: str = "") -> Holdings:  # noqa: ARG002 -- no contract names views here
        """Reads the ledger and the catalog."""
        return holdings(self.server, root)

    def forget(
        self,
        root: str,
        expected: Holdings,
        views: str = "",  # noqa: ARG002 -- no contract names views here
        patience: float = 0.0,
        before_commit: Callable[[], None] = nothing,
    ) -> None:
        """Drops the views first and the ledger last, under the lock of loads; each by itself."""
        forget(self.server, root, expected, patience, before_commit)

    def self_test(self, storage: Storage, folder: str) -> Iterator[Finding]:
        """Loads a small table, changes it, and drops it."""
        yield from self_test(self, storage, folder)
