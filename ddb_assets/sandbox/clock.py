"""The sandbox's clock: microseconds since 1970, and a way to move it forward.

A window of changes lasts at least 15 minutes and ends before the latest restorable time, so whoever tests with live
writes moves the clock instead of waiting. Nothing else in the sandbox asks the machine for the time.
"""

import threading
import time
from datetime import timedelta


class Clock:
    """Real time plus what it was advanced by; strictly increasing `tick`s order the writes of a table."""

    def __init__(self) -> None:
        self._ahead = 0
        self._last_tick = 0
        self._lock = threading.Lock()

    def micros(self) -> int:
        """Now, in microseconds since 1970."""
        return time.time_ns() // 1000 + self._ahead

    def tick(self) -> int:
        """Now, but later than every tick before it: two writes never share a timestamp."""
        with self._lock:
            self._last_tick = max(self.micros(), self._last_tick + 1)
            return self._last_tick

    def wait_until(self, micros: int) -> None:
        """Returns once this time has come."""
        while (left := micros - self.micros()) > 0:
            time.sleep(left / 1_000_000)

    def advance(self, by: timedelta) -> None:
        """Moves the clock forward; `ValueError` for a negative step, which would reorder writes."""
        if by < timedelta(0):
            raise ValueError(f"the sandbox's clock only moves forward, not by {by}")
        with self._lock:
            self._ahead += by // timedelta(microseconds=1)
