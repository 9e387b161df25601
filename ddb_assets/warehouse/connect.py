"""Opens the warehouse of a URL.

An engine and its packages are loaded when a warehouse is opened: Dagster loads definitions more often than that.
`duckdb/` and `redshift/settings.py` document the settings of each.
"""

from typing import TYPE_CHECKING

from ddb_assets.infrastructure.wanted import Login
from ddb_assets.warehouse.adapter import Opening
from ddb_assets.warehouse.adapters import adapter_of
from ddb_assets.warehouse.protocol import Warehouse

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS
    from ddb_assets.aws.storage import Storage

PATIENCE = 300.0


def open_warehouse(
    url: str,
    *,
    storage: "Storage | None" = None,
    aws: "AWS | None" = None,
    label: str = "ddb_assets",
    patience: float = PATIENCE,
) -> Warehouse:
    """The warehouse of a URL (`adapters.py`), to be entered with `with`.

    `storage` reads parts, `aws` gets credentials where the URL asks for them, `label` names the queries to an administrator.
    `patience` is how many seconds to wait for a file that another process holds. Raises WarehouseError for any other URL.
    """
    return adapter_of(url).open(url, Opening(storage, aws, label, patience))


def table_name(url: str, relation: str, schema: str = "") -> str:
    """`database.schema.table` in the warehouse of this URL. Raises WarehouseError for any other URL.

    Without `schema` it is the one that the URL names, so the name is known before anything is connected.
    """
    return adapter_of(url).table_name(url, relation, schema)


def login(url: str) -> Login | None:
    """What a process needs of AWS to log in to the warehouse of this URL; None if that is nothing.

    Raises WarehouseError for any other URL.
    """
    return adapter_of(url).login(url)
