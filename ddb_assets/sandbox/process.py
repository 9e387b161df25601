"""The sandbox as a process of its own, with the demo tables in it: what `ddb-assets sandbox` runs.

How to announce it (printing the environment, writing a file) is up to the caller's `ready`; the server is in `server`.
"""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from ddb_assets.sandbox import demo
from ddb_assets.sandbox.server import Sandbox


def serve(port: int, items: int, folder: Path | None, ready: Callable[[Sandbox], None]) -> None:
    """Runs a sandbox until SIGINT or SIGTERM, then stops it; to be called from the main thread.

    `items` is the size of all demo tables together (0: none), `port` 0 takes a free one, `folder` is where the change
    log is. `ready` is called once, when everything is loaded. Raises `SandboxError` if the port is taken.
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
