"""What goes wrong between a table and its Kinesis stream: here when a test says so, on AWS now and then.

Facts (DynamoDB Developer Guide, "Using Kinesis Data Streams to capture changes"): records may come twice and out of order, and
some never come. How far their times are from those of exports is not documented; the clocks of AWS may differ by a minute.
"""

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

Sent = TypeVar("Sent")

ARRIVES = 0.25
"""The chance of a late record to arrive after the next one."""


@dataclass(frozen=True)
class Faults:
    """The shares of records that are lost, come twice, come late, or have milliseconds though microseconds are asked for.

    `skew` is how far a stamp may be off, either way. The same `seed` gives the same faults for the same changes.
    """

    lost: float = 0
    repeated: float = 0
    late: float = 0
    milliseconds: float = 0
    skew: timedelta = timedelta(0)
    seed: int = 0


class FaultyWay(Generic[Sent]):
    """The way of records to one stream."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._random = random.Random(faults.seed)  # noqa: S311 - no secret
        self._late: list[Sent] = []

    def stamp(self, micros: int) -> tuple[int, bool]:
        """The time that the record of this time has, and whether it has milliseconds only."""
        skew = self._faults.skew // timedelta(microseconds=1)
        return micros + self._random.randint(-skew, skew), self._happens(self._faults.milliseconds)

    def arriving(self, sent: Sent) -> list[Sent]:
        """What arrives when a record is sent: the record unless it is lost or late, then late ones of before."""
        late, self._late = self._late, []
        arrived: list[Sent] = []
        copies = 0 if self._happens(self._faults.lost) else 2 if self._happens(self._faults.repeated) else 1
        for _ in range(copies):
            (self._late if self._happens(self._faults.late) else arrived).append(sent)
        for one in late:
            (arrived if self._happens(ARRIVES) else self._late).append(one)
        return arrived

    def rest(self) -> list[Sent]:
        """The late records that have not arrived yet, which do so now."""
        late, self._late = self._late, []
        return late

    def _happens(self, share: float) -> bool:
        return self._random.random() < share
