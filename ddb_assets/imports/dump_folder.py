"""The folders that PyPI's dynamodump writes: per table a `schema.json`, and pages of Scan in `data/`.

The schema is no data file, so it is left out. In a dump of several tables the table that is written chooses its folder.
"""

import json
from collections.abc import Sequence

from ddb_assets.aws.storage import Entry, Storage
from ddb_assets.bulk.rows import SourceError

SCHEMA = "schema.json"
SCHEMA_BYTES = 4 << 20


def without_schema(storage: Storage, uri: str, files: Sequence[Entry], table: str) -> Sequence[Entry]:
    """The files with items. Those of no dump are returned as they are. Raises SourceError when it has several other tables."""
    folders = {file.uri.removesuffix(SCHEMA) for file in files if file.uri.endswith(f"/{SCHEMA}")}
    folders = {folder for folder in folders if any(file.uri.startswith(f"{folder}data/") for file in files)}
    tables = {folder: name for folder in sorted(folders) if (name := _table(storage, f"{folder}{SCHEMA}"))}
    if not tables:
        return files
    names = {f"{folder}{SCHEMA}" for folder in tables}
    if len(tables) == 1:
        return [file for file in files if file.uri not in names]
    meant = [folder for folder, name in tables.items() if name == table]
    if len(meant) != 1:
        raise SourceError(
            f"at {uri} are dumps of several tables ({', '.join(sorted(tables.values()))}), and "
            f"{len(meant) or 'none'} of them {'are' if meant else 'is'} of {table}: name the folder of one"
        )
    return [file for file in files if file.uri.startswith(f"{meant[0]}data/")]


def _table(storage: Storage, uri: str) -> str | None:
    """The name of the table that the file describes as DescribeTable does; None for any other file."""
    try:
        found = json.loads(storage.read(uri, most=SCHEMA_BYTES))["Table"]
        return str(found["TableName"]) if found["KeySchema"] else None
    except (ValueError, KeyError, TypeError):
        return None
