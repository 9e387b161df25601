"""What an import writes to: the table, the reject file, the before-images, and the checkpoint that vouches for all three.

The order of their writing is what makes a killed run resumable, so it is in one place.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddb_assets.aws.storage import Storage
from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.rate import WriteRate
from ddb_assets.bulk.reject_file import Heading, RejectFile, RejectPlace
from ddb_assets.bulk.superseded import Superseded
from ddb_assets.bulk.writing.operation import Operation
from ddb_assets.bulk.writing.outcome import Unwritten
from ddb_assets.bulk.writing.writer import BulkWriter, DryWriter
from ddb_assets.errors import DdbAssetsError
from ddb_assets.imports.bulk_put.failed_rows import failed_rows
from ddb_assets.imports.bulk_put.given_up import check_ended
from ddb_assets.imports.bulk_put.writer import BulkPut, BulkPutWriter
from ddb_assets.imports.files.source import ImportSource
from ddb_assets.imports.import_config import ImportConfig, JobOptions
from ddb_assets.imports.import_progress import ImportProgress, Types
from ddb_assets.imports.mapping.item_mapping import hidden_columns
from ddb_assets.imports.mapping.rule_columns import masked_columns
from ddb_assets.imports.rejects import Rejects
from ddb_assets.imports.tables.new_table import NewTableWriter
from ddb_assets.imports.tables.staged_items import delete_staged
from ddb_assets.imports.undoing.before_images import BeforeHeading
from ddb_assets.imports.undoing.keep_before import BeforeKeeper, before_place, consistent_reader, undoing_lock

if TYPE_CHECKING:
    import threading

    from mypy_boto3_dynamodb import DynamoDBClient

Writer = BulkWriter | DryWriter | NewTableWriter | BulkPutWriter


@dataclass(frozen=True)
class Calls:
    """What an output calls: `stop` with a reason to end the job, the others as it goes."""

    stop: Callable[[str], object]
    on_unwritten: Callable[[Unwritten], object]
    on_began: Callable[[str], object]
    on_operation: Callable[[str], object]
    on_look: Callable[[], object]


class ImportOutput:
    """Writes nothing before `open`. `fingerprint` is that of the mask secret, `before` the place of before-images, if any.

    `writer` takes the operations. `superseded_rejects` is where the reject file of the run that was given up is now.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        storage: Storage,
        target: TableDescription,
        source: ImportSource,
        config: ImportConfig,
        options: JobOptions,
        done: ImportProgress,
        calls: Calls,
        stopped: "threading.Event",
        *,
        folder: Path,
        fingerprint: str,
        before: str,
        new_table: NewTableWriter | None,
        bulk_put: BulkPut | None,
    ) -> None:
        self._client, self._storage, self._target, self._source = client, storage, target, source
        self._config, self._options, self._done, self._calls = config, options, done, calls
        self._stopped, self._folder, self._fingerprint, self._before = stopped, folder, fingerprint, before
        self._new_table, self._bulk_put = new_table, bulk_put
        self._held = ExitStack()
        self._superseded: Superseded | None = None
        self.superseded_rejects: str | None = None
        self.keeper: BeforeKeeper | None = None
        self.reject_file: RejectFile | None = None
        self.rejects = Rejects(None, options.max_rejects, 0, calls.stop)
        self.writer: Writer = DryWriter()

    @property
    def bulk_put(self) -> BulkPutWriter | None:
        """The writer, if it is one that has AWS put the items into a table that exists."""
        return self.writer if isinstance(self.writer, BulkPutWriter) else None

    @property
    def rate(self) -> WriteRate:
        """How fast the table may be written."""
        return WriteRate(self._target, max_wcu=self._options.max_wcu, share=self._options.share)

    @property
    def _starts_over(self) -> bool:
        return self._options.restart and not self._new_table

    def check(self) -> None:
        """Raises RejectFileError for a file in which there may be rows that this run does not look at.

        Raises WriterStoppedError if the run that this one does not continue has a bulk put that goes on.
        """
        place = self._place()
        if self._starts_over:
            inputs = {file.uri for file in self._source.inputs}
            self._superseded = Superseded.of(place, self._done.given_up(), inputs)
        if self._superseded is None:
            place.check(self._done.run)
        if self._starts_over:
            given_up = self._done.given_up_bulk_put()
            check_ended(self._client, given_up)
            if given_up and self._bulk_put:
                delete_staged(self._storage, given_up.input)

    def open_dry(self, types: Types) -> None:
        """Takes operations, checks them as the real writer would, and writes nothing."""
        self.writer = self._new_table or self._bulk_put_writer(types) or self.writer

    def open(self, types: Types) -> None:
        """Opens everything. Raises RejectFileError, BeforeImagesError, LockError and CheckpointError."""
        if not self._new_table:
            self._note_beginning()
        if self._starts_over:
            self._done.remove()  # first: a run that is killed here must not be resumed without its reject file
            if self._superseded:
                self.superseded_rejects = self._superseded.move()
        heading = Heading.of(
            self._done.run,
            self._target,
            self._source.format,
            types=types,
            settings=self._config.model_dump(exclude_unset=True),
            mask_secret=self._fingerprint,
        )
        hidden, masked = hidden_columns(self._config), masked_columns(self._config)
        self.reject_file = RejectFile(self._place(), heading, self._done.settled, hidden, masked)
        self.rejects = Rejects(self.reject_file, self._options.max_rejects, self.reject_file.kept, self._calls.stop)
        self.writer = self._new_table or self._bulk_put_writer(types) or self._bulk_writer()
        self.save(types)  # from now on a run that is killed finds its reject file and its before-images again
        if self.keeper:
            self.keeper.begin()
            self.save(types)
        self.rejects.check_before()

    def begin(self) -> None:
        """What a writer does before the first item. Raises StorageError."""
        if self.bulk_put:
            self.bulk_put.begin()

    def end(self, all_operations: Callable[[], Iterable[Operation]]) -> None:
        """Waits until everything is written, and makes all of it durable. `all_operations` are those of all rows.

        Raises what the writer raises, RejectFileError and BeforeImagesError.
        """
        self.writer.close()
        if self.bulk_put and self.bulk_put.failed:
            for unwritten in failed_rows(self.bulk_put.failed, all_operations()):
                self._calls.on_unwritten(unwritten)
        if self.reject_file is not None:
            self.reject_file.sync()  # before the checkpoint goes
        if self.keeper:
            self.keeper.complete()
        if self.bulk_put:
            self.bulk_put.discard()  # before the checkpoint goes, which knows where the items are staged

    def finish(self, types: Types, *, complete: bool) -> None:
        """Closes everything, also after an error, and saves what a resumed job needs."""
        if self.reject_file is None:
            return
        if complete:
            self._done.remove()
        else:
            with suppress(DdbAssetsError):  # the caller has the reason already
                self.writer.stop("the job has ended")
                self.writer.close()
            with suppress(DdbAssetsError):  # such as a full disk: what was saved before stays true
                self.save(types)
        self.reject_file.close()

    def save(self, types: Types) -> None:
        """Saves how far the job is. A table that is only made at the end has nothing to resume."""
        if self.reject_file is None or self._new_table:
            return
        positions = self._done.positions()
        if self.bulk_put:
            positions, self._done.bulk_put = {}, self.bulk_put.state  # no row is settled before all are
        self._done.kept = self.keeper.kept if self.keeper else None
        self.reject_file.sync()  # after the positions were taken: the rows rejected before them must be durable
        self._done.save(positions, types)

    def close(self) -> None:
        """Releases the lock of before-images."""
        self._held.close()

    def _bulk_writer(self) -> BulkWriter:
        return BulkWriter(
            self._client,
            self._target,
            rate=self.rate,
            in_flight=self._options.in_flight,
            deadline=self._options.deadline,
            on_unwritten=self._calls.on_unwritten,
            on_settled=_settle,
            before=self.keeper.keep if self.keeper else lambda _: None,
        )

    def _bulk_put_writer(self, types: Types) -> BulkPutWriter | None:
        if self._bulk_put is None:
            return None
        units = self.rate.units_per_second
        return BulkPutWriter(
            self._bulk_put,
            self._storage,
            self._target,
            self._done.bulk_put,
            lambda: self.save(types),
            units=None if units is None else int(units),
            unanswered=self._options.deadline,
            on_look=self._calls.on_look,
            on_operation=self._calls.on_operation,
            dry=self._options.dry_run,
        )

    def _note_beginning(self) -> None:
        """The time before the first write, and the place of before-images. Raises BeforeImagesError and LockError."""
        if self._done.types is None:  # not resumed
            self._done.began = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1)
        if self._done.began is None:  # resumed from an earlier version's checkpoint, which has neither
            return
        if self._before:
            self.keeper = self._before_keeper(self._done.began)
        self._calls.on_began(shown(self._done.began))

    def _before_keeper(self, began: datetime) -> BeforeKeeper:
        run, target, client = self._done.run, self._target, self._client
        self._held.enter_context(undoing_lock(self._folder, target.name, run))
        region, source, mode = client.meta.region_name, self._source.uri, self._config.mode
        heading = BeforeHeading.of(target, run=run, region=region, source=source, mode=mode, began=began)
        reader = consistent_reader(client, target, self._stopped, self._options.deadline)
        place = before_place(self._before, target.name, run)
        return BeforeKeeper(self._storage, place, heading, target, reader, kept=self._done.kept)

    def _place(self) -> RejectPlace:
        name = f"{self._target.name}-{self._done.run}"
        return RejectPlace.of(self._options.rejects, self._folder, name, self._storage)


def _settle(tokens: Sequence[Any]) -> None:
    for token in tokens:
        token.watermark.settle([token.row.number])


def shown(moment: datetime) -> str:
    """A time as reports show it."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
