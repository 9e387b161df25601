"""Where every row of an import is: how far each file has come, which rows were rejected, and the report at the end.

The checkpoint keeps the position in each file, and the column types that the first reading of all files decided, so that a
resumed job decides nothing again. The report's `problem` is None exactly when every row is in the table or, up to the number
that was allowed, in the reject file, and what was read back is as it was written.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from ddb_assets.bulk.checkpoint import Checkpoint, CheckpointError, Watermark
from ddb_assets.bulk.outcome import Totals
from ddb_assets.bulk.reject_file import RejectFile
from ddb_assets.bulk.rows import BadRow, Row
from ddb_assets.dynamodb.attribute_value import Descriptor
from ddb_assets.errors import DdbAssetsError, RetryableError
from ddb_assets.imports.source import ImportSource

SAMPLE_REJECTS = 10
COUNTED = (
    "written", "deleted", "existed", "superseded", "unprocessed", "requests", "retried", "throttles", "consumed_wcu",
)  # fmt: skip


class ImportFailedError(DdbAssetsError):
    """Not every row is in the table; the message says which are not and how to continue."""


class InterruptedImportError(ImportFailedError, RetryableError):
    """What stopped the import may pass by itself: the same import may succeed a moment later."""


@dataclass(frozen=True)
class RejectedRow:
    """One row that the table will not take."""

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
    """Items that no row was for: how many, the keys of some, and what it took in RCUs to find them."""

    count: int
    sample: list[dict[str, Any]]
    consumed_rcu: float


@dataclass(frozen=True)
class ImportReport:
    """What became of every row, and what it took.

    `rows` were read in this run. `rows_before` were settled by the runs that it resumes; only `rejected_before` counts those.
    `consumed_wcu` is of the table and its indexes. In a dry run it is what is expected, and `expected_seconds` is how long
    writing would take at the rate that is set, None for a new table. `complete`: every row was read and is in the table or
    rejected. `retryable`: it is not complete, and what stopped it may pass by itself. `too_many_rejected`: more rows were
    rejected than are allowed. `unread`: why the table could not be read afterwards.
    """

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
    reject_file: str | None
    expected_seconds: float | None = None
    rejects: list[RejectedRow] = field(default_factory=list)
    verified: Verified | None = None
    only_in_table: OnlyInTable | None = None
    complete: bool = True
    retryable: bool = False
    too_many_rejected: bool = False
    unread: str | None = None
    problem: str | None = None


def counted(totals: Totals) -> dict[str, Any]:
    """What the writer counted, as the report's fields."""
    found = {**vars(totals), "throttles": dict(totals.throttles), "consumed_wcu": totals.consumed}
    return {name: found[name] for name in COUNTED}


@dataclass
class Progress:
    """Stored bytes read of those there are, rows read in this run, and what the writer has done."""

    bytes_total: int
    bytes_read: int = 0
    rows: int = 0
    totals: Totals = field(default_factory=Totals)


Types = dict[str, Descriptor]


class State(BaseModel):
    """What is saved: the files with their sizes in bytes, how many rows of each are settled, and the columns' types."""

    model_config = ConfigDict(extra="forbid")

    inputs: list[tuple[str, int]]
    settled: dict[str, NonNegativeInt]
    types: Types


class ImportProgress:
    """`settled` is how many rows of each file were settled by earlier runs; `watermarks` count this run's too.

    A key can stand in several files. A resumed run writes the rows of an earlier file again that were not settled; a later
    row of the same key must then be written again after them. So rows of a file count only once every earlier file is settled
    to its end.
    """

    def __init__(self, checkpoint: Checkpoint, source: ImportSource) -> None:
        self._checkpoint = checkpoint
        self._source = source
        self.types: Types | None = None
        self.settled: dict[str, int] = {}
        self.watermarks: dict[str, Watermark] = {}
        self.begin()

    def begin(self) -> None:
        """At the beginning of every file."""
        self._ends: dict[str, int] = {}
        self.watermarks = {file.uri: Watermark(self.settled.get(file.uri, 0)) for file in self._source.inputs}

    def resume(self) -> None:
        """Begins where the checkpoint says, if there is one. Raises CheckpointError when it is of other files."""
        saved = self._checkpoint.load(State)
        if saved is None:
            return
        if saved.inputs != self._listed():
            raise CheckpointError(
                f"an import of {self._source.uri} was begun, but its files have changed since: restart it"
            )
        self.settled, self.types = saved.settled, saved.types
        self.begin()

    def ended(self, uri: str, rows: int) -> None:
        """The file has been read to its end and has this many rows."""
        self._ends[uri] = rows

    def positions(self) -> dict[str, int]:
        """How many leading rows of each file need not be read again."""
        found: dict[str, int] = {}
        earlier_settled = True
        for uri, watermark in self.watermarks.items():  # in the order of reading
            position = watermark.position
            found[uri] = position if earlier_settled else self.settled.get(uri, 0)
            earlier_settled = earlier_settled and self._ends.get(uri) == position
        return found

    def save(self, positions: dict[str, int], types: Types) -> None:
        """Keeps these positions. What they vouch for must be durable by now."""
        self._checkpoint.save(State(inputs=self._listed(), settled=positions, types=types))

    def remove(self) -> None:
        """The import is done."""
        self._checkpoint.remove()

    def _listed(self) -> list[tuple[str, int]]:
        return [(file.uri, file.size) for file in self._source.inputs]


STOP_AFTER = 1000  # without max_rejects: a wrong mapping rejects every row


class Rejects:
    """`most` rejected rows are no failure; one more calls `stop`. None: each is a failure, 1,000 call `stop`.

    `before` were rejected by the runs that this one resumes. Without a file (a dry run) they are only counted, and nothing
    is stopped. Thread-safe.
    """

    def __init__(self, file: RejectFile | None, most: int | None, before: int, stop: Callable[[str], object]) -> None:
        self._file = file
        self._most = most
        self._stop = stop
        self._lock = threading.Lock()
        self.before = before
        self.count = 0
        self.sample: list[RejectedRow] = []

    def reject(self, row: Row | BadRow, uri: str, reason: str) -> None:
        """The table will never take this row."""
        with self._lock:
            self.count += 1
            total = self.before + self.count
            if len(self.sample) < SAMPLE_REJECTS:
                self.sample.append(RejectedRow(uri, row.line, reason))
        if self._file is None:
            return
        self._file.add(row, uri, "rejected", reason)
        if total > self._allowed:
            self._stop(f"more than {self._allowed:,} rows were rejected, the last one because of this: {reason}")

    def check_before(self) -> None:
        """Calls `stop` when the runs before have rejected too many already."""
        if self._file is not None and self.before > self._allowed:
            self._stop(
                f"more than {self._allowed:,} rows were rejected by earlier runs: see {self._file.path}; mend the files or the "
                "mapping, allow more rejected rows, or restart the import"
            )

    @property
    def _allowed(self) -> int:
        return STOP_AFTER if self._most is None else self._most

    def unprocessed(self, row: Row, uri: str, reason: str) -> None:
        """The row was not written when the job stopped."""
        if self._file is not None:
            self._file.add(row, uri, "unprocessed", reason)

    def problem(self) -> str | None:
        """What is wrong at the end of a job that came to its end."""
        total = self.before + self.count
        if total <= (self._most or 0):
            return None
        if self._file is None:
            return f"{total:,} rows would be rejected"
        return f"{total:,} rows were rejected: mend them in {self._file.path} and redrive it"
