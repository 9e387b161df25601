"""What all sessions of a server have in common."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ddb_assets.aws.storage import Storage
from ddb_assets.sandbox.redshift.faults import Faults
from ddb_assets.sandbox.redshift.journal import Journal
from ddb_assets.sandbox.redshift.names import Names
from ddb_assets.sandbox.redshift.query_log import QueryLog

VARCHAR, SUPER, VARBYTE = 1043, 4000, 6551
"""The type oids that Redshift's clients know."""


@dataclass(frozen=True)
class Shared:
    """One server's state. `oids` leads from PostgreSQL's types to Redshift's; `note` gets every statement.

    `late_views` are the names of all views without a binding that were ever made.
    """

    socket_path: Path
    database: str
    users: dict[str, str]
    isolation: str
    storage: Storage
    journal: Journal
    log: QueryLog
    names: Names
    faults: Faults
    oids: dict[int, int]
    note: Callable[[str], None]
    tls: ssl.SSLContext | None
    late_views: set[str]
