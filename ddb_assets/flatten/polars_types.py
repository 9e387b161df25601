"""Maps column types to polars types, and so to Parquet."""

from collections.abc import Mapping
from functools import lru_cache

import polars as pl

from ddb_assets.contract.column_type import Name, SqlType

_TYPES: Mapping[Name, pl.DataType] = {
    "BIGINT": pl.Int64(),
    "DOUBLE PRECISION": pl.Float64(),
    "VARCHAR": pl.String(),
    "VARBYTE": pl.Binary(),
    "BOOLEAN": pl.Boolean(),
    "SUPER": pl.String(),
    "TIMESTAMP": pl.Datetime("us"),
    "TIMESTAMPTZ": pl.Datetime("us", "UTC"),
    "DATE": pl.Date(),
}


@lru_cache(maxsize=1024)
def polars_type(type_: SqlType) -> pl.DataType:
    """The polars type that holds every value of the column type: the same object each time, so that it is compared fast."""
    return pl.Decimal(type_.size, type_.scale) if type_.name == "DECIMAL" else _TYPES[type_.name]
