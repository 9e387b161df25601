"""The base class of every error that a user can fix.

A message says what is wrong, where (file, line, key or setting) and what to do. The CLI prints it without a traceback
and exits with 1; in Dagster it is the failure's description. Any other exception is a bug in this package.
"""

import errno
import os


class DdbAssetsError(Exception):
    """Something outside the code is wrong; the message says what to do about it."""


class RetryableError(DdbAssetsError):
    """A temporary failure outside the code: the same step may succeed when it runs again."""


class MachineError(DdbAssetsError):
    """This machine ran out of a resource, or its disk fails."""


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
    """The MachineError for an exception that says that the machine ran out of a resource; None for any other one."""
    if isinstance(error, MemoryError):
        return MachineError(f"there is not enough memory: {_MACHINE[errno.ENOMEM]}")
    if isinstance(error, OSError) and error.errno in _MACHINE:
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return MachineError(f"{where}{os.strerror(error.errno)}: {_MACHINE[error.errno]}")
    return None
