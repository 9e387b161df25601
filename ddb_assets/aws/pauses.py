"""How long to wait before the next request: after one that failed, and while AWS works on something.

Facts: DynamoDB Developer Guide, "Error handling with DynamoDB" (exponential backoff with jitter for throttling and 5xx).
"""

import random
from collections.abc import Iterator

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 20.0
LONGEST_LOOK = 30.0
GROWTH, JITTER = 1.5, 0.2


def backoff(attempt: int) -> float:
    """Seconds to wait after so many failed attempts: drawn from 0 to a bound that doubles with each of them."""
    return random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 20)))  # noqa: S311 -- no secret


def looks(first: float) -> Iterator[float]:
    """Seconds between two looks at something that takes a while, without end: half as long again each time, up to a bound.

    Each is up to JITTER shorter or longer, so that many jobs do not ask at the same moments.
    """
    pause = first
    while True:
        yield pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 -- no secret
        pause = min(pause * GROWTH, LONGEST_LOOK)
