"""Where a ClickHouse is and how to log in: the parts of the warehouse URL."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from ddb_assets.warehouse.clickhouse.adapter import FORM, PORT, SECURE_PORT
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.server_url import ServerUrl

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS


PASSWORD = "DDB_ASSETS_CLICKHOUSE_PASSWORD"  # noqa: S105 -- the name of the variable


@dataclass(frozen=True)
class ClickHouseSettings:
    """The parts of `clickhouse://user@host:port/database?name=value&…`.

    `secure=0` is for a server without TLS. `s3` lets the server read parts from S3 itself: `default` with its own
    credentials, or the name of a named collection that has some; without it, parts are sent to the server.
    """

    server: ServerUrl
    secure: bool
    s3: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises WarehouseError, which repeats nothing of what might be a password."""
        server = ServerUrl.parse(url, name="ClickHouse", form=FORM, variable=PASSWORD, options=("secure", "s3"))
        secure = server.options.get("secure", "1")
        if secure not in {"0", "1"}:
            raise WarehouseError(f"secure is {secure!r}: write 1 for a server with TLS, 0 for one without")
        port = server.port or (SECURE_PORT if secure == "1" else PORT)
        return cls(replace(server, port=port), secure == "1", server.options.get("s3", ""))

    @property
    def host(self) -> str:
        """The name or address of the server."""
        return self.server.host

    @property
    def port(self) -> int:
        """Where HTTP is spoken."""
        return self.server.port

    @property
    def database(self) -> str:
        """Where tables go."""
        return self.server.database

    @property
    def secret(self) -> str:
        """The secret that the URL names, or nothing."""
        return self.server.secret

    @property
    def statement_timeout(self) -> int:
        """In seconds."""
        return self.server.timeout

    @property
    def place(self) -> str:
        """The server and database, for messages."""
        return self.server.place

    def credentials(self, aws: "AWS") -> tuple[str, str]:
        """User and password. Raises WarehouseError if there is none."""
        return self.server.credentials(aws)
