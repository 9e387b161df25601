"""Copies a table into another in phases that can be resumed: clean, copy, delete extra items; and reports it.

`plan.py` has decided what may be done; `pump.py` reads and writes in step. A scan is not a snapshot: of the items that are
written to the source meanwhile some are copied and some are not. `verify.py` finds those.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ddb_assets.bulk.scan import Page, TableReader
from ddb_assets.bulk.writing.operation import RejectedItemError, delete, put
from ddb_assets.bulk.writing.outcome import Totals, Unwritten
from ddb_assets.bulk.writing.writer import BulkWriter
from ddb_assets.copies.attribute_mapping import CollisionError
from ddb_assets.copies.copy_state import Collisions, CopyProgress, Phase
from ddb_assets.copies.plan import CopyPlan
from ddb_assets.copies.pump import Pump, Ticket, on_settled
from ddb_assets.copies.rejects import CopyRejects, RejectedItem, deletion
from ddb_assets.copies.sides import not_copied
from ddb_assets.costs.capacity import units_usd
from ddb_assets.costs.prices import prices
from ddb_assets.dynamodb.item import Item
from ddb_assets.errors import DdbAssetsError

OnPage = Callable[[Phase, int, Totals], object]


class CopyFailedError(DdbAssetsError):
    """The copy ended early. `report` says what it did."""

    def __init__(self, message: str, report: "CopyReport") -> None:
        super().__init__(message)
        self.report = report


@dataclass
class CopyReport:
    """What a copy did. `read`, `rejected`, `deleted` and `collisions` count earlier runs of a resumed copy too.

    The others count this run. `usd` is the list price of `rcu` and `wcu` of those of the two tables that are on demand; None if
    none is. `collisions`: items that are missing because another item has their key in the destination; `superseded`: those
    of them that were not sent. `not_copied`: what the source has besides items.
    """

    source: str
    destination: str
    resumed: bool
    started: datetime
    read: int = 0
    written: int = 0
    superseded: int = 0
    collisions: int = 0
    deleted: int = 0
    rejected: int = 0
    unprocessed: int = 0
    rcu: float = 0.0
    wcu: float = 0.0
    usd: float | None = None
    requests: int = 0
    throttles: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    rejected_sample: list[dict[str, Any]] = field(default_factory=list)
    collisions_sample: list[dict[str, Any]] = field(default_factory=list)
    not_copied: list[str] = field(default_factory=list)


class CopyJob:
    """One run of a copy.

    Items that were rejected, or not processed when it stopped, go to `rejects`, whole. The caller closes it. `collisions` is
    given if source and destination have different keys. `on_page` is called for every settled page, in any thread, with the
    phase, the number of items and what has been written so far.
    """

    def __init__(
        self,
        plan: CopyPlan,
        progress: CopyProgress,
        rejects: CopyRejects,
        collisions: Collisions | None,
        on_page: OnPage,
    ) -> None:
        self._plan = plan
        self._progress = progress
        self._rejects = rejects
        self._collisions = collisions
        self._on_page = on_page
        self._prices = prices()  # a wrong file of prices ends the copy here, and not when its items are written
        self._saving = threading.Lock()
        self._unsaved = False

    def run(self) -> CopyReport:
        """Does what is left to do, and leaves the checkpoint in phase `verify`. The caller deletes it.

        Raises CopyFailedError, also for Ctrl-C and a full disk. The same copy, run again, continues.
        """
        plan, started = self._plan, time.monotonic()
        report = CopyReport(plan.source.arn, plan.destination.arn, self._progress.resumed, datetime.now(UTC))
        writer = BulkWriter(
            plan.destination.bulk,
            plan.destination.description,
            rate=plan.write_rate(),
            in_flight=plan.options.in_flight,
            deadline=plan.options.deadline,
            on_unwritten=self._unwritten,
            on_settled=on_settled,
        )
        try:
            with writer:
                self._phases(writer)
        except (DdbAssetsError, KeyboardInterrupt, OSError) as error:  # OSError: of checkpoint and reject file
            self._complete(report, writer.totals, started)
            said = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
            if self._rejects.problem not in (None, error):
                said = f"{said}; {self._rejects.problem}"
            left = f", {report.unprocessed:,} others were not written" if report.unprocessed else ""
            raise CopyFailedError(
                f"{said}; {report.read:,} items of {plan.source.name} are done{left}: run the same copy again to "
                f"continue from {self._progress.checkpoint.path}",
                report,
            ) from error
        self._complete(report, writer.totals, started)
        report.not_copied = not_copied(plan.source, plan.destination)
        return report

    def _phases(self, writer: BulkWriter) -> None:
        plan, progress = self._plan, self._progress
        progress.begin()
        if progress.state.phase == "clean":
            self._pump(writer, plan.destination_reader, self._read_destination, self._deleting(writer))
            progress.enter("copy")
        if progress.state.phase == "copy":
            self._pump(writer, plan.source_reader, self._read_source, self._putting(writer))
            progress.enter("extra" if plan.clean == "extra" else "verify")
        if progress.state.phase == "extra":
            self._pump(writer, plan.destination_reader, self._read_extra, self._deleting(writer))
            progress.enter("verify")

    def _pump(
        self,
        writer: BulkWriter,
        reader: TableReader,
        read: Callable[[int, Item | None], Page],
        write: Callable[[Sequence[Item], Ticket], None],
    ) -> None:
        phase = self._progress.state.phase

        def advance(ticket: Ticket) -> None:
            number, rejects = ticket.page.count, ticket.rejected
            copied = phase == "copy"
            with self._saving:
                if self._unsaved:
                    return  # an earlier page could not be saved, and the file has its rejected items already
                self._unsaved = True
                if rejects:  # durable before the checkpoint counts them, and in the same order
                    self._rejects.reject(rejects, self._progress.state.rejected)
                self._progress.advance(
                    ticket.segment,
                    ticket.page.next_key,
                    read=number if copied else 0,
                    rejected=len(rejects),
                    deleted=0 if copied else len(ticket.page.items) - len(rejects),
                )
                self._unsaved = False
            self._on_page(phase, number, writer.totals)

        pump = Pump(read, write, advance, self._plan.stopped)
        pump.run(self._progress.starts(), reader.readers, writer)

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
        plan = self._plan

        def write(items: Sequence[Item], ticket: Ticket) -> None:
            keys = []
            for item in items:
                mapped = item
                try:
                    mapped = plan.mapping.apply(item)
                    operation = put(plan.destination.description, mapped, ticket)
                except (RejectedItemError, CollisionError) as error:
                    ticket.rejected.append(RejectedItem.of(mapped, error))
                    continue
                ticket.opened()
                writer.write(operation)
                if self._collisions:
                    keys.append((plan.source_reader.key(item), plan.destination_reader.key(mapped)))
            if self._collisions:
                self._collisions.see(keys)

        return write

    def _deleting(self, writer: BulkWriter) -> Callable[[Sequence[Item], Ticket], None]:
        def write(items: Sequence[Item], ticket: Ticket) -> None:
            for key in items:
                ticket.opened()
                writer.write(delete(self._plan.destination.description, key, ticket))

        return write

    def _unwritten(self, found: Unwritten) -> None:
        """The callback of the writer."""
        ticket, item = found.operation.token, found.operation.attributes
        text = deletion(item) if found.operation.kind == "delete" else None
        if found.fate == "rejected" and isinstance(ticket, Ticket):
            ticket.rejected.append(RejectedItem(item, found.reason, text))
        else:
            self._rejects.unprocessed(item, found.reason, text)

    def _price(self, wcu: float) -> float | None:
        """What the units cost in US dollars, those of each side by its own way of billing."""
        plan = self._plan
        sides = (
            (plan.source.description.on_demand, plan.source_reader.rate.consumed, 0.0),
            (plan.destination.description.on_demand, plan.destination_reader.rate.consumed, wcu),
        )
        charged = [units_usd(self._prices, rcu=rcu, wcu=written) for on_demand, rcu, written in sides if on_demand]
        return sum(charged) if charged else None

    def _complete(self, report: CopyReport, totals: Totals, started: float) -> None:
        state = self._progress.state
        report.read, report.rejected, report.deleted = state.read, state.rejected, state.deleted
        report.written, report.superseded = totals.written, totals.superseded
        report.unprocessed, report.requests, report.wcu = totals.unprocessed, totals.requests, totals.consumed
        readers = (self._plan.source_reader, self._plan.destination_reader)
        report.rcu = sum(reader.rate.consumed for reader in readers)
        report.usd = self._price(report.wcu)
        report.throttles = dict(sum((reader.throttles for reader in readers), totals.throttles))
        report.seconds = round(time.monotonic() - started, 3)
        report.rejected_sample = self._rejects.sample
        if self._collisions:
            report.collisions, report.collisions_sample = self._collisions.count(), self._collisions.sample()


def first_phase(plan: CopyPlan) -> Phase:
    """The phase in which a copy without a checkpoint begins."""
    return "clean" if plan.clean == "all" else "copy"
