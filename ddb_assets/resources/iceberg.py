"""Which catalog Iceberg tables are in. It is opened in `iceberg/catalog.py`."""

import os

import dagster as dg
from pydantic import Field

from ddb_assets.aws.storage import join
from ddb_assets.resources.lake import Lake
from ddb_assets.settings import ICEBERG, state_folder

EMBEDDED = "iceberg.sqlite"


class IcebergTarget(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The catalog's URL, such as `iceberg://glue/DATABASE?location=s3://bucket/prefix`."""

    url: str = Field(
        default="",
        description=f"URL of the catalog; else {ICEBERG}, else a file in the state folder, with tables in the lake",
    )

    def address(self, lake: Lake) -> str:
        """The URL to use. Raises SettingError when it takes the lake and there is none."""
        if found := self.url or os.environ.get(ICEBERG, "").strip():
            return found
        return f"iceberg:///{state_folder() / EMBEDDED}?location={join(lake.root, 'iceberg')}"
