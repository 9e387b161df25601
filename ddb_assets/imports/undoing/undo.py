"""Undoes an import by its before-images: what it made is deleted, what it replaced or deleted is put back.

Each item is read consistently and compared with what the import wrote. One that somebody changed since is left alone. Each
write has the condition that the item is still as it was read, so what somebody changes meanwhile is left alone too. One thing
goes unnoticed: an attribute that somebody adds to an item in the milliseconds between its reading and its writing.

An undo that was killed or failed is simply done again: what is undone already is as it was before.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

import orjson

from ddb_assets.aws.storage import new_file
from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.limits import SHOWN_KEYS
from ddb_assets.bulk.options import WriteOptions
from ddb_assets.bulk.rate import WriteRate
from ddb_assets.bulk.scan import MAX_KEYS
from ddb_assets.bulk.writing.operation import Operation, RejectedItemError, delete, put
from ddb_assets.bulk.writing.outcome import Totals, Unwritten
from ddb_assets.bulk.writing.writer import BulkWriter, DryWriter
from ddb_assets.dynamodb.item import Item, item_digest
from ddb_assets.errors import DdbAssetsError
from ddb_assets.imports.undoing.before_images import History
from ddb_assets.imports.undoing.keep_before import consistent_reader, undoing_lock
from ddb_assets.imports.undoing.read_before import BeforeImages

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CHANGED, MEANWHILE = "somebody changed it since", "somebody changed it meanwhile"


class UndoFailedError(DdbAssetsError):
    """Not every key is as it was before the import. The message says why and what to do."""


@dataclass(frozen=True)
class UndoReport:
    """What became of every key that the import wrote; in a dry run, what would.

    `unchanged` are as they were before. `left_alone` are listed in `left_file`, with reasons, and some of them in `left`.
    `unprocessed` were not reached or not written when the undo gave up, which `problem` then says. `complete_import`: the
    import had come to its end.
    """

    before_images: str
    table: str
    source: str
    run: str
    mode: str
    began: str
    complete_import: bool
    dry_run: bool
    keys: int
    put_back: int
    deleted: int
    unchanged: int
    left_alone: int
    unprocessed: int
    consumed_rcu: float
    consumed_wcu: float
    throttles: dict[str, int]
    seconds: float
    left: list[Item] = field(default_factory=list)
    left_file: str | None = None
    problem: str | None = None


class _LeftAlone:
    """The keys that are left alone, in a file that is there when the undo ends. Thread-safe."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._lock = threading.Lock()
        self.count = 0
        self.some: list[Item] = []

    def add(self, key: Item, reason: str) -> None:
        with self._lock:
            self.count += 1
            self._out.write(orjson.dumps({"key": key, "reason": reason}, option=orjson.OPT_APPEND_NEWLINE))
            if len(self.some) < SHOWN_KEYS:
                self.some.append(key)


