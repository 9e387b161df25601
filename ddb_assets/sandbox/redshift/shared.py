"""The state that all sessions of a server share."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddb_assets.aws.storage import Storage
from ddb_assets.sandbox.redshift.external_tables import DataCatalog
from ddb_assets.sandbox.redshift.faults import Faults
from ddb_assets.sandbox.redshift.journal import Journal
from ddb_assets.sandbox.redshift.names import Names
from ddb_assets.sandbox.redshift.plans import Plans
from ddb_assets.sandbox.redshift.query_log import QueryLog

VARCHAR, SUPER, VARBYTE = 1043, 4000, 6551
"""The type oids of Redshift's clients."""


@dataclass(frozen=True)
class Shared:
    """The state of one server. `oids` maps PostgreSQL's types to Redshift's; `note` is called with every statement.

    `late_views` has the names of all late-binding views that were ever made. Streams are read by `kinesis`,
    external tables by `catalog`; `catalogs` has the database of every external schema.
    """

    socket_path: Path
    database: str
    users: dict[str, str]
    isolation: str
    storage: Storage
    journal: Journal
    log: QueryLog
    names: Names
    plans: Plans
    faults: Faults
    oids: dict[int, int]
    note: Callable[[str], None]
    tls: ssl.SSLContext | None
    late_views: set[str]
    kinesis: Any
    catalog: DataCatalog | None
    catalogs: dict[str, str]
