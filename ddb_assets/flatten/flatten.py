"""Flattens an export to typed Parquet: reads blocks in parallel, writes parts and quarantined lines, and the report last.

This module moves the data: files, threads, the output folder, and the counts that must agree. `block.py` turns the lines of
a block into rows, `part_writer.py` writes rows as parts, `infer.py` decides on columns. No dagster, no boto3: a `Storage`
gives access to files. Memory use is a few blocks and one part per relation; it does not depend on the size of the export.
"""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from ddb_assets.aws.owned_folder import OwnedFolder, normalized
from ddb_assets.contract.identity import Identity
from ddb_assets.contract.report import Part, Relation, Report
from ddb_assets.contract.table import KeySchema, Table
from ddb_assets.exports.data_file import check_lines, read_blocks
from ddb_assets.exports.manifest import DataFile, Export
from ddb_assets.flatten import fast_path, output
from ddb_assets.flatten.agreement import check_agreement, check_identity, check_table
from ddb_assets.flatten.block import Batch, BlockReader
from ddb_assets.flatten.declared import with_declared
from ddb_assets.flatten.hidden import hidden_columns
from ddb_assets.flatten.infer import agreed, decided, extend
from ddb_assets.flatten.key_check import KeyCheck
from ddb_assets.flatten.output import QUARANTINE, SPILL, UNREAD, FlattenError
from ddb_assets.flatten.part_writer import PartWriter, Written
from ddb_assets.flatten.parts import align
from ddb_assets.flatten.profile import Seen, profile_document
from ddb_assets.flatten.quarantine import quarantine_line
from ddb_assets.flatten.record import times
from ddb_assets.flatten.rules import Misfits, Rules, add_misfits
from ddb_assets.flatten.schema import Schema, SchemaChange
from ddb_assets.flatten.schema_store import SchemaStore, begin, next_version
from ddb_assets.flatten.unread import MAX_UNREAD, UnreadKey, has_no_row, write_unread
from ddb_assets.flatten.visible import visible

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

logger = logging.getLogger(__name__)

BLOCK_BYTES = 4 << 20
MAX_ATTEMPTS = 5
REASONS, REASON_LENGTH = 3, 300
MAX_UNKNOWN, OTHERS = 50, "others"  # so many names of unknown members are counted separately


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
    started = time.monotonic()
    if fast_path.kernel is None:
        logger.warning(fast_path.SLOW)
    out = normalized(out, {export.uri, *(file.uri.rpartition("/")[0] for file in export.files)})
    start: Schema | None = None
    before: Schema | None = None
    for _ in range(MAX_ATTEMPTS):
        stored = schemas.latest(table.name) if schemas else None
        if stored != before:
            start = None  # another run has stored a version in the meantime: start from that
        before = stored
        with output.attempt(storage, out) as folder:
            run = _Run(storage, export, table, key, folder, stored, start, on_progress, restart=restart)
            if run.work(workers or os.cpu_count() or 1):
                report = run.report(started)
                folder.check()
                if schemas is None or run.schema == stored or schemas.publish(run.schema):
                    seen = visible(run.seen, table)
                    profile = profile_document(report.export_id, seen)
                    if schemas:
                        schemas.keep_profile(table.name, profile)
                    output.finish(folder, report, run.schema, profile, run.spilled)
                    logger.info(
                        "table %s: export %s flattened to %s, %d items, %d quarantined, schema version %d",
                        table.name,
                        export.id,
                        out,
                        report.items_in_manifest,
                        report.quarantined,
                        run.schema.version,
                    )
                    return Flattened(report, run.schema, seen)
            else:
                start = run.schema  # a new column, not stored yet, turned out to have another type
            folder.give_up()
            logger.info("table %s: its schema has changed, flattening export %s again", table.name, export.id)
    raise FlattenError(
        f"table {table.table}: its schema still changed after {MAX_ATTEMPTS} attempts, because other runs store versions of "
        "it or types change within the export: run this again"
    )


