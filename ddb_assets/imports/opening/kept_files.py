"""Keeps the small files that were fetched from S3 on the disk, because most are read twice: to know the format or the types
of columns, and then to import them.

They are in one file without a name, which is gone with the process. When it is full, or the disk is, further files are fetched
again.
"""

import tempfile
import threading
from typing import IO

KEPT_BYTES = 256 << 20  # the folder for temporary files may be in memory


class KeptFiles:
    """Files by URI. Thread-safe."""

    def __init__(self, most: int | None = None) -> None:
        self._most = KEPT_BYTES if most is None else most
        self._places: dict[str, tuple[int, int]] = {}
        self._file: IO[bytes] | None = None
        self._end = 0
        self._lock = threading.Lock()

    def put(self, uri: str, data: bytes) -> None:
        """Keeps these bytes, if there is room."""
        with self._lock:
            if uri in self._places or self._end + len(data) > self._most:
                return
            try:
                self._file = self._file or tempfile.TemporaryFile(prefix="ddb_assets-", buffering=0)  # noqa: SIM115 -- `close`
                self._file.seek(self._end)
                if self._file.write(data) != len(data):
                    raise OSError
            except OSError:
                self._most = 0  # the disk is full
                return
            self._places[uri] = self._end, len(data)
            self._end += len(data)

    def get(self, uri: str) -> bytes | None:
        """What was kept; None for other files."""
        with self._lock:
            place = self._places.get(uri)
            if place is None or self._file is None:
                return None
            start, size = place
            self._file.seek(start)
            data = self._file.read(size)
            return data if len(data) == size else None

    def close(self) -> None:
        """Forgets all files."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file, self._places, self._end = None, {}, 0
