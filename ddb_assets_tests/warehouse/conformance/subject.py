"""What the scenarios of this folder need of a warehouse under test beside its protocol: one small class for each adapter."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import pytest
from hypothesis import HealthCheck, settings

from ddb_assets.contract.report import Report
from ddb_assets.warehouse.protocol import LoadOptions, Warehouse
from ddb_assets.warehouse.results import LoadResult
from ddb_assets_tests.support.examples import examples
from ddb_assets_tests.warehouse.exports import Item

Ability = Literal["soft_delete", "unread", "hiding", "history", "overlap", "other keys", "mends"]
"""What not every warehouse does, by what it is for in a contract: `unread` items that keep their rows, old values that are
hidden. `overlap`: two loads of one table may be at work at once. `other keys`: a key can get another type, or the table another
key. `mends`: a newer full export brings back what somebody dropped; else the table must start over.
"""
SOFT_DELETE = (False, pytest.param(True, marks=pytest.mark.needs("soft_delete")))
"""With and without soft deletes."""


@dataclass(frozen=True)
class Kind:
    """A warehouse under test: the fixture that opens it, what it can do, and how much of the suite runs on it.

    `all` scenarios; or the `distinct` ones, without those that are marked `alike`, whose statements other scenarios send too;
    or the `chosen` ones (`conftest.py`). With `CONFORMANCE=NAME` all scenarios run on the warehouse of this name.
    """

    name: str
    fixture: str
    runs: Literal["all", "distinct", "chosen"] = "all"
    can: frozenset[Ability] = frozenset()


class Subject(Protocol):
    """A warehouse that is open, and empty at the beginning of each test.

    `pace` is its share of the examples of random tests in a soak; 1 for one that is as quick as DuckDB.
    """

    pace: float

    @property
    def warehouse(self) -> Warehouse:
        """What a scenario loads into."""
        ...

    def rows(self, relation: str, *columns: str) -> list[tuple[Any, ...]]:
        """The rows that a person sees of a relation, or of a table that is none, in any order.

        Values are those of Python: int, Decimal, float, str, bytes, bool, date, datetime (aware for TIMESTAMPTZ, else without a
        zone) and None; a document is its text. Raises an error if there is no such relation or column.
        """
        ...

    def run(self, sql: str) -> None:
        """Runs a statement as an administrator would: scenarios drop tables and columns, and delete rows of a relation."""
        ...

    def tables(self) -> set[str]:
        """The names of all permanent tables, bookkeeping included, without views."""
        ...

    def staged(self) -> list[str]:
        """What a load has left of its staging; empty if all is well."""
        ...

    def elsewhere(self, relation: str, *columns: str) -> list[tuple[Any, ...]]:
        """As `rows`, but as another person sees them at this moment, on a connection of their own."""
        ...

    def between(self, what: Callable[[], object]) -> None:
        """Runs `what` once, in the middle of the next load: when it has looked at the tables, and before it changes them."""
        ...

    def wipe(self) -> None:
        """Drops everything."""
        ...


def load(subject: Subject, report: Report, **options: Any) -> LoadResult:
    """Loads an export; `options` are those of LoadOptions. The counts must add up."""
    result = subject.warehouse.load(report, LoadOptions(**options))
    assert result.items == result.rows_in + result.quarantined
    assert result.rows_in == result.upserted + result.deleted + result.stale
    return result


def read(subject: Subject, *, elsewhere: bool = False) -> dict[str, Item]:
    """Key to item, from the root and the child relation. Fails on double rows, orphans and gaps in lists."""
    see = subject.elsewhere if elsewhere else subject.rows
    rows = see("orders", "order_id", "note")
    assert len(dict(rows)) == len(rows)
    found: dict[str, list[str]] = {key: [] for key, _ in rows}
    for key, index, value in sorted(see("orders__lines", "order_id", "_ddb_index", "value")):
        assert index == len(found[key])
        found[key].append(value)
    return {key: Item(note, tuple(found[key])) for key, note in rows}


def loads(subject: Subject) -> int:
    """How many loads the ledger has."""
    found = subject.warehouse.recorded("orders").loads
    assert [load.sequence for load in found] == list(range(1, len(found) + 1))
    return len(found)


def at_random(subject: Subject, usual: int = 3) -> settings:
    """How many examples a random test takes."""
    number = examples(usual if subject.pace == 1 else 2, subject.pace)
    return settings(max_examples=number, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
