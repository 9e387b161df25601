"""Where every row of an import is: the position in each file, the rejected rows, and the report at the end.

The checkpoint keeps the position in each file, and the column types that the first reading of all files found, so that a
resumed job uses the same types. The report's `problem` is None exactly when every row is in the table, or in the reject file
up to the number that is allowed, and the items that were read back are as they were written.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from ddb_assets.bulk.checkpoint import Checkpoint, Watermark
from ddb_assets.bulk.reject_file import RejectFile, new_run
from ddb_assets.bulk.rows import BadRow, Row
from ddb_assets.bulk.writing.outcome import Totals
from ddb_assets.dynamodb.attribute_value import Descriptor
from ddb_assets.errors import DdbAssetsError, RetryableError
from ddb_assets.imports.bulk_put.state import BulkPutState
from ddb_assets.imports.files.source import ImportSource

SAMPLE_REJECTS = 10
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
    `before_rcu` what reading them consumed in this run. `bulk_operation` is the ARN of a bulk put, and `bulk_put_bytes` the
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


Types = dict[str, Descriptor]


class ImportState(BaseModel):
    """What is saved: how many rows of each file are settled, and the columns' types. `run` is the run that began.

    `began` is a time before its first write. `kept` is how many segments of before-images there are; None: not even a heading.
    `bulk_put` is where the operation stands that puts the items, if one does.
    """

    model_config = ConfigDict(extra="forbid")

    run: str
    settled: dict[str, NonNegativeInt]
    types: Types
    began: datetime | None = None
    kept: int | None = None
    bulk_put: BulkPutState | None = None


class ImportProgress:
    """`settled` is how many rows of each file were settled by earlier runs; `watermarks` count this run's too.

    A key can occur in several files. A resumed run writes the unsettled rows of an earlier file again, and then must also
    write later rows of the same key again. So the rows of a file count only when every earlier file is settled to its end.
    """

    def __init__(self, checkpoint: Checkpoint, source: ImportSource) -> None:
        self._checkpoint = checkpoint
        self._source = source
        self.run = new_run()
        self.began: datetime | None = None
        self.kept: int | None = None
        self.bulk_put: BulkPutState | None = None
        self.types: Types | None = None
        self.settled: dict[str, int] = {}
        self.watermarks: dict[str, Watermark] = {}
        self.begin()

    def begin(self) -> None:
        """Starts at the saved position of every file, or at its beginning."""
        self._ends: dict[str, int] = {}
        self.watermarks = {file.uri: Watermark(self.settled.get(file.uri, 0)) for file in self._source.inputs}

    def resume(self) -> str | None:
        """Takes the positions from the checkpoint. Returns the first row that is read again; None without a checkpoint.

        Raises CheckpointError if it was saved for another table, other files or another configuration.
        """
        saved = self._checkpoint.load(ImportState)
        if saved is None:
            return None
        self.run, self.settled, self.types = saved.run, saved.settled, saved.types
        self.began, self.kept, self.bulk_put = saved.began, saved.kept, saved.bulk_put
        self.begin()
        begun = [uri for uri in self.watermarks if self.settled.get(uri)] or list(self.watermarks)[:1]
        return f"row {self.settled.get(begun[-1], 0) + 1:,} of {begun[-1]}"

    def given_up(self) -> str | None:
        """The run in the checkpoint, from which a job that begins again does not take over; None without one."""
        saved = self._checkpoint.given_up(ImportState)
        return saved.run if saved else None

    def given_up_bulk_put(self) -> BulkPutState | None:
        """Where the bulk put of that run stands; None without one."""
        saved = self._checkpoint.given_up(ImportState)
        return saved.bulk_put if saved else None

    def ended(self, uri: str, rows: int) -> None:
        """Notes that the file has been read to its end and has this many rows."""
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
        """Saves these positions. All rows before them must be durable by now."""
        self._checkpoint.save(
            ImportState(
                run=self.run,
                settled=positions,
                types=types,
                began=self.began,
                kept=self.kept,
                bulk_put=self.bulk_put,
            )
        )

    def remove(self) -> None:
        """Deletes the checkpoint: the import is done."""
        self._checkpoint.remove()


STOP_AFTER = 1000  # without max_rejects: a wrong mapping rejects every row


class Rejects:
    """Counts rejected rows and writes them into the reject file. Thread-safe.

    `most` rejected rows are allowed, and one more calls `stop`. None: each one is a failure, and more than 1,000 call `stop`.
    A record that cannot be read counts as many times as it has lines, because each may have been a row.
    `before` lines were rejected by the runs that this one resumes. Without a file (a dry run) rows are only counted.
    """

    def __init__(self, file: RejectFile | None, most: int | None, before: int, stop: Callable[[str], object]) -> None:
        self._file = file
        self._most = most
        self._stop = stop
        self._lock = threading.Lock()
        self.before = before
        self.count = 0
        self.lines = 0
        self.sample: list[RejectedRow] = []

    def reject(self, row: Row | BadRow, uri: str, reason: str) -> None:
        """Notes a row that the table will never take."""
        with self._lock:
            self.count += 1
            self.lines += row.lines if isinstance(row, BadRow) else 1
            total = self.before + self.lines
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
                f"more than {self._allowed:,} rows were rejected by earlier runs: see {self._file.place.uri}; mend the files "
                "or the mapping, allow more rejected rows, or restart the import"
            )

    @property
    def _allowed(self) -> int:
        return STOP_AFTER if self._most is None else self._most

    def unprocessed(self, row: Row, uri: str, reason: str) -> None:
        """Notes a row that was not written when the job stopped."""
        if self._file is not None:
            self._file.add(row, uri, "unprocessed", reason)

    def problem(self) -> str | None:
        """What is wrong when the job has read everything; None when nothing is."""
        total = self.before + self.lines
        if total <= (self._most or 0):
            return None
        rows = f"{self.before + self.count:,} rows"
        if self.lines > self.count:
            rows += f" of {total:,} lines"
        if self._file is None:
            return f"{rows} would be rejected"
        return f"{rows} were rejected: mend them in {self._file.place.uri} and redrive it"
