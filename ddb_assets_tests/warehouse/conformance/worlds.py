"""Random writes to a table and schedules of the loads of its exports, and what the table is at a time."""

from hypothesis import strategies as st

from ddb_assets_tests.warehouse.exports import Item, Source

World = tuple[list[tuple[int, str, Item | None]], list[int], list[tuple[str, int]]]
"""Writes, the times of the initial loads, and the loads."""


def items(source: Source, time: int) -> dict[str, Item]:
    return {key: item for key, (_, item) in source.state(time).items()}


WINDOW = 10
WINDOWS = 4
KEYS = "abc"


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Writes, the times of the initial loads, and a schedule of loads that names every window at least once.

    An initial load is at the boundary of a window. In the middle of a window it could have an item that was put and deleted
    within, of which the window has no trace.
    """
    times = draw(st.lists(st.integers(1, WINDOW * WINDOWS - 1), unique=True, max_size=16))
    lines = st.lists(st.sampled_from("xyz"), max_size=2).map(tuple)
    writes = []
    for time in times:
        item = draw(st.one_of(st.none(), st.builds(Item, st.just(f"at {time}"), lines)))
        writes.append((time, draw(st.sampled_from(KEYS)), item))
    initial_loads = draw(st.lists(st.sampled_from(range(0, WINDOW * WINDOWS, WINDOW)), max_size=2))
    loads = [("window", n) for n in range(WINDOWS)] + [("full", t) for t in initial_loads]
    again = draw(st.lists(st.sampled_from(loads), max_size=3))
    return writes, initial_loads, draw(st.permutations(loads + again))
