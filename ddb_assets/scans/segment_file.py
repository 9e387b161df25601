"""The items of one segment on their way to a landing: a local file of gzip members, one for each page.

A page counts when the state that is saved says so. What was written after that is cut off when the scan is resumed.
"""

import base64
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson
from isal import igzip

from ddb_assets.bulk.checkpoint import START_OVER, CheckpointError
from ddb_assets.dynamodb.item import Item


class SegmentFile:
    """A file that is appended to. A context manager, which closes it.

    It begins with the first `size` bytes of what is there. Raises CheckpointError if there are fewer.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        found = self._file.tell()
        if found < size:
            self._file.close()
            raise CheckpointError(f"{path} has {found:,} bytes, and {size:,} were written to it: {START_OVER}")
        self._file.truncate(size)
        self.size = size

    def append(self, items: Sequence[Item]) -> int:
        """Writes a page of items as an export has them, one to a line; returns the bytes before compression."""
        lines = b"".join(orjson.dumps({"Item": item}, option=orjson.OPT_APPEND_NEWLINE) for item in items)
        self.size += self._file.write(igzip.compress(lines, 1, mtime=0))
        self._file.flush()
        return len(lines)

    def empty(self) -> None:
        """Takes everything out: it has been uploaded."""
        self._file.truncate(0)
        self.size = 0

    def md5(self) -> str:
        """The base64 MD5 of what is in it."""
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        return base64.b64encode(digest.digest()).decode()

    def remove(self) -> None:
        """Deletes it: the segment is done."""
        os.unlink(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
