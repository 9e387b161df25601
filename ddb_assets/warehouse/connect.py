"""From a warehouse URL to a warehouse.

Which settings a warehouse has is said where it is defined (`duckdb.py`); this is only the switch between them.
"""

from ddb_assets.resources.storage import Storage
from ddb_assets.warehouse.duckdb import DuckDBWarehouse
from ddb_assets.warehouse.protocol import WarehouseError

DUCKDB = "duckdb:///"


def open_warehouse(url: str, *, storage: Storage | None = None) -> DuckDBWarehouse:
    """The warehouse of a URL, to be entered with `with`: `duckdb:///FILE`.

    FILE is taken as it is, so an absolute path makes four slashes (`duckdb:////data/x.duckdb`). Raises WarehouseError
    for any other URL.
    """
    path = url.removeprefix(DUCKDB)
    if not url.startswith(DUCKDB) or not path:
        raise WarehouseError(f"{url.split('@')[-1]!r} is no warehouse: write duckdb:///FILE")
    return DuckDBWarehouse(path, storage=storage)
