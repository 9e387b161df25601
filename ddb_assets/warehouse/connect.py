"""Opens the warehouse of a URL.

An engine and its packages are loaded when a warehouse is opened: Dagster loads definitions more often than that.
`duckdb/` and `redshift/settings.py` document the settings of each.
"""

import re
from pathlib import Path

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage
from ddb_assets.iceberg.errors import IcebergError
from ddb_assets.iceberg.url import ICEBERG, CatalogUrl
from ddb_assets.infrastructure.wanted import Login
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.protocol import Warehouse
from ddb_assets.warehouse.redshift.settings import RedshiftSettings
from ddb_assets.warehouse.url import DUCKDB, DUCKDB_FORM, FORMS, REDSHIFT

_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|:")  # MotherDuck, S3, HTTP, other databases, and memory
_TAKEN = {"main", "temp", "system"}  # names that DuckDB has for itself
DUCKDB_SCHEMA = "main"
PATIENCE = 300.0


def open_warehouse(
    url: str,
    *,
    storage: Storage | None = None,
    aws: AWS | None = None,
    label: str = "ddb_assets",
    patience: float = PATIENCE,
) -> Warehouse:
    """The warehouse of a URL, to be entered with `with`: `duckdb:///FILE`, `redshift://USER@HOST:5439/DATABASE?…`
    or `iceberg://…` (`iceberg/url.py`).

    FILE is taken as it is, so an absolute path makes four slashes (`duckdb:////data/x.duckdb`). `storage` reads parts,
    `aws` gets credentials where the URL asks for them, `label` names the queries to an administrator. `patience` is how many
    seconds to wait for a DuckDB file that another process holds. Raises WarehouseError for any other URL.
    """
    from ddb_assets.warehouse.sql.warehouse import SqlWarehouse

    if url.startswith(REDSHIFT):
        settings = RedshiftSettings.parse(url)
        try:
            from ddb_assets.warehouse.redshift.connection import RedshiftEngine
            from ddb_assets.warehouse.redshift.warehouse import RedshiftWarehouse
        except ModuleNotFoundError as error:
            raise WarehouseError("Redshift needs its driver: install ddb-assets[redshift]") from error
        engine = RedshiftEngine(settings, storage=storage or Storage(), aws=aws or AWS(), label=label)
        return RedshiftWarehouse(engine)
    if url.startswith(ICEBERG):
        parsed = _catalog(url)
        try:
            from ddb_assets.warehouse.iceberg.warehouse import IcebergWarehouse
        except ModuleNotFoundError as error:
            raise WarehouseError("Iceberg needs pyiceberg: pip install 'ddb-assets[iceberg]'") from error
        return IcebergWarehouse(parsed, storage=storage, aws=aws)
    file = _duckdb_file(url)
    from ddb_assets.warehouse.duckdb.connection import DuckDBEngine

    return SqlWarehouse(DuckDBEngine(file, storage=storage, timeout=patience))


def table_name(url: str, relation: str, schema: str = "") -> str:
    """`database.schema.table` in the warehouse of this URL. Raises WarehouseError for any other URL.

    Without `schema` it is the one that the URL names, so the name is known before anything is connected.
    """
    if url.startswith(REDSHIFT):
        settings = RedshiftSettings.parse(url)
        return f"{settings.database}.{schema or settings.schema}.{relation}"
    if url.startswith(ICEBERG):
        return f"iceberg.{schema or _catalog(url).namespace}.{relation}"
    return f"{_duckdb_database(Path(_duckdb_file(url)))}.{schema or DUCKDB_SCHEMA}.{relation}"


def login(url: str) -> Login | None:
    """What a process needs of AWS to log in to the warehouse of this URL; None if that is a file, or a catalog.

    Raises WarehouseError for any other URL.
    """
    if url.startswith(ICEBERG):
        _catalog(url)
        return None
    if not url.startswith(REDSHIFT):
        _duckdb_file(url)
        return None
    found = RedshiftSettings.parse(url)
    return Login(found.secret, found.cluster, found.workgroup, found.user, found.database, found.staging)


def _catalog(url: str) -> CatalogUrl:
    try:
        return CatalogUrl.parse(url)
    except IcebergError as error:
        raise WarehouseError(str(error)) from error


def _duckdb_file(url: str) -> str:
    """The path in the URL of a DuckDB file. Raises WarehouseError for any other URL."""
    path = url.removeprefix(DUCKDB)
    if not url.startswith(DUCKDB) or not path.strip():
        raise WarehouseError(f"{url.split('@')[-1]!r} is not the URL of a warehouse: write {FORMS}")
    if found := _ELSEWHERE.match(path):
        raise WarehouseError(
            f"{found[0]!r} in the warehouse's URL is not a local file, and nothing would be kept there: write "
            f"{DUCKDB_FORM}, with the file's path"
        )
    return path


def _duckdb_database(path: Path) -> str:
    """The name that DuckDB gives to the database in a file: the file's name up to the first dot."""
    name = next((part for part in path.resolve().name.split(".") if part), "")
    return f"{name}_db" if name in _TAKEN else name
