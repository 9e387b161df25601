"""Redshift by its URL, whose parts `settings.py` reads and documents."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from ddb_assets.warehouse.adapter import Opening
from ddb_assets.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from ddb_assets.infrastructure.wanted import Login
    from ddb_assets.warehouse.protocol import Warehouse
    from ddb_assets.warehouse.redshift.settings import RedshiftSettings

FORM = "redshift://USER@HOST:5439/DATABASE?schema=NAME&iam_role=ARN"


class Redshift:
    """Implements `Adapter`: a cluster or a workgroup, which reads parts from S3."""

    scheme = "redshift"
    form = FORM
    iceberg_tables = False
    cold_tier = True
    schema_is_database = False

    def local_file(self, url: str) -> Path | None:  # noqa: ARG002 -- see the protocol
        """It is a server."""
        return None

    def needs_aws(self, url: str) -> bool:  # noqa: ARG002
        """COPY reads from S3."""
        return True

    def place(self, url: str) -> str:
        """The host, or else the cluster or workgroup, and the database."""
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        server = parts.hostname or options.get("cluster") or options.get("workgroup") or ""
        return f"{server}{parts.path}"

    def table_name(self, url: str, relation: str, schema: str) -> str:
        """With the database and the schema of the URL."""
        settings = _settings(url)
        return f"{settings.database}.{schema or settings.schema}.{relation}"

    def login(self, url: str) -> "Login | None":
        """The secret, the cluster or the workgroup that the URL names."""
        from ddb_assets.infrastructure.wanted import Login

        found = _settings(url)
        return Login(found.secret, found.cluster, found.workgroup, found.user, found.database, found.staging)

    def open(self, url: str, opening: Opening) -> "Warehouse":
        """With credentials of AWS where the URL asks for them."""
        settings = _settings(url)
        try:
            from ddb_assets.warehouse.redshift.connection import RedshiftEngine
            from ddb_assets.warehouse.redshift.warehouse import RedshiftWarehouse
        except ModuleNotFoundError as error:
            raise WarehouseError("Redshift needs its driver: install ddb-assets[redshift]") from error
        from ddb_assets.aws.clients import AWS
        from ddb_assets.aws.storage import Storage

        storage, aws = opening.storage or Storage(), opening.aws or AWS()
        return RedshiftWarehouse(RedshiftEngine(settings, storage=storage, aws=aws, label=opening.label))


def _settings(url: str) -> "RedshiftSettings":
    from ddb_assets.warehouse.redshift.settings import RedshiftSettings

    return RedshiftSettings.parse(url)
