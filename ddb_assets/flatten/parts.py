"""Writes Parquet parts, and rewrites them when the schema has grown after they were written."""

import base64
import hashlib
import io
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from ddb_assets.contract.report import Part, Relation
from ddb_assets.contract.warehouse_options import Compression
from ddb_assets.dynamodb.attribute_value import number_text
from ddb_assets.flatten.arrow_types import arrow_schema
from ddb_assets.flatten.measure import measures

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

DICTIONARY_SAMPLE = 1024


def write_part(storage: "Storage", uri: str, table: pa.Table, compression: Compression) -> Part:
    """Writes one Parquet file in one piece and returns its description."""
    data = _parquet(table, compression)
    storage.write(uri, data)
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    return Part(uri=uri, rows=table.num_rows, bytes=len(data), md5=md5, measures=measures(table))


def _parquet(table: pa.Table, compression: Compression) -> bytes:
    """The table as Parquet, with DECIMAL in the fewest bytes that hold it: the only form that COPY is known to read.

    A dictionary makes a column with few values smaller and one with many values slower to write and larger. Texts have no
    statistics: they cost a fifth of the time, and the items of an export are in no order, so every part has nearly all of a
    column's range.
    """
    buffer = io.BytesIO()
    columns = dict(zip(table.column_names, table.columns, strict=True))
    pq.write_table(
        table,
        buffer,
        compression=compression,
        compression_level=1 if compression == "zstd" else None,  # as small as level 3 for such data, and a third faster
        use_dictionary=[name for name, column in columns.items() if _repeats(column)],
        write_statistics=[name for name, column in columns.items() if not _is_bytes(column.type)],
        store_schema=False,
        version="2.6",
    )
    return buffer.getvalue()


def _repeats(column: pa.ChunkedArray) -> bool:
    """Whether a sample of the column has few distinct values."""
    sample = column.slice(0, DICTIONARY_SAMPLE)
    return len(sample.unique()) <= len(sample) // 2


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def align(
    storage: "Storage", part: Part, written: Relation, final: Relation | None, compression: Compression
) -> Part | None:
    """The part with the columns of the final relation; it is rewritten if its columns differ.

    None when that is impossible: a column with values no longer exists, or its values cannot be cast to its new type.
    """
    wanted = arrow_schema(final) if final else pa.schema([])
    if arrow_schema(written).equals(wanted):  # the order too: COPY loads by position
        return part
    table = pq.read_table(pa.BufferReader(storage.read(part.uri)))
    columns: list[pa.ChunkedArray] = []
    for field in wanted:
        column = table.column(field.name) if field.name in table.column_names else None
        if column is None or column.null_count == table.num_rows:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
        elif (wider := widened(column, field.type)) is not None:
            columns.append(wider)
        else:
            return None
    given_up = (name for name in table.column_names if name not in wanted.names)
    if any(table.column(name).null_count < table.num_rows for name in given_up):
        return None
    return write_part(storage, part.uri, pa.Table.from_arrays(columns, schema=wanted), compression)


def widened(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray | None:
    """The column in a type that keeps every value, by the same steps as in `contract/column_type.py`; else None."""
    if column.type == wanted:
        return column
    numbers = column.cast(pa.decimal128(19)) if pa.types.is_int64(column.type) else column
    if not pa.types.is_decimal(numbers.type):
        return None
    if pa.types.is_decimal(wanted):
        try:
            return numbers.cast(wanted)  # narrower, too: a column may have grown in larger steps than its values need
        except pa.ArrowInvalid:
            return None
    return decimal_texts(numbers) if pa.types.is_string(wanted) else None


def decimal_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The canonical text of each number of a DECIMAL column: a 3.00 is `3`, as in DynamoDB."""
    texts = [None if value is None else number_text(str(value)) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(texts, pa.string())])
