"""ClickHouse by its URL, whose parts `settings.py` reads and documents."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from ddb_assets.warehouse.adapter import Opening
from ddb_assets.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from ddb_assets.infrastructure.wanted import Login
    from ddb_assets.warehouse.clickhouse.settings import ClickHouseSettings
    from ddb_assets.warehouse.protocol import Warehouse

FORM = "clickhouse://USER@HOST:8443/DATABASE?secure=1"
SECURE_PORT, PORT = 8443, 8123


class ClickHouse:
    """Implements `Adapter`: a database of a server or of ClickHouse Cloud."""

    scheme = "clickhouse"
    form = FORM
    iceberg_tables = False
    cold_tier = False
    schema_is_database = True

    def local_file(self, url: str) -> Path | None:  # noqa: ARG002 -- see the protocol
        """It is a server."""
        return None

    def needs_aws(self, url: str) -> bool:
        """Parts are read as they lie, by their own URIs, unless the server reads them from S3 itself."""
        settings = _settings(url)
        return bool(settings.s3 or settings.secret)

    def place(self, url: str) -> str:
        """The host, the port and the database."""
        parts = urlsplit(url)
        secure = dict(parse_qsl(parts.query)).get("secure") != "0"
        return f"{parts.hostname or ''}:{parts.port or (SECURE_PORT if secure else PORT)}{parts.path}"

    def table_name(self, url: str, relation: str, schema: str) -> str:
        """A database is what others call a schema."""
        settings = _settings(url)
        return f"{settings.host}.{schema or settings.database}.{relation}"

    def login(self, url: str) -> "Login | None":
        """The secret that the URL names."""
        from ddb_assets.infrastructure.wanted import Login

        found = _settings(url)
        return Login(secret=found.secret, redshift=False) if found.secret else None

    def open(self, url: str, opening: Opening) -> "Warehouse":
        """Connects when it is entered."""
        settings = _settings(url)
        try:
            from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
        except ModuleNotFoundError as error:
            raise WarehouseError("ClickHouse needs its driver: pip install 'ddb-assets[clickhouse]'") from error
        from ddb_assets.aws.clients import AWS
        from ddb_assets.aws.storage import Storage

        return ClickHouseWarehouse(
            settings, storage=opening.storage or Storage(), aws=opening.aws or AWS(), patience=opening.patience
        )


def _settings(url: str) -> "ClickHouseSettings":
    from ddb_assets.warehouse.clickhouse.settings import ClickHouseSettings

    return ClickHouseSettings.parse(url)
