"""Items as objects on S3 that AWS reads: gzipped lines of DynamoDB JSON, for ImportTable and for bulk puts.

Sorted items would all go to one partition of the table at a time. So items are shuffled, as many at once as memory allows.
Facts: Developer Guide, "DynamoDB data import from Amazon S3" and "Bulk put items" (at most 50,000 objects; a bulk put takes
objects of up to 5 GB; AWS reads objects side by side, and advises to shuffle sorted items).
"""

import gzip
import random
import re
import tempfile
from pathlib import Path
from typing import BinaryIO, cast

from ddb_assets.aws.storage import Storage, StorageError, join

PART_BYTES, LARGE_PART_BYTES = 256 << 20, 4 << 30  # of JSON in one object
MAX_OBJECTS = 50_000
SHUFFLED_BYTES = 32 << 20  # of JSON that is held in memory and shuffled
ENDING = ".json.gz"
_STAGED = re.compile(r"/\d{6}\.json\.gz$")


def part_bytes(number: int) -> int:
    """How much JSON the part with this number has. Later parts are larger, so that there are never too many of them."""
    return PART_BYTES if number < MAX_OBJECTS // 2 else LARGE_PART_BYTES


def delete_staged(storage: Storage, folder: str) -> None:
    """Deletes what a job that was killed has staged in its folder, and nothing else. Raises StorageError."""
    storage.delete([entry.uri for entry in storage.list(folder) if _STAGED.search(entry.uri)])


class StagedItems:
    """Objects in a folder on S3 that has nothing else. Raises StorageError."""

    def __init__(self, storage: Storage, folder: str) -> None:
        self.folder = folder
        self.uris: list[str] = []
        self._storage = storage
        self._temporary = tempfile.TemporaryDirectory(prefix="ddb_assets-")
        self._path = Path(self._temporary.name, f"part{ENDING}")
        self._part: BinaryIO | None = None
        self._part_bytes = 0
        self._lines: list[bytes] = []
        self._held = 0

    def add(self, body: bytes) -> None:
        """Adds an item, as JSON."""
        self._lines.append(b'{"Item":%b}\n' % body)
        self._held += len(body)
        if self._held >= min(SHUFFLED_BYTES, part_bytes(len(self.uris))):
            self._write()

    def finish(self) -> None:
        """Uploads what is not uploaded yet."""
        self._write()
        self._upload()

    def delete(self) -> None:
        """Deletes the objects."""
        self._storage.delete(self.uris)
        self.uris = []

    def close(self) -> None:
        """Deletes the local files; the objects stay."""
        if self._part is not None:
            self._part.close()
            self._part = None
        self._temporary.cleanup()

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        if not lines:
            return
        random.shuffle(lines)
        if self._part is None:
            self._part = cast("BinaryIO", gzip.open(self._path, "wb", compresslevel=1))  # noqa: SIM115 -- `_upload` or `close` closes it
        self._part.write(b"".join(lines))
        self._part_bytes += self._held
        self._held = 0
        if self._part_bytes >= part_bytes(len(self.uris)):
            self._upload()

    def _upload(self) -> None:
        if self._part is None:
            return
        self._part.close()
        self._part, self._part_bytes = None, 0
        if len(self.uris) == MAX_OBJECTS:
            raise StorageError(
                f"the items fill more than {MAX_OBJECTS:,} objects, and AWS takes no more at once: divide the files"
            )
        uri = join(self.folder, f"{len(self.uris):06}{ENDING}")
        self._storage.upload(self._path, uri)
        self.uris.append(uri)
