"""An input file as a stream of plain bytes, whatever it is compressed with.

The first bytes say what a file is, not its name: names lie, and tools that write gzip without `.gz` are common.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import pyarrow as pa
from isal import igzip, isal_zlib

from ddb_assets.aws.storage import Storage
from ddb_assets.bulk.rows import SourceError

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
BUFFER_BYTES = 1 << 20

# isal's own annotations are amiss: a constructor without types, an exception class declared as an exception
_gunzip = cast("Callable[..., BinaryIO]", igzip.IGzipFile)
_InflateError = cast("type[Exception]", isal_zlib.error)


class _Bytes(io.RawIOBase):
    """A stream that only has `read` as one that `io` can buffer."""

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
def opened(storage: Storage, uri: str, on_bytes: Callable[[int], object] | None = None) -> Iterator[BinaryIO]:
    """The file's plain bytes; `on_bytes` hears of the stored ones.

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
            else:
                yield buffered
    except (EOFError, _InflateError, igzip.BadGzipFile) as error:
        raise SourceError(f"{uri} is no complete gzip file ({error}): fetch it again") from error
    except OSError as error:  # Arrow's errors about the content have no errno
        if error.errno is not None:
            raise
        raise SourceError(f"{uri} is no complete zstd file ({error}): fetch it again") from error
