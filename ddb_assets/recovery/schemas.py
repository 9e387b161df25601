"""Finds a lost schema document again: each flattened export keeps the one that it was written with, in `schema.json`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddb_assets.aws.lake import LakePaths
from ddb_assets.aws.storage import join
from ddb_assets.contract.table import Table
from ddb_assets.flatten.output import SCHEMA
from ddb_assets.recovery.left import folder_of
from ddb_assets.recovery.plan import Left
from ddb_assets.status.pictures import LakeSays, SchemaSays, WarehouseSays

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

LOOKED_AT = 20
"""The newest exports of the wanted version that are looked at."""


@dataclass(frozen=True)
class Document:
    """A kept schema document; `uri` is empty if version `version` was kept nowhere."""

    version: int
    uri: str = ""


def lost_document(
    storage: "Storage", lake: LakePaths, table: Table, warehouse: WarehouseSays, said: LakeSays, left: Iterable[Left]
) -> Document | None:
    """The newest document that loads or flattened exports need and that is not stored; None when nothing is lost.

    Raises StorageError.
    """
    found = said.schema.version if isinstance(said.schema, SchemaSays) else 0
    flattened = sorted((one for one in left if one.folder), key=lambda one: one.export_id, reverse=True)
    loads = sorted(warehouse.loads, key=lambda load: load.sequence, reverse=True)
    needed = max([load.schema_version for load in loads] + [one.schema_version for one in flattened], default=0)
    if found >= needed:
        return None
    folders = [one.folder for one in flattened if one.schema_version == needed][:LOOKED_AT]
    written = [load for load in loads if load.schema_version == needed]
    folders += [folder_of(storage, lake, table, load) for load in written[:LOOKED_AT]]
    uri = next((uri for folder in folders if storage.exists(uri := join(folder, SCHEMA))), "")
    return Document(needed, uri)
