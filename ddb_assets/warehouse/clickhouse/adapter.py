"""ClickHouse by its URL, whose parts `settings.py` reads and documents."""

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from ddb_assets.warehouse.adapter import Opening
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.server_adapter import ServerAdapter
from ddb_assets.warehouse.server_url import ServerUrl

if TYPE_CHECKING:
    from ddb_assets.warehouse.clickhouse.settings import ClickHouseSettings
    from ddb_assets.warehouse.protocol import Warehouse

FORM = "clickhouse://USER@HOST:8443/DATABASE?secure=1"
SECURE_PORT, PORT = 8443, 8123


class ClickHouse(ServerAdapter):
    """Implements `Adapter`: a database of a server or of ClickHouse Cloud."""

    scheme = "clickhouse"
    form = FORM
    schema_is_database = True

    def server(self, url: str) -> ServerUrl:
        """The parts of the URL."""
        return _settings(url).server

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
