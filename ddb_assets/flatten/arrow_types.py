"""Maps column types to Arrow types, and so to Parquet."""

from collections.abc import Mapping
from functools import lru_cache

import pyarrow as pa

from ddb_assets.contract.column_type import Name, SqlType
from ddb_assets.contract.report import Relation

_TYPES: Mapping[Name, pa.DataType] = {
    "BIGINT": pa.int64(),
    "DOUBLE PRECISION": pa.float64(),
    "VARCHAR": pa.string(),
    "VARBYTE": pa.binary(),
    "BOOLEAN": pa.bool_(),
    "SUPER": pa.string(),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
    "DATE": pa.date32(),
}


@lru_cache(maxsize=1024)
def arrow_type(type_: str) -> pa.DataType:
    """The Arrow type that holds every value of the column type."""
    parsed = SqlType.parse(type_)
    return pa.decimal128(parsed.size, parsed.scale) if parsed.name == "DECIMAL" else _TYPES[parsed.name]


def arrow_schema(relation: Relation) -> pa.Schema:
    """The names and types of a relation's columns, in its order."""
    return pa.schema([(column.name, arrow_type(column.type)) for column in relation.columns])
