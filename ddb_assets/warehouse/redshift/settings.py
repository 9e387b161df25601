"""Where a Redshift is and how to log in: the parts of the warehouse URL, and the driver's arguments made from them.

Secrets are never part of a URL: a password comes from the environment, from Secrets Manager or from IAM. `redshift/` uses
the connection.
Facts: redshift_connector's connection parameters; its `timeout` stays on the socket for every answer, so connecting has
a check of its own.
"""

import json
import os
import re
import socket
from dataclasses import dataclass, fields
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from ddb_assets.aws.clients import AWS
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.redshift.adapter import FORM

PASSWORD = "DDB_ASSETS_REDSHIFT_PASSWORD"  # noqa: S105 -- the name of the variable
PORT = 5439
CONNECT_SECONDS = 20
ANALYZE_PERCENT = 10.0  # Redshift's own default
STATEMENT_SECONDS = 4 * 3600
GRACE_SECONDS = 60  # the server ends a statement at its timeout; a longer silence after that is a dead connection
_ROLE = re.compile(r"arn:(?P<partition>aws[a-z-]*):iam::[0-9]{12}:role/[\w+=.@/-]+", re.ASCII)
_HOST = re.compile(r"\.(?P<region>[a-z]{2}(-[a-z]+)+-[0-9])\.redshift(-serverless)?\.amazonaws\.com(\.cn)?$")
TLS_MODES = ("verify-full", "verify-ca", "disable")


