"""One run of a copy or of an import at a time on this machine: two would clean what the other one writes, or keep one
checkpoint.

A Dagster pool keeps apart the other jobs that write into the table (`orchestration/pools.py`).
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ddb_assets.errors import DdbAssetsError
from ddb_assets.settings import STATE


class LockError(DdbAssetsError):
    """The same job runs already, or the folder of its lock cannot be written; nothing was begun."""


@contextmanager
def only_run(path: Path, what: str) -> Iterator[None]:
    """Holds this file's lock, which ends with the process however it ends. Raises LockError, which calls the job `what`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise LockError(
            f"the checkpoint cannot be kept in {path.parent} ({error.strerror}): set {STATE} to a folder to write to"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LockError(f"another run of this {what} is under way ({path} is locked): wait for its end") from None
        yield
