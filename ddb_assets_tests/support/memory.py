"""Where servers of tests keep their files: in memory if there is room. A file system on disk takes longer than they do."""

import shutil
from pathlib import Path

_SHARED = Path("/dev/shm")
_ROOM = 4 << 30
"""Many times what the servers of all workers need. Containers often have 64 MB there."""


def in_memory() -> Path | None:
    """A folder for temporary folders; None for the usual one."""
    return _SHARED if _SHARED.is_dir() and shutil.disk_usage(_SHARED).free > _ROOM else None
