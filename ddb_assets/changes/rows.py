"""The rows of a landing as a table of changes has them: part by part, with the names and types of its fields."""

import base64
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ddb_assets.changes.names import DAY, DIGEST, EXPORT_ID, KIND
from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Part, Relation, Report
from ddb_assets.contract.scan import is_scan
from ddb_assets.flatten.arrow_types import arrow_type
from ddb_assets.flatten.parts import widened
from ddb_assets.flatten.schema import DELETED, VERSION
from ddb_assets.iceberg.errors import IcebergError

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

Targets = dict[str, tuple[str, SqlType]]
"""Column of a relation -> the field that it goes to, and its type."""


def kind(report: Report) -> str:
    """What the rows of a landing are: of a full export, of a window, or of a scan."""
    if is_scan(report.export_id):
        return "scan"
    return "full" if report.is_full else "window"


def batches(storage: "Storage", report: Report, relation: Relation, targets: Targets) -> Iterator[pa.RecordBatch]:
    """The rows; one part at a time is in memory. Raises IcebergError for parts that are not those of the report."""
    for part in relation.parts:
        yield from _fields(_read(storage, relation, part), report, relation, part, targets)


def _read(storage: "Storage", relation: Relation, part: Part) -> pa.Table:
    data = storage.read(part.uri)
    digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    if digest != part.md5:
        raise IcebergError(f"part {part.uri} is damaged, its MD5 is not that of the report: flatten the export again")
    rows = pq.read_table(pa.BufferReader(data))
    names = [column.name for column in relation.columns]
    if rows.num_rows != part.rows or rows.column_names != names:
        raise IcebergError(
            f"part {part.uri} has {rows.num_rows} rows and the columns {', '.join(rows.column_names)}, the report says "
            f"{part.rows} and {', '.join(names)}: flatten the export again"
        )
    return rows


def _fields(
    rows: pa.Table, report: Report, relation: Relation, part: Part, targets: Targets
) -> Iterator[pa.RecordBatch]:
    fields: dict[str, Any] = {}
    for column in relation.columns:
        if column.name not in targets or not column.is_stored:
            continue
        name, type_ = targets[column.name]
        values = rows.column(column.name)
        if values.null_count == rows.num_rows:  # a provisional type is not the field's
            continue
        wide = widened(values, arrow_type(str(type_)))
        if wide is None:
            raise IcebergError(f"column {column.name!r} of part {part.uri} is no {type_}: flatten the export again")
        fields[name] = wide
    fields[DAY] = rows.column(VERSION).cast(pa.timestamp("us")).cast(pa.date32())
    if not relation.path:
        deletes = DELETED in rows.column_names
        fields[DELETED] = rows.column(DELETED) if deletes else pa.repeat(pa.scalar(False), rows.num_rows)
    for name, text in ((KIND, kind(report)), (EXPORT_ID, report.export_id), (DIGEST, report.digest)):
        fields[name] = pa.repeat(pa.scalar(text), rows.num_rows)
    yield from pa.table(fields).combine_chunks().to_batches()
