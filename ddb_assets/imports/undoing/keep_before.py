"""Keeps before-images while an import writes: read consistently, and durable before the write is sent.

Batches that are under way at the same time share a segment: while one segment is written, the images of others gather for the
next. So segments follow each other without gaps, also over the runs that resume an import.
"""

import os
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from ddb_assets.aws.storage import MissingFileError, Storage, is_s3, join, local_path
from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.lock import only_run
from ddb_assets.bulk.scan import ReadCalls, ReadRate, TableReader
from ddb_assets.bulk.writing.operation import Operation
from ddb_assets.dynamodb.item import item_digest, item_key
from ddb_assets.errors import DdbAssetsError
from ddb_assets.imports.undoing.before_images import (
    COMPLETE,
    HEADING,
    SEGMENT,
    UNDONE,
    BeforeHeading,
    BeforeImagesError,
    Image,
    packed,
    segment_name,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def whole_place(said: str) -> str:
    """The same place from everywhere. Raises StorageError for what is neither a path nor on S3."""
    return said if is_s3(said) else f"{local_path(said).absolute()}{'/' if said.endswith('/') else ''}"


def before_place(said: str, table: str, run: str) -> str:
    """The folder of a run: the one that was `said`, or one in it if that ends with a slash."""
    return join(said, f"{table}-{run}") if said.endswith("/") else said


def note(storage: Storage, uri: str, name: str, document: object) -> None:
    """Writes a file that may be there already, durable when this returns."""
    storage.write(join(uri, name), orjson.dumps(document))
    _synced(uri, name)


def undoing_lock(folder: Path, table: str, run: str) -> AbstractContextManager[None]:
    """Keeps an import and its undo apart, on this machine. Raises LockError."""
    return only_run(folder / f"{table}-{run}.before.lock", "import, or an undo of it,")


def consistent_reader(
    client: "DynamoDBClient", target: TableDescription, stopped: threading.Event, deadline: float
) -> TableReader:
    """Reads items by their keys, at half of a provisioned table's capacity at most. `client` is made with BULK_CLIENT."""
    calls = ReadCalls(client, stopped, deadline=deadline)
    return TableReader(calls, target, ReadRate(target, None), stopped, consistent=True, workers=1)


def segments(storage: Storage, uri: str) -> list[str]:
    """The segments in a folder, in order. Raises BeforeImagesError if there is a gap, or a file of something else."""
    found: dict[int, str] = {}
    for entry in storage.list(uri):
        name = entry.uri.rpartition("/")[2]
        if match := SEGMENT.fullmatch(name):
            found[int(match[1])] = entry.uri
        elif name not in (HEADING, COMPLETE, UNDONE) and not name.startswith(".new-"):
            raise BeforeImagesError(f"{entry.uri} is not of before-images: move it away, or name another folder")
    missing = [number for number in range(1, max(found, default=0) + 1) if number not in found]
    if missing:
        raise BeforeImagesError(
            f"{join(uri, segment_name(missing[0]))} is missing, and later segments are there: restore it from a backup"
        )
    return [found[number] for number in sorted(found)]


@dataclass
class _Group:
    """Lines that become one segment. `error`: why they could not be kept."""

    lines: list[bytes] = field(default_factory=list)
    kept: bool = False
    error: DdbAssetsError | None = None


class BeforeKeeper:
    """Keeps the images of one run, and of those that resume it, in one folder. Thread-safe.

    `kept` is what the checkpoint says that there is. Raises BeforeImagesError for a folder that has less, something else,
    images of another run, or images that are undone already. Writes nothing before `begin`.
    """

    def __init__(
        self,
        storage: Storage,
        uri: str,
        heading: BeforeHeading,
        target: TableDescription,
        reader: TableReader,
        *,
        kept: int | None,
    ) -> None:
        self.uri = uri
        self._storage, self._target, self._reader = storage, target, reader
        self._heading = heading
        self._begun = False
        self._number = self._found()
        if kept is not None and (not self._begun or self._number < kept):
            raise BeforeImagesError(
                f"before-images of this import are missing in {uri}: there are {self._number} segments of at least {kept}. "
                "Bring them back from a copy to continue, or start over with --restart and another folder"
            )
        self._gathering, self._writing = threading.Lock(), threading.Lock()
        self._group = _Group()

    @property
    def consumed_rcu(self) -> float:
        """What reading has consumed up to now."""
        return self._reader.rate.consumed

    def keep(self, operations: Sequence[Operation]) -> None:
        """Returns when the images of these operations, of different keys, are durable. Raises ReadError, StorageError."""
        keys = [self._reader.key(operation.attributes) for operation in operations]
        there = {item_key(item, self._target.key): item for item in self._reader.get(keys)}
        lines = [
            Image(key, there.get(operation.key), _written(operation)).dump()
            for key, operation in zip(keys, operations, strict=True)
        ]
        with self._gathering:
            group = self._group
            group.lines += lines
        with self._writing:
            if group.error:
                raise group.error
            if group.kept:
                return
            with self._gathering:
                self._group = _Group()
            try:
                self._create(segment_name(self._number + 1), packed(group.lines))
            except DdbAssetsError as error:
                group.error = error
                raise
            self._number += 1
            group.kept = True

    def complete(self) -> None:
        """Notes that the import is complete, so that a segment that is lost later is missed."""
        note(self._storage, self.uri, COMPLETE, {"segments": self._number})

    def begin(self) -> None:
        """Writes the heading. The run must be in its checkpoint by now, because no other run can use the folder then."""
        if not self._begun:
            self._create(HEADING, self._heading.dump())
            self._begun = True

    @property
    def kept(self) -> int | None:
        """How many segments are durable; None before `begin`."""
        return self._number if self._begun else None

    def _found(self) -> int:
        """How many segments earlier runs have kept."""
        place = join(self.uri, HEADING)
        try:
            found = BeforeHeading.read(self._storage.read(place), place)
        except MissingFileError:
            if segments(self._storage, self.uri):
                raise BeforeImagesError(f"{place} is missing: name another folder for before-images") from None
            return 0
        self._begun = True
        if found.run != self._heading.run or found.table_id != self._heading.table_id:
            raise BeforeImagesError(
                f"{self.uri} has the before-images of another import, of {found.source} into {found.table}: name another "
                "folder. One whose name ends with / gets a folder for each run"
            )
        if self._storage.exists(join(self.uri, UNDONE)):
            raise BeforeImagesError(
                f"this import was undone ({join(self.uri, UNDONE)}), so it cannot be continued: start over with --restart, and "
                "name another folder for before-images"
            )
        return len(segments(self._storage, self.uri))

    def _create(self, name: str, data: bytes) -> None:
        """Writes a new file, durable when this returns."""
        uri = join(self.uri, name)
        made = self._storage.create(uri, data)
        if not made and self._storage.read(uri) != data:  # if it is the same, S3 answered a request that was repeated
            raise BeforeImagesError(f"{uri} was written by another run at the same time: end one of them")
        _synced(self.uri, name)


def _synced(uri: str, name: str) -> None:
    if is_s3(uri):
        return
    folder = Path(uri)
    try:
        for path in (folder / name, folder, *([folder.parent] if name == HEADING else [])):
            opened = os.open(path, os.O_RDONLY)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)
    except OSError as error:
        raise BeforeImagesError(
            f"{folder / name} cannot be made durable ({error.strerror}): name another folder for before-images"
        ) from error


def _written(operation: Operation) -> bytes | None:
    return None if operation.kind == "delete" else item_digest(operation.attributes)
