"""A warehouse over an engine that has transactions and Redshift's SQL, or something close to it."""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Self

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Report
from ddb_assets.streams.position import Position
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
from ddb_assets.warehouse.sql.engine import SqlEngine
from ddb_assets.warehouse.sql.forgetting import forget, holdings
from ddb_assets.warehouse.sql.inspection import differing, inspect
from ddb_assets.warehouse.sql.ledger import loads, newest_rows
from ddb_assets.warehouse.sql.load import load
from ddb_assets.warehouse.sql.load_stream import load_stream
from ddb_assets.warehouse.sql.load_tail import load_tail, move_stream, position
from ddb_assets.warehouse.sql.self_test import SelfTest
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets.warehouse.sql.versions import spans


class SqlWarehouse(NoOwnStreams, NoColdTier):
    """Implements `Warehouse`; the tables are in the engine's default schema."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    def __enter__(self) -> Self:
        self._engine.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.__exit__(kind, error, trace)

    @property
    def schema(self) -> str:
        """The schema of the tables."""
        return self._engine.default_schema

    def load(self, report: Report, options: LoadOptions = PLAIN) -> LoadResult:
        """Applies the export in one transaction."""
        return load(self._engine, report, options)

    def rehearse(self, report: Report, options: LoadOptions = PLAIN, *, streamed: bool = False) -> Rehearsal:
        """Takes the steps of the load with an engine that only notes statements."""
        from ddb_assets.warehouse.sql.rehearsal import rehearse

        return rehearse(self._engine, report, options, streamed=streamed)

    def load_tail(self, report: Report, moved: Moved, options: LoadOptions = PLAIN) -> TailResult:
        """Applies the records in one transaction with the position."""
        return load_tail(self._engine, report, moved, options)

    def load_stream(self, report: Report, moved: Moved, options: LoadOptions = PLAIN) -> LoadResult:
        """Applies the records in one transaction with the position."""
        return load_stream(self._engine, report, moved, options)

    def move_stream(self, root: str, moved: Moved) -> None:
        """Moves the position in one transaction."""
        move_stream(self._engine, self.schema, root, moved)

    def stream_position(self, root: str, stream: str) -> Position:
        """Reads the table of positions."""
        return position(self._engine, self.schema, root, stream)

    def inspect(self, report: Report) -> Inspection:
        """Counts rows and repeated keys in one transaction."""
        return inspect(self._engine, self.schema, report)

    def recorded(self, root: str, *, counted: bool = False) -> Recorded:
        """Reads the ledger, and counts rows, in one transaction."""
        with self._engine.transaction():
            found = tuple(loads(self._engine, self.schema, root))
            if not (found and counted):
                return Recorded(found, {})
            rows = newest_rows(self._engine, self.schema, root)
            return Recorded(found, differing(self._engine, self.schema, root), rows)

    def remembered(self, root: str) -> tuple[tuple[datetime, datetime], ...]:
        """Reads the table of the history's exports."""
        return spans(self._engine, self.schema, root)

    def columns(self, relations: Collection[str]) -> dict[str, Mapping[str, SqlType]]:
        """Asks the catalog."""
        return {name: layout.types for name, layout in self._engine.layouts(self.schema, relations).items()}

    def rows(self, relations: Collection[str]) -> dict[str, int]:
        """Counts them in one query."""
        return self._engine.counted([TableName(self.schema, name) for name in relations])

    def query(self, text: str) -> list[tuple[object, ...]]:
        """Runs it as it is, in Redshift's dialect."""
        return self._engine.fetch(Statement(text))

    def holdings(self, root: str, views: str = "") -> Holdings:
        """Reads the ledger and the catalog in one transaction."""
        with self._engine.transaction():
            return holdings(self._engine, self.schema, root, views)

    def forget(
        self,
        root: str,
        expected: Holdings,
        views: str = "",
        patience: float = 0.0,
        before_commit: Callable[[], None] = nothing,
    ) -> None:
        """Drops the tables in one transaction that holds the lock of loads."""
        forget(self._engine, self.schema, root, views, expected, patience, before_commit)

    def self_test(self, storage: Storage, folder: str) -> Iterator[Finding]:
        """Tries COPY, loads and the lock in a schema of its own."""
        yield from SelfTest(self._engine, storage, folder).run()
