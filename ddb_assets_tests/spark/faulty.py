"""Storages of tasks to which something happens. Tasks make them on their own, so they are classes of a module.

A `Storage` of `failing(folder, …)` has its accident once: the file that notes it is in the folder.
"""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ddb_assets.aws.storage import BrokenOffError, Storage

if TYPE_CHECKING:
    from collections.abc import Callable


SLOW = 90  # seconds


def parent(pid: int) -> int:
    """The id of a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def kill_executor() -> None:
    """What happens when a machine is gone: the JVM that runs this task, and this task with it."""
    os.kill(parent(parent(os.getpid())), signal.SIGKILL)
    time.sleep(60)


def break_off() -> None:
    """A connection that fails; Spark runs the task again."""
    raise BrokenOffError("the connection broke off")


def wait() -> None:
    """A slow machine, for which Spark starts the task a second time and does not wait."""
    time.sleep(SLOW)


def go_on_slowly() -> None:
    """Time for the test to do something to the job."""
    time.sleep(3)


@dataclass(frozen=True)
class Accident:
    """Makes storages. `happens` is called once, right after a file was written whose name has `when`."""

    happens: "Callable[[], None]"
    when: str
    noted: str

    def __call__(self) -> Storage:
        return _Accident(self)


class _Accident(Storage):
    def __init__(self, accident: Accident) -> None:
        super().__init__()
        self._accident = accident

    def write(self, uri: str, data: bytes) -> None:
        super().write(uri, data)
        if self._accident.when in uri:
            try:
                Path(self._accident.noted).touch(exist_ok=False)
            except FileExistsError:
                return
            self._accident.happens()


class _Broken(Storage):
    def write(self, uri: str, data: bytes) -> None:
        raise BrokenOffError("the connection broke off")


def always_broken() -> Storage:
    """A Storage that writes nothing."""
    return _Broken()
