"""The bytes of an export's data files: decompressed and verified in one pass.

`read_blocks` is how flattening reads items; `verify` checks the files of an export without decoding them.
What the lines mean is not known here, nor where the files are listed (`manifest.py`).

The MD5 in manifest-files.json is of the compressed object, so blocks are handed out before the file is proved: the
consumer must throw its work away when reading ends with an error. isal and hashlib release the GIL, so files read in
several threads overlap; one core inflates about 800 MB/s.
"""

import base64
import gzip
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from isal import igzip, isal_zlib

from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.manifest import DataFile, Export, ManifestError, some

if TYPE_CHECKING:  # the storage module reaches botocore, which this module must work without
    from ddb_assets.aws.storage import Storage

BLOCK_BYTES = 8 << 20
MAX_LINE_BYTES = 16 << 20
"""An item has at most 400 KB. Empty texts grow most when written as JSON, `{"S":""},` for one byte, so two images have at
most 8 MB. A longer line cannot be from an export."""
BLANK_LINES = 1000
"""A file may have this many blank lines, and one more for each item. Exports have none."""
CHUNK_BYTES = 1 << 20
VERIFY_THREADS = 8

# isal's own annotations are amiss: a constructor without types, an exception class declared as an exception
_gunzip = cast("Callable[..., BinaryIO]", igzip.IGzipFile)
_InflateError = cast("type[Exception]", isal_zlib.error)


def read_blocks(storage: "Storage", file: DataFile, *, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The file's lines, decompressed, in blocks of about `block_bytes` that end with a line.

    The last line may lack its newline. Memory is a few blocks, or the longest line. Raises ManifestError, at the latest
    after the last block, when the file is missing, cut short, damaged or not the one the manifest lists: what was
    yielded before must not be used then. The same for a file with far more lines than the manifest lists: a few KB of
    gzip can be any number of them, so it is not read to its end. `check_lines` compares the
    exact number once the lines are decoded.
    """
    with _opened(storage, file) as stream:
        left = 2 * file.item_count + BLANK_LINES
        try:
            with _gunzip(fileobj=stream, mode="rb") as lines:
                for block, newlines in _whole_lines(lines, file, block_bytes):
                    left -= newlines
                    if left < 0:
                        stream.check(file)  # the same here
                        raise ManifestError(
                            f"{file.uri}: the manifest lists {file.item_count} items, the file has more lines: the "
                            "manifest is of another export; fetch both again or export again"
                        )
                    yield block
        except (EOFError, gzip.BadGzipFile, _InflateError) as error:
            stream.check(file)  # when the MD5 is wrong too, that is the better message
            raise ManifestError(
                f"{file.uri} is as AWS listed it, but is no complete gzip file ({error}): export again"
            ) from error
        stream.check(file)


def check_lines(file: DataFile, lines: int) -> None:
    """Raises ManifestError unless the file has as many lines, without blank ones, as the manifest lists items."""
    if lines != file.item_count:
        raise ManifestError(f"{file.uri}: the manifest lists {file.item_count} items, the file has {lines} lines")


def verify(storage: "Storage", export: Export) -> None:
    """Compares every data file's MD5 with the manifest's, without decompressing. ManifestError names the bad ones."""

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


class _HashedStream:
    """A stream that hashes what is read through it, by `read` or, as isal does, by `readinto`."""

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
        """Reads what is left and compares."""
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


def _whole_lines(lines: BinaryIO, file: DataFile, block_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Blocks that end with a line, each with the number of its newlines."""
    rest: list[bytes] = []  # the beginning of a line that the next blocks complete
    number = 1
    while block := lines.read(block_bytes):
        newlines = block.count(b"\n")
        number += newlines
        if newlines:
            end = block.rfind(b"\n") + 1
            yield b"".join([*rest, block[:end]]), newlines
            rest = [block[end:]]
        else:
            rest.append(block)
            if sum(map(len, rest)) > MAX_LINE_BYTES:
                raise ManifestError(
                    f"{file.uri}: line {number} has more than {MAX_LINE_BYTES} bytes, which no item of DynamoDB can "
                    "have: this is not as AWS wrote it; fetch the file again or export again"
                )
    if last := b"".join(rest):
        yield last, 0
