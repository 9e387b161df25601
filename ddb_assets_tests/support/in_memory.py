"""Temporary files of the tests in memory, where the machine has room for them.

The suite makes and deletes some hundred thousand small files: databases, exports, parts, ledgers. On a disk that is an eighth
of its CPU time, and its processes wait for syncs that nobody needs.
"""

import os
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM = 6_000_000_000
"""Bytes that must be free. The suite has had up to 1.1 GB at a time."""


def use_memory(folder: Path = MEMORY) -> bool:
    """Puts temporary files of this process and its children there, unless TMPDIR is set. False if it cannot."""
    if "TMPDIR" in os.environ or not _fits(folder):
        return False
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None  # look again
    return True


def _fits(folder: Path) -> bool:
    """Whether one can write there, run programs from there, and has enough room."""
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC
