"""The URL of a warehouse that is a server with a user and a password: `scheme://user@host:port/database?name=value&…`.

A password is never part of a URL: it comes from the environment, or from a secret of Secrets Manager.
"""

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from ddb_assets.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS

STATEMENT_SECONDS = 4 * 3600


@dataclass(frozen=True)
class ServerUrl:
    """The parts of a URL. `port` is the usual one, or 0, where the URL names none; `timeout` of statements
    is in seconds.

    `variable` is the environment variable of the password, `secret` the name or ARN of a secret with `username` and
    `password`, or empty. `options` are the other ones.
    """

    host: str
    port: int
    database: str
    user: str
    secret: str
    timeout: int
    options: Mapping[str, str]
    variable: str

    @classmethod
    def parse(
        cls, url: str, *, name: str, form: str, variable: str, options: Collection[str], usual: int = 0
    ) -> "ServerUrl":
        """`name` and `form` are for messages, `options` are those besides `secret` and `statement_timeout`.

        Raises WarehouseError, which repeats nothing of what might be a password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
            given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        except ValueError:
            raise WarehouseError(f"this is not a URL of {name}: write {form}") from None
        if parts.password is not None:
            raise WarehouseError(f"a warehouse URL must not hold a password: take it out and set {variable}")
        allowed = [*options, "secret", "statement_timeout"]
        for option in given:
            if option not in allowed:
                raise WarehouseError(f"{option!r} is not an option of a {name} URL: {', '.join(allowed)}")
        secret = given.pop("secret", "")
        timeout = given.pop("statement_timeout", str(STATEMENT_SECONDS))
        if not timeout.isdecimal() or not int(timeout):
            raise WarehouseError(f"statement_timeout is {timeout!r}: write a number of seconds")
        database, user = unquote(parts.path.removeprefix("/")), unquote(parts.username or "")
        for what, found in (("host", parts.hostname), ("database", database), ("user", user or secret)):
            if not found:
                raise WarehouseError(f"the URL names no {what}: write {form}")
        return cls(parts.hostname or "", port or usual, database, user, secret, int(timeout), given, variable)

    @property
    def place(self) -> str:
        """The server and the database, for messages."""
        return f"{self.host}:{self.port}/{self.database}"

    def credentials(self, aws: "AWS") -> tuple[str, str]:
        """User and password. Raises WarehouseError if there is none."""
        if not self.secret:
            if self.variable not in os.environ:
                raise WarehouseError(
                    f"there is no password for {self.user} at {self.place}: set {self.variable}, or name a "
                    "secret of Secrets Manager in the URL (secret=…)"
                )
            return self.user, os.environ[self.variable]
        try:
            known = json.loads(aws.secret(self.secret))
            return self.user or known["username"], known["password"]
        except (ValueError, TypeError, KeyError):
            raise WarehouseError(f"secret {self.secret!r} is not JSON with username and password") from None
