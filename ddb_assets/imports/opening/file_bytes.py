"""The bytes of a file that is imported: decompressed, without a byte order mark, UTF-16 made UTF-8.

The first bytes of a file say how it is compressed, not its name: many tools write gzip without `.gz`.
"""

import codecs
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import pyarrow as pa
from isal import igzip, isal_zlib

from ddb_assets.bulk.rows import SourceError
from ddb_assets.imports.opening.read_ahead import Opener

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
UNREAD = {
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ\0": "compressed by xz",
    b"PK\x03\x04": "a zip archive or a workbook",
    b"\x04\x22\x4d\x18": "compressed by lz4",
    b"\xff\x06\0\0sNaPpY": "compressed by snappy",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x1f\x9d": "compressed by compress",
    b"\x89LZO": "compressed by lzop",
    b"ORC": "ORC",
    b"Obj\x01": "Avro",
    b"\xd0\xcf\x11\xe0": "an Excel file",
    b"SQLite format 3\0": "an SQLite database",
    b"\xe0\x01\0\xea": "binary Ion",
    b"%PDF-": "a PDF",
}
"""The first bytes of files that are neither text nor compressed in a way that is read."""
BUFFER_BYTES = 1 << 20

# isal's annotations are wrong: a constructor without types, an exception class declared as an exception
_gunzip = cast("Callable[..., BinaryIO]", igzip.IGzipFile)
_InflateError = cast("type[Exception]", isal_zlib.error)


def _unread(head: bytes) -> str | None:
    for start, kind in UNREAD.items():
        if head.startswith(start) and not (start.isalpha() and head.isascii()):  # a text may begin with ORC
            return kind
    return None


class _Bytes(io.RawIOBase):
    """Makes a stream that only has `read` one that `io` can buffer."""

    def __init__(self, stream: BinaryIO, on_bytes: Callable[[int], object] | None = None) -> None:
        self._stream = stream
        self._on_bytes = on_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        if self._on_bytes:
            self._on_bytes(len(data))
        return len(data)


@contextmanager
def opened(storage: Opener, uri: str, on_bytes: Callable[[int], object] | None = None) -> Iterator[BinaryIO]:
    """The file's bytes, decompressed. `on_bytes` gets the number of stored bytes whenever some were read.

    Raises SourceError, while it is read, for a file that is damaged or cut short.
    """
    try:
        with storage.open(uri) as stream:
            buffered = io.BufferedReader(_Bytes(stream, on_bytes), BUFFER_BYTES)
            head = buffered.peek(len(ZSTD))
            if head.startswith(GZIP):
                yield io.BufferedReader(_Bytes(_gunzip(fileobj=buffered, mode="rb")), BUFFER_BYTES)
            elif head.startswith(ZSTD):
                plain = pa.CompressedInputStream(pa.PythonFile(buffered, mode="r"), "zstd")
                yield io.BufferedReader(_Bytes(plain), BUFFER_BYTES)
            elif kind := _unread(head):
                raise SourceError(f"{uri} is {kind}, which cannot be read: unpack or convert it first")
            else:
                yield buffered
    except (EOFError, _InflateError, igzip.BadGzipFile) as error:
        raise SourceError(f"{uri} is not a complete gzip file ({error}): fetch it again") from error
    except OSError as error:  # Arrow's errors about the content have no errno
        if error.errno is not None:
            raise
        raise SourceError(f"{uri} is not a complete zstd file ({error}): fetch it again") from error


BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""What a text of these encodings begins with; UTF-32 first, whose mark begins with that of UTF-16."""


def utf8(stream: BinaryIO, uri: str) -> BinaryIO:
    """The text in UTF-8, without a byte order mark. PowerShell's `>` writes UTF-16, for example.

    Raises SourceError, while it is read, for UTF-16 or UTF-32 that is damaged or cut short. Without a mark the bytes stay as
    they are.
    """
    head = stream.read(len(codecs.BOM_UTF32_LE))
    rest = joined(head, stream)
    if head.startswith(codecs.BOM_UTF8):
        rest.read(len(codecs.BOM_UTF8))
        return rest
    encoding = next((name for mark, name in BOMS.items() if head.startswith(mark)), None)
    return io.BufferedReader(_Recoded(rest, encoding, uri), BUFFER_BYTES) if encoding else rest


def joined(head: bytes, stream: BinaryIO) -> BinaryIO:
    """These bytes, and then the stream."""
    return io.BufferedReader(_Bytes(cast("BinaryIO", _Joined(head, stream))), BUFFER_BYTES)


class _Joined:
    """Some bytes, and then a stream."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head, self._stream = head, stream

    def read(self, size: int) -> bytes:
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._stream.read(size)


class _Recoded(io.RawIOBase):
    """A text of another encoding as UTF-8."""

    def __init__(self, stream: BinaryIO, encoding: str, uri: str) -> None:
        self._stream, self._encoding, self._uri = stream, encoding, uri
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""
        self._passed = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            data = self._stream.read(len(buffer))
            try:
                self._ready = self._decoder.decode(data, final=not data).encode()
            except UnicodeDecodeError as error:
                raise SourceError(
                    f"{self._uri} is not complete {self._encoding} text ({error.reason} near byte {self._passed:,}): "
                    "fetch it again"
                ) from error
            self._passed += len(data)
            if not data:
                break
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count
