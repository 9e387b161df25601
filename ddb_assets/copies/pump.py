"""Feeds a parallel scan to the writer: several threads read segments, and each page is settled before the next is read.

So after a crash at most one page per segment is read again, memory holds one page per thread, and the position in each
segment is always known. The caller decides what is done with a page, and `bulk/writing/writer.py` writes.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ddb_assets.bulk.scan import Page
from ddb_assets.bulk.writing.writer import BulkWriter
from ddb_assets.copies.rejects import RejectedItem
from ddb_assets.dynamodb.item import Item
from ddb_assets.errors import DdbAssetsError

IDLE_SECONDS = 0.02
"""After so long without a page the writer sends what it holds back for a full batch, because pages wait for it."""
STOP_SECONDS = 0.2
"""How often a thread that waits for its page checks whether the copy has stopped."""


@dataclass(eq=False)
class Ticket:
    """A page on its way through the writer: how many of its operations are not settled yet."""

    segment: int
    page: Page
    rejected: list[RejectedItem] = field(default_factory=list)  # items of the page; filled by the caller
    settled: threading.Event = field(default_factory=threading.Event)
    _open: int = 1  # 1 for the page itself, until all of its operations are handed over
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def opened(self) -> None:
        """Counts one more operation, before the writer gets it."""
        with self._lock:
            self._open += 1

    def closed(self) -> None:
        """Counts one operation less; also called once when all were handed over."""
        with self._lock:
            self._open -= 1
            if not self._open:
                self.settled.set()


def on_settled(tokens: Sequence[object]) -> None:
    """The callback of the writer, whose tokens are tickets."""
    for ticket in tokens:
        assert isinstance(ticket, Ticket)  # noqa: S101 - `write` gets no other tokens
        ticket.closed()


class StoppedError(DdbAssetsError):
    """The copy was stopped before all was read."""


class Pump:
    """One pass over all segments. `read(segment, start)` gives the page after a key and runs in several threads.

    `write(items, ticket)` runs in the caller's thread and hands operations with this ticket to the writer, whose
    `on_settled` is the function above. `advance(ticket)` is called, in any thread, when all of a page is settled.
    """

    def __init__(
        self,
        read: Callable[[int, Item | None], Page],
        write: Callable[[Sequence[Item], Ticket], None],
        advance: Callable[[Ticket], None],
        stopped: threading.Event,
    ) -> None:
        self._read = read
        self._write = write
        self._advance = advance
        self._stopped = stopped
        self._failure: BaseException | None = None
        self._failing = threading.Lock()

    def run(self, starts: Sequence[tuple[int, Item | None]], workers: int, writer: BulkWriter) -> None:
        """Reads these segments to their ends, each from after its key (None: from its beginning).

        Raises the first error of reading, writing or advancing, and StoppedError when another thread has set `stopped`; all
        threads have ended by then.
        """
        todo: queue.SimpleQueue[tuple[int, Item | None]] = queue.SimpleQueue()
        for start in starts:
            todo.put(start)
        pages: queue.SimpleQueue[Ticket] = queue.SimpleQueue()
        threads = [
            threading.Thread(target=self._scan, args=(todo, pages), name=f"scan {number}", daemon=True)
            for number in range(min(workers, len(starts)))
        ]
        for thread in threads:
            thread.start()
        try:
            self._write_pages(pages, threads, writer)
        except BaseException:
            self._stopped.set()
            raise
        finally:
            for thread in threads:
                thread.join()
        if self._failure:
            raise self._failure
        if self._stopped.is_set():  # or what was not read would count as copied
            raise StoppedError("stopped")

    def _write_pages(
        self, pages: "queue.SimpleQueue[Ticket]", threads: Sequence[threading.Thread], writer: BulkWriter
    ) -> None:
        while any(thread.is_alive() for thread in threads) and self._failure is None:
            try:
                ticket = pages.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                writer.flush()
                continue
            self._write(ticket.page.items, ticket)
            ticket.closed()

    def _scan(self, todo: "queue.SimpleQueue[tuple[int, Item | None]]", pages: "queue.SimpleQueue[Ticket]") -> None:
        try:
            while not self._stopped.is_set():
                try:
                    segment, start = todo.get_nowait()
                except queue.Empty:
                    return
                self._scan_segment(segment, start, pages)
        except BaseException as error:  # `run` raises it again in the caller's thread
            with self._failing:
                self._failure = self._failure or error
            self._stopped.set()

    def _scan_segment(self, segment: int, start: Item | None, pages: "queue.SimpleQueue[Ticket]") -> None:
        while True:
            page = self._read(segment, start)
            ticket = Ticket(segment, page)
            if page.items:
                pages.put(ticket)
                while not ticket.settled.wait(STOP_SECONDS):
                    if self._stopped.is_set() and not ticket.settled.is_set():
                        return
            self._advance(ticket)
            start = page.next_key
            if start is None or self._stopped.is_set():
                return
