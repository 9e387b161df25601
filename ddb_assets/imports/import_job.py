"""An import from beginning to end: rows become items, items are written, and every row is accounted for.

`files/source.py` reads rows, `mapping/item_mapping.py` makes items of them, and `bulk/writing/writer.py` writes them. The
job keeps the checkpoint and the reject file, counts, and stops when it must. It never asks the user.
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.storage import Storage
from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.checkpoint import Checkpoint, Watermark
from ddb_assets.bulk.lock import only_run
from ddb_assets.bulk.rate import WriteRate
from ddb_assets.bulk.reject_file import Heading, RejectFile, RejectPlace
from ddb_assets.bulk.rows import BadRow, Row, SourceError
from ddb_assets.bulk.superseded import Superseded
from ddb_assets.bulk.writing.operation import Operation, RejectedItemError
from ddb_assets.bulk.writing.outcome import Unwritten, WriterStoppedError
from ddb_assets.bulk.writing.writer import BulkWriter, DryWriter
from ddb_assets.contract.identity import fingerprint
from ddb_assets.errors import DdbAssetsError, RetryableError
from ddb_assets.imports.account import ImportReport, Progress, counted
from ddb_assets.imports.bulk_put.failed_rows import failed_rows
from ddb_assets.imports.bulk_put.given_up import check_ended
from ddb_assets.imports.bulk_put.writer import BulkPut, BulkPutWriter
from ddb_assets.imports.files.source import ImportSource, Input
from ddb_assets.imports.formats.column_types import ColumnTypes
from ddb_assets.imports.import_config import ImportConfig, JobOptions
from ddb_assets.imports.import_progress import ImportProgress, Types
from ddb_assets.imports.mapping.column_names import ColumnNames
from ddb_assets.imports.mapping.item_mapping import ItemMapping, hidden_columns
from ddb_assets.imports.mapping.rule_columns import masked_columns, needs_secret
from ddb_assets.imports.opening.read_ahead import ReadAhead
from ddb_assets.imports.read_back import Afterwards, KeySet, Sample, look_back
from ddb_assets.imports.rejects import Rejects
from ddb_assets.imports.row_operations import RowOperations
from ddb_assets.imports.tables.new_table import NewTableWriter
from ddb_assets.imports.tables.staged_items import delete_staged
from ddb_assets.imports.undoing.before_images import BeforeHeading
from ddb_assets.imports.undoing.keep_before import (
    BeforeKeeper,
    before_place,
    consistent_reader,
    undoing_lock,
    whole_place,
)
from ddb_assets.settings import MASK_SECRET

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SAVE_SECONDS = 2.0
PROGRESS_SECONDS = 0.2
MAX_AHEAD = 200_000  # rows remembered behind one that is not written yet


class ImportJob:
    """One import into one table. `folder` has the checkpoint and the reject file. `on_progress` is called a few times a second.

    `on_resumed` gets the row at which the job takes over from an earlier run. The files and the table must be those of that
    run, and the configuration too. `on_began` gets the report's `before_first_write`.

    With `new_table` the import makes the table; such a job always begins at the beginning. With `bulk_put` AWS puts the items:
    a job that takes over from an earlier run reads all rows again, and finds the operation that the run has begun.
    `on_operation` gets its ARN.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        storage: Storage,
        target: TableDescription,
        source: ImportSource,
        config: ImportConfig,
        *,
        folder: Path,
        options: JobOptions | None = None,
        on_progress: Callable[[Progress], object] | None = None,
        on_resumed: Callable[[str], object] | None = None,
        on_began: Callable[[str], object] | None = None,
        on_operation: Callable[[str], object] = lambda _: None,
        new_table: NewTableWriter | None = None,
        bulk_put: BulkPut | None = None,
    ) -> None:
        self._client, self._target, self._source = client, target, source
        self._storage = storage
        self._files = ReadAhead(storage, [(file.uri, file.size) for file in source.inputs], source.kept)
        self._config, self._options = config, options or JobOptions()
        self._on_progress, self._on_resumed, self._on_began = on_progress, on_resumed, on_began
        self._on_operation = on_operation
        self._new_table, self._bulk_put = new_table, bulk_put
        self._secret = os.environ.get(MASK_SECRET, "").encode() or None
        self._fingerprint = fingerprint(self._secret) if self._secret and needs_secret(config) else ""
        self._before = whole_place(self._options.keep_before) if self._options.keep_before else ""
        job = hashlib.sha256(f"{target.arn}\n{source.uri}".encode()).hexdigest()[:12]
        world = {
            "table": target.identity,
            "files": {file.uri: file.identity() for file in source.inputs},
            "redrive": source.redriven is not None,
            "configuration": config.model_dump(mode="json"),
            **({"secret of masks": self._fingerprint} if self._fingerprint else {}),
            "keep_before": self._before or None,
            "method": "bulk-put" if bulk_put else None,
        }
        self.checkpoint = Checkpoint(folder / f"{target.name}-{job}.json", world)
        self._folder = folder
        self._done = ImportProgress(self.checkpoint, source)
        self._keys = KeySet() if self._options.report_extra else None
        self._stopped = threading.Event()
        self._progress = Progress(sum(file.size for file in source.inputs))
        self._sample = Sample(0 if self._options.dry_run else self._options.verify, target.key_names)
        source.check_fit(target, self._fingerprint)
        self._names = ColumnNames(config)
        self._left_out = 0
        self._keeper: BeforeKeeper | None = None
        self._held = ExitStack()
        self._interrupted: str | None = None
        self._reject_file: RejectFile | None = None
        self._superseded: Superseded | None = None
        self._superseded_rejects: str | None = None
        self._rejects = Rejects(None, self._options.max_rejects, 0, self.interrupt)
        self._writer: BulkWriter | DryWriter | NewTableWriter | BulkPutWriter = DryWriter()

    @property
    def is_dry(self) -> bool:
        """Whether it writes nothing."""
        return self._options.dry_run

    def interrupt(self, reason: str) -> None:
        """Ends the job: finishes what is in flight and saves the checkpoint. A signal handler may call it."""
        self._interrupted = self._interrupted or reason
        self._stopped.set()
        self._writer.stop(reason)

    def run(self) -> ImportReport:
        """The report; its `problem` says why the job failed, if it did.

        Raises, before the first write, MappingError, SourceError, CheckpointError or RejectFileError; LockError while another
        process runs the same job.
        """
        alone = (
            nullcontext() if self._options.dry_run else only_run(self.checkpoint.path.with_suffix(".lock"), "import")
        )
        with closing(self._source.kept), closing(self._files), alone, self._held:
            return self._run()

    def _run(self) -> ImportReport:
        began = time.monotonic()
        options = self._options
        resumed_at = self._resume()
        if not options.dry_run:
            self._check_place()
            self._check_given_up()
        if self._source.has_columns:
            rows = self._source.rows
            self._names.check(rows(self._files, file, self._config, lambda _: None) for file in self._source.inputs)
        types = self._types() if self._done.types is None else self._done.types
        mapping = ItemMapping(self._config, self._target, types, exact=self._source.exact, secret=self._secret)
        self._start(types)
        complete = False
        try:
            self._begin_bulk_put()
            failure = self._go_through(RowOperations(self._config, self._target, mapping), types)
            complete = failure is None
        finally:
            self._finish(types, complete=complete)
        if complete and not (options.allow_empty or self._progress.rows or sum(self._done.settled.values())):
            raise SourceError(f"{self._source.uri} has no rows: check it, or allow that with allow_empty")
        named = complete and not self._source.redriven
        slips = self._names.slips() if named else None
        rejects = self._rejects.problem()
        found = self._look_back() if complete else Afterwards()
        bulk_put = self._writer if isinstance(self._writer, BulkPutWriter) else None
        return ImportReport(
            source=self._source.uri,
            table=self._target.name,
            format=self._source.format,
            mode=self._config.mode,
            dry_run=options.dry_run,
            rows_before=sum(self._done.settled.values()),
            rejected_before=self._rejects.before,
            resumed_at=resumed_at,
            rows=self._progress.rows,
            left_out=self._left_out,
            rejected=self._rejects.count,
            seconds=time.monotonic() - began,
            types=dict(types),
            reject_file=self._reject_file.uri if self._reject_file else None,
            superseded_rejects=self._superseded_rejects,
            rejects=self._rejects.sample,
            verified=found.verified,
            only_in_table=found.only_in_table,
            expected_seconds=(self._writer.seconds_at(self._rate()) if isinstance(self._writer, DryWriter) else None),
            complete=complete,
            retryable=isinstance(failure, RetryableError),
            too_many_rejected=rejects is not None,
            unread=found.unread,
            before_first_write=_shown(self._done.began) if self._done.began else None,
            before_images=self._keeper.uri if self._keeper else None,
            before_rcu=self._keeper.consumed_rcu if self._keeper else 0.0,
            bulk_operation=bulk_put.arn if bulk_put else None,
            bulk_put_bytes=bulk_put.put_bytes if bulk_put else 0,
            problem=self._said(failure) if failure else found.problem or rejects or slips,
            rejected_lines=self._rejects.lines,
            unused_columns=self._names.unused,
            unknown_columns=self._names.unknown if named else [],
            slips=slips,
            **counted(self._writer.totals),
        )

    def _said(self, failure: DdbAssetsError) -> str:
        """Why the job ended, and whether its reject file is whole."""
        broken = self._reject_file.problem if self._reject_file else None
        return f"{failure}; {broken}" if broken and broken is not failure else str(failure)

    def _resume(self) -> str | None:
        """Takes over from an earlier run, unless this one begins at the beginning. Raises CheckpointError."""
        if self._options.dry_run or self._new_table:
            return None
        if self._options.restart:
            return None
        place = self._done.resume()
        if place and self._on_resumed:
            self._on_resumed(place)
        return place

    def _look_back(self) -> Afterwards:
        options = self._options
        sample = self._sample if options.verify and not options.dry_run else None
        return look_back(self._client, self._target, sample, self._keys, self._stopped, options.deadline)

    def _rate(self) -> WriteRate:
        return WriteRate(self._target, max_wcu=self._options.max_wcu, share=self._options.share)

    def _start(self, types: Types) -> None:
        """Opens what the job writes to."""
        options = self._options
        if options.dry_run:
            self._writer = self._new_table or self._bulk_put_writer(types) or self._writer
            return
        if not self._new_table:
            self._note_beginning()
        if options.restart and not self._new_table:
            self._done.remove()  # first: a run that is killed here must not be resumed without its reject file
            if self._superseded:
                self._superseded_rejects = self._superseded.move()
        settings = self._config.model_dump(exclude_unset=True)
        heading = Heading.of(
            self._done.run,
            self._target,
            self._source.format,
            types=types,
            settings=settings,
            mask_secret=self._fingerprint,
        )
        hidden, masked = hidden_columns(self._config), masked_columns(self._config)
        file = RejectFile(self._place(), heading, self._done.settled, hidden, masked)
        self._reject_file = file
        self._rejects = Rejects(file, options.max_rejects, file.kept, self.interrupt)
        self._writer = (
            self._new_table
            or self._bulk_put_writer(types)
            or BulkWriter(
                self._client,
                self._target,
                rate=self._rate(),
                in_flight=options.in_flight,
                deadline=options.deadline,
                on_unwritten=self._on_unwritten,
                on_settled=self._on_settled,
                before=self._keeper.keep if self._keeper else lambda _: None,
            )
        )
        self._save(types)  # from now on a run that is killed finds its reject file and its before-images again
        if self._keeper:
            self._keeper.begin()
            self._save(types)
        self._rejects.check_before()

    def _bulk_put_writer(self, types: Types) -> BulkPutWriter | None:
        options, units = self._options, self._rate().units_per_second
        if self._bulk_put is None:
            return None
        return BulkPutWriter(
            self._bulk_put,
            self._storage,
            self._target,
            self._done.bulk_put,
            lambda: self._save(types),
            units=None if units is None else int(units),
            unanswered=options.deadline,
            on_look=self._report_progress,
            on_operation=self._on_operation,
            dry=options.dry_run,
        )

    def _begin_bulk_put(self) -> None:
        if isinstance(self._writer, BulkPutWriter):
            self._writer.begin()

    def _check_given_up(self) -> None:
        """Raises WriterStoppedError if the run that this one does not continue has a bulk put that goes on."""
        if not self._options.restart or self._new_table:
            return
        given_up = self._done.given_up_bulk_put()
        check_ended(self._client, given_up)
        if given_up and self._bulk_put:
            delete_staged(self._storage, given_up.input)

    def _note_beginning(self) -> None:
        """The time before the first write, and the place of before-images. Raises BeforeImagesError and LockError."""
        if self._done.types is None:  # not resumed
            self._done.began = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1)
        if self._done.began is None:  # resumed from an earlier version's checkpoint, which has neither
            return
        if self._before:
            self._keeper = self._before_keeper(self._done.began)
        if self._on_began:
            self._on_began(_shown(self._done.began))

    def _before_keeper(self, began: datetime) -> BeforeKeeper:
        run, target, client = self._done.run, self._target, self._client
        self._held.enter_context(undoing_lock(self._folder, target.name, run))
        region, source, mode = client.meta.region_name, self._source.uri, self._config.mode
        heading = BeforeHeading.of(target, run=run, region=region, source=source, mode=mode, began=began)
        reader = consistent_reader(client, target, self._stopped, self._options.deadline)
        place = before_place(self._before, target.name, run)
        return BeforeKeeper(self._storage, place, heading, target, reader, kept=self._done.kept)

    def _check_place(self) -> None:
        """Raises RejectFileError for a file in which there may be rows that this run does not look at."""
        place = self._place()
        if self._options.restart and not self._new_table:
            inputs = {file.uri for file in self._source.inputs}
            self._superseded = Superseded.of(place, self._done.given_up(), inputs)
        if self._superseded is None:
            place.check(self._done.run)

    def _place(self) -> RejectPlace:
        name = f"{self._target.name}-{self._done.run}"
        return RejectPlace.of(self._options.rejects, self._folder, name, self._storage)

    def _types(self) -> Types:
        """The types of CSV columns, from a first reading of all files."""
        if self._source.redriven:
            return self._source.redriven.types
        if self._source.format != "csv":
            return {}
        found = ColumnTypes()
        for file in self._source.inputs:
            found.see(self._checked(self._source.rows(self._files, file, self._config, lambda _: None)))
        return dict(found.types)

    def _checked(self, rows: Iterator[Row | BadRow]) -> Iterator[Row | BadRow]:
        for row in rows:
            if self._interrupted:
                raise WriterStoppedError(self._interrupted)
            yield row

    def _go_through(self, operations: RowOperations, types: Types) -> DdbAssetsError | None:
        """Reads every row of every file; returns the error that ended this early."""
        saved = shown = time.monotonic()
        try:
            for file in self._source.inputs:
                watermark = self._done.watermarks[file.uri]
                first = watermark.position
                rows = 0
                for row in self._checked(self._source.rows(self._files, file, self._config, self._count_bytes)):
                    rows = row.number + 1
                    if isinstance(row, Row):
                        self._names.see(row.cells)
                    if row.number < first:
                        self._see_again(row, file, watermark, operations)
                        continue
                    self._take(row, file, watermark, operations)
                    # not before: a row that a stopped writer did not accept counts as not read
                    self._progress.rows += 1
                    now = time.monotonic()
                    if now - shown > PROGRESS_SECONDS:
                        self._report_progress()
                        shown = now
                    if now - saved > SAVE_SECONDS:
                        self._save(types)
                        saved = now
                        if watermark.ahead > MAX_AHEAD:
                            self._writer.flush()
                self._done.ended(file.uri, rows)
            self._end_writing(operations)
        except DdbAssetsError as error:
            return error
        totals = self._writer.totals
        ended = totals.written + totals.deleted + totals.existed + totals.superseded
        ended += self._left_out + self._rejects.count
        if ended != self._progress.rows:
            raise AssertionError(f"{self._progress.rows} rows were read, but {ended} accounted for")
        return None

    def _end_writing(self, operations: RowOperations) -> None:
        self._writer.close()
        if isinstance(self._writer, BulkPutWriter) and self._writer.failed:
            for unwritten in failed_rows(self._writer.failed, self._all(operations)):
                self._on_unwritten(unwritten)
        if self._reject_file is not None:
            self._reject_file.sync()  # before the checkpoint goes
        if self._keeper:
            self._keeper.complete()
        if isinstance(self._writer, BulkPutWriter):
            self._writer.discard()  # before the checkpoint goes, which knows where the items are staged

    def _take(self, row: Row | BadRow, file: Input, watermark: Watermark, operations: RowOperations) -> None:
        if isinstance(row, BadRow):
            self._rejects.reject(row, file.uri, row.reason)
            watermark.settle([row.number])
            return
        try:
            operation = operations.of(row, file.uri, watermark)
        except RejectedItemError as error:
            self._rejects.reject(row, file.uri, str(error))
            watermark.settle([row.number])
            return
        if operation is None:
            self._left_out += 1
            watermark.settle([row.number])
            return
        self._sample.see(operation)
        self._writer.write(operation)
        if self._keys is not None:
            self._keys.add(operation.key)

    def _see_again(self, row: Row | BadRow, file: Input, watermark: Watermark, operations: RowOperations) -> None:
        """A row that an earlier run settled: its key is still needed to find items without a row."""
        if self._keys is not None and isinstance(row, Row):
            with suppress(RejectedItemError):
                if operation := operations.of(row, file.uri, watermark):
                    self._keys.add(operation.key)

    def _all(self, operations: RowOperations) -> Iterator[Operation]:
        """Those of all rows, from another reading of the files."""
        for file in self._source.inputs:
            watermark = self._done.watermarks[file.uri]
            for row in self._checked(self._source.rows(self._files, file, self._config, lambda _: None)):
                with suppress(RejectedItemError):
                    if isinstance(row, Row) and (operation := operations.of(row, file.uri, watermark)):
                        yield operation

    def _on_unwritten(self, unwritten: Unwritten) -> None:
        place: Any = unwritten.operation.token
        self._sample.forget(unwritten.operation)
        note = self._rejects.reject if unwritten.fate == "rejected" else self._rejects.unprocessed
        note(place.row, place.uri, unwritten.reason)

    def _on_settled(self, tokens: Sequence[Any]) -> None:
        for token in tokens:
            token.watermark.settle([token.row.number])

    def _finish(self, types: Types, *, complete: bool) -> None:
        """Closes everything, also after an error, and saves what a resumed job needs."""
        if self._reject_file is None:
            return
        if complete:
            self._done.remove()
        else:
            with suppress(DdbAssetsError):  # the caller has the reason already
                self._writer.stop("the job has ended")
                self._writer.close()
            with suppress(DdbAssetsError):  # such as a full disk: what was saved before stays true
                self._save(types)
        self._reject_file.close()
        self._report_progress()

    def _save(self, types: Types) -> None:
        if self._reject_file is None or self._new_table:
            return
        positions = self._done.positions()
        if isinstance(self._writer, BulkPutWriter):
            positions, self._done.bulk_put = {}, self._writer.state  # no row is settled before all are
        self._done.kept = self._keeper.kept if self._keeper else None
        self._reject_file.sync()  # after the positions were taken: the rows rejected before them must be durable
        self._done.save(positions, types)

    def _count_bytes(self, count: int) -> None:
        self._progress.bytes_read += count

    def _report_progress(self) -> None:
        if self._on_progress:
            self._progress.totals = self._writer.totals
            self._on_progress(self._progress)


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
