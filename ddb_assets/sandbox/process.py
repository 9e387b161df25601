"""Runs the sandbox with the demo tables as a separate process, for `ddb-assets sandbox`.

The caller's `ready` announces it, for example by printing the environment. The server is in `server`.
"""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from ddb_assets.sandbox import demo
from ddb_assets.sandbox.server import Sandbox


def serve(port: int, items: int, folder: Path | None, ready: Callable[[Sandbox], None]) -> None:
    """Runs a sandbox until SIGINT or SIGTERM, then stops it. Call it from the main thread.

    `items` is the number of items of all demo tables together (0: no tables). `port` 0 takes a free port. `folder` is for
    the change log. `ready` is called once, when everything is loaded. Raises SandboxError if the port is taken.
    """
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Sandbox(folder, port) as sandbox:
            if items:
                demo.load(sandbox, items, stop.is_set)
            if not stop.is_set():
                ready(sandbox)
            stop.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
