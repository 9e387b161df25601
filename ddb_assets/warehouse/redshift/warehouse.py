"""Redshift as a warehouse, which can also read streams itself."""

from collections.abc import Callable, Sequence
from functools import partial

from ddb_assets.logs import about
from ddb_assets.microseconds import now_micros
from ddb_assets.streams.calls import Stream
from ddb_assets.streams.position import Position
from ddb_assets.warehouse.protocol import ColdOptions, CompactOptions, LiveTable
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.streaming.records import StreamRecords
from ddb_assets.warehouse.redshift.streaming.refresh import refresh
from ddb_assets.warehouse.results import ColdCompaction, ColdMove, Refreshed
from ddb_assets.warehouse.sql.load import tried
from ddb_assets.warehouse.sql.warehouse import SqlWarehouse


class RedshiftWarehouse(SqlWarehouse):
    """Implements `Warehouse` over Redshift."""

    def __init__(self, engine: RedshiftEngine) -> None:
        super().__init__(engine)
        self._redshift = engine

    def refresh_stream(
        self, stream: str, tables: Sequence[LiveTable], source: Stream, now: Callable[[], int] = now_micros
    ) -> Refreshed:
        """By a materialized view over the stream."""
        return refresh(self._redshift, self.schema, stream, tables, source, now)

    def move_cold(self, root: str, options: ColdOptions) -> ColdMove:
        """By UNLOAD, a commit of each Iceberg table, and one transaction."""
        from ddb_assets.warehouse.redshift.cold.move import move  # with pyarrow, which other calls do not need
        from ddb_assets.warehouse.redshift.cold.planning import plan

        does, what = plan if options.dry_run else move, f"table {root}: move to the cold tier"
        return tried(partial(does, self._redshift, self.schema, root, options), what, about(root))

    def compact_cold(self, root: str, options: CompactOptions) -> ColdCompaction:
        """By a commit of each Iceberg table."""
        from ddb_assets.warehouse.redshift.cold.compaction import compact  # with pyarrow, as above

        what = f"table {root}: compaction of cold rows"
        return tried(partial(compact, self._redshift, self.schema, root, options), what, about(root))

    def refreshed_to(self, stream: str) -> Position:
        """Asks the materialized view."""
        return StreamRecords(self._redshift, self.schema, stream).position()
