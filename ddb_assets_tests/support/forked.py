"""Runs a function in a process of its own, which can be killed at any moment. It is forked, so that imports are done.

The tests look at the tables and files afterwards.
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
_children = [f"ddb_assets_tests.{room}.child" for room in ("copies", "imports", "live", "scans")]
_context.set_forkserver_preload([__name__, "pytest", *_children])


class Forked:
    """A call that has just begun. `function` is at module level; its arguments and its result can be pickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._answers, pipe = _context.Pipe(duplex=False)
        self._process: ForkServerProcess = _context.Process(target=_call, args=(pipe, function, arguments))
        self._process.start()
        pipe.close()
        if not self._answers.poll(START_SECONDS):
            raise TimeoutError(f"{function.__name__} has not begun")
        self._answers.recv()

    def killed_after(self, seconds: float) -> bool:
        """Kills the process, unless it ends first. Returns whether it was killed."""
        self._process.join(seconds)
        if self._process.exitcode is not None:
            return False
        self._process.kill()
        self._process.join()
        self._answers.close()
        return True

    def ended(self) -> Any:
        """Waits for the end and returns the function's result. If the function raised, raises an AssertionError."""
        if not self._answers.poll(END_SECONDS):
            self._process.kill()
            raise TimeoutError("it does not come to its end")
        returned, complaint = self._answers.recv()
        self._process.join()
        self._answers.close()
        if complaint:
            raise AssertionError(complaint)
        return returned


def _call(pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Runs in the child."""
    pipe.send("begun")
    try:
        answer: tuple[Any, str] = (function(*arguments), "")
    except Exception:
        answer = (None, traceback.format_exc())
    with suppress(BrokenPipeError):
        pipe.send(answer)


with suppress(Exception):  # botocore reads its description of DynamoDB once for all forked processes
    client_of("http://127.0.0.1:9")
