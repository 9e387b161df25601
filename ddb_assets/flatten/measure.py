"""Measures the values of columns, for a comparison with what a warehouse has after it copied them.

`warehouse/sql/staged_values.py` asks the warehouse for the same numbers; `report.Measure` defines them.
"""

from collections.abc import Iterable
from typing import cast

import polars as pl

from ddb_assets.contract.report import MODULUS, Measure


def measures(columns: Iterable[pl.Series]) -> dict[str, Measure]:
    """The measure of each column by name."""
    return {column.name: _measure(column) for column in columns}


def _measure(column: pl.Series) -> Measure:
    numbers = _numbers(column)
    total = 0 if column.dtype.is_float() else cast("int", numbers.sum() or 0)  # overflow is fine: sums are modulo 2^64
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
