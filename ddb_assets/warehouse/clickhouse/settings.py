"""Where a ClickHouse is and how to log in: the parts of the warehouse URL.

A password is never part of a URL: it comes from the environment or from Secrets Manager.
"""

import json
import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from ddb_assets.warehouse.clickhouse.adapter import FORM, PORT, SECURE_PORT
from ddb_assets.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS


PASSWORD = "DDB_ASSETS_CLICKHOUSE_PASSWORD"  # noqa: S105 -- the name of the variable
STATEMENT_SECONDS = 4 * 3600


@dataclass(frozen=True)
class ClickHouseSettings:
    """The parts of `clickhouse://user@host:port/database?name=value&…`.

    `secure=0` is for a server without TLS. The password is taken from DDB_ASSETS_CLICKHOUSE_PASSWORD, or `secret` names a
    secret of Secrets Manager with `username` and `password`. `s3` lets the server read parts from S3 itself: `default` with
    its own credentials, or the name of a named collection that has some; without it, parts are sent to the server.
    `statement_timeout` is in seconds.
    """

    host: str
    port: int
    database: str
    user: str
    secure: bool = True
    secret: str = ""
    s3: str = ""
    statement_timeout: int = STATEMENT_SECONDS

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises WarehouseError, which repeats nothing of what might be a password."""
        try:
            parts = urlsplit(url)
            port = parts.port
            options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        except ValueError:
            raise WarehouseError(f"this is not a URL of ClickHouse: write {FORM}") from None
        if parts.password is not None:
            raise WarehouseError(f"a warehouse URL must not hold a password: take it out and set {PASSWORD}")
        allowed = [f.name for f in fields(cls)][4:]
        for name in options:
            if name not in allowed:
                raise WarehouseError(f"{name!r} is not an option of a ClickHouse URL: {', '.join(allowed)}")
        secure = options.get("secure", "1")
        if secure not in {"0", "1"}:
            raise WarehouseError(f"secure is {secure!r}: write 1 for a server with TLS, 0 for one without")
        timeout = options.get("statement_timeout", str(STATEMENT_SECONDS))
        if not timeout.isdecimal() or not int(timeout):
            raise WarehouseError(f"statement_timeout is {timeout!r}: write a number of seconds")
        database, user = unquote(parts.path.removeprefix("/")), unquote(parts.username or "")
        secret = options.get("secret", "")
        for what, found in (("host", parts.hostname), ("database", database), ("user", user or secret)):
            if not found:
                raise WarehouseError(f"the URL names no {what}: write {FORM}")
        return cls(
            host=parts.hostname or "",
            port=port or (SECURE_PORT if secure == "1" else PORT),
            database=database,
            user=user,
            secure=secure == "1",
            secret=secret,
            s3=options.get("s3", ""),
            statement_timeout=int(timeout),
        )

    @property
    def place(self) -> str:
        """The server and database, for messages."""
        return f"{self.host}:{self.port}/{self.database}"

    def credentials(self, aws: "AWS") -> tuple[str, str]:
        """User and password. Raises WarehouseError if there is none."""
        if not self.secret:
            if PASSWORD not in os.environ:
                raise WarehouseError(
                    f"there is no password for {self.user} at {self.place}: set {PASSWORD}, or name a secret of Secrets "
                    "Manager in the URL (secret=…)"
                )
            return self.user, os.environ[PASSWORD]
        try:
            known = json.loads(aws.secret(self.secret))
            return self.user or known["username"], known["password"]
        except (ValueError, TypeError, KeyError):
            raise WarehouseError(f"secret {self.secret!r} is not JSON with username and password") from None
