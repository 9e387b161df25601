"""Deletes what was chosen. A run that is killed leaves nothing that somebody could read by half, and the next run goes on.

The report or the manifest of a landing goes first, so nobody finds what is left of it. Flattened exports have a claim in their
folder meanwhile (`flatten/output.py`). Exports may lie in a bucket of others, so a note in the lake lists their files first, by
which the next run knows the rest as ours. An export whose manifest is still there is whole, and is chosen again or stays.
Nobody writes an export again under the same name.
"""

import secrets
from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ddb_assets.aws.lake import LakePaths
from ddb_assets.aws.owned_folder import FolderError
from ddb_assets.aws.storage import join
from ddb_assets.contract.durable import DurableFormat
from ddb_assets.contract.model import first_problem
from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.manifest import SUMMARY
from ddb_assets.flatten.output import discard
from ddb_assets.retention.landings import Count, Doomed

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

UNFINISHED = "unfinished-"
FORMAT = DurableFormat("the note of files that retention deletes")
LISTED = ("exports", "streams")
"""The kinds whose files are noted before they are deleted."""


class UnfinishedError(DdbAssetsError):
    """The note of a run that was killed cannot be used."""


class Unfinished(BaseModel):
    """The note: the URIs of the files that are being deleted, of each export its manifest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    files: tuple[str, ...]


def delete(
    storage: "Storage", lake: LakePaths, table: Table, doomed: Sequence[Doomed]
) -> tuple[list[Doomed], list[str]]:
    """Deletes it. Returns what was deleted, and why the rest was not. Raises StorageError; what is deleted by then stays so."""
    done, remarks = list[Doomed](), list[str]()
    for one in doomed:
        if one.kind == "parquet":
            try:
                discard(storage, one.place)
            except FolderError as error:
                remarks.append(str(error))
                continue
            done.append(one)
    noted = [one for one in doomed if one.kind in LISTED]
    if noted:
        note = join(lake.retention(table), f"{UNFINISHED}{secrets.token_hex(8)}.json")
        storage.write(note, Unfinished(files=tuple(_uris(noted))).model_dump_json(indent=1).encode())
        for one in noted:
            storage.delete([file.uri for file in one.files[:1]])  # alone: calls of a thousand have no order
            storage.delete([file.uri for file in one.files[1:]])
        storage.delete([note])
    rest = [one for one in doomed if one.kind not in {*LISTED, "parquet"}]
    storage.delete(_uris(rest))
    return [*done, *noted, *rest], remarks


def finish(storage: "Storage", lake: LakePaths, table: Table, *, apply: bool) -> int:
    """Deletes the rest of what an earlier run has begun to delete, with `apply`; how many files that run noted of it.

    Raises UnfinishedError for a note that cannot be read, or that lists files elsewhere.
    """
    count = 0
    places = (lake.exports_uri(table), lake.scans_uri(table), lake.streams)
    for entry in list(storage.list(lake.retention(table))):
        if not entry.uri.rpartition("/")[2].startswith(UNFINISHED):
            continue
        try:
            files = FORMAT.read(Unfinished, storage.read(entry.uri), entry.uri).files
        except ValidationError as error:
            raise UnfinishedError(
                f"{entry.uri} cannot be read: {first_problem(error)}; look at it, and delete it"
            ) from None
        if strange := [uri for uri in files if not any(uri.startswith(f"{place}/") for place in places)]:
            raise UnfinishedError(
                f"{entry.uri} lists {strange[0]}, which is none of the table's files: look at it, and delete it"
            )
        rest = _begun(storage, files)
        count += len(rest)
        if apply:
            storage.delete(rest)
            storage.delete([entry.uri])
    return count


def _begun(storage: "Storage", files: Sequence[str]) -> list[str]:
    """Those of the noted files whose manifest is gone. The others were never begun, and may be needed by now."""
    numbers = accumulate(uri.endswith(f"/{SUMMARY}") for uri in files)
    exports = groupby(zip(numbers, files, strict=True), key=itemgetter(0))
    noted = [[uri for _, uri in each] for _, each in exports]
    return [uri for each in noted if not storage.exists(each[0]) for uri in each]


def count(doomed: Iterable[Doomed]) -> Count:
    """How much it is."""
    return sum((Count.of(one.files) for one in doomed), Count())


def _uris(doomed: Iterable[Doomed]) -> list[str]:
    return [file.uri for one in doomed for file in one.files]
