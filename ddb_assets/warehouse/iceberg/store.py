"""The Iceberg tables of a warehouse, as one transaction finds them: each is looked up once, and then stays what it was.

A schema of the load is a namespace of the catalog. Errors of the catalog are translated into those of a warehouse.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pyiceberg.exceptions import NoSuchIcebergTableError, NoSuchNamespaceError, NoSuchTableError

from ddb_assets.contract.column_type import SqlType
from ddb_assets.iceberg.catalog import location_of, translated
from ddb_assets.iceberg.errors import IcebergConflictError, IcebergError
from ddb_assets.iceberg.properties import FEW_METADATA_FILES, ONE_ATTEMPT, PREFIX, STATED, check_version
from ddb_assets.iceberg.types import schema_of, sql_type
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.warehouse.errors import InterruptedLoadError, WarehouseError
from ddb_assets.warehouse.sql.engine import Layout
from ddb_assets.warehouse.sql.statements import TableName

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

BUCKET = "_ddb_bucket"
"""The column by which a large table is partitioned. Loads do not see it."""
PROPERTIES = {
    f"{PREFIX}of": "warehouse",
    **STATED,
    **ONE_ATTEMPT,  # a load that loses is done again as a whole
    **FEW_METADATA_FILES,
}


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Translates the errors of its block; a conflict becomes one after which the load is tried again."""
    try:
        with translated(what):
            yield
    except IcebergConflictError as error:
        raise InterruptedLoadError(str(error)) from error
    except IcebergError as error:
        raise WarehouseError(str(error)) from error


class Store:
    """The tables of one catalog. `forget` makes it look again."""

    def __init__(self, catalog: "Catalog", url: CatalogUrl) -> None:
        self.catalog, self._url = catalog, url
        self._names: dict[str, set[str]] = {}
        self._tables: dict[TableName, Table | None] = {}

    def forget(self) -> None:
        """What is asked from now on is asked of the catalog."""
        self._names.clear()
        self._tables.clear()

    def names(self, schema: str) -> set[str]:
        """The names of all tables of a namespace; none if there is no such namespace."""
        if schema not in self._names:
            with explained(f"the tables of {schema} cannot be listed"):
                try:
                    self._names[schema] = {name for *_, name in self.catalog.list_tables((schema,))}
                except NoSuchNamespaceError:
                    self._names[schema] = set()
        return self._names[schema]

    def has(self, table: TableName) -> bool:
        """Whether there is a table of this name, whatever it is."""
        return table.schema is not None and table.name in self.names(table.schema)

    def table(self, name: TableName) -> "Table | None":
        """The table; None if there is none, or if it is not one of Iceberg."""
        if name not in self._tables:
            self._tables[name] = self._loaded(name) if self.has(name) else None
        return self._tables[name]

    def layout(self, name: TableName) -> Layout:
        """Its columns; without any for a table that is not one of Iceberg."""
        table = self.table(name)
        if table is None:
            return Layout({})
        kinds = {field.name: (sql_type(field), str(field.field_type)) for field in table.schema().fields}
        kinds.pop(BUCKET, None)
        types = {name: kind for name, (kind, _) in kinds.items() if kind}
        return Layout(types, {name: text for name, (kind, text) in kinds.items() if not kind})

    def create(self, name: TableName, columns: Mapping[str, SqlType]) -> "Table":
        """A new table without rows. Raises InterruptedLoadError when somebody else was first."""
        schema = str(name.schema)
        with explained(f"{name} cannot be created"):
            self.provide(schema)
            place = location_of(self._url, name.name, schema)
            made = self.catalog.create_table(
                (schema, name.name), schema_of(columns.items()), location=place, properties=PROPERTIES
            )
        self._tables[name] = made
        return made

    def provide(self, schema: str) -> None:
        """Creates the namespace if it is not there."""
        with explained(f"namespace {schema} cannot be created"):
            self.catalog.create_namespace_if_not_exists((schema,))

    def has_schema(self, schema: str) -> bool:
        """Whether there is such a namespace."""
        with explained(f"namespace {schema} cannot be looked up"):
            return bool(self.catalog.namespace_exists((schema,)))

    def drop_schema(self, schema: str) -> None:
        """Drops an empty namespace."""
        with explained(f"namespace {schema} cannot be dropped"):
            self.catalog.drop_namespace((schema,))

    def drop(self, name: TableName) -> None:
        """Drops the table with its files."""
        with explained(f"{name} cannot be dropped"):
            try:
                self.catalog.purge_table((str(name.schema), name.name))
            except NoSuchTableError:
                return

    def _loaded(self, name: TableName) -> "Table | None":
        with explained(f"{name} cannot be read"):
            try:
                found = self.catalog.load_table((str(name.schema), name.name))
            except (NoSuchIcebergTableError, NoSuchTableError):
                return None
        # guard: a newer Iceberg table
        check_version(found.properties, str(name))
        return found
