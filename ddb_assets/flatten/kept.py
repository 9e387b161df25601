"""What flattening keeps of one table in the lake: the folders of its exports, and its schema documents.

Only for a table that no contract declares any more. Nothing is deleted here.
"""

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ddb_assets.aws.owned_folder import FolderError, refuse_others
from ddb_assets.aws.storage import MissingFileError, join
from ddb_assets.flatten.output import content, read_report
from ddb_assets.flatten.schema_store import SchemaStore

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

DEPTH = 2
"""`<window or full>/<export id>` is the folder of one flattened export."""
_DOCUMENT = re.compile(r"[0-9]{6}\.json|profile\.json")


def parquet_files(storage: "Storage", folder: str, table: str) -> list[str]:
    """All files of all flattened exports of a table below its folder, in an order in which they can be deleted.

    Raises FolderError for a file that no report lists, and for a report of another table.
    """
    present = [entry.uri for entry in storage.list(folder)]
    exports = {_export(folder, uri) for uri in present}
    refuse_others(folder, present, lambda uri: _export(folder, uri))
    found: list[str] = []
    for out in sorted(exports - {""}):
        found += content(storage, out)
        try:
            name = read_report(storage, out).root.name
        except MissingFileError:
            continue  # an attempt that ended before its report
        if name != table:
            raise FolderError(f"{out} is of the table {name}, not of {table}: move it away")
    return found


def schema_files(storage: "Storage", schemas: str, table: str) -> list[str]:
    """The schema documents of a table, the newest version last.

    Raises FolderError for other files among them, SchemaStoreError for documents that are not of this table.
    """
    folder = join(schemas, table)
    present = [entry.uri for entry in storage.list(folder)]
    refuse_others(folder, present, lambda uri: _DOCUMENT.fullmatch(uri.removeprefix(f"{folder}/")))
    SchemaStore(storage, schemas).latest(table)
    return sorted(present, key=lambda uri: (not uri.endswith("profile.json"), uri))


def _export(folder: str, uri: str) -> str:
    """The folder of the flattened export that the file is in; empty for a file that is in none."""
    parts = PurePosixPath(uri.removeprefix(f"{folder}/")).parts
    return join(folder, *parts[:DEPTH]) if len(parts) > DEPTH else ""
