"""Which catalog Iceberg tables are in. It is opened in `iceberg/catalog.py`."""

import dagster as dg
from pydantic import Field

from ddb_assets.resources.lake import Lake
from ddb_assets.settings import ICEBERG, iceberg_address, optional


class IcebergTarget(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The catalog's URL, such as `iceberg://glue/DATABASE?location=s3://bucket/prefix`."""

    url: str = Field(
        default="",
        description=f"URL of the catalog; else {ICEBERG}, else a file in the state folder, with tables in the lake",
    )

    def address(self, lake: Lake) -> str:
        """The URL to use. Raises SettingError when it takes the lake and there is none."""
        return self.url or optional(ICEBERG) or iceberg_address(lake.root)
