"""Fetches the small files of an import ahead, several at once: what takes time is to ask S3 for each, not its bytes.

The files are still read one after the other. At most `AHEAD` small files, so 32 MiB, are in memory. They are kept on the disk
for the next reading, as far as there is room.
"""

import io
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, Protocol

from ddb_assets.aws.storage import Storage, is_s3
from ddb_assets.imports.opening.kept_files import KeptFiles

THREADS = 16  # a client has 32 connections; more threads than this wait for Python, not for S3
SMALL_BYTES = 512 << 10
AHEAD = 64


class Opener(Protocol):
    """What the readers of files need of a `Storage`."""

    def open(self, uri: str) -> AbstractContextManager[BinaryIO]:
        """The file as a stream of bytes, not seekable."""


class ReadAhead:
    """Opens files as a `Storage` does; quickly if they are opened in the order of `files`, as (URI, size in bytes) each.

    The first file may be opened again after the last one, or after any other.
    """

    def __init__(self, storage: Storage, files: Sequence[tuple[str, int]], kept: KeptFiles) -> None:
        self._storage, self._kept = storage, kept
        self._small = [uri for uri, size in files if size <= SMALL_BYTES and is_s3(uri)]
        self._places = {uri: place for place, uri in enumerate(self._small)}
        self._fetched: deque[tuple[int, Future[bytes]]] = deque()
        self._pool: ThreadPoolExecutor | None = None

    @contextmanager
    def open(self, uri: str) -> Iterator[BinaryIO]:
        """The file as a stream of bytes."""
        place = self._places.get(uri)
        if place is None or len(self._small) == 1:
            with self._storage.open(uri) as stream:
                yield stream
            return
        yield io.BytesIO(self._fetch(place))

    def _fetch(self, place: int) -> bytes:
        while self._fetched and self._fetched[0][0] != place:
            self._fetched.popleft()[1].cancel()
        pool = self._pool = self._pool or ThreadPoolExecutor(THREADS, "ddb_assets-fetch")
        first = self._fetched[-1][0] + 1 if self._fetched else place
        for number in range(first, min(place + AHEAD, len(self._small))):
            self._fetched.append((number, pool.submit(self._read, self._small[number])))
        found = self._fetched.popleft()[1].result()
        if not self._fetched:
            self.close()
        return found

    def _read(self, uri: str) -> bytes:
        data = self._kept.get(uri)
        if data is None:
            data = self._storage.read(uri)
            self._kept.put(uri, data)
        return data

    def close(self) -> None:
        """Ends the threads. It may be opened again."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
        self._fetched.clear()
