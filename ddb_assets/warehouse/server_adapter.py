"""What the adapters of servers with a user and a password (`server_url.py`) do alike."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ddb_assets.warehouse.server_url import ServerUrl

if TYPE_CHECKING:
    from ddb_assets.infrastructure.wanted import Login


class ServerAdapter(ABC):
    """The part of an `Adapter` that only needs the URL."""

    iceberg_tables = False
    cold_tier = False
    schema_is_database = False
    port = 0
    """The usual one."""

    @abstractmethod
    def server(self, url: str) -> ServerUrl:
        """The parts of the URL. Raises WarehouseError."""

    def local_file(self, url: str) -> Path | None:  # noqa: ARG002 -- see the protocol
        """It is a server."""
        return None

    def needs_aws(self, url: str) -> bool:
        """For a secret only: parts are read as they lie, by their own URIs."""
        return bool(self.server(url).secret)

    def place(self, url: str) -> str:
        """The host, the port and the database."""
        parts = urlsplit(url)
        return f"{parts.hostname or ''}:{parts.port or self.port}{parts.path}"

    def login(self, url: str) -> "Login | None":
        """The secret that the URL names."""
        from ddb_assets.infrastructure.wanted import Login

        secret = self.server(url).secret
        return Login(secret=secret, redshift=False) if secret else None
