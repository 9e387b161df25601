"""Column types of tables in Iceberg, and back.

Every type has one in Iceberg. Texts and bytes have no length there, and SUPER is a text with JSON: the field's
documentation says so, because Iceberg has no other place for it. Import it only where pyiceberg is installed.
"""

from collections.abc import Iterable, Mapping

from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
    TimestamptzType,
)

from ddb_assets.contract.column_type import MAX_VARBYTE, MAX_VARCHAR, Name, SqlType

_TYPES: Mapping[Name, IcebergType] = {
    "BIGINT": LongType(),
    "DOUBLE PRECISION": DoubleType(),
    "VARCHAR": StringType(),
    "VARBYTE": BinaryType(),
    "BOOLEAN": BooleanType(),
    "SUPER": StringType(),
    "TIMESTAMP": TimestampType(),
    "TIMESTAMPTZ": TimestamptzType(),
    "DATE": DateType(),
}
_NAMES: Mapping[type[IcebergType], SqlType] = {
    LongType: SqlType("BIGINT"),
    IntegerType: SqlType("BIGINT"),
    DoubleType: SqlType("DOUBLE PRECISION"),
    StringType: SqlType("VARCHAR", MAX_VARCHAR),
    BinaryType: SqlType("VARBYTE", MAX_VARBYTE),
    BooleanType: SqlType("BOOLEAN"),
    TimestampType: SqlType("TIMESTAMP"),
    TimestamptzType: SqlType("TIMESTAMPTZ"),
    DateType: SqlType("DATE"),
}
JSON = "JSON"
"""The documentation of a field that is SUPER."""


def iceberg_type(kind: SqlType) -> IcebergType:
    """The type that holds every value of a column type."""
    return DecimalType(kind.size, kind.scale) if kind.name == "DECIMAL" else _TYPES[kind.name]


def sql_type(field: NestedField) -> SqlType | None:
    """The column type of a field, with the largest size for texts and bytes; None for a type that we never write."""
    kind = field.field_type
    if isinstance(kind, DecimalType):
        return SqlType("DECIMAL", kind.precision, kind.scale)
    if isinstance(kind, StringType) and field.doc == JSON:
        return SqlType("SUPER")
    return _NAMES.get(type(kind))


def doc(kind: SqlType) -> str | None:
    """The documentation that a field of this type needs to be read back as what it is."""
    return JSON if kind.name == "SUPER" else None


def sql_types(schema: Schema) -> dict[str, SqlType]:
    """The fields that have a column type, in order."""
    found = {field.name: sql_type(field) for field in schema.fields}
    return {name: kind for name, kind in found.items() if kind}


def schema_of(columns: Iterable[tuple[str, SqlType]]) -> Schema:
    """A schema of optional fields; the catalog gives them other numbers when it creates the table."""
    return Schema(
        *(
            NestedField(number, name, iceberg_type(kind), required=False, doc=doc(kind))
            for number, (name, kind) in enumerate(columns, 1)
        )
    )
