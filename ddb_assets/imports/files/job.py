"""An import from beginning to end: rows into items, items into the table, and an account of every row.

What is read is `source.py`'s, what becomes of a row `mapping.py`'s, the writing `writer.py`'s. The job keeps the checkpoint
and the exceptions file, counts, and stops when it must; it never asks anybody anything.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ddb_assets.dynamodb.attribute_value import Descriptor
from ddb_assets.errors import DdbAssetsError
from ddb_assets.imports.checkpoint import Checkpoint, CheckpointError, Watermark
from ddb_assets.imports.files.column_types import ColumnTypes
from ddb_assets.imports.files.config import ImportConfig
from ddb_assets.imports.files.dry_run import DryWriter
from ddb_assets.imports.files.exceptions_file import ExceptionsFile, Heading, keep_settled
from ddb_assets.imports.files.mapping import ItemMapping
from ddb_assets.imports.files.new_table import NewTableWriter
from ddb_assets.imports.files.options import JobOptions, Progress
from ddb_assets.imports.files.rejects import Rejects
from ddb_assets.imports.files.report import ImportReport
from ddb_assets.imports.files.rows import BadRow, Row, SourceError
from ddb_assets.imports.files.source import Input, Source
from ddb_assets.imports.files.verify import Sample
from ddb_assets.imports.operation import Operation, RejectedItemError, delete, put
from ddb_assets.imports.outcome import Unwritten, WriterStoppedError
from ddb_assets.imports.rate import WriteRate
from ddb_assets.imports.target import Target
from ddb_assets.imports.writer import BulkWriter
from ddb_assets.resources.storage import Storage

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SAVE_SECONDS = 2.0
TELL_SECONDS = 0.2
MAX_AHEAD = 200_000  # rows remembered behind one that is not written yet


class _Place(NamedTuple):
    """An operation's token: the row it came from, for the checkpoint and the exceptions file."""

    watermark: Watermark
    row: Row
    uri: str