@dataclass(frozen=True)
class RedshiftSettings:
    """The parts of `redshift://user@host:port/database?name=value&…`.

    `schema` is where tables go; `iam_role` the role, or several chained by commas, that COPY reads S3 with (`default`:
    the cluster's own); `staging` an S3 folder for COPY's manifests and for parts that are not on S3 (else manifests
    lie beside the parts). Logging in: `secret` names a secret of Secrets Manager with `username` and `password`;
    `cluster` or `workgroup` let IAM make a password for `user`, and need no host, but perhaps a `region`; without any of
    them the password is taken from DDB_ASSETS_REDSHIFT_PASSWORD. `statement_timeout` is in seconds. `analyze_threshold`
    is the percentage of rows that must have changed for a table's statistics to be updated after a load.
    """

    host: str
    port: int
    database: str
    user: str
    schema: str = "public"
    iam_role: str = "default"
    staging: str = ""
    secret: str = ""
    cluster: str = ""
    workgroup: str = ""
    region: str = ""
    sslmode: str = "verify-full"
    statement_timeout: int = STATEMENT_SECONDS
    analyze_threshold: float = ANALYZE_PERCENT

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises WarehouseError, which repeats nothing of what might be a password."""
        try:
            parts = urlsplit(url)
            port = parts.port or PORT
            options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        except ValueError:
            raise WarehouseError(f"this is not a Redshift URL: write {FORM}") from None
        if parts.password is not None:
            raise WarehouseError(f"a warehouse URL must not hold a password: take it out and set {PASSWORD}")
        allowed = [f.name for f in fields(cls)][4:]
        for name in options:
            if name not in allowed:
                raise WarehouseError(f"{name!r} is not an option of a Redshift URL: {', '.join(allowed)}")
        timeout = options.pop("statement_timeout", str(STATEMENT_SECONDS))
        if not timeout.isdecimal() or not int(timeout):
            raise WarehouseError(f"statement_timeout is {timeout!r}: write a number of seconds")
        threshold = options.pop("analyze_threshold", str(ANALYZE_PERCENT))
        if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]+)?", threshold) or float(threshold) > 100:
            raise WarehouseError(f"analyze_threshold is {threshold!r}: write a percentage, 0 to 100")
        made = cls(
            host=parts.hostname or "",
            port=port,
            database=unquote(parts.path.removeprefix("/")),
            user=unquote(parts.username or ""),
            statement_timeout=int(timeout),
            analyze_threshold=float(threshold),
            # Redshift lowers names, unless the cluster is case-sensitive: this gives the same schema in both cases
            **(options | {name: options[name].lower() for name in {"schema"} & options.keys()}),
        )
        made._check()
        return made

    def _check(self) -> None:
        if not self.database:
            raise WarehouseError(f"the URL names no database: write {FORM}")
        if not self.host and not self.iam:
            raise WarehouseError(f"the URL names no host, and no cluster or workgroup to ask for it: write {FORM}")
        if not self.user and not self.secret and not self.workgroup:
            raise WarehouseError(f"the URL names no user: write {FORM}")
        if sum(map(bool, (self.secret, self.cluster, self.workgroup))) > 1:
            raise WarehouseError("secret, cluster and workgroup are three ways to log in: give one of them")
        if self.sslmode not in TLS_MODES:
            raise WarehouseError(f"sslmode is {self.sslmode!r}: one of {', '.join(TLS_MODES)}")
        if self.iam and self.sslmode == "disable":
            raise WarehouseError("IAM needs an encrypted connection: take sslmode=disable out of the URL")
        self._check_role()
        if self.staging and not self.staging.startswith("s3://"):
            raise WarehouseError(f"staging is {self.staging!r}: COPY reads from S3, write s3://bucket/prefix")

    def _check_role(self) -> None:
        if self.iam_role == "default":
            return
        for role in self.iam_role.split(","):
            if not (found := _ROLE.fullmatch(role)):
                raise WarehouseError(
                    f"iam_role is {self.iam_role!r}: write default, or arn:aws:iam::ACCOUNT:role/NAME, several with commas "
                    "and no blanks between them"
                )
            if self.home and found["partition"] != _partition(self.home):
                raise WarehouseError(
                    f"iam_role {role} is of the partition {found['partition']}, and a Redshift in {self.home} only takes "
                    f"roles of {_partition(self.home)}"
                )

    @property
    def home(self) -> str:
        """The Region of the cluster or workgroup, as far as the URL says it; else empty."""
        found = _HOST.search(self.host)
        return found["region"] if found else self.region

    @property
    def iam(self) -> bool:
        """Whether IAM makes the password."""
        return bool(self.cluster or self.workgroup)

    @property
    def place(self) -> str:
        """The server and database, for messages."""
        return f"{self.host or self.cluster or self.workgroup}/{self.database}"

    def arguments(self, aws: AWS) -> dict[str, Any]:
        """The driver's arguments, secrets among them. Raises WarehouseError if there are no credentials."""
        given: dict[str, Any] = {
            "database": self.database,
            "application_name": "ddb_assets",
            "tcp_keepalive": True,
            "tcp_keepalive_idle": 60,
            "tcp_keepalive_interval": 10,
            "tcp_keepalive_count": 6,
            "timeout": self.statement_timeout + GRACE_SECONDS,
            "ssl": self.sslmode != "disable",
        }
        if self.sslmode != "disable":
            given["sslmode"] = self.sslmode
        if self.host:
            given |= {"host": self.host, "port": self.port}
        if self.iam:
            return given | self._iam(aws)
        return given | self._password(aws)

    def _password(self, aws: AWS) -> dict[str, str]:
        if not self.secret:
            if PASSWORD not in os.environ:
                raise WarehouseError(
                    f"there is no password for {self.user} at {self.place}: set {PASSWORD}, or name a secret of Secrets "
                    "Manager, a cluster or a workgroup in the URL"
                )
            return {"user": self.user, "password": os.environ[PASSWORD]}
        try:
            known = json.loads(aws.secret(self.secret))
            return {"user": self.user or known["username"], "password": known["password"]}
        except (ValueError, TypeError, KeyError):
            raise WarehouseError(f"secret {self.secret!r} is not JSON with username and password") from None

    def _iam(self, aws: AWS) -> dict[str, Any]:
        given: dict[str, Any] = {"iam": True, "iam_disable_cache": True, **aws.access_keys()}
        if self.region:
            given["region"] = self.region
        if self.workgroup:
            return given | {"is_serverless": True, "serverless_work_group": self.workgroup}
        return given | {"cluster_identifier": self.cluster, "db_user": self.user}


def _partition(region: str) -> str:
    """The partition of a Region; `aws` for an unknown one."""
    kinds = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "us-iso-": "aws-iso", "us-isob-": "aws-iso-b"}
    return next((partition for prefix, partition in kinds.items() if region.startswith(prefix)), "aws")


def check_reachable(settings: RedshiftSettings) -> None:
    """Raises WarehouseError within seconds if the server does not answer; the driver would wait as long as for a statement."""
    if not settings.host:
        return
    try:
        socket.create_connection((settings.host, settings.port), CONNECT_SECONDS).close()
    except OSError as error:
        raise WarehouseError(
            f"Redshift at {settings.host}:{settings.port} cannot be reached: {error.strerror or error}. "
            "Check the address and that its security group lets us in"
        ) from error
