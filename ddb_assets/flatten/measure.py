"""Measures the values of columns, for a comparison with what a warehouse has after it copied them.

`warehouse/sql/staged_values.py` asks the warehouse for the same numbers; `report.Measure` defines them.
"""

from typing import cast

import polars as pl
from polars import selectors as cs

from ddb_assets.contract.report import MODULUS, Measure


def measures(frame: pl.DataFrame) -> dict[str, Measure]:
    """The measure of each column by name."""
    return {column.name: _measure(column) for column in _numbers(frame).get_columns()}


def _measure(numbers: pl.Series) -> Measure:
    total = 0 if numbers.dtype.is_float() else cast("int", numbers.sum() or 0)  # overflow is fine: sums are modulo 2^64
    return Measure(
        values=len(numbers) - numbers.null_count(),
        least=cast("int | float | None", numbers.min()),
        most=cast("int | float | None", numbers.max()),
        sum=total % MODULUS,
    )


def _numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """The values of all columns as the numbers that they count as. One query for all: one for each would take longer."""
    return frame.with_columns(
        cs.string().str.len_bytes().cast(pl.Int64),
        cs.binary().bin.size().cast(pl.Int64),
        (cs.boolean() | cs.date()).to_physical().cast(pl.Int64),
        (cs.datetime() | cs.decimal()).to_physical(),
    )
