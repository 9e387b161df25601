"""Which tables keep their changes in Iceberg, and in which stages."""

from ddb_assets.contract.stages import Stage
from ddb_assets.contract.table import Table
from ddb_assets.settings import is_iceberg_lake


def keeps_changes(table: Table) -> bool:
    """Whether every version of the table's items is appended to Iceberg. A table that only a stream fills has no landings."""
    if table.source == "stream":
        return False
    return is_iceberg_lake() if table.lake is None else table.lake == "iceberg"


def full_changes(table: Table) -> tuple[Stage, ...]:
    """The stage in which a full export or a scan is appended; none if the table keeps no changes."""
    if not keeps_changes(table):
        return ()
    return ("changes",) if table.load == "replace" else ("initial_changes",)


def window_changes(table: Table) -> tuple[Stage, ...]:
    """The stage in which its windows are appended; none if it has none, or keeps no changes."""
    return ("changes",) if keeps_changes(table) and table.load == "upsert" else ()
