"""The warehouse whose tables are Iceberg tables: loads of exports as in any other, and no streams."""

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.protocol import PLAIN, LoadOptions
from ddb_assets.warehouse.refused import NotFollowing
from ddb_assets.warehouse.results import LoadResult, Rehearsal
from ddb_assets.warehouse.sql.warehouse import SqlWarehouse


class IcebergWarehouse(NotFollowing, SqlWarehouse):
    """Implements `Warehouse` for the tables of a catalog's namespace."""

    not_followed = "Iceberg, where each load is several commits"

    def load(self, report: Report, options: LoadOptions = PLAIN) -> LoadResult:
        """Applies the export; its tables change together (`commit.py`)."""
        _check(report, options)
        return super().load(report, options)

    def rehearse(self, report: Report, options: LoadOptions = PLAIN, *, streamed: bool = False) -> Rehearsal:
        """The same for what comes before the rows."""
        _check(report, options)
        if streamed:
            raise self._refusal(f"of {report.table}")
        return super().rehearse(report, options)


def _check(report: Report, options: LoadOptions) -> None:
    """Raises LoadError for what needs views."""
    # guard: views in Iceberg
    if options.tables.views:
        raise LoadError(
            f"the contract of {report.table} names a schema for views (warehouse.views: {options.tables.views}), and not "
            "every catalog of Iceberg has views: take it out"
        )
    # guard: a history in Iceberg
    if options.history is not None:
        raise LoadError(
            f"the contract of {report.table} has `history`, which is shown by a view, and not every catalog of Iceberg has "
            "views: take it out; `lake: iceberg` keeps every version in a table of changes"
        )
