"""Flattens an export to typed Parquet: reads blocks in parallel, writes parts and quarantined lines, and the report last.

This module runs the threads of one process, and starts again when the schema has changed. `file_flattener.py` flattens the
files, `conclusion.py` makes the report. No dagster, no boto3: a `Storage` gives access to files. Memory use is a few blocks and
one part per relation; it does not depend on the size of the export.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddb_assets.aws.owned_folder import OwnedFolder, normalized
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.report import Part, Report
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import DataFile, Export
from ddb_assets.flatten import fast_path, output
from ddb_assets.flatten.conclusion import conclude, empty_relations
from ddb_assets.flatten.file_flattener import FileFlattener, FlattenBlock
from ddb_assets.flatten.inputs import Inputs
from ddb_assets.flatten.output import UNREAD, FlattenError
from ddb_assets.flatten.part_writer import Written
from ddb_assets.flatten.parts import align
from ddb_assets.flatten.profile import Seen, profile_document
from ddb_assets.flatten.rules import Rules
from ddb_assets.flatten.schema import Schema, SchemaChange
from ddb_assets.flatten.schema_store import SchemaStore, begin
from ddb_assets.flatten.visible import visible
from ddb_assets.logs import about

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5


@dataclass(frozen=True)
class Flattened:
    """The report, the schema version that the rows were written with, and what was seen in the items."""

    report: Report
    schema: Schema
    profile: Seen

    @property
    def changes(self) -> tuple[SchemaChange, ...]:
        """What this export changed in the schema; empty if an earlier version of the schema was enough."""
        return tuple(change for change in self.schema.changes if change.export_id == self.report.export_id)


def flatten(
    storage: "Storage",
    export: Export,
    *,
    table: Table,
    key: KeySchema,
    out: str,
    schemas: SchemaStore | None = None,
    restart: bool = False,
    workers: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Flattened:
    """Flattens an export into the folder `out` (local or s3://) and replaces the result of an earlier run there.

    Writes `<relation>/part-*.parquet` and `_quarantine/*.jsonl`. Once they are complete and all counts agree, it writes
    `report.json`, then `schema.json` and `profile.json`, and deletes the previous content. A run that fails before its
    report leaves the folder as it was. After the report the new content is valid; the next run deletes what is left over.

    The schema comes from `schemas` and is stored there when it has grown; without a store it is inferred. `restart` starts a
    new history of schema documents and ignores the stored key, masks and columns. `on_progress` gets the number of lines
    just done, from any thread.

    Raises FolderError for a folder with files of others, SchemaError for a stored schema that does not match this run,
    FlattenError for counts that do not agree, ManifestError for a damaged data file.
    """
    started, of = time.monotonic(), about(table.name, export.id)
    if fast_path.kernel is None:
        logger.warning(fast_path.SLOW, extra=of)
    out = normalized(out, sources(export))
    start: Schema | None = None
    before: Schema | None = None
    looked_at = Seen()
    for _ in range(MAX_ATTEMPTS):
        stored = schemas.latest(table.name) if schemas else None
        if stored != before:
            start = None  # another run has stored a version in the meantime: start from that
        before = stored
        with output.attempt(storage, out) as folder:
            rules, begun = Rules.of(table, key.attributes), begin(table, key, export)
            inputs = Inputs.of(export, rules, begun=begun, stored=stored, start=start, restart=restart)
            run = _Run(storage, inputs, folder, workers or os.cpu_count() or 1, looked_at, on_progress)
            if run.work():
                report = run.report(started)
                folder.check()
                if schemas is None or run.schema == stored or schemas.publish(run.schema):
                    seen = visible(run.files.tally.seen, table)
                    return finished(folder, schemas, report, run.schema, seen, run.spilled)
            else:
                start = run.schema  # a new column, not stored yet, turned out to be another one
            folder.give_up()
            logger.info("table %s: its schema has changed, flattening export %s again", table.name, export.id, extra=of)
    raise FlattenError(
        f"table {table.table}: its schema still changed after {MAX_ATTEMPTS} attempts, because other runs store versions of "
        "it or types change within the export: run this again"
    )


def sources(export: Export) -> set[str]:
    """The folders that an export is read from, which no output may touch."""
    return {export.uri, *(file.uri.rpartition("/")[0] for file in export.files)}


def finished(
    folder: OwnedFolder,
    schemas: SchemaStore | None,
    report: Report,
    schema: Schema,
    seen: Seen,
    spilled: Iterable[str] = (),
    files: bytes = b"",
) -> Flattened:
    """Makes the new content of the folder valid. `seen` has nothing that the contract hides; `files` lists the data files."""
    profile = profile_document(report.export_id, seen)
    if schemas:
        schemas.keep_profile(report.name, profile)
    output.finish(folder, report, schema, profile, spilled, files)
    logger.info(
        "table %s: export %s flattened to %s, %d items, %d quarantined, schema version %d",
        report.name,
        report.export_id,
        folder.uri,
        report.items_in_manifest,
        report.quarantined,
        schema.version,
        extra=report.about,
    )
    return Flattened(report, schema, seen)


class _Run:
    """One attempt of `flatten` in this process, by as many readers as workers, so no core waits for gunzip.

    There are at most two blocks per worker: one that is being flattened, and one that is being read or waits for a slot.
    `looked_at` is what was seen in samples in all attempts; a later one may need no samples, and they name the examples.
    """

    def __init__(
        self,
        storage: "Storage",
        inputs: Inputs,
        folder: OwnedFolder,
        workers: int,
        looked_at: Seen,
        on_progress: Callable[[int], None] | None,
    ) -> None:
        self.storage, self.inputs, self.folder, self.workers, self.looked_at = (
            storage,
            inputs,
            folder,
            workers,
            looked_at,
        )
        self.files = FileFlattener(
            storage, inputs, new=folder.new, named=folder.named, on_spill=self._spilled, on_progress=on_progress
        )
        self.schema = inputs.first
        self.spilled: list[str] = []

    def work(self) -> bool:
        """Flattens all files. False when the rows are not those of the final schema: then all must be done again."""
        slots = threading.BoundedSemaphore(self.workers)
        with ThreadPoolExecutor(self.workers) as flatteners, ThreadPoolExecutor(self.workers) as readers:

            def submit(work: FlattenBlock, block: bytes, first: int, file: DataFile, name: str) -> Future[int]:
                slots.acquire()
                future = flatteners.submit(work, block, first, file, name)
                future.add_done_callback(lambda _: slots.release())
                return future

            reading = [
                readers.submit(self.files.file, number, file, submit)
                for number, file in enumerate(self.inputs.export.files)
            ]
            for future in reading:
                future.result()
        self.files.key_check.finish()
        tally = self.files.tally
        self.looked_at.merge(tally.looked_at)
        tally.seen.name_examples(self.looked_at)
        tally.seen.take_samples(self.looked_at)
        self.schema, same = self.inputs.final(self.files.schema, tally.seen)
        if not same or not self._align():
            return False
        self.schema = self.inputs.version(self.schema)
        return True

    def _spilled(self, uri: str) -> None:
        self.folder.wrote(uri)
        self.spilled.append(uri)

    def _align(self) -> bool:
        """Gives all parts the columns of the final schema, one part at a time per worker; False when that is impossible."""
        final = {relation.name: relation for relation in self.inputs.relations(self.schema)}
        compression = self.inputs.table.warehouse.compression

        def aligned(written: Written) -> Part | None:
            wanted = final.get(written.relation.name)
            return align(self.storage, written.part, written.relation, wanted, compression)

        parts = self.files.parts.finish()
        with ThreadPoolExecutor(self.workers) as pool:
            for written, part in zip(parts, pool.map(aligned, parts), strict=True):
                if part is None:
                    pool.shutdown(cancel_futures=True)
                    return False
                written.part = part
        return True

    def report(self, started: float) -> Report:
        """The report. Raises FlattenError when the numbers of items, lines, rows and quarantined lines do not agree."""
        parts: dict[str, list[Part]] = {}
        for written in sorted(self.files.parts.written, key=lambda w: w.part.uri):
            parts.setdefault(written.relation.name, []).append(written.part)
        relations = [
            relation.with_parts(parts.get(relation.name, [])) for relation in empty_relations(self.schema, self.inputs)
        ]
        unread_uri = self.folder.new(UNREAD, "keys.parquet")
        return conclude(
            self.storage,
            self.inputs,
            self.schema,
            self.files.tally,
            relations,
            unread_uri=unread_uri,
            started=started,
        )
