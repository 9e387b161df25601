"""What an import tells at its end: where every row went, and what it cost.

Pure. `problem` is None exactly when every row is in the table or, up to the number that was allowed, in the exceptions
file, and what was read back is as it was written.
"""

from dataclasses import dataclass, field
from typing import Any

from ddb_assets.bulk.outcome import Totals

SAMPLE_REJECTS = 10
COUNTED = (
    "written", "deleted", "existed", "superseded", "unprocessed", "requests", "retried", "throttles", "consumed_wcu",
)  # fmt: skip


@dataclass(frozen=True)
class Rejected:
    """One row that the table will not take."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class Verified:
    """Items read back after the import: how many, and the keys of those that are not as they were written."""

    read: int
    different: list[dict[str, Any]]


@dataclass(frozen=True)
class OnlyInTable:
    """Items that no row was for: how many, the keys of some, and what it took in RCUs to find them."""

    count: int
    sample: list[dict[str, Any]]
    consumed_rcu: float


@dataclass(frozen=True)
class ImportReport:
    """`rows` were read in this run, `rows_before` were settled by the runs that it resumes; of these tell no other numbers
    but `rejected_before`. `consumed_wcu` is of the table and its indexes; in a dry run it is expected, not consumed, and
    `expected_seconds` is how long it would take at the rate that is set. `complete`: every row was read and is in the table
    or rejected; `too_many_rejected`: there are more of the latter than are allowed."""

    source: str
    table: str
    format: str
    mode: str
    dry_run: bool
    rows_before: int
    rejected_before: int
    rows: int
    written: int
    deleted: int
    existed: int
    superseded: int
    rejected: int
    unprocessed: int
    consumed_wcu: float
    requests: int
    retried: int
    throttles: dict[str, int]
    seconds: float
    types: dict[str, str]
    exceptions: str | None
    expected_seconds: float | None = None
    rejects: list[Rejected] = field(default_factory=list)
    verified: Verified | None = None
    only_in_table: OnlyInTable | None = None
    complete: bool = True
    too_many_rejected: bool = False
    problem: str | None = None


def counted(totals: Totals) -> dict[str, Any]:
    """What the writer counted, as the report's fields."""
    found = {**vars(totals), "throttles": dict(totals.throttles), "consumed_wcu": totals.consumed}
    return {name: found[name] for name in COUNTED}
