"""A warehouse of Iceberg tables by the URL of its catalog (`iceberg/url.py`)."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ddb_assets.iceberg.errors import IcebergError
from ddb_assets.iceberg.url import ICEBERG, CatalogUrl
from ddb_assets.warehouse.adapter import Opening
from ddb_assets.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from ddb_assets.infrastructure.wanted import Login
    from ddb_assets.warehouse.protocol import Warehouse


class Iceberg:
    """Implements `Adapter`: a namespace of a catalog, whose tables lie in the lake or on this machine."""

    scheme = ICEBERG.removesuffix("://")
    form = f"{ICEBERG}…"
    iceberg_tables = True
    cold_tier = False
    schema_is_database = False

    def local_file(self, url: str) -> Path | None:  # noqa: ARG002 -- see the protocol
        """Even a catalog in a file is tables in a folder, and lets in several loads."""
        return None

    def needs_aws(self, url: str) -> bool:
        """If the catalog or its tables are there."""
        return _catalog(url).needs_aws

    def place(self, url: str) -> str:
        """The kind of the catalog and its namespace, or its file."""
        parts = urlsplit(url)
        return f"{parts.hostname or ''}{parts.path}"

    def table_name(self, url: str, relation: str, schema: str) -> str:
        """With the namespace of the URL."""
        return f"{self.scheme}.{schema or _catalog(url).namespace}.{relation}"

    def login(self, url: str) -> "Login | None":
        """None: its catalog says which rights it needs (`infrastructure/catalog_rights.py`)."""
        _catalog(url)
        return None

    def open(self, url: str, opening: Opening) -> "Warehouse":
        """Opens the catalog."""
        parsed = _catalog(url)
        try:
            from ddb_assets.warehouse.iceberg.connection import IcebergEngine
            from ddb_assets.warehouse.iceberg.warehouse import IcebergWarehouse
        except ModuleNotFoundError as error:
            raise WarehouseError("Iceberg needs pyiceberg: pip install 'ddb-assets[iceberg]'") from error
        return IcebergWarehouse(IcebergEngine(parsed, storage=opening.storage, aws=opening.aws))


def _catalog(url: str) -> CatalogUrl:
    try:
        return CatalogUrl.parse(url)
    except IcebergError as error:
        raise WarehouseError(str(error)) from error
