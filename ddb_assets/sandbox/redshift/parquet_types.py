"""Checks that a Parquet column may be loaded into a column of a table, as strictly as Redshift's scan of Parquet.

Facts: the mapping that awswrangler uses for Redshift, and published error messages: INT64 into INTEGER fails, DOUBLE into
DECIMAL fails, precision and scale must be equal (code 15007); a DECIMAL has a fixed number of bytes, the fewest that hold
its digits ("has an invalid type length. Expecting: 8 len in file: 13", code 15001, ParquetSharp issue 252). Nanoseconds,
UTC-adjusted times into TIMESTAMP, and DECIMAL as INT32 or INT64, are refused here because no source says that they work.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class TableColumn:
    """A column of the table: PostgreSQL's names for it and its type, and its size or precision and scale."""

    name: str
    type: str
    size: int = -1
    scale: int = 0

    @property
    def redshift_type(self) -> str:
        """As error messages have it."""
        return {"rs_varchar": "VARCHAR", "bpchar": "CHAR", "varbyte": "VARBYTE", "numeric": "DECIMAL", "int8": "BIGINT",
                "int4": "INTEGER", "int2": "SMALLINT", "float8": "DOUBLE", "float4": "FLOAT", "bool": "BOOLEAN"}.get(
            self.type, self.type.upper()
        )  # fmt: skip


@dataclass(frozen=True)
class FileColumn:
    """A top-level column of a Parquet file; `leaf` is None for lists, structs and maps."""

    name: str
    index: int
    leaf: Any | None

    @property
    def described(self) -> str:
        """As error messages have it."""
        if self.leaf is None:
            return f"optional group {self.name} [i:{self.index} d:1 r:0]"
        kind = str(self.leaf.physical_type).lower()
        need = "optional" if self.leaf.max_definition_level else "required"
        level = self.leaf.max_definition_level
        return f"{need} {kind} {self.name} [i:{self.index} d:{level} r:0]"

    def fits(self, column: TableColumn) -> bool:
        """Whether the scan accepts the file's column for a table column that is not SUPER."""
        if self.leaf is None or column.type not in _RULES:
            return False
        logical: dict[str, Any] = json.loads(self.leaf.logical_type.to_json())
        return _RULES[column.type](str(self.leaf.physical_type), logical | {"length": self.leaf.length}, column)


def file_columns(file: pq.ParquetFile) -> list[FileColumn]:
    """The file's columns in order."""
    found = []
    leaf = 0
    for index, field in enumerate(file.schema_arrow):
        width = _leaves(field.type)
        flat = width == 1 and not pa.types.is_nested(field.type)
        found.append(FileColumn(field.name, index, file.schema.column(leaf) if flat else None))
        leaf += width
    return found


def _leaves(kind: pa.DataType) -> int:
    if not pa.types.is_nested(kind):
        return 1
    return sum(_leaves(kind.field(n).type) for n in range(kind.num_fields))


_Rule = Callable[[str, dict[str, Any], TableColumn], bool]


def _integer(physical: str, *bits: int) -> _Rule:
    def rule(found: str, logical: dict[str, Any], _: TableColumn) -> bool:
        if found != physical:
            return False
        if logical["Type"] == "None":
            return physical == f"INT{bits[-1]}"
        return logical["Type"] == "Int" and logical["isSigned"] and logical["bitWidth"] in bits

    return rule


def _plain(physical: str) -> _Rule:
    return lambda found, logical, _: found == physical and logical["Type"] == "None"


def _typed(name: str) -> _Rule:
    return lambda _, logical, __: logical["Type"] == name


def _decimal(physical: str, logical: dict[str, Any], column: TableColumn) -> bool:
    exact = logical["Type"] == "Decimal" and (logical["precision"], logical["scale"]) == (column.size, column.scale)
    return exact and (physical, logical["length"]) == ("FIXED_LEN_BYTE_ARRAY", decimal_bytes(column.size))


def decimal_bytes(digits: int) -> int:
    """The fewest bytes that hold every signed number of this many digits."""
    bits: int = (10**digits).bit_length()
    return (bits + 8) // 8


def _timestamp(*, adjusted: bool) -> _Rule:
    def rule(physical: str, logical: dict[str, Any], _: TableColumn) -> bool:
        if physical == "INT96":
            return not adjusted
        exact = logical["Type"] == "Timestamp" and logical["timeUnit"] in {"milliseconds", "microseconds"}
        return exact and logical["isAdjustedToUTC"] == adjusted

    return rule


_RULES: dict[str, _Rule] = {
    "int2": _integer("INT32", 8, 16),
    "int4": _integer("INT32", 32),
    "int8": _integer("INT64", 64),
    "float4": _plain("FLOAT"),
    "float8": _plain("DOUBLE"),
    "bool": _plain("BOOLEAN"),
    "rs_varchar": _typed("String"),
    "bpchar": _typed("String"),
    "varbyte": _plain("BYTE_ARRAY"),
    "numeric": _decimal,
    "date": _typed("Date"),
    "timestamp": _timestamp(adjusted=False),
    "timestamptz": _timestamp(adjusted=True),
}
