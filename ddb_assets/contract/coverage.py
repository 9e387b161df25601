"""Which time a table in the warehouse covers: the newest initial load and the windows loaded since.

A window counts for exactly the time that it covers, whatever the cadence was when it was exported.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Coverage:
    """Everything until `initial_load`, and each of the loaded `windows`, in order; those that it covers are left out."""

    initial_load: datetime
    windows: tuple[Span, ...] = ()

    @classmethod
    def of(cls, initial_load: datetime, windows: Iterable[Span]) -> "Coverage":
        """From windows in any order, also those from before the initial load."""
        return cls(
            initial_load, tuple(sorted({(start, end) for start, end in windows if end > initial_load and end > start}))
        )

    @property
    def until(self) -> datetime:
        """The moment until which no change is missing."""
        return next(self.gaps())[0]

    def gaps(self) -> Iterator[tuple[datetime, datetime | None]]:
        """The times that nothing loaded covers, oldest first; the last one has no end."""
        reached = self.initial_load
        for start, end in self.windows:
            if start > reached:
                yield reached, start
            reached = max(reached, end)
        yield reached, None
