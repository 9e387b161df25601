"""How many examples a random test takes: a few in `make test`, as many as SOAK says in the soak targets."""

import os
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import TypeVar

SOAK = int(os.environ.get("SOAK", "0"))
"""Examples of the quickest random test; 0 outside of the soak targets."""

T = TypeVar("T")


def examples(usual: int, share: float = 1) -> int:
    """`usual`, or in a soak this share of SOAK: less than 1 for a test whose examples take longer than others'."""
    return max(1, round(SOAK * share)) if SOAK else usual


def orders_of(things: Sequence[T]) -> Iterator[tuple[T, ...]]:
    """All orders of them; outside of a soak one that begins with each, and goes on forwards or backwards by turns."""
    if SOAK:
        yield from permutations(things)
    else:
        for first in range(len(things)):
            backwards = (*things[first::-1], *things[:first:-1])
            yield backwards if first % 2 else (*things[first:], *things[:first])
