"""A function in a process of its own, which can be killed at any moment; forked from one that has imported everything.

What becomes of tables and files is looked at by the tests.
"""

import multiprocessing
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

from ddb_assets_tests.support.tables import client_of

START_SECONDS = 30.0
END_SECONDS = 120.0

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__, "pytest", "ddb_assets_tests.copies.child", "ddb_assets_tests.imports.child"])


class Forked:
    """A call that has just begun. `function` is a module's own, its arguments and what it returns can be pickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._told, tells = _context.Pipe(duplex=False)
        self._process: ForkServerProcess = _context.Process(target=_call, args=(tells, function, arguments))
        self._process.start()
        tells.close()
        if not self._told.poll(START_SECONDS):
            raise TimeoutError(f"{function.__name__} has not begun")
        self._told.recv()

    def killed_after(self, seconds: float) -> bool:
        """Kills it, unless it ends before; whether it was killed."""
        self._process.join(seconds)
        if self._process.exitcode is not None:
            return False
        self._process.kill()
        self._process.join()
        self._told.close()
        return True

    def ended(self) -> Any:
        """Waits for its end, and returns what it returned. What it raised is raised here, as an AssertionError."""
        if not self._told.poll(END_SECONDS):
            self._process.kill()
            raise TimeoutError("it does not come to its end")
        returned, complaint = self._told.recv()
        self._process.join()
        self._told.close()
        if complaint:
            raise AssertionError(complaint)
        return returned


def _call(tells: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """In the child."""
    tells.send("begun")
    try:
        told: tuple[Any, str] = (function(*arguments), "")
    except Exception:
        told = (None, traceback.format_exc())
    with suppress(BrokenPipeError):
        tells.send(told)


with suppress(Exception):  # botocore reads its description of DynamoDB once, for all who are forked
    client_of("http://127.0.0.1:9")
