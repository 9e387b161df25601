"""Data files of a table: rows in, Parquet files with the table's own field ids out, and what a snapshot needs to name them.

Nothing is visible before a snapshot names the files. pyiceberg 0.12 takes a stream of rows only for tables without
partitions, and of a partitioned table all rows at once; so rows are collected here, to files of one partition each.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.io.pyarrow import schema_to_pyarrow, write_file
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import Table, Transaction, WriteTask
from pyiceberg.table.metadata import TableMetadata

if TYPE_CHECKING:
    from pyiceberg.io import FileIO

FILE_BYTES = 128 << 20
"""Of the rows of one file in memory, uncompressed. The file has a fourth to an eighth of that."""


@dataclass
class Rows:
    """Rows of one partition that wait to be written."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    bytes: int = 0


class DataWriter:
    """Writes the data files of one snapshot; at most `FILE_BYTES` of rows wait in memory for each partition.

    The table's partitions, if it has any, are the values of one column. Batches may lack columns, which are NULL then. If
    the rows come `in_order` of the partitions, only those of one partition wait.
    """

    def __init__(self, table: Table, staged: Transaction, *, in_order: bool = False) -> None:
        self._in_order = in_order
        self._io: FileIO = table.io
        self._metadata: TableMetadata = staged.table_metadata
        self._schema = self._metadata.schema()
        self.arrow: pa.Schema = schema_to_pyarrow(self._schema, include_field_ids=False)
        fields = self._metadata.spec().fields
        self._partition = fields[0] if fields else None
        self._name = self._schema.find_column_name(fields[0].source_id) if fields else None
        self._waiting: dict[Any, Rows] = {}
        self._id = uuid.uuid4()
        self.files: list[DataFile] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Takes rows, with the names and types of the table's columns."""
        for value, rows in self._parts(self._complete(batch)):
            if self._in_order and value not in self._waiting:
                self.finish()
            held = self._waiting.setdefault(value, Rows())
            held.batches.append(rows)
            held.bytes += rows.nbytes
            if held.bytes >= FILE_BYTES:
                self._write(value, self._waiting.pop(value))

    def finish(self) -> list[DataFile]:
        """Writes what waits, and returns all files."""
        for value, held in self._waiting.items():
            self._write(value, held)
        self._waiting.clear()
        return self.files

    def discard(self) -> None:
        """Deletes the files, which no snapshot names. What cannot be deleted stays for the removal of orphan files."""
        for file in self.files:
            with suppress(Exception):
                self._io.delete(file.file_path)
        self.files.clear()

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(file.file_size_in_bytes for file in self.files)

    def _complete(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        present = set(batch.schema.names)
        columns = [
            batch.column(one.name).cast(one.type) if one.name in present else pa.nulls(batch.num_rows, one.type)
            for one in self.arrow
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.arrow)

    def _parts(self, batch: pa.RecordBatch) -> Iterator[tuple[Any, pa.RecordBatch]]:
        if not batch.num_rows:
            return
        if self._name is None:
            yield None, batch
            return
        column = batch.column(self._name)
        values = column.unique()
        if len(values) == 1:
            yield values[0].as_py(), batch
            return
        for value in values:
            yield value.as_py(), batch.filter(pc.equal(column, value))

    def _write(self, value: Any, held: Rows) -> None:
        key = None
        if self._partition is not None:
            place = PartitionFieldValue(self._partition, value)
            key = PartitionKey([place], self._metadata.spec(), self._schema)
        task = WriteTask(self._id, len(self.files), self._schema, held.batches, partition_key=key)
        self.files += write_file(self._io, self._metadata, iter([task]))


class _Transaction(Transaction):
    """Works the metadata out once for each change. pyiceberg does so, with a copy of all snapshots, whenever it looks."""

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self._known: tuple[TableMetadata, object, TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        """The table's metadata with the changes so far."""
        before, changes = self._table.metadata, self._updates
        if self._known is None or self._known[0] is not before or self._known[1] is not changes:
            self._known = before, changes, super().table_metadata
        return self._known[2]


def transaction(table: Table) -> Transaction:
    """Changes of a table that are committed together."""
    return _Transaction(table)


@contextmanager
def writing(table: Table, staged: Transaction, *, in_order: bool = False) -> Iterator[DataWriter]:
    """The writer of a transaction, which is committed when the block ends.

    The files are deleted if it is certain that no snapshot names them: when the block fails, or when the catalog refuses the
    commit (CommitFailedException, ValidationException). They stay if nobody knows whether the commit has happened.
    """
    writer = DataWriter(table, staged, in_order=in_order)
    try:
        yield writer
    except BaseException:
        writer.discard()
        raise
    try:
        _committed(staged)
    except (CommitFailedException, ValidationException):
        writer.discard()
        raise


def _committed(staged: Transaction) -> None:
    try:
        staged.commit_transaction()
    except ValueError as error:
        # pyiceberg's answer if somebody else has committed, for a snapshot that no branch gets
        if "sequence number" not in str(error):
            raise
        raise CommitFailedException(str(error)) from error


def commit(
    staged: Transaction,
    new: Iterable[DataFile],
    old: Iterable[DataFile] = (),
    summary: Mapping[str, str] | None = None,
    branch: str | None = "main",
) -> int:
    """Adds one snapshot to a transaction: with the new files, without the old ones. Returns its id.

    With `branch` None, no branch has it: it is there, but nobody reads it until a branch is set to it.
    """
    old = list(old)
    changes = staged.update_snapshot(snapshot_properties=dict(summary or {}), branch=branch)
    producer = changes.overwrite() if old else changes.fast_append()
    with producer as made:
        for file in old:
            made.delete_data_file(file)
        for file in new:
            made.append_data_file(file)
    return made.snapshot_id
