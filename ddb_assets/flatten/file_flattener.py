"""Flattens data files: reads their blocks, and hands the rows to parts and the bad lines to quarantine files.

One process flattens all files with one `FileFlattener` and many threads; a task of a cluster flattens one file with one of
its own. `block.py` turns the lines of a block into rows, `part_writer.py` writes rows as parts, `infer.py` decides on columns.
"""

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from ddb_assets.exports.data_file import check_lines, read_blocks
from ddb_assets.exports.manifest import DataFile
from ddb_assets.flatten import fast_path
from ddb_assets.flatten.arrow_types import arrow_schema
from ddb_assets.flatten.block import Batch, BlockReader
from ddb_assets.flatten.infer import extend
from ddb_assets.flatten.inputs import Inputs
from ddb_assets.flatten.key_check import KeyCheck
from ddb_assets.flatten.output import QUARANTINE, SPILL
from ddb_assets.flatten.part_writer import PartWriter
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.quarantine import quarantine_line, write_quarantine
from ddb_assets.flatten.record import times
from ddb_assets.flatten.same_columns import same_columns
from ddb_assets.flatten.schema import Schema
from ddb_assets.flatten.tally import Tally, reasons_of

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

BLOCK_BYTES = 4 << 20

FlattenBlock = Callable[[bytes, int, DataFile, str], int]
"""Flattens a block; takes the number of its first line, its file and its name, and returns the number of its lines."""


class Submit(Protocol):
    """Has a block flattened, at once or by another thread."""

    def __call__(
        self, work: FlattenBlock, block: bytes, first: int, file: DataFile, name: str, /
    ) -> "Future[int]": ...  # as `Executor.submit`


def at_once(work: FlattenBlock, block: bytes, first: int, file: DataFile, name: str) -> "Future[int]":
    """Flattens a block in this thread."""
    done: Future[int] = Future()
    done.set_result(work(block, first, file, name))
    return done


def _ignored(_: str) -> None: ...


class FileFlattener:
    """What some files of one attempt are flattened to. The lock guards everything that changes.

    `new` returns the URI of a new file for its folder and name, `named` that of a file whose name is fixed; `on_spill` gets
    the URI of each text that was written to a file of its own. With `fixed`, rows are for `inputs.first` alone: once a block
    needs other columns, no more files are written, and the rest is only looked at. Safe from several threads.
    """

    def __init__(
        self,
        storage: "Storage",
        inputs: Inputs,
        *,
        new: Callable[[str, str], str],
        named: Callable[[str], str],
        on_spill: Callable[[str], None] = _ignored,
        fixed: bool = False,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self.storage, self.inputs, self.on_progress = storage, inputs, on_progress
        self._new, self._named, self._on_spill, self._fixed = new, named, on_spill, fixed
        self.rules = replace(inputs.rules, spill=self._spill)
        self.schema = inputs.first
        self.key_check = KeyCheck(inputs.export.uri, inputs.rules.key, incremental=inputs.incremental)
        self.reader = BlockReader(inputs.incremental, times(inputs.export), self.rules, self._grow, self.key_check.look)
        self.lock = threading.Lock()
        self.failed = threading.Event()
        self.parts = PartWriter(storage, new, inputs.table.warehouse, inputs.export.item_count)
        self.tally = Tally()
        self.outgrown = False
        """Whether a block has other rows than with `inputs.first`; only looked after with `fixed`."""

    def file(self, number: int, file: DataFile, submit: Submit = at_once) -> None:
        """Flattens a file, the `number`th of the export. Raises ManifestError for a damaged one."""
        blocks: list[Future[int]] = []
        first = 1
        try:
            blocks_read = read_blocks(
                self.storage, file, block_bytes=BLOCK_BYTES, count_newlines=fast_path.count_newlines
            )
            for block_number, (block, newlines) in enumerate(blocks_read):
                if self.failed.is_set():
                    break
                blocks.append(submit(self._block, block, first, file, f"{number:05d}-{block_number:05d}"))
                first += newlines
            lines = sum(future.result() for future in blocks)
            if not self.failed.is_set():
                check_lines(file, lines)
        except BaseException:
            self.failed.set()
            raise

    def _block(self, block: bytes, first: int, file: DataFile, name: str) -> int:
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
        if not self.outgrown:
            self.parts.add(batch.relations, batch.rows, batch.lines, name)
        lines = [quarantine_line(file, line, self.inputs.table) for line in batch.quarantined]
        written = None
        if lines and not self.outgrown:
            written = write_quarantine(self.storage, self._new(QUARANTINE, f"{name}.jsonl"), lines)
        with self.lock:
            self.tally.add(batch)
            self.tally.add_quarantine(written, reasons_of(name, file, lines))
        if self.on_progress:
            self.on_progress(batch.lines)

    def _grow(self, schema: Schema, seen: Seen) -> Schema:
        """Grows the schema by what was seen in a block; returns `schema` itself if it already has everything."""
        with self.lock:
            self.tally.looked_at.merge(seen)
            grown = extend(self.schema, seen, self.inputs.table, self.inputs.export.id)
            if self._fixed and grown is not self.schema and not self.outgrown:
                self.outgrown = not same_rows(grown, self.inputs.first, self.inputs)
            self.schema = grown
            return schema if self.schema.root == schema.root else self.schema

    def _spill(self, text: str) -> str:
        """Writes a text to a separate file, once, and returns `<uri>#<sha256>`."""
        data = text.encode()
        name = hashlib.sha256(data).hexdigest()
        uri = self._named(f"{SPILL}/{name}.txt")
        if not self.outgrown and self.storage.create(uri, data):
            self._on_spill(uri)
        return f"{uri}#{name}"


def same_rows(one: Schema, other: Schema, inputs: Inputs) -> bool:
    """Whether rows and parts that were made with one schema are those of the other as they are."""
    return same_columns(one, other) and _layout(one, inputs) == _layout(other, inputs)


def _layout(schema: Schema, inputs: Inputs) -> list[tuple[str, pa.Schema]]:
    return [(relation.name, arrow_schema(relation)) for relation in inputs.relations(schema)]
