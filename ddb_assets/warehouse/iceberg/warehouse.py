"""The warehouse whose tables are Iceberg tables: loads of exports as in any other, and no streams."""

from typing import TYPE_CHECKING

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Report
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.streams.position import Position
from ddb_assets.warehouse.errors import LoadError, WarehouseError
from ddb_assets.warehouse.iceberg.connection import IcebergEngine
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import PLAIN, LoadOptions
from ddb_assets.warehouse.results import LoadResult, TailResult
from ddb_assets.warehouse.sql.warehouse import SqlWarehouse

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS

NO_STREAMS = (
    "stream {stream} cannot be followed into Iceberg, where each load is several commits: take `stream` out of the tables' "
    "contracts, or load them into DuckDB or Redshift"
)


class IcebergWarehouse(SqlWarehouse):
    """Implements `Warehouse` for the tables of a catalog's namespace."""

    def __init__(self, url: CatalogUrl, *, storage: Storage | None = None, aws: "AWS | None" = None) -> None:
        super().__init__(IcebergEngine(url, storage=storage, aws=aws))

    def load(self, report: Report, options: LoadOptions = PLAIN) -> LoadResult:
        """Applies the export; its tables change together (`commit.py`)."""
        if options.tables.views:
            raise LoadError(
                f"the contract of {report.table} names a schema for views (warehouse.views: {options.tables.views}), and not "
                "every catalog of Iceberg has views: take it out"
            )
        if options.history is not None:
            raise LoadError(
                f"the contract of {report.table} has `history`, which is shown by a view, and not every catalog of Iceberg has "
                "views: take it out; `lake: iceberg` keeps every version in a table of changes"
            )
        return super().load(report, options)

    def load_tail(self, report: Report, moved: Moved, options: LoadOptions = PLAIN) -> TailResult:  # noqa: ARG002
        """There are no streams."""
        raise WarehouseError(NO_STREAMS.format(stream=moved.stream))

    def load_stream(self, report: Report, moved: Moved, options: LoadOptions = PLAIN) -> LoadResult:  # noqa: ARG002
        """There are no streams."""
        raise WarehouseError(NO_STREAMS.format(stream=moved.stream))

    def move_stream(self, root: str, moved: Moved) -> None:  # noqa: ARG002
        """There are no streams."""
        raise WarehouseError(NO_STREAMS.format(stream=moved.stream))

    def stream_position(self, root: str, stream: str) -> Position:  # noqa: ARG002
        """There are no streams."""
        raise WarehouseError(NO_STREAMS.format(stream=stream))
