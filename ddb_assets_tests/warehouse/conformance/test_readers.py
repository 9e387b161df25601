"""What people see while a load is going on: the tables as they were, until all of it is valid at once."""

import pytest

from ddb_assets_tests.warehouse.conformance.subject import Subject, load, read
from ddb_assets_tests.warehouse.conformance.worlds import items
from ddb_assets_tests.warehouse.exports import Source


@pytest.mark.parametrize("full", [False, True])
def test_a_reader_sees_all_of_a_load_or_nothing_of_it(subject: Subject, source: Source, full: bool) -> None:
    source.put(1, "a", "old", "x", "y")
    source.put(2, "b", "gone later", "z")
    load(subject, source.full(10))
    source.put(11, "a", "new", "w")
    source.delete(12, "b")
    source.put(13, "c", "added", "v")
    seen = []

    def look() -> None:
        """The load has passed all checks by now."""
        seen.append(read(subject, elsewhere=True))

    assert load(subject, source.full(20) if full else source.window(10, 20), before_commit=look).applied
    assert seen == [items(source, 10)]
    assert read(subject, elsewhere=True) == items(source, 20)
