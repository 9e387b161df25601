"""Logs the progress of a long step without filling the log. Pure."""

import threading
import time
from collections.abc import Callable

EVERY = 30.0  # seconds


class ProgressLog:
    """Logs how far a step is, at most once every `EVERY` seconds over all threads; a short step logs nothing."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say, self._lock, self._last = say, threading.Lock(), time.monotonic()

    def __call__(self, text: Callable[[], str]) -> None:
        """Calls `text` and logs its result if a message is due."""
        with self._lock:
            now = time.monotonic()
            if now - self._last < EVERY:
                return
            self._last = now
        self._say(text())


def counted(say: Callable[[str], object], what: str, total: int) -> Callable[[int], None]:
    """A function that takes the number of items just done and logs the sum out of `total`; safe from any thread."""
    log, lock, done = ProgressLog(say), threading.Lock(), 0

    def more(items: int) -> None:
        nonlocal done
        with lock:
            done += items
        log(lambda: f"{what}: {done:,} of {total:,} items ({done / total:.0%})")

    return more
