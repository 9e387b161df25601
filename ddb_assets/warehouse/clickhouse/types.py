"""Column types in ClickHouse, how parts are read as them, and how their values are measured.

JSON is text (`String`): ClickHouse's own type JSON would turn numbers into floats, and a DynamoDB number has 38 digits. Texts
and bytes are `String` without a length, times are of UTC with microseconds. A column's comment has the type that the contract
and the report know, as `SqlType` writes it, because ClickHouse's types say less.
"""

from ddb_assets.contract.column_type import SqlType, storable
from ddb_assets.warehouse.sql.conversion import SIZED

_NAMES = {
    "BIGINT": "Int64",
    "DOUBLE PRECISION": "Float64",
    "VARCHAR": "String",
    "VARBYTE": "String",
    "SUPER": "String",
    "BOOLEAN": "Bool",
    "TIMESTAMP": "DateTime64(6, 'UTC')",
    "TIMESTAMPTZ": "DateTime64(6, 'UTC')",
    "DATE": "Date32",
}


def clickhouse_type(kind: SqlType, *, nullable: bool) -> str:
    """The type of a column."""
    stored = storable(kind)
    name = f"Decimal({stored.size}, {stored.scale})" if kind.name == "DECIMAL" else _NAMES[kind.name]
    return f"Nullable({name})" if nullable else name


def converted(expression: str, source: SqlType, target: SqlType, *, nullable: bool) -> str:
    """Turns an expression of the type that a part has into the column's type, which is the same or a wider one.

    ClickHouse writes a decimal as text without zeros at its end, as DynamoDB does.
    """
    if nullable and (source == target or (source.name == target.name and target.name in SIZED)):
        return expression
    return f"CAST({expression} AS {clickhouse_type(target, nullable=nullable)})"


def number(column: str, source: SqlType, target: SqlType) -> str:
    """The number that a value of the column counts as in the measures of a report, where it had the type `source`."""
    match source.name:
        case "TIMESTAMP" | "TIMESTAMPTZ":
            return f"toUnixTimestamp64Micro({column})"
        case "DATE":
            return f"toInt32({column})"
        case "BOOLEAN":
            return f"toUInt8({column})"
        case "VARCHAR" | "VARBYTE" | "SUPER":
            return f"length({column})"
        case "BIGINT" | "DECIMAL" if target.name == "VARCHAR":
            return f"toDecimal256({column}, {source.scale})"
        case _:
            return column
