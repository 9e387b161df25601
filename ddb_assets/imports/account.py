"""What became of every row of an import, and what it took.

The report's `problem` is None exactly when every row is in the table, or in the reject file up to the number that is allowed,
and the items that were read back are as they were written.
"""

from dataclasses import dataclass, field
from typing import Any

from ddb_assets.bulk.writing.outcome import Totals
from ddb_assets.errors import DdbAssetsError, RetryableError

COUNTED = (
    "written", "deleted", "existed", "superseded", "unprocessed", "requests", "retried", "throttles", "consumed_wcu",
)  # fmt: skip


class ImportFailedError(DdbAssetsError):
    """Not every row is in the table. The message says which are missing and how to continue."""


class InterruptedImportError(ImportFailedError, RetryableError):
    """What stopped the import may pass by itself: the same import may succeed a moment later."""


@dataclass(frozen=True)
class RejectedRow:
    """One row that the table does not take."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class Verified:
    """Items read back after the import: how many, how many of them are not as they were written, and some of their keys."""

    read: int
    different_count: int
    different: list[dict[str, Any]]


@dataclass(frozen=True)
class OnlyInTable:
    """Items without a row: how many, the keys of some, and the RCUs that finding them consumed."""

    count: int
    sample: list[dict[str, Any]]
    consumed_rcu: float


@dataclass(frozen=True)
class ImportReport:
    """What became of every row, and what it took.

    `rows` were read in this run. `rows_before` were settled by the runs that it resumes; only `rejected_before` counts those.
    A record that cannot be read may have many lines: these are `rejected_lines`, and `rejected_before` counts lines too.
    `resumed_at` is the row at which this run took over from them; None when it began at the beginning.
    `consumed_wcu` is of the table and its indexes. In a dry run it is what is expected, and `expected_seconds` is how long
    writing would take at the rate that is set, None for a new table. `complete`: every row was read and is in the table or
    rejected. `retryable`: it is not complete, and what stopped it may pass by itself. `too_many_rejected`: more rows were
    rejected than are allowed. `superseded_rejects`: where the reject file of the run before is now, if this one began again.
    `unread`: why the table could not be read afterwards. `before_first_write`: a time in whole seconds by this machine's clock,
    before the first write of this run and of those that it resumes. `before_images`: the folder in which they are kept, and
    `before_rcu` what reading them consumed in this run. `usd` is the list price of the units consumed; None for a provisioned
    table, in a dry run, and where AWS writes the items. `bulk_operation` is the ARN of a bulk put, and `bulk_put_bytes` the
    bytes that it has put, as AWS counts them.
    """

    source: str
    table: str
    format: str
    mode: str
    dry_run: bool
    rows_before: int
    rejected_before: int
    resumed_at: str | None
    rows: int
    written: int
    deleted: int
    existed: int
    superseded: int
    left_out: int
    rejected: int
    unprocessed: int
    consumed_wcu: float
    requests: int
    retried: int
    throttles: dict[str, int]
    seconds: float
    types: dict[str, str]
    reject_file: str | None
    superseded_rejects: str | None = None
    rejected_lines: int = 0
    unused_columns: list[str] = field(default_factory=list)
    unknown_columns: list[str] = field(default_factory=list)
    slips: str | None = None
    expected_seconds: float | None = None
    rejects: list[RejectedRow] = field(default_factory=list)
    verified: Verified | None = None
    only_in_table: OnlyInTable | None = None
    complete: bool = True
    retryable: bool = False
    too_many_rejected: bool = False
    unread: str | None = None
    before_first_write: str | None = None
    before_images: str | None = None
    before_rcu: float = 0.0
    usd: float | None = None
    bulk_operation: str | None = None
    bulk_put_bytes: int = 0
    problem: str | None = None


def counted(totals: Totals) -> dict[str, Any]:
    """What the writer counted, as fields of the report."""
    found = {**vars(totals), "throttles": dict(totals.throttles), "consumed_wcu": totals.consumed}
    return {name: found[name] for name in COUNTED}


@dataclass
class Progress:
    """All stored bytes, those that are read, the rows read in this run, and what the writer has done."""

    bytes_total: int
    bytes_read: int = 0
    rows: int = 0
    totals: Totals = field(default_factory=Totals)
