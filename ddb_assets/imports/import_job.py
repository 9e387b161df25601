"""An import from beginning to end: rows become items, items are written, and every row is accounted for.

`reading.py` reads rows, `row_operations.py` says what each asks of the table, and `output.py` writes it. The job counts, and
stops when it must. It never asks the user.
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.storage import Storage
from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.checkpoint import Checkpoint, Watermark
from ddb_assets.bulk.lock import only_run
from ddb_assets.bulk.rows import BadRow, Row, SourceError
from ddb_assets.bulk.writing.operation import RejectedItemError
from ddb_assets.bulk.writing.outcome import Unwritten
from ddb_assets.bulk.writing.writer import DryWriter
from ddb_assets.contract.identity import fingerprint
from ddb_assets.costs.capacity import units_usd
from ddb_assets.costs.prices import prices
from ddb_assets.errors import DdbAssetsError, RetryableError
from ddb_assets.imports.account import ImportReport, Progress, counted
from ddb_assets.imports.bulk_put.writer import BulkPut
from ddb_assets.imports.files.source import ImportSource, Input
from ddb_assets.imports.import_config import ImportConfig, JobOptions
from ddb_assets.imports.import_progress import ImportProgress, Types
from ddb_assets.imports.mapping.item_mapping import ItemMapping
from ddb_assets.imports.mapping.rule_columns import needs_secret
from ddb_assets.imports.output import Calls, ImportOutput, shown
from ddb_assets.imports.read_back import Afterwards, KeySet, Sample, look_back
from ddb_assets.imports.reading import Reading
from ddb_assets.imports.row_operations import RowOperations
from ddb_assets.imports.tables.new_table import NewTableWriter
from ddb_assets.imports.undoing.keep_before import whole_place
from ddb_assets.settings import MASK_SECRET

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SAVE_SECONDS = 2.0
PROGRESS_SECONDS = 0.2
MAX_AHEAD = 200_000  # rows remembered behind one that is not written yet


def _ignore(_: str) -> None:
    """For a caller that needs no callback."""


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
        on_operation: Callable[[str], object] = _ignore,
        new_table: NewTableWriter | None = None,
        bulk_put: BulkPut | None = None,
    ) -> None:
        self._client, self._target, self._source = client, target, source
        self._config, self._options = config, options or JobOptions()
        self._on_progress, self._on_resumed = on_progress, on_resumed
        self._new_table = new_table
        self._secret = os.environ.get(MASK_SECRET, "").encode() or None
        secret = fingerprint(self._secret) if self._secret and needs_secret(config) else ""
        before = whole_place(self._options.keep_before) if self._options.keep_before else ""
        job = hashlib.sha256(f"{target.arn}\n{source.uri}".encode()).hexdigest()[:12]
        world = {
            "table": target.identity,
            "files": {file.uri: file.identity() for file in source.inputs},
            "redrive": source.redriven is not None,
            "configuration": config.model_dump(mode="json"),
            **({"secret of masks": secret} if secret else {}),
            "keep_before": before or None,
            "method": "bulk-put" if bulk_put else None,
        }
        self.checkpoint = Checkpoint(folder / f"{target.name}-{job}.json", world)
        self._done = ImportProgress(self.checkpoint, source)
        self._keys = KeySet() if self._options.report_extra else None
        self._stopped = threading.Event()
        self._reading = Reading(storage, source, config)
        self._progress = Progress(self._reading.bytes)
        self._sample = Sample(0 if self._options.dry_run else self._options.verify, target.key_names)
        source.check_fit(target, secret)
        self._left_out = 0
        self._output = ImportOutput(
            client,
            storage,
            target,
            source,
            config,
            self._options,
            self._done,
            Calls(self.interrupt, self._on_unwritten, on_began or _ignore, on_operation, self._report_progress),
            self._stopped,
            folder=folder,
            fingerprint=secret,
            before=before,
            new_table=new_table,
            bulk_put=bulk_put,
        )

    @property
    def is_dry(self) -> bool:
        """Whether it writes nothing."""
        return self._options.dry_run

    def interrupt(self, reason: str) -> None:
        """Ends the job: finishes what is in flight and saves the checkpoint. A signal handler may call it."""
        self._reading.interrupted = self._reading.interrupted or reason
        self._stopped.set()
        self._output.writer.stop(reason)

    def run(self) -> ImportReport:
        """The report; its `problem` says why the job failed, if it did.

        Raises, before the first write, MappingError, SourceError, CheckpointError or RejectFileError; LockError while another
        process runs the same job.
        """
        alone = nullcontext() if self.is_dry else only_run(self.checkpoint.path.with_suffix(".lock"), "import")
        with closing(self._reading), alone, closing(self._output):
            return self._run()

    def _run(self) -> ImportReport:
        began = time.monotonic()
        resumed_at = self._resume()
        if not self.is_dry:
            self._output.check()
        self._reading.check_names()
        types = self._reading.types() if self._done.types is None else self._done.types
        mapping = ItemMapping(self._config, self._target, types, exact=self._source.exact, secret=self._secret)
        if self.is_dry:
            self._output.open_dry(types)
        else:
            self._output.open(types)
        complete = False
        try:
            self._output.begin()
            failure = self._go_through(RowOperations(self._config, self._target, mapping), types)
            complete = failure is None
        finally:
            self._output.finish(types, complete=complete)
            if not self.is_dry:
                self._report_progress()
        read = self._progress.rows or sum(self._done.settled.values())
        if complete and not (read or self._options.allow_empty):
            raise SourceError(f"{self._source.uri} has no rows: check it, or allow that with allow_empty")
        return self._report(types, failure, resumed_at, began)

    def _report(
        self, types: Types, failure: DdbAssetsError | None, resumed_at: str | None, began: float
    ) -> ImportReport:
        output, names = self._output, self._reading.names
        named = failure is None and not self._source.redriven
        slips = names.slips() if named else None
        rejects = output.rejects.problem()
        found = self._look_back() if failure is None else Afterwards()
        before_rcu = output.keeper.consumed_rcu if output.keeper else 0.0
        return ImportReport(
            source=self._source.uri,
            table=self._target.name,
            format=self._source.format,
            mode=self._config.mode,
            dry_run=self.is_dry,
            rows_before=sum(self._done.settled.values()),
            rejected_before=output.rejects.before,
            resumed_at=resumed_at,
            rows=self._progress.rows,
            left_out=self._left_out,
            rejected=output.rejects.count,
            seconds=time.monotonic() - began,
            types=dict(types),
            reject_file=output.reject_file.uri if output.reject_file else None,
            superseded_rejects=output.superseded_rejects,
            rejects=output.rejects.sample,
            verified=found.verified,
            only_in_table=found.only_in_table,
            expected_seconds=output.writer.seconds_at(output.rate) if isinstance(output.writer, DryWriter) else None,
            complete=failure is None,
            retryable=isinstance(failure, RetryableError),
            too_many_rejected=rejects is not None,
            unread=found.unread,
            before_first_write=shown(self._done.began) if self._done.began else None,
            before_images=output.keeper.uri if output.keeper else None,
            before_rcu=before_rcu,
            usd=self._price(before_rcu),
            bulk_operation=output.bulk_put.arn if output.bulk_put else None,
            bulk_put_bytes=output.bulk_put.put_bytes if output.bulk_put else 0,
            problem=self._said(failure) if failure else found.problem or rejects or slips,
            rejected_lines=output.rejects.lines,
            unused_columns=names.unused,
            unknown_columns=names.unknown if named else [],
            slips=slips,
            **counted(output.writer.totals),
        )

    def _price(self, before_rcu: float) -> float | None:
        """What this run's units cost in US dollars; None if nothing is charged for them."""
        wcu = self._output.writer.totals.consumed
        if self.is_dry or not self._target.on_demand or not (wcu or before_rcu):
            return None
        return units_usd(prices(), rcu=before_rcu, wcu=wcu)

    def _said(self, failure: DdbAssetsError) -> str:
        """Why the job ended, and whether its reject file is whole."""
        broken = self._output.reject_file.problem if self._output.reject_file else None
        return f"{failure}; {broken}" if broken and broken is not failure else str(failure)

    def _resume(self) -> str | None:
        """Takes over from an earlier run, unless this one begins at the beginning. Raises CheckpointError."""
        if self.is_dry or self._new_table or self._options.restart:
            return None
        place = self._done.resume()
        if place and self._on_resumed:
            self._on_resumed(place)
        return place

    def _look_back(self) -> Afterwards:
        options = self._options
        sample = self._sample if options.verify and not options.dry_run else None
        return look_back(self._client, self._target, sample, self._keys, self._stopped, options.deadline)

    def _go_through(self, operations: RowOperations, types: Types) -> DdbAssetsError | None:
        """Reads every row of every file; returns the error that ended this early."""
        saved = reported = time.monotonic()
        try:
            for file in self._source.inputs:
                watermark = self._done.watermarks[file.uri]
                first = watermark.position
                rows = 0
                for row in self._reading.rows(file, self._count_bytes):
                    rows = row.number + 1
                    if isinstance(row, Row):
                        self._reading.names.see(row.cells)
                    if row.number < first:
                        self._see_again(row, file, watermark, operations)
                        continue
                    self._take(row, file, watermark, operations)
                    # not before: a row that a stopped writer did not accept counts as not read
                    self._progress.rows += 1
                    now = time.monotonic()
                    if now - reported > PROGRESS_SECONDS:
                        self._report_progress()
                        reported = now
                    if now - saved > SAVE_SECONDS:
                        self._output.save(types)
                        saved = now
                        if watermark.ahead > MAX_AHEAD:
                            self._output.writer.flush()
                self._done.ended(file.uri, rows)
            self._output.end(lambda: self._reading.operations(operations, self._done.watermarks))
        except DdbAssetsError as error:
            return error
        totals = self._output.writer.totals
        ended = totals.written + totals.deleted + totals.existed + totals.superseded
        ended += self._left_out + self._output.rejects.count
        if ended != self._progress.rows:
            raise AssertionError(f"{self._progress.rows} rows were read, but {ended} accounted for")
        return None

    def _take(self, row: Row | BadRow, file: Input, watermark: Watermark, operations: RowOperations) -> None:
        rejects = self._output.rejects
        if isinstance(row, BadRow):
            rejects.reject(row, file.uri, row.reason)
            watermark.settle([row.number])
            return
        try:
            operation = operations.of(row, file.uri, watermark)
        except RejectedItemError as error:
            rejects.reject(row, file.uri, str(error))
            watermark.settle([row.number])
            return
        if operation is None:
            self._left_out += 1
            watermark.settle([row.number])
            return
        self._sample.see(operation)
        self._output.writer.write(operation)
        if self._keys is not None:
            self._keys.add(operation.key)

    def _see_again(self, row: Row | BadRow, file: Input, watermark: Watermark, operations: RowOperations) -> None:
        """A row that an earlier run settled: its key is still needed to find items without a row."""
        if self._keys is not None and isinstance(row, Row):
            with suppress(RejectedItemError):
                if operation := operations.of(row, file.uri, watermark):
                    self._keys.add(operation.key)

    def _on_unwritten(self, unwritten: Unwritten) -> None:
        place: Any = unwritten.operation.token
        self._sample.forget(unwritten.operation)
        rejects = self._output.rejects
        note = rejects.reject if unwritten.fate == "rejected" else rejects.unprocessed
        note(place.row, place.uri, unwritten.reason)

    def _count_bytes(self, count: int) -> None:
        self._progress.bytes_read += count

    def _report_progress(self) -> None:
        if self._on_progress:
            self._progress.totals = self._output.writer.totals
            self._on_progress(self._progress)
