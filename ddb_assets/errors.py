"""The one base class of every error a user can mend.

A message says what is wrong, where (file, line, key or setting) and what to do. The CLI prints it without a traceback and
exits 1; in Dagster it is the failure's description. Anything that is not a `DdbAssetsError` is a defect of ours.
"""

import errno
import os


class DdbAssetsError(Exception):
    """Something outside the code is wrong and the message says what to do about it."""


class RetryableError(DdbAssetsError):
    """Something outside failed briefly: the same step may succeed a moment later by itself."""


class MachineError(DdbAssetsError):
    """This machine has run out of a resource, or a disk fails."""


_MACHINE = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space there, or have the quota raised",
    errno.EFBIG: "allow larger files there (ulimit -f)",
    errno.EROFS: "it is mounted read-only: name another folder",
    errno.EIO: "the disk fails: look at the machine's log",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "the machine has too many files open: stop other programs, or raise the limit",
    errno.ENOMEM: "stop other programs, or use a machine with more memory",
}


def machine_error(error: BaseException) -> MachineError | None:
    """Our error for one that any line may raise when the machine runs out of a resource; None for all others."""
    if isinstance(error, MemoryError):
        return MachineError(f"there is not enough memory: {_MACHINE[errno.ENOMEM]}")
    if isinstance(error, OSError) and error.errno in _MACHINE:
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return MachineError(f"{where}{os.strerror(error.errno)}: {_MACHINE[error.errno]}")
    return None
