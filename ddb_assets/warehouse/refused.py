"""What not every warehouse can do, refused in one way: an adapter inherits what it does not have."""

from collections.abc import Callable, Sequence

from ddb_assets.contract.report import Report
from ddb_assets.microseconds import now_micros
from ddb_assets.streams.calls import Stream
from ddb_assets.streams.position import Position
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import PLAIN, ColdOptions, CompactOptions, LiveTable, LoadOptions
from ddb_assets.warehouse.results import ColdCompaction, ColdMove, LoadResult, Refreshed, TailResult

NO_OWN_STREAMS = (
    "stream {stream} has `tail: materialized_view`, and only Redshift reads streams itself: take `tail` out of the tables' "
    "contracts, or load them into Redshift"
)
NO_COLD_TIER = (
    "{root} has `warehouse.retain`, and only Redshift moves rows to Iceberg tables and shows them with its own: take `retain` "
    "out of the table's contract, or load it into Redshift"
)
NOT_FOLLOWED = (
    "stream {stream} cannot be followed into {where}: take `stream` out of the tables' contracts, or load them into DuckDB or "
    "Redshift"
)


class NoOwnStreams:
    """For a warehouse that reads no streams itself."""

    def refresh_stream(
        self,
        stream: str,
        tables: Sequence[LiveTable],  # noqa: ARG002 -- see the protocol
        source: Stream,  # noqa: ARG002
        now: Callable[[], int] = now_micros,  # noqa: ARG002
    ) -> Refreshed:
        """Raises WarehouseError."""
        raise WarehouseError(NO_OWN_STREAMS.format(stream=stream))

    def refreshed_to(self, stream: str) -> Position:
        """Raises WarehouseError."""
        raise WarehouseError(NO_OWN_STREAMS.format(stream=stream))


class NoColdTier:
    """For a warehouse whose rows all stay where they are."""

    def move_cold(self, root: str, options: ColdOptions) -> ColdMove:  # noqa: ARG002 -- see the protocol
        """Raises WarehouseError."""
        raise WarehouseError(NO_COLD_TIER.format(root=root))

    def compact_cold(self, root: str, options: CompactOptions) -> ColdCompaction:  # noqa: ARG002
        """Raises WarehouseError."""
        raise WarehouseError(NO_COLD_TIER.format(root=root))


class NotFollowing:
    """For a warehouse into which no stream can be followed. `not_followed` says which, and why: `X, where …`."""

    not_followed: str

    def load_tail(self, report: Report, moved: Moved, options: LoadOptions = PLAIN) -> TailResult:  # noqa: ARG002
        """Raises WarehouseError."""
        raise self._refusal(moved.stream)

    def load_stream(self, report: Report, moved: Moved, options: LoadOptions = PLAIN) -> LoadResult:  # noqa: ARG002
        """Raises WarehouseError."""
        raise self._refusal(moved.stream)

    def move_stream(self, root: str, moved: Moved) -> None:  # noqa: ARG002
        """Raises WarehouseError."""
        raise self._refusal(moved.stream)

    def stream_position(self, root: str, stream: str) -> Position:  # noqa: ARG002
        """Raises WarehouseError."""
        raise self._refusal(stream)

    def _refusal(self, stream: str) -> WarehouseError:
        return WarehouseError(NOT_FOLLOWED.format(stream=stream, where=self.not_followed))
