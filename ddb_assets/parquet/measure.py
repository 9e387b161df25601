"""What the values of columns add up to, to be compared with what a warehouse has after it copied them.

How a warehouse is asked is `warehouse/staging_values.py`; what the numbers mean is `report.Measure`.
"""

from collections.abc import Iterable
from typing import cast

import polars as pl

from ddb_assets.parquet.report import Measure

MODULUS = 1 << 64


def measures(columns: Iterable[pl.Series]) -> dict[str, Measure]:
    """The measure of each column by name."""
    return {column.name: _measure(column) for column in columns}


def added(parts: Iterable[Measure]) -> Measure:
    """The measure of a column that stands in several parts."""
    found = list(parts)
    least = [part.least for part in found if part.least is not None]
    most = [part.most for part in found if part.most is not None]
    return Measure(
        values=sum(part.values for part in found),
        least=min(least, default=None),
        most=max(most, default=None),
        sum=sum(part.sum for part in found) % MODULUS,
    )


def _measure(column: pl.Series) -> Measure:
    numbers = _numbers(column)
    total = 0 if column.dtype.is_float() else cast("int", numbers.sum() or 0)  # wraps around, as a sum modulo 2^64 may
    return Measure(
        values=len(column) - column.null_count(),
        least=cast("int | float | None", numbers.min()),
        most=cast("int | float | None", numbers.max()),
        sum=total % MODULUS,
    )


def _numbers(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        return column.str.len_bytes().cast(pl.Int64)
    if column.dtype == pl.Binary:
        return column.bin.size().cast(pl.Int64)
    if column.dtype == pl.Boolean or column.dtype == pl.Date:
        return column.to_physical().cast(pl.Int64)
    return column.to_physical()
