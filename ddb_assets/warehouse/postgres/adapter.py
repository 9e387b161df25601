"""PostgreSQL by its URL: also Aurora and RDS. Parts are read here and sent to the server."""

from typing import TYPE_CHECKING

from ddb_assets.warehouse.adapter import Opening
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.server_adapter import ServerAdapter
from ddb_assets.warehouse.server_url import ServerUrl

if TYPE_CHECKING:
    from ddb_assets.warehouse.protocol import Warehouse

FORM = "postgresql://USER@HOST:5432/DATABASE?schema=NAME"
PASSWORD = "DDB_ASSETS_POSTGRES_PASSWORD"  # noqa: S105 -- the name of the variable
TLS_MODES = ("verify-full", "verify-ca", "require", "disable")


class Postgres(ServerAdapter):
    """Implements `Adapter`: a database of a server. `schema` in the URL is where tables go, `sslmode` is that of libpq."""

    scheme = "postgresql"
    form = FORM
    port = 5432

    def server(self, url: str) -> ServerUrl:
        """The parts of the URL."""
        options = ("schema", "sslmode")
        found = ServerUrl.parse(url, name="PostgreSQL", form=FORM, variable=PASSWORD, options=options, usual=self.port)
        if (mode := found.options.get("sslmode", TLS_MODES[0])) not in TLS_MODES:
            raise WarehouseError(f"sslmode is {mode!r}: one of {', '.join(TLS_MODES)}")
        return found

    def table_name(self, url: str, relation: str, schema: str) -> str:
        """With the database and the schema of the URL."""
        found = self.server(url)
        return f"{found.database}.{schema or found.options.get('schema', 'public')}.{relation}"

    def open(self, url: str, opening: Opening) -> "Warehouse":
        """Connects when it is entered."""
        server = self.server(url)
        try:
            from ddb_assets.warehouse.postgres.connection import PostgresEngine
        except ModuleNotFoundError as error:
            raise WarehouseError("PostgreSQL needs its driver: pip install 'ddb-assets[postgres]'") from error
        from ddb_assets.warehouse.sql.warehouse import SqlWarehouse

        return SqlWarehouse(PostgresEngine(server, storage=opening.storage, aws=opening.aws))