class _Run:
    """The state of one attempt of `flatten`, shared by its threads. The lock guards everything that changes."""

    def __init__(
        self,
        storage: "Storage",
        export: Export,
        table: Table,
        key: KeySchema,
        folder: OwnedFolder,
        stored: Schema | None,
        start: Schema | None,
        on_progress: Callable[[int], None] | None,
        *,
        restart: bool,
    ) -> None:
        if stored:
            check_table(stored, export, table)
        rules = Rules.of(table, key.attributes, self._spill)
        self.stored = None if restart else stored
        self.last_version = stored.version if stored else 0
        known = self.stored and self.stored.model_copy(update={"changes": ()})
        schema = start or known or begin(table, key, export)
        self.identity = Identity.of(table, key.attributes, rules.secret, schema.id)
        if self.stored:
            check_identity(self.stored, self.identity, table)
            check_agreement(self.stored, table, full=export.kind == "full")
        self.start = schema
        self.schema = agreed(schema, table, export.id).model_copy(update={"identity": self.identity})
        self.storage, self.export, self.table, self.folder = storage, export, table, folder
        self.on_progress = on_progress
        self.incremental = export.kind == "incremental"
        self.spilled: list[str] = []
        self.key_check = KeyCheck(export.uri, key.attributes, incremental=self.incremental)
        self.reader = BlockReader(self.incremental, times(export), rules, self._grow, self.key_check.look)
        self.lock = threading.Lock()
        self.failed = threading.Event()
        self.parts = PartWriter(storage, folder.new, table.warehouse, export.item_count)
        self.quarantine: list[str] = []
        self.reasons: list[tuple[str, int, str]] = []
        self.unread: list[UnreadKey] = []
        self.unknown: dict[str, int] = {}
        self.seen, self.looked_at = Seen(), Seen()
        self.misfits = Misfits()
        self.lines = self.deletes = self.quarantined = self.bytes_raw = 0

    def work(self, workers: int) -> bool:
        """Reads all files and flattens all blocks. There are as many readers as workers, so no core waits for gunzip.

        There are at most two blocks per worker: one that is being flattened, and one that is being read or waits for a slot.
        Returns False when parts have columns that the schema no longer has: then everything must be done again.
        """
        slots = threading.BoundedSemaphore(workers)
        with ThreadPoolExecutor(workers) as flatteners, ThreadPoolExecutor(workers) as readers:
            reading = [
                readers.submit(self._read, number, file, flatteners, slots)
                for number, file in enumerate(self.export.files)
            ]
            for future in reading:
                future.result()
        self.key_check.finish()
        self.seen.name_examples(self.looked_at)
        grown = extend(self.schema, self.seen, self.table, self.export.id)  # by all values, not only by samples
        self.schema = decided(grown, self.start, self.table)
        if not self._align(workers):
            return False
        if self.stored and self.stored.root == self.schema.root and self.identity.matches(self.stored.identity):
            self.schema = self.stored
        else:
            self.schema = next_version(self.schema, self.last_version)
        return True

    def _align(self, workers: int) -> bool:
        """Gives all parts the columns of the final schema, one part at a time per worker; False when that is impossible."""
        hashed = bool(self.table.history)
        relations = self.schema.relations(incremental=self.incremental, hashed=hashed)
        final = {relation.name: relation for relation in relations}
        compression = self.table.warehouse.compression

        def aligned(written: Written) -> Part | None:
            wanted = final.get(written.relation.name)
            return align(self.storage, written.part, written.relation, wanted, compression)

        parts = self.parts.finish()
        with ThreadPoolExecutor(workers) as pool:
            for written, part in zip(parts, pool.map(aligned, parts), strict=True):
                if part is None:
                    pool.shutdown(cancel_futures=True)
                    return False
                written.part = part
        return True

    def _read(self, number: int, file: DataFile, pool: ThreadPoolExecutor, slots: threading.BoundedSemaphore) -> None:
        blocks: list[Future[int]] = []
        first = 1
        try:
            blocks_read = read_blocks(
                self.storage, file, block_bytes=BLOCK_BYTES, count_newlines=fast_path.count_newlines
            )
            for block_number, (block, newlines) in enumerate(blocks_read):
                slots.acquire()
                if self.failed.is_set():
                    slots.release()
                    break
                future = pool.submit(self._flatten, block, first, file, f"{number:05d}-{block_number:05d}")
                future.add_done_callback(lambda _: slots.release())
                blocks.append(future)
                first += newlines
            lines = sum(future.result() for future in blocks)
            if not self.failed.is_set():
                check_lines(file, lines)
        except BaseException:
            self.failed.set()
            raise

    def _flatten(self, block: bytes, first: int, file: DataFile, name: str) -> int:
        """Flattens a block; returns the number of its lines."""
        lines = 0
        try:
            if not self.failed.is_set():
                for place, batch in enumerate(self.reader.read(block, first, self.schema)):
                    self._keep(batch, file, f"{name}-{place:05d}" if place else name)
                    lines += batch.lines
        except BaseException:
            self.failed.set()  # so that no further block is read
            raise
        return lines

    def _keep(self, batch: Batch, file: DataFile, name: str) -> None:
        """Hands the rows to the parts, writes the quarantined lines, and counts all of them."""
        self.parts.add(batch.relations, batch.rows, batch.lines, name)
        lines = [quarantine_line(file, line, self.table) for line in batch.quarantined]
        if lines:
            uri = self.folder.new(QUARANTINE, f"{name}.jsonl")
            self.storage.write(uri, b"".join(lines))
        with self.lock:
            self.quarantine += [uri] if lines else []
            self.reasons = sorted([*self.reasons, *_reasons(name, file, lines[:REASONS])])[:REASONS]
            self._count(batch)
        if self.on_progress:
            self.on_progress(batch.lines)

    def _count(self, batch: Batch) -> None:
        self.lines += batch.lines
        self.deletes += batch.deletes
        self.quarantined += len(batch.quarantined)
        self.unread += batch.unread[: MAX_UNREAD - len(self.unread)]
        for member, times_seen in batch.unknown.items():
            name = member if member in self.unknown or len(self.unknown) < MAX_UNKNOWN else OTHERS
            self.unknown[name] = self.unknown.get(name, 0) + times_seen
        add_misfits(self.misfits, batch.misfits)
        self.bytes_raw += batch.bytes
        self.seen.merge(batch.seen)

    def _grow(self, schema: Schema, seen: Seen) -> Schema:
        """Grows the run's schema by what was seen in a block; returns `schema` itself if it already has everything."""
        with self.lock:
            self.looked_at.merge(seen)
            self.schema = extend(self.schema, seen, self.table, self.export.id)
            return schema if self.schema.root == schema.root else self.schema

    def _spill(self, text: str) -> str:
        """Writes a text to a separate file, once, and returns `<uri>#<sha256>`."""
        data = text.encode()
        name = hashlib.sha256(data).hexdigest()
        uri = self.folder.named(f"{SPILL}/{name}.txt")
        if self.storage.create(uri, data):
            self.folder.wrote(uri)
            self.spilled.append(uri)
        return f"{uri}#{name}"

    def _unread(self, root: Relation, found: list[UnreadKey]) -> Relation | None:
        """Writes the keys of quarantined items as a relation with one part; None when there are none."""
        uri = self.folder.new(UNREAD, "keys.parquet")
        return write_unread(self.storage, uri, root, self.schema.root, self.reader.rules, found)

    def report(self, started: float) -> Report:
        """The report. Raises FlattenError when the numbers of items, lines, rows and quarantined lines do not agree."""
        parts: dict[str, list[Part]] = {}
        for written in sorted(self.parts.written, key=lambda w: w.part.uri):
            parts.setdefault(written.relation.name, []).append(written.part)
        relations = tuple(
            relation.with_parts(parts.get(relation.name, []))
            for relation in with_declared(self.schema, self.table, incremental=self.incremental)
        )
        rows = relations[0].rows
        if not self.export.item_count == self.lines == rows + self.quarantined:
            raise FlattenError(
                f"export {self.export.id}: {self.export.item_count} items in the manifest, {self.lines} lines read, "
                f"{rows} rows and {self.quarantined} quarantined: these must agree, so nothing was replaced; "
                "export again, and report it if it happens again"
            )
        unread = [key for key in self.unread if not has_no_row(key, self.reader.rules)]
        return Report(
            table=self.table.table,
            name=self.table.name,
            table_arn=self.export.table_arn,
            table_id=self.export.table_id,
            export_id=self.export.id,
            export_arn=self.export.arn,
            export_type="INCREMENTAL_EXPORT" if self.incremental else "FULL_EXPORT",
            export_time=self.export.export_time,
            from_time=self.export.from_time,
            to_time=self.export.to_time,
            digest=self.identity.digest(self.export.digest),
            identity=self.identity,
            schema_version=self.schema.version,
            items_in_manifest=self.export.item_count,
            lines_read=self.lines,
            rows={relation.name: relation.rows for relation in relations},
            deletes=self.deletes,
            quarantined=self.quarantined,
            extra_values=sum(times for (what, _), times in self.misfits.items() if what in {"extra", "frozen"}),
            misfits=_by_kind(self.misfits),
            hidden=hidden_columns(self.schema, self.table),
            bytes_raw=self.bytes_raw,
            bytes_parquet=sum(part.bytes for relation in relations for part in relation.parts),
            seconds=round(time.monotonic() - started, 3),
            relations=relations,
            quarantine=tuple(sorted(self.quarantine)),
            reasons=tuple(text for _, _, text in self.reasons),
            unread=self._unread(relations[0], unread),
            without_row=len(self.unread) - len(unread),
            unknown_members=dict(sorted(self.unknown.items())),
            scan=self.export.scan,
            old_images=bool(self.table.history) and self.export.view == "NEW_AND_OLD_IMAGES",
        )


def _reasons(name: str, file: DataFile, lines: list[bytes]) -> list[tuple[str, int, str]]:
    """(block, line, text) of quarantine lines, for the reasons in the report. They have no values that the contract hides."""
    entries = [orjson.loads(line) for line in lines]
    found = file.uri.rpartition("/")[2]
    return [(name, one["line"], f"{found} line {one['line']}: {one['reason'][:REASON_LENGTH]}") for one in entries]


def _by_kind(misfits: Misfits) -> dict[str, dict[str, int]]:
    by_kind: dict[str, dict[str, int]] = {}
    for (what, path), count in sorted(misfits.items()):
        by_kind.setdefault(what, {})[path] = count
    return by_kind