class Undo:
    """One undo. `client` is made with BULK_CLIENT; `folder` is that of the import's checkpoint.

    `on_progress` is called with the number of keys that were looked at.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        target: TableDescription,
        images: BeforeImages,
        options: WriteOptions,
        *,
        folder: Path,
        dry_run: bool = False,
        on_progress: Callable[[int], object] | None = None,
    ) -> None:
        images.check_table(target)
        self._client, self._target, self._images = client, target, images
        self._options, self._folder, self._dry = options, folder, dry_run
        self._on_progress = on_progress
        self._reader = consistent_reader(client, target, threading.Event(), options.deadline)
        self._choices: Counter[str] = Counter()

    def run(self) -> UndoReport:
        """Raises BeforeImagesError and LockError, before the first write."""
        began = time.monotonic()
        heading, images = self._images.heading, self._images
        alone = nullcontext() if self._dry else undoing_lock(self._folder, heading.table, heading.run)
        with alone, images.by_key(self._target, self._folder) as groups, self._left_file() as (left, path):
            if not self._dry:
                images.begin()
            failure, totals = self._go_through(groups, left)
        unprocessed = self._choices["put_back"] + self._choices["deleted"] + self._choices["left_alone"]
        unprocessed -= totals.written + totals.deleted + left.count
        return UndoReport(
            before_images=images.uri,
            table=self._target.name,
            source=heading.source,
            run=heading.run,
            mode=heading.mode,
            began=f"{heading.began:%Y-%m-%dT%H:%M:%SZ}",
            complete_import=images.complete,
            dry_run=self._dry,
            keys=self._choices.total(),
            put_back=totals.written,
            deleted=totals.deleted,
            unchanged=self._choices["unchanged"],
            left_alone=left.count,
            unprocessed=unprocessed,
            consumed_rcu=self._reader.rate.consumed,
            consumed_wcu=totals.consumed,
            throttles=dict(totals.throttles + self._reader.throttles),
            seconds=time.monotonic() - began,
            left=left.some,
            left_file=str(path) if left.count and not self._dry else None,
            problem=self._problem(failure, left),
        )

    def _problem(self, failure: DdbAssetsError | None, left: _LeftAlone) -> str | None:
        if failure:
            return f"{failure}; run the same command again to continue"
        if left.count:
            would = "would be" if self._dry else "are"
            return (
                f"{left.count:,} items {would} left alone, because somebody changed them since: look at them one by one"
            )
        return None

    def _go_through(self, groups: Iterator[list[History]], left: _LeftAlone) -> tuple[DdbAssetsError | None, Totals]:
        """The error that ended it, if any, and what the writer has done."""
        writer = DryWriter() if self._dry else self._writer(left)
        try:
            for group in groups:
                for start in range(0, len(group), MAX_KEYS):
                    self._look_at(group[start : start + MAX_KEYS], writer, left)
            writer.close()
        except BaseException as error:
            _end(writer)
            if isinstance(error, DdbAssetsError):
                return error, writer.totals
            raise
        return None, writer.totals

    def _look_at(self, histories: Sequence[History], writer: BulkWriter | DryWriter, left: _LeftAlone) -> None:
        read = self._reader.get([history.key for history in histories])
        there = {item_digest(self._reader.key(item)): item for item in read}
        for history in histories:
            current = there.get(item_digest(history.key))
            choice = history.choice(current)
            self._choices[choice] += 1
            if choice == "left_alone":
                left.add(history.key, CHANGED)
            elif choice != "unchanged":
                try:
                    writer.write(self._operation(history, current))
                except RejectedItemError as error:
                    left.add(history.key, str(error))
        if self._on_progress:
            self._on_progress(len(histories))

    def _operation(self, history: History, current: Item | None) -> Operation:
        if history.before is None:
            return delete(self._target, history.key, history.key, expected=current)
        return put(self._target, history.before, history.key, if_absent=current is None, expected=current)

    def _writer(self, left: _LeftAlone) -> BulkWriter:
        def unwritten(what: Unwritten) -> None:
            if what.fate == "rejected":
                left.add(self._reader.key(what.operation.attributes), what.reason)

        return BulkWriter(
            self._client,
            self._target,
            rate=WriteRate(self._target, max_wcu=self._options.max_wcu),
            in_flight=self._options.in_flight,
            deadline=self._options.deadline,
            on_unwritten=unwritten,
            on_existed=lambda operation: left.add(self._reader.key(operation.attributes), MEANWHILE),
        )

    @contextmanager
    def _left_file(self) -> Iterator[tuple[_LeftAlone, Path]]:
        """Where keys are listed. The file replaces that of an earlier undo, and there is none without keys."""
        path = self._folder / f"{self._target.name}-{self._images.heading.run}.left-alone.jsonl"
        with new_file(path) as new:
            with new.open("wb") as out:
                left = _LeftAlone(out)
                yield left, path
            if self._dry:
                return
            if left.count:
                new.replace(path)
            else:
                path.unlink(missing_ok=True)


def _end(writer: BulkWriter | DryWriter) -> None:
    """Waits for what is in flight; the caller has the reason already."""
    writer.stop("the undo has ended")
    with suppress(DdbAssetsError):
        writer.close()
