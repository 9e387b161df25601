"""The Iceberg tables that `ddb-assets forget` finds in a catalog: those of changes, and those of cold rows. Only ours.

A table of changes says in its properties of which relation and of which DynamoDB table it is, and the root's names those of
lists. A table of cold rows says whose it is by a name that only its warehouse knows.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddb_assets.aws.storage import Storage, join
from ddb_assets.changes.names import changes_name
from ddb_assets.changes.tables import CHILD, RELATION, TABLE_ARN
from ddb_assets.errors import DdbAssetsError
from ddb_assets.iceberg.catalog import open_catalog, translated
from ddb_assets.iceberg.properties import COLD_OWNER, check_version
from ddb_assets.iceberg.url import CatalogUrl

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

    from ddb_assets.aws.clients import AWS


PURGED = {"rest", "s3tables"}
"""The kinds of catalogs that delete the files of a table themselves."""


class NotOursError(DdbAssetsError):
    """A table has the name of one of ours and is somebody else's."""


@dataclass(frozen=True)
class Left:
    """What is left in one catalog: the rows of each table, the root's tables last, as they can be dropped."""

    url: str
    tables: dict[str, int]

    def drop(self, names: Collection[str], aws: "AWS") -> None:
        """Drops these with their files. One that is not there any more is no error.

        The data goes first, while the catalog still knows the table, so what is interrupted can be done again.
        """
        if not names:
            return
        parsed = CatalogUrl.parse(self.url)
        with open_catalog(parsed, aws, make=False) as catalog:
            for name in self.tables:
                if name in names:
                    with translated(f"{name} in {parsed} cannot be dropped"):
                        _drop(catalog, parsed, name, _storage(parsed, aws))


def left(url: str, name: str, cold: Mapping[str, str], declared: Collection[str], aws: "AWS") -> Left:
    """Those of the table of this name; `cold` has the tables of cold rows with the name by which the warehouse owns them.

    Raises NotOursError for a table that is, or may be, somebody else's, and IcebergError for one whose folder is another's too.
    """
    parsed = CatalogUrl.parse(url)
    with open_catalog(parsed, aws, make=False) as catalog, translated(f"the tables in {parsed} cannot be read"):
        found = [*_changes(catalog, parsed, name, declared), *_cold(catalog, parsed, cold)]
        if parsed.kind not in PURGED:
            for table in found:
                _check_alone(table, _storage(parsed, aws))
        return Left(url, {table.name()[-1]: _rows(table) for table in found})


def _storage(url: CatalogUrl, aws: "AWS") -> Storage:
    return aws.storage() if url.needs_aws else Storage()


def _check_alone(table: "Table", storage: Storage) -> None:
    from ddb_assets.iceberg.upkeep import check_alone

    check_alone(table, storage)


def _drop(catalog: "Catalog", url: CatalogUrl, name: str, storage: Storage) -> None:
    table = _loaded(catalog, url, name)
    if table is None:
        return
    if url.kind in PURGED:
        catalog.purge_table(table.name())
        return
    for folder in ("data", "metadata"):
        if folder == "metadata":
            catalog.drop_table(table.name())
        storage.delete(entry.uri for entry in storage.list(join(table.location(), folder)))


def _changes(catalog: "Catalog", url: CatalogUrl, name: str, declared: Collection[str]) -> Iterator["Table"]:
    root = _loaded(catalog, url, changes_name(name))
    if root is None:
        return
    # guard: tables of changes of others
    if root.properties.get(RELATION) != name:
        raise NotOursError(
            f"{'.'.join(root.name())} in {url} is no table of the changes of {name}: rename it, or drop it yourself"
        )
    check_version(root.properties, ".".join(root.name()))
    children = (one.removeprefix(CHILD) for one in root.properties if one.startswith(CHILD))
    for child in sorted(children):
        table = _loaded(catalog, url, changes_name(child))
        same = table is not None and all(
            table.properties.get(key) == value
            for key, value in ((RELATION, child), (TABLE_ARN, root.properties.get(TABLE_ARN)))
        )
        if table is not None and same:
            if child in declared:
                raise NotOursError(
                    f"{'.'.join(table.name())} has changes of {name}, and {child} is declared: give that another name"
                )
            yield table
    yield root


def _cold(catalog: "Catalog", url: CatalogUrl, cold: Mapping[str, str]) -> Iterator["Table"]:
    for name, owner in list(cold.items())[::-1]:
        table = _loaded(catalog, url, name)
        # guard: cold tables of others stay
        if table is not None and table.properties.get(COLD_OWNER) != owner:
            raise NotOursError(
                f"{'.'.join(table.name())} in {url} has no cold rows of this warehouse: rename it, or name another catalog"
            )
        if table is not None:
            check_version(table.properties, ".".join(table.name()))
            yield table


def _loaded(catalog: "Catalog", url: CatalogUrl, name: str) -> "Table | None":
    from pyiceberg.exceptions import NoSuchIcebergTableError, NoSuchTableError

    try:
        return catalog.load_table((url.namespace, name))
    except NoSuchTableError:
        return None
    except NoSuchIcebergTableError as error:
        raise NotOursError(
            f"{url.namespace}.{name} in {url} is no Iceberg table: rename it, or drop it yourself"
        ) from error


def _rows(table: "Table") -> int:
    found = table.current_snapshot()
    return int(found.summary["total-records"] or 0) if found and found.summary else 0
