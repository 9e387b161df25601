"""Which warehouse the tables go to. What is done there is the warehouse stage's."""

import dagster as dg
from pydantic import Field

from ddb_assets.settings import WAREHOUSE, warehouse_address


class WarehouseTarget(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The warehouse's URL, such as `duckdb:///FILE`."""

    url: str = Field(default="", description=f"URL of the warehouse; else {WAREHOUSE}, else DuckDB in the state folder")

    @property
    def address(self) -> str:
        """The URL to use."""
        return self.url or warehouse_address()
