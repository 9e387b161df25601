"""Allows one run of a copy or import at a time on this machine.

Two runs would delete what the other writes, or share one checkpoint. A Dagster pool keeps apart the other jobs that write
into the same table (`orchestration/pools.py`).
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ddb_assets.errors import DdbAssetsError
from ddb_assets.settings import STATE


class LockError(DdbAssetsError):
    """The same job is running, or its lock cannot be written. Nothing was begun."""


@contextmanager
def only_run(path: Path, what: str) -> Iterator[None]:
    """Holds the lock on this file, which ends with the process in any case. Raises LockError, which names the job `what`."""
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
            raise LockError(f"another run of this {what} is under way ({path} is locked): wait until it ends") from None
        yield
