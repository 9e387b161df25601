"""Data files written again, in one commit: few in the place of many, or without rows that nobody needs any more.

Files are read one by one and rows are written as they come, so memory does not grow with the table. Nothing changes if
somebody else has changed the table first: pyiceberg does not try the commit again, because two who write the same
files again would leave their rows twice.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.table import FileScanTask, Table

from ddb_assets.iceberg.errors import IcebergError
from ddb_assets.iceberg.properties import ONE_ATTEMPT
from ddb_assets.iceberg.writing import commit, transaction, writing


@dataclass(frozen=True)
class Rewritten:
    """What was written again: files and bytes before and after, and the rows that were left out."""

    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    left_out: int = 0


NOTHING = Rewritten()


def rewrite(
    table: Table,
    tasks: Sequence[FileScanTask],
    summary: Mapping[str, str],
    *,
    without: Callable[[pa.RecordBatch], pa.RecordBatch] | None = None,
    expected: int = 0,
) -> Rewritten:
    """Writes the rows of these files again, in their order; `without` takes rows out, exactly so many as `expected`.

    The files are in the order of the table's partitions, if it has any. If no row is taken out and there would not be fewer
    files, nothing is changed and NOTHING is returned. Raises IcebergError when the rows are not as many as they should be, and
    what pyiceberg raises when somebody else has changed the table; nothing is changed then.
    """
    if not tasks:
        return NOTHING
    old = [task.file for task in tasks]
    whole = sum(file.record_count for file in old)
    once = _once(table)
    staged, read = transaction(once), 0
    with writing(once, staged, in_order=True) as writer:
        for batch in batches(once, tasks):
            read += batch.num_rows
            writer.add(without(batch) if without else batch)
        new = writer.finish()
        written = sum(file.record_count for file in new)
        # guard: files are rewritten with all their rows
        if read != whole or written != whole - expected:
            raise IcebergError(
                f"{'.'.join(table.name())}: {read} rows were read of {whole}, {expected} of them were to be left out, and "
                f"{written} were written: nothing was changed"
            )
        if written == whole and len(new) >= len(old):
            writer.discard()
            return NOTHING
        commit(staged, new, old, summary)
    table.refresh()
    return Rewritten(len(old), len(new), sum(file.file_size_in_bytes for file in old), writer.bytes, expected)


def batches(table: Table, tasks: Sequence[FileScanTask], fields: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """The rows of these files, with these fields, or all."""
    wanted = table.schema().select(*fields) if fields else table.schema()
    for task in tasks:
        yield from ArrowScan(table.metadata, table.io, wanted, AlwaysTrue()).to_record_batches([task])


def _once(table: Table) -> Table:
    """The same table, for pyiceberg to try commits once, whatever its properties say."""
    metadata = table.metadata.model_copy(update={"properties": {**table.metadata.properties, **ONE_ATTEMPT}})
    return Table(table.name(), metadata, table.metadata_location, table.io, table.catalog)
