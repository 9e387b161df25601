"""Copies a table into another: clean, copy, remove what is over, each resumable, and a report of it.

What may be done at all was decided by `plan.py`; reading and writing in step is `pump.py`'s. A scan is no snapshot:
of items written to the source meanwhile some are copied and some are not, which `verify.py` finds out.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ddb_assets.dynamodb.item import Item
from ddb_assets.errors import DdbAssetsError
from ddb_assets.imports.copy.checkpoint import CopyProgress, Phase
from ddb_assets.imports.copy.guards import not_copied
from ddb_assets.imports.copy.mapping import CollisionError
from ddb_assets.imports.copy.plan import CopyPlan
from ddb_assets.imports.copy.pump import Pump, Ticket, on_settled
from ddb_assets.imports.copy.reader import Page
from ddb_assets.imports.files.exceptions_file import ExceptionsFile
from ddb_assets.imports.files.rows import Row
from ddb_assets.imports.operation import RejectedItemError
from ddb_assets.imports.outcome import Fate, Totals, Unwritten
from ddb_assets.imports.writer import BulkWriter

SAMPLE = 5
"""Rejected items that a report shows; all of them are in the exceptions file."""


OnPage = Callable[[Phase, int, Totals], object]


class CopyFailedError(DdbAssetsError):
    """The copy did not get to its end; what it did is in `report`."""

    def __init__(self, message: str, report: "CopyReport") -> None:
        super().__init__(message)
        self.report = report


@dataclass
class CopyReport:
    """What a copy did. `read`, `rejected` and `deleted` count earlier runs of a resumed copy too, the others this run.

    `superseded`: items that shared a destination key with a later one. `not_copied`: what the source has besides items.
    """

    source: str
    destination: str
    resumed: bool
    started: datetime
    read: int = 0
    written: int = 0
    superseded: int = 0
    deleted: int = 0
    rejected: int = 0
    unprocessed: int = 0
    rcu: float = 0.0
    wcu: float = 0.0
    requests: int = 0
    throttles: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    rejected_sample: list[dict[str, Any]] = field(default_factory=list)
    not_copied: list[str] = field(default_factory=list)


class CopyJob:
    """One run of a copy.

    Items that were rejected, or not processed when it stopped, go to `exceptions`, whole; closing that is the caller's.
    `on_page` gets of every settled page the phase, its number of items and what has been written so far, in any thread.
    """

    def __init__(
        self,
        plan: CopyPlan,
        progress: CopyProgress,
        exceptions: ExceptionsFile,
        on_page: OnPage,
    ) -> None:
        self._plan = plan
        self._progress = progress
        self._exceptions = exceptions
        self._on_page = on_page
        self._telling = threading.Lock()
        self._told = 0
        self._sample: list[dict[str, Any]] = []

    def run(self) -> CopyReport:
        """Does what is left to do and leaves the checkpoint in phase `verify`; removing it is the caller's.

        Raises CopyFailedError, also for Ctrl-C: the same copy can be run again and goes on.
        """
        plan, started = self._plan, time.monotonic()
        report = CopyReport(plan.source.arn, plan.destination.arn, self._progress.resumed, datetime.now(UTC))
        writer = BulkWriter(
            plan.destination.client,
            plan.target,
            rate=plan.write_rate(),
            in_flight=plan.options.in_flight,
            deadline=plan.options.deadline,
            on_unwritten=self._unwritten,
            on_settled=on_settled,
        )
        try:
            with writer:
                self._phases(writer)
        except (DdbAssetsError, KeyboardInterrupt) as error:
            self._complete(report, writer.totals, started)
            said = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
            raise CopyFailedError(
                f"{said}; {report.read:,} items of {plan.source.name} are done with: the same copy, run again, goes on "
                f"from {self._progress.checkpoint.path}",
                report,
            ) from error
        self._complete(report, writer.totals, started)
        report.not_copied = not_copied(plan.source, plan.destination)
        return report

    def _phases(self, writer: BulkWriter) -> None:
        plan, progress = self._plan, self._progress
        if progress.state.phase == "clean":
            self._pump(writer, self._read_destination, self._deleting(writer))
            progress.enter("copy")
        if progress.state.phase == "copy":
            self._pump(writer, self._read_source, self._putting(writer))
            progress.enter("extra" if plan.options.clean == "extra" else "verify")
        if progress.state.phase == "extra":
            self._pump(writer, self._read_extra, self._deleting(writer))
            progress.enter("verify")

    def _pump(
        self,
        writer: BulkWriter,
        read: Callable[[int, Item | None], Page],
        write: Callable[[Sequence[Item], Ticket], None],
    ) -> None:
        phase = self._progress.state.phase

        def advance(ticket: Ticket) -> None:
            number = ticket.page.count
            copied = phase == "copy"
            if ticket.rejected:
                self._exceptions.sync()  # before the checkpoint vouches for it
            self._progress.advance(
                ticket.segment,
                ticket.page.next_key,
                read=number if copied else 0,
                rejected=ticket.rejected,
                deleted=0 if copied else len(ticket.page.items) - ticket.rejected,
            )
            self._on_page(phase, number, writer.totals)

        pump = Pump(read, write, advance, self._plan.stopped)
        pump.run(self._progress.starts(), self._plan.options.workers, writer)

    def _read_source(self, segment: int, start: Item | None) -> Page:
        return self._plan.source_reader.scan(
            segment, self._progress.state.segments, start, where=self._plan.options.where
        )

    def _read_destination(self, segment: int, start: Item | None) -> Page:
        return self._plan.destination_reader.scan(segment, self._progress.state.segments, start, keys_only=True)

    def _read_extra(self, segment: int, start: Item | None) -> Page:
        page = self._read_destination(segment, start)
        return Page(self._plan.absent_in_source(page.items), page.count, page.next_key)

    def _putting(self, writer: BulkWriter) -> Callable[[Sequence[Item], Ticket], None]:
        def write(items: Sequence[Item], ticket: Ticket) -> None:
            for item in items:
                ticket.opened()
                try:
                    writer.put(self._plan.mapping.apply(item), ticket)
                except (RejectedItemError, CollisionError) as error:
                    self._reject(ticket, item, str(error))
                    ticket.closed()

        return write

    def _deleting(self, writer: BulkWriter) -> Callable[[Sequence[Item], Ticket], None]:
        def write(items: Sequence[Item], ticket: Ticket) -> None:
            for key in items:
                ticket.opened()
                writer.delete(key, ticket)

        return write

    def _unwritten(self, found: Unwritten) -> None:
        """The writer's callback."""
        ticket, item = found.operation.token, found.operation.attributes
        if found.fate == "rejected" and isinstance(ticket, Ticket):
            self._reject(ticket, item, found.reason)
        else:
            self._except(item, found.fate, found.reason, deleted=found.operation.kind == "delete")

    def _reject(self, ticket: Ticket, item: Item, reason: str) -> None:
        ticket.rejected += 1
        self._except(item, "rejected", reason)
        if len(self._sample) < SAMPLE:
            self._sample.append({"item": item, "reason": reason})

    def _except(self, item: Item, fate: Fate, reason: str, *, deleted: bool = False) -> None:
        with self._telling:
            row = Row(0, self._told + 1, item, deleted=deleted)
            self._exceptions.add(row, self._plan.source.arn, fate, reason)
            self._told += 1

    def _complete(self, report: CopyReport, totals: Totals, started: float) -> None:
        state = self._progress.state
        report.read, report.rejected, report.deleted = state.read, state.rejected, state.deleted
        report.written, report.superseded = totals.written, totals.superseded
        report.unprocessed, report.requests, report.wcu = totals.unprocessed, totals.requests, totals.consumed
        readers = (self._plan.source_reader, self._plan.destination_reader)
        report.rcu = sum(reader.rate.consumed for reader in readers)
        report.throttles = dict(sum((reader.throttles for reader in readers), totals.throttles))
        report.seconds = round(time.monotonic() - started, 3)
        report.rejected_sample = self._sample


def first_phase(plan: CopyPlan) -> Phase:
    """What a copy that nothing is known of begins with."""
    return "clean" if plan.options.clean == "all" else "copy"