class ImportJob:
    """One import into one table. `folder` is where checkpoint and exceptions file are kept, `on_progress` is told often.

    With `new_table` the table is made by the import; such a job begins at the beginning each time.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        storage: Storage,
        target: Target,
        source: Source,
        config: ImportConfig,
        *,
        folder: Path,
        options: JobOptions | None = None,
        exceptions: Path | None = None,
        on_progress: Callable[[Progress], object] | None = None,
        new_table: NewTableWriter | None = None,
    ) -> None:
        self._client, self._storage, self._target, self._source = client, storage, target, source
        self._config = config
        self._options = options or JobOptions()
        self._on_progress = on_progress
        self._new_table = new_table
        job = hashlib.sha256(
            "\n".join([target.arn, source.uri, str(source.redriven), config.model_dump_json()]).encode()
        ).hexdigest()[:12]
        self.checkpoint = Checkpoint(folder / f"{target.name}-{job}.json", job)
        self._exceptions_path = exceptions or folder / f"{target.name}-{job}.exceptions.jsonl"
        self._watermarks = {file.uri: Watermark() for file in source.inputs}
        self._progress = Progress(sum(file.size for file in source.inputs))
        self._sample = Sample(0 if self._options.dry_run else self._options.verify)
        if any(Path(file.uri).absolute() == self._exceptions_path.absolute() for file in source.inputs):
            raise SourceError(f"the rows of {source.uri} cannot be rejected into the same file: give another one")
        self._interrupted: str | None = None
        self._exceptions: ExceptionsFile | None = None
        self._rejects = Rejects(None, self._options.max_rejects, 0, self.interrupt)
        self._writer: BulkWriter | DryWriter | NewTableWriter = DryWriter()

    def interrupt(self, reason: str) -> None:
        """Ends the job in order: what is in flight is finished, the checkpoint saved. A signal handler may call it."""
        self._interrupted = reason
        self._writer.stop(reason)

    def run(self) -> ImportReport:
        """The account of the job; `problem` says why it failed, if it did. Raises what is wrong before the first write.

        That is: MappingError, SourceError, CheckpointError.
        """
        began = time.monotonic()
        options = self._options
        told = self._begun_before()
        types: dict[str, Descriptor] = told["types"] if told else self._types()
        settled: dict[str, int] = told["settled"] if told else {}
        self._watermarks = {file.uri: Watermark(settled.get(file.uri, 0)) for file in self._source.inputs}
        exact = self._source.format == "dynamodb-json"
        mapping = ItemMapping(self._config, self._target.key, types, exact=exact)
        self._start(types, settled)
        problem: str | None = None
        try:
            problem = self._go_through(mapping, types)
        finally:
            self._finish(types, complete=problem is None)
        complete = problem is None
        rejects = self._rejects.problem()
        verified = None
        if complete and not options.dry_run and options.verify:
            verified = self._sample.verify(self._client, self._target)
            if verified.different:
                problem = f"{len(verified.different)} of {verified.read} items read back are not as they were written"
        totals = self._writer.totals
        path = self._exceptions_path
        return ImportReport(
            source=self._source.uri,
            table=self._target.name,
            format=self._source.format,
            mode=self._config.mode,
            dry_run=options.dry_run,
            rows_before=sum(settled.values()),
            rejected_before=self._rejects.before,
            rows=self._progress.rows,
            written=totals.written,
            deleted=totals.deleted,
            existed=totals.existed,
            superseded=totals.superseded,
            rejected=self._rejects.count,
            unprocessed=totals.unprocessed,
            consumed_wcu=totals.consumed,
            requests=totals.requests,
            retried=totals.retried,
            throttles=dict(totals.throttles),
            seconds=time.monotonic() - began,
            types=dict(types),
            exceptions=str(path) if path.exists() and not options.dry_run else None,
            rejects=self._rejects.sample,
            verified=verified,
            expected_seconds=self._expected_seconds() if options.dry_run else None,
            complete=complete,
            too_many_rejected=rejects is not None,
            problem=problem or rejects,
        )

    def _expected_seconds(self) -> float:
        units = self._writer.units if isinstance(self._writer, DryWriter) else []
        return self._rate().seconds_for(units) if units else 0.0

    def _rate(self) -> WriteRate:
        return WriteRate(self._target, max_wcu=self._options.max_wcu, share=self._options.share)

    def _begun_before(self) -> dict[str, Any] | None:
        """The checkpoint to go on from; None to begin at the beginning."""
        anew = self._options.dry_run or self._options.restart or self._new_table
        told = None if anew else self.checkpoint.load()
        if told and told["inputs"] != self._listed():
            raise CheckpointError(
                f"an import of {self._source.uri} was begun, but its files have changed since: restart it"
            )
        return told

    def _listed(self) -> list[list[str | int]]:
        return [[file.uri, file.size] for file in self._source.inputs]

    def _start(self, types: dict[str, Descriptor], settled: dict[str, int]) -> None:
        """Opens what is written to."""
        options = self._options
        if options.dry_run:
            return
        before = keep_settled(self._exceptions_path, settled)
        heading = Heading(table=self._target.name, format=self._source.format, types=types)
        self._exceptions = ExceptionsFile(self._exceptions_path, heading)
        self._rejects = Rejects(self._exceptions, options.max_rejects, before, self.interrupt)
        self._writer = self._new_table or BulkWriter(
            self._client,
            self._target,
            rate=self._rate(),
            in_flight=options.in_flight,
            deadline=options.deadline,
            on_unwritten=self._on_unwritten,
            on_settled=self._on_settled,
        )

    def _types(self) -> dict[str, Descriptor]:
        """Of CSV columns, from a first reading of everything."""
        if self._source.redriven:
            return self._source.redriven.types
        if self._source.format != "csv":
            return {}
        found = ColumnTypes()
        for file in self._source.inputs:
            found.see(self._checked(self._source.rows(self._storage, file, self._config, lambda _: None)))
        return dict(found.types)

    def _checked(self, rows: Iterator[Row | BadRow]) -> Iterator[Row | BadRow]:
        for row in rows:
            if self._interrupted:
                raise WriterStoppedError(self._interrupted)
            yield row

    def _go_through(self, mapping: ItemMapping, types: dict[str, Descriptor]) -> str | None:
        """Every row of every file; a problem that ended it early."""
        saved = told = time.monotonic()
        try:
            for file in self._source.inputs:
                watermark = self._watermarks[file.uri]
                first = watermark.position
                for row in self._checked(self._source.rows(self._storage, file, self._config, self._count_bytes)):
                    if row.number < first:
                        continue
                    self._take(row, file, watermark, mapping)
                    now = time.monotonic()
                    if now - told > TELL_SECONDS:
                        self._tell()
                        told = now
                    if now - saved > SAVE_SECONDS:
                        self._save(types)
                        saved = now
                        if watermark.ahead > MAX_AHEAD:
                            self._writer.flush()
            self._writer.close()
        except DdbAssetsError as error:
            return str(error)
        totals = self._writer.totals
        ended = totals.written + totals.deleted + totals.existed + totals.superseded + self._rejects.count
        if ended != self._progress.rows:
            raise AssertionError(f"{self._progress.rows} rows were read, but {ended} accounted for")
        return None

    def _take(self, row: Row | BadRow, file: Input, watermark: Watermark, mapping: ItemMapping) -> None:
        self._progress.rows += 1
        if isinstance(row, BadRow):
            self._rejects.reject(row, file.uri, row.reason)
            watermark.settle([row.number])
            return
        try:
            operation = self._operation(row, _Place(watermark, row, file.uri), mapping)
        except RejectedItemError as error:
            self._rejects.reject(row, file.uri, str(error))
            watermark.settle([row.number])
            return
        self._sample.see(operation)
        self._writer.write(operation)

    def _operation(self, row: Row, place: _Place, mapping: ItemMapping) -> Operation:
        item: dict[str, Any] = mapping.item(row.cells)
        if row.deleted and self._config.mode == "if-not-exists":
            raise RejectedItemError("the row deletes an item, which the mode if-not-exists never does")
        if self._config.mode == "delete" or row.deleted:
            return delete(self._target, item, place)
        return put(self._target, item, place, if_absent=self._config.mode == "if-not-exists")

    def _on_unwritten(self, unwritten: Unwritten) -> None:
        place: Any = unwritten.operation.token
        self._sample.forget(unwritten.operation)
        tell = self._rejects.reject if unwritten.fate == "rejected" else self._rejects.unprocessed
        tell(place.row, place.uri, unwritten.reason)

    def _on_settled(self, tokens: Sequence[Any]) -> None:
        for token in tokens:
            token.watermark.settle([token.row.number])

    def _finish(self, types: dict[str, Descriptor], *, complete: bool) -> None:
        """Closes everything, also after an error, and leaves behind what a resumed job needs."""
        if self._exceptions is None:
            return
        if complete:
            self.checkpoint.remove()
        else:
            with suppress(WriterStoppedError):  # the caller knows
                self._writer.stop("the job has ended")
                self._writer.close()
            self._save(types)
        self._exceptions.close()
        self._tell()

    def _save(self, types: dict[str, Descriptor]) -> None:
        if self._exceptions is None or self._new_table:
            return
        settled = {uri: watermark.position for uri, watermark in self._watermarks.items()}
        self._exceptions.sync()  # after the positions were taken, which vouch for what is in it
        self.checkpoint.save({"inputs": self._listed(), "settled": settled, "types": types})

    def _count_bytes(self, count: int) -> None:
        self._progress.bytes_read += count

    def _tell(self) -> None:
        if self._on_progress:
            self._progress.totals = self._writer.totals
            self._on_progress(self._progress)
