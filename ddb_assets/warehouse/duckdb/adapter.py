"""DuckDB by its URL: `duckdb:///FILE`. FILE is taken as it is, so an absolute path makes four slashes."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ddb_assets.warehouse.adapter import Opening
from ddb_assets.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from ddb_assets.infrastructure.wanted import Login
    from ddb_assets.warehouse.protocol import Warehouse

PREFIX = "duckdb:///"
FORM = f"{PREFIX}FILE"
SCHEMA = "main"
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|:")  # MotherDuck, S3, HTTP, other databases, and memory
_TAKEN = {"main", "temp", "system"}  # names that DuckDB has for itself


class DuckDB:
    """Implements `Adapter`: a file that one process has open at a time."""

    scheme = "duckdb"
    form = FORM
    iceberg_tables = False
    cold_tier = False
    schema_is_database = False

    def local_file(self, url: str) -> Path | None:
        """The database's file."""
        return Path(url.removeprefix(PREFIX)).resolve()

    def needs_aws(self, url: str) -> bool:  # noqa: ARG002 -- see the protocol
        """Parts are read as they lie, by their own URIs."""
        return False

    def place(self, url: str) -> str:
        """The file."""
        return f"/{self.local_file(url)}"

    def table_name(self, url: str, relation: str, schema: str) -> str:
        """The database is named like the file."""
        return f"{_database(Path(_file(url)))}.{schema or SCHEMA}.{relation}"

    def login(self, url: str) -> "Login | None":
        """A file needs none."""
        _file(url)
        return None

    def open(self, url: str, opening: Opening) -> "Warehouse":
        """Waits for the file as long as `patience` says."""
        file = _file(url)
        from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
        from ddb_assets.warehouse.sql.warehouse import SqlWarehouse

        return SqlWarehouse(DuckDBEngine(file, storage=opening.storage, timeout=opening.patience))


def _file(url: str) -> str:
    """The path in the URL. Raises WarehouseError if there is none, or if it is elsewhere."""
    path = url.removeprefix(PREFIX)
    if not url.startswith(PREFIX) or not path.strip():
        raise WarehouseError(f"{url.split('@')[-1]!r} names no file: write {FORM}")
    if found := _ELSEWHERE.match(path):
        raise WarehouseError(
            f"{found[0]!r} in the warehouse's URL is not a local file, and nothing would be kept there: write "
            f"{FORM}, with the file's path"
        )
    return path


def _database(path: Path) -> str:
    """The name that DuckDB gives to the database in a file: the file's name up to the first dot."""
    name = next((part for part in path.resolve().name.split(".") if part), "")
    return f"{name}_db" if name in _TAKEN else name
