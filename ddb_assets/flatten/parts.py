"""Writes Parquet parts, and rewrites them when the schema has grown after they were written."""

import base64
import hashlib
import io
from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq

from ddb_assets.contract.report import Part, Relation
from ddb_assets.contract.table import Compression
from ddb_assets.flatten.frames import dtypes
from ddb_assets.flatten.measure import measures

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

DICTIONARY_SAMPLE = 4096
_WIDENS = {(pl.Int64, pl.Decimal), (pl.Int64, pl.String), (pl.Decimal, pl.Decimal), (pl.Decimal, pl.String)}
"""The casts that keep every value: the same steps as in `contract/column_type.py`."""


def write_part(storage: "Storage", uri: str, frame: pl.DataFrame, compression: Compression) -> Part:
    """Writes one Parquet file in one piece and returns its description."""
    data = _parquet(frame, compression)
    storage.write(uri, data)
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    return Part(uri=uri, rows=frame.height, bytes=len(data), md5=md5, measures=measures(frame))


def _parquet(frame: pl.DataFrame, compression: Compression) -> bytes:
    """The frame as Parquet, with DECIMAL in the fewest bytes that hold it: the only form that COPY is known to read.

    pyarrow writes it, because polars writes short DECIMALs as integers. A dictionary makes a column with few values smaller
    and one with many values slower to write and larger. Texts have no statistics: they cost a fifth of the time, and the
    items of an export are in no order, so every part has nearly all of a column's range.
    """
    buffer = io.BytesIO()
    pq.write_table(
        frame.to_arrow(),
        buffer,
        compression=compression,
        compression_level=1 if compression == "zstd" else None,  # as small as level 3 for such data, and a third faster
        use_dictionary=[column.name for column in frame if _repeats(column)],
        write_statistics=[column.name for column in frame if column.dtype not in {pl.String, pl.Binary}],
        store_schema=False,
        version="2.6",
    )
    return buffer.getvalue()


def _repeats(column: pl.Series) -> bool:
    """Whether a sample of the column has few distinct values."""
    sample = column.head(DICTIONARY_SAMPLE)
    return sample.n_unique() <= len(sample) // 4


def align(
    storage: "Storage", part: Part, written: Relation, final: Relation | None, compression: Compression
) -> Part | None:
    """The part with the columns of the final relation; it is rewritten if its columns differ.

    None when that is impossible: a column with values no longer exists, or its values cannot be cast to its new type.
    """
    wanted = dtypes(final) if final else {}
    if list(dtypes(written).items()) == list(wanted.items()):  # the order too: COPY loads by position
        return part
    frame = pl.read_parquet(io.BytesIO(storage.read(part.uri)))
    columns: dict[str, pl.Series] = {}
    for name, dtype in wanted.items():
        column = frame.get_column(name) if name in frame.columns else None
        if column is None or column.null_count() == frame.height:
            columns[name] = pl.repeat(None, frame.height, dtype=dtype, eager=True)
        elif column.dtype == dtype or (column.dtype.base_type(), dtype.base_type()) in _WIDENS:
            columns[name] = decimal_texts(column) if dtype == pl.String else column.cast(dtype)
        else:
            return None
    given_up = (name for name in frame.columns if name not in wanted)
    if any(frame.get_column(name).null_count() < frame.height for name in given_up):
        return None
    return write_part(storage, part.uri, pl.DataFrame(columns), compression)


def decimal_texts(column: pl.Series) -> pl.Series:
    """The canonical text of each number of a DECIMAL column: a 3.00 is `3`, as in DynamoDB."""
    texts = column.cast(pl.String)
    fraction = isinstance(column.dtype, pl.Decimal) and column.dtype.scale
    return texts.str.strip_chars_end("0").str.strip_chars_end(".") if fraction else texts
