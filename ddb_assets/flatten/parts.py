"""Writes Parquet parts, and rewrites them when the schema has grown after they were written."""

import base64
import hashlib
import io
from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq

from ddb_assets.contract.column_type import SHORT_PRECISION
from ddb_assets.contract.report import Part, Relation
from ddb_assets.contract.table import Compression
from ddb_assets.flatten.fast.columns import decimal_texts
from ddb_assets.flatten.frames import dtypes
from ddb_assets.flatten.measure import measures

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

_WIDENS = {(pl.Int64, pl.Decimal), (pl.Int64, pl.String), (pl.Decimal, pl.Decimal), (pl.Decimal, pl.String)}
"""The casts that keep every value: the same steps as in `contract/column_type.py`."""


def write_part(storage: "Storage", uri: str, frame: pl.DataFrame, compression: Compression) -> Part:
    """Writes one Parquet file in one piece and returns its description."""
    data = _parquet(frame, compression)
    storage.write(uri, data)
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    return Part(uri=uri, rows=frame.height, bytes=len(data), md5=md5, measures=measures(frame.get_columns()))


def _parquet(frame: pl.DataFrame, compression: Compression) -> bytes:
    """The frame as Parquet, with DECIMAL in the fewest bytes that hold it: the only form that COPY is known to read.

    polars writes short DECIMALs as integers, pyarrow does not. pyarrow is half as fast, so it writes only such frames.
    """
    level = 1 if compression == "zstd" else None  # as small as level 3 for such data, and a third faster
    buffer = io.BytesIO()
    if any(isinstance(kind, pl.Decimal) and kind.precision <= SHORT_PRECISION for kind in frame.dtypes):
        pq.write_table(
            frame.to_arrow(),
            buffer,
            compression=compression,
            compression_level=level,
            store_schema=False,
            version="2.6",
        )
    else:
        frame.write_parquet(buffer, compression=compression, compression_level=level)
    return buffer.getvalue()


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
