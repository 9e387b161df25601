"""The folders that PyPI's dynamodump writes: per table a `schema.json`, and pages of Scan in `data/`.

The schema is no data file, so it is left out. In a dump of several tables the table that is written chooses its folder.
Pages are numbered from 1, and each but the last says where the next one begins, so it is known when some are missing.
"""

import json
import re
from collections.abc import Sequence

from ddb_assets.aws.storage import Entry, Storage
from ddb_assets.bulk.rows import SourceError

SCHEMA = "schema.json"
SCHEMA_BYTES = 4 << 20
PAGE_BYTES = 256 << 20  # Scan answers with 1 MB of items, which may be much more as JSON
_PAGE = re.compile(r"data/([0-9]+)\.json")


def without_schema(storage: Storage, uri: str, files: Sequence[Entry], table: str) -> Sequence[Entry]:
    """The files with items. Those of no dump are returned as they are. Raises SourceError when it has several other tables."""
    folders = {file.uri.removesuffix(SCHEMA) for file in files if file.uri.endswith(f"/{SCHEMA}")}
    folders = {folder for folder in folders if any(file.uri.startswith(f"{folder}data/") for file in files)}
    tables = {folder: name for folder in sorted(folders) if (name := _table(storage, f"{folder}{SCHEMA}"))}
    if not tables:
        return files
    names = {f"{folder}{SCHEMA}" for folder in tables}
    if len(tables) == 1:
        _check_pages(storage, next(iter(tables)), files)
        return [file for file in files if file.uri not in names]
    meant = [folder for folder, name in tables.items() if name == table]
    if len(meant) != 1:
        raise SourceError(
            f"at {uri} are dumps of several tables ({', '.join(sorted(tables.values()))}), and "
            f"{len(meant) or 'none'} of them {'are' if meant else 'is'} of {table}: name the folder of one"
        )
    _check_pages(storage, meant[0], files)
    return [file for file in files if file.uri.startswith(f"{meant[0]}data/")]


def _check_pages(storage: Storage, folder: str, files: Sequence[Entry]) -> None:
    """Raises SourceError when a page is missing, or when the last one says that there are more."""
    pages = {int(found[1]): file.uri for file in files if (found := _PAGE.fullmatch(file.uri.removeprefix(folder)))}
    anyway = f"dump the table again, or name {folder}data/ to import what is there"
    if missing := set(range(1, len(pages) + 1)) - pages.keys():
        raise SourceError(f"the dump in {folder} is not complete: its page {min(missing):04}.json is missing: {anyway}")
    if not pages:
        return
    last = pages[max(pages)]
    try:
        continues = json.loads(storage.read(last, most=PAGE_BYTES)).get("LastEvaluatedKey")
    except (ValueError, AttributeError, RecursionError) as error:
        raise SourceError(f"{last} is no page of a dump ({error}): {anyway}") from error
    if continues:
        raise SourceError(f"the dump in {folder} is not complete: {last} says that there are more items: {anyway}")


def _table(storage: Storage, uri: str) -> str | None:
    """The name of the table that the file describes as DescribeTable does; None for any other file."""
    try:
        found = json.loads(storage.read(uri, most=SCHEMA_BYTES))["Table"]
        return str(found["TableName"]) if found["KeySchema"] else None
    except (ValueError, KeyError, TypeError):
        return None
