"""Reads the data files of an export: decompresses and verifies them in one pass.

Flattening reads items with `read_blocks`; `verify` checks all files of an export without decompressing them. This module
does not interpret the lines; `manifest.py` says where the files are.

The MD5 in manifest-files.json is that of the compressed object, so it is known only at the end of the file. Blocks are
yielded before that: the caller must discard its work when reading ends with an error. isal and hashlib release the GIL, so
several threads read in parallel; one core decompresses about 800 MB/s.
"""

import base64
import gzip
import hashlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from isal import igzip, isal_zlib

from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.manifest import DataFile, Export, ManifestError, some

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

logger = logging.getLogger(__name__)

BLOCK_BYTES = 8 << 20
MAX_LINE_BYTES = 16 << 20
"""The longest line. An item has at most 400 KB (DynamoDB Developer Guide, "Constraints"). Empty texts grow most as JSON:
`{"S":""},` for one byte. So two images have at most 8 MB; a line that is longer than this cannot be from an export."""
BLANK_LINES = 1000
"""A file may have this many blank lines, plus one for each item. Exports by AWS have none."""
CHUNK_BYTES = 1 << 20
VERIFY_THREADS = 8

# isal's type annotations are wrong: the constructor has no types, and the exception class is declared as an instance
_gunzip = cast("Callable[..., BinaryIO]", igzip.IGzipFile)
_InflateError = cast("type[Exception]", isal_zlib.error)


def _count_newlines(block: bytes) -> int:
    return block.count(b"\n")


def read_blocks(
    storage: "Storage",
    file: DataFile,
    *,
    block_bytes: int = BLOCK_BYTES,
    count_newlines: Callable[[bytes], int] = _count_newlines,
) -> Iterator[tuple[bytes, int]]:
    """Yields the file's decompressed lines in blocks of about `block_bytes`, each with its number of newlines.

    Each block ends at the end of a line; the last line may have no newline. Memory use is a few blocks, or the longest line.
    Raises ManifestError, at the latest after the last block, when the file is missing, cut short, damaged or not the one that
    the manifest lists; then the blocks yielded before must not be used. Also raises it early for a file with far more lines
    than the manifest lists: a few KB of gzip can be millions of lines. `check_lines` compares the exact number once the
    lines are decoded.
    """
    with _opened(storage, file) as stream:
        left = 2 * file.item_count + BLANK_LINES
        try:
            with _gunzip(fileobj=stream, mode="rb") as lines:
                for block in _whole_lines(lines, file, block_bytes):
                    newlines = count_newlines(block)
                    left -= newlines
                    if left < 0:
                        stream.check(file)  # as below: a wrong MD5 gives the better message
                        raise ManifestError(
                            f"{file.uri}: the manifest lists {file.item_count} items, but the file has more lines: the "
                            "manifest is of another export; fetch both again or export again"
                        )
                    yield block, newlines
        except (EOFError, gzip.BadGzipFile, _InflateError) as error:
            stream.check(file)  # if the MD5 is wrong too, its message is the better one
            raise ManifestError(
                f"{file.uri} has the MD5 that AWS listed, but is not a complete gzip file ({error}): export again"
            ) from error
        stream.check(file)


def check_lines(file: DataFile, lines: int) -> None:
    """Raises ManifestError unless `lines`, the number of lines that are not blank, is the manifest's number of items."""
    if lines != file.item_count:
        raise ManifestError(
            f"{file.uri}: the manifest lists {file.item_count} items, but the file has {lines} lines: fetch both again or "
            "export again"
        )


def verify(storage: "Storage", export: Export) -> None:
    """Compares the MD5 of every data file with the manifest's, without decompressing. ManifestError names bad files."""

    def problem(file: DataFile) -> str | None:
        try:
            with _opened(storage, file) as stream:
                stream.check(file)
        except ManifestError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(VERIFY_THREADS) as pool:
        problems = [found for found in pool.map(problem, export.files) if found]
    if problems:
        raise ManifestError(
            f"{len(problems)} of {len(export.files)} data files of {export.uri} are bad: {some(problems)}"
        )
    logger.info(
        "export %s: all %d data files have the MD5 of the manifest",
        export.id,
        len(export.files),
        extra={"export": export.id},
    )


class _HashedStream:
    """A stream that hashes all bytes that are read through it with `read` or, as isal does, with `readinto`."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._md5 = hashlib.md5(usedforsecurity=False)

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._md5.update(data)
        return data

    def readinto(self, buffer: memoryview) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def check(self, file: DataFile) -> None:
        """Reads the rest of the stream and compares the MD5. Raises ManifestError when it is not the manifest's."""
        while self.read(CHUNK_BYTES):
            pass
        actual = base64.b64encode(self._md5.digest()).decode()
        if actual != file.md5:
            raise ManifestError(
                f"{file.uri} is damaged: its MD5 is {actual}, the manifest says {file.md5}; "
                "fetch it again or export again"
            )


@contextmanager
def _opened(storage: "Storage", file: DataFile) -> Iterator[_HashedStream]:
    opened = storage.open(file.uri)
    try:
        stream = opened.__enter__()
    except DdbAssetsError as error:
        raise ManifestError(f"data file {file.key} of the export cannot be read: {error}") from error
    try:
        yield _HashedStream(stream)
    finally:
        opened.__exit__(None, None, None)


def _whole_lines(lines: BinaryIO, file: DataFile, block_bytes: int) -> Iterator[bytes]:
    """Blocks that end at the end of a line. Raises ManifestError for too long a line."""
    rest: list[bytes] = []  # the beginning of a line that continues in the next block
    passed = 0
    while block := lines.read(block_bytes):
        if end := block.rfind(b"\n") + 1:
            whole = b"".join([*rest, memoryview(block)[:end]])
            passed += len(whole)
            yield whole
            rest = [block[end:]]
        else:
            rest.append(block)
            if sum(map(len, rest)) > MAX_LINE_BYTES:
                raise ManifestError(
                    f"{file.uri}: the line after the first {passed} bytes of its text has more than {MAX_LINE_BYTES} bytes, "
                    "which no item of DynamoDB can have: AWS did not write it like this; fetch the file again or export again"
                )
    if last := b"".join(rest):
        yield last
