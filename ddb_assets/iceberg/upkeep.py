"""Upkeep of our Iceberg tables: few large files in the place of many small ones, old snapshots, files that nothing needs.

Each is safe to do at any time and again. Nothing is relied on that expires: what has landed is known by rows
(`changes/append.py`) or by the ledger. A snapshot that a ledger lists, because a load has not been finished, never expires. A
file is an orphan if no snapshot and no metadata of its table names it, it lies where the table puts its files, and it is older
than any write that may still be running.
"""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from pyiceberg.serializers import FromInputFile
from pyiceberg.table import FileScanTask, Table

from ddb_assets.aws.storage import Entry, join
from ddb_assets.iceberg.errors import IcebergError
from ddb_assets.iceberg.properties import PENDING, PREFIX
from ddb_assets.iceberg.rewriting import rewrite

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile

    from ddb_assets.aws.storage import Storage

SMALL_BYTES = 8 << 20
"""A data file with fewer bytes is small. Compaction writes larger ones (`writing.FILE_BYTES`), so it does not repeat itself."""
AT_LEAST = 4
"""So many small files of one partition are worth to be written again."""
COMPACTION = {f"{PREFIX}compaction": "true"}
"""The summary of a snapshot whose files were written again."""


@dataclass(frozen=True)
class Size:
    """What a table has: rows, data files, how many of these are small, their bytes, and snapshots."""

    rows: int
    files: int
    small: int
    bytes: int
    snapshots: int


def ours(table: Table) -> bool:
    """Whether the project has made a table."""
    return any(name.startswith(PREFIX) for name in table.properties)


def size(table: Table) -> Size:
    """The size of a table now."""
    tasks = list(table.scan().plan_files())
    files = [task.file for task in tasks]
    return Size(
        rows=sum(file.record_count for file in files),
        files=len(files),
        small=len(small(tasks)),
        bytes=sum(file.file_size_in_bytes for file in files),
        snapshots=len(table.snapshots()),
    )


def scattered(table: Table, before: date) -> Mapping[date, list[FileScanTask]]:
    """The data files by partition, of partitions by day from before this day that have many small files."""
    by_day: dict[date, list[FileScanTask]] = defaultdict(list)
    for task in table.scan().plan_files():
        by_day[_day(task.file)].append(task)
    return {day: tasks for day, tasks in sorted(by_day.items()) if day < before and len(small(tasks)) >= AT_LEAST}


def small(tasks: Iterable[FileScanTask]) -> list[FileScanTask]:
    """Those with small files."""
    return [task for task in tasks if task.file.file_size_in_bytes < SMALL_BYTES]


def compact(table: Table, before: date) -> tuple[int, int]:
    """Writes the rows of such partitions again, into few files, in one commit; returns the files before and after.

    Nothing is changed if there would not be fewer files, which gives 0 and 0. Raises IcebergError
    when the rows would not be the same in number, or when somebody else has changed the table meanwhile; nothing is changed
    then.
    """
    tasks = [task for some in scattered(table, before).values() for task in some]
    done = rewrite(table, tasks, COMPACTION)
    return done.files_before, done.files_after


def listed(tables: Iterable[Table]) -> frozenset[int]:
    """The snapshots that the ledgers among these tables list, because their load was not finished."""
    return frozenset(entry[2] for one in tables for entry in json.loads(one.properties.get(PENDING) or "[]"))


def expirable(table: Table, before: datetime, kept: Collection[int]) -> list[int]:
    """The snapshots that were current before this moment for the last time, and are neither of a branch or tag nor `kept`.

    A snapshot that was never current counts from when it was made.
    """
    limit = int(before.timestamp() * 1000)
    named = {ref.snapshot_id for ref in table.refs().values()} | set(kept)
    # guard: snapshots that were current until now stay
    until = {one.snapshot_id: after.timestamp_ms for one, after in pairwise(table.history())}
    return [
        one.snapshot_id
        for one in table.snapshots()
        if until.get(one.snapshot_id, one.timestamp_ms) < limit and one.snapshot_id not in named
    ]


def expire(table: Table, snapshots: list[int]) -> None:
    """Takes these snapshots out of the table's metadata. Their files become orphans."""
    if snapshots:
        table.maintenance.expire_snapshots().by_ids(snapshots).commit()
        table.refresh()


def check_alone(table: Table, storage: "Storage") -> None:
    """Raises IcebergError if another table puts its files where this one does, as tables of two catalogs once could."""
    known = {
        _file(one) for one in (table.metadata_location, *(one.metadata_file for one in table.metadata.metadata_log))
    }
    for entry in storage.list(join(table.location(), "metadata")):
        if ".metadata.json" not in entry.uri or _file(entry.uri) in known:
            continue
        with suppress(FileNotFoundError):  # a commit has deleted it meanwhile
            found = FromInputFile.table_metadata(table.io.new_input(entry.uri))
            # guard: files of a table in the same place
            if found.table_uuid != table.metadata.table_uuid:
                raise IcebergError(
                    f"{'.'.join(table.name())} has its files in {table.location()}, and {entry.uri} there is of another table, "
                    "so no file can be deleted: make one of the two again, in a folder of its own. If the other one is gone, "
                    "delete that file, and its other files become orphans"
                )


def orphans(table: Table, storage: "Storage", before: datetime) -> list[Entry]:
    """The files that nothing of the table names, and that were written before this moment.

    Raises IcebergError if another table puts its files in the same place.
    """
    check_alone(table, storage)
    needed, place = set(map(_file, _needed(table))), table.location()
    return [
        entry
        for folder in ("data", "metadata")
        for entry in storage.list(join(place, folder))
        if _file(entry.uri) not in needed and entry.modified is not None and entry.modified < before
    ]


def _needed(table: Table) -> Iterator[str]:
    """Every file that the table's metadata names, also by way of any of its snapshots."""
    metadata = table.metadata
    yield table.metadata_location
    yield from (entry.metadata_file for entry in metadata.metadata_log)
    yield from (one.statistics_path for one in (*metadata.statistics, *metadata.partition_statistics))
    seen: set[str] = set()
    for snapshot in metadata.snapshots:
        yield snapshot.manifest_list
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path not in seen:
                seen.add(manifest.manifest_path)
                yield manifest.manifest_path
                for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                    yield entry.data_file.file_path


def _file(uri: str) -> str:
    """What a URI names, however it is written: other engines write `s3a://` for `s3://`, or `file:/` for a path."""
    return re.sub("/+", "/", re.sub("^(s3[an]?|file):", "", uri)).lstrip("/")


def _day(file: "DataFile") -> date:
    """The day of a file's partition, which Iceberg keeps as days since 1970."""
    value = file.partition[0]
    return value if isinstance(value, date) else date.fromordinal(date(1970, 1, 1).toordinal() + int(value))
