"""Measures the values of columns, for a comparison with what a warehouse has after it copied them.

`warehouse/sql/staged_values.py` asks the warehouse for the same numbers; `report.Measure` defines them.
"""

import pyarrow as pa
import pyarrow.compute as pc

from ddb_assets.contract.report import MODULUS, Measure


def measures(table: pa.Table) -> dict[str, Measure]:
    """The measure of each column by name."""
    return {name: _measure(column) for name, column in zip(table.column_names, table.columns, strict=True)}


def _measure(column: pa.ChunkedArray) -> Measure:
    numbers = _numbers(column)
    bounds = pc.min_max(numbers)
    is_float = pa.types.is_floating(numbers.type)
    kind = float if is_float else int
    least, most = (None if bound is None else kind(bound) for bound in (bounds["min"].as_py(), bounds["max"].as_py()))
    total = 0 if is_float else int(pc.sum(numbers).as_py() or 0)  # overflow is fine: sums are modulo 2^64
    return Measure(values=len(numbers) - numbers.null_count, least=least, most=most, sum=total % MODULUS)


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values as the numbers that they count as."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return pc.binary_length(column).cast(pa.int64())
    if pa.types.is_date32(kind):
        return column.cast(pa.int32()).cast(pa.int64())
    if pa.types.is_boolean(kind) or pa.types.is_timestamp(kind):
        return column.cast(pa.int64())
    if pa.types.is_decimal(kind):
        return pa.chunked_array([chunk.view(_UNSCALED) for chunk in column.chunks], _UNSCALED)
    return column


_UNSCALED = pa.decimal128(38, 0)
"""The type of DECIMAL values without their scale: 1.50 in DECIMAL(5,2) is 150."""
