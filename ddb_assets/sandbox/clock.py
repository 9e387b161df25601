"""The clock of the sandbox: microseconds since 1970, and a way to move it forward.

A window of changes has at least 15 minutes and ends before the latest restorable time. So tests with live writes move the
clock instead of waiting. Nothing else in the sandbox uses the time of the machine.
"""

import threading
import time
from datetime import timedelta

MICROS = 1_000_000
"""Microseconds of a second."""


class Clock:
    """Real time plus the time by which it was advanced. `tick` is strictly increasing, so it orders writes."""

    def __init__(self) -> None:
        self._ahead = 0
        self._last_tick = 0
        self._lock = threading.Lock()

    def micros(self) -> int:
        """The present time in microseconds since 1970."""
        return time.time_ns() // 1000 + self._ahead

    def tick(self) -> int:
        """The present time, but later than every earlier tick: two writes never have the same timestamp."""
        with self._lock:
            self._last_tick = max(self.micros(), self._last_tick + 1)
            return self._last_tick

    def wait_until(self, micros: int) -> None:
        """Waits until this time."""
        while (left := micros - self.micros()) > 0:
            time.sleep(left / MICROS)

    def advance(self, by: timedelta) -> None:
        """Moves the clock forward. Raises ValueError for a negative step, which would reorder writes."""
        if by < timedelta(0):
            raise ValueError(f"the sandbox's clock only moves forward, not by {by}")
        with self._lock:
            self._ahead += by // timedelta(microseconds=1)
