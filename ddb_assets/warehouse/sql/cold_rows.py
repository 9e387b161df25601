"""Cold rows in SQL: as rows of a view, and as values that can be compared with those of hot rows.

Facts: Redshift Database Developer Guide, "Supported data types with Apache Iceberg tables": a text is VARCHAR(16384), and what
is longer is cut; bytes are VARBYTE(64000).
"""
# ruff: noqa: S608  -- names come from quoted(), types from SqlType

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ddb_assets.contract.column_type import SqlType, join
from ddb_assets.warehouse.bookkeeping import MOVE, STALE_SINCE
from ddb_assets.warehouse.sql.cold import ColdTable
from ddb_assets.warehouse.sql.conversion import converted
from ddb_assets.warehouse.sql.statements import TableName, quoted

TEXT_BYTES = 16_384
BINARY_BYTES = 32_767
"""The longest bytes that can be cold: as hexadecimal digits, they are a VARCHAR on their way."""


@dataclass(frozen=True)
class ColdRows:
    """The rows of a cold table whose keys, with version and move, are among the cold keys.

    `types` are the columns of the hot table, as the rows are to be shown. `stale`: the cold keys have `_ddb_stale_since`.
    `move` shows the rows of one move only.
    """

    cold: ColdTable
    keys: TableName
    names: tuple[str, ...]
    version: str
    types: Mapping[str, SqlType]
    stale: bool = False
    move: int | None = None

    def select(self, columns: Collection[str]) -> str:
        """The query for these columns."""
        return self.query([f"{self.value(name)} AS {quoted(name)}" for name in columns])

    def query(self, expressions: Sequence[str]) -> str:
        """The query for expressions over the cold table and the cold keys."""
        table = self.cold.table
        pairs = [f"{self.value(name)} = {self.keys.column(name)}" for name in (*self.names, self.version)]
        pairs.append(f"{table.column(MOVE)} = {self.keys.column(MOVE)}")
        where = "" if self.move is None else f" WHERE {self.keys.column(MOVE)} = {self.move}"
        return f"SELECT {', '.join(expressions)} FROM {table} INNER JOIN {self.keys} ON {' AND '.join(pairs)}{where}"

    def value(self, column: str) -> str:
        """A column's value, as the hot table has it."""
        kind = self.types[column]
        if column == STALE_SINCE and self.stale:
            return self.keys.column(column)
        fields = [one for one in self.cold.of(column) if shows(one.type, kind)]
        found = [_shown(self.cold.table.column(one.name), one.type, kind) for one in fields]
        if not found:
            return f"CAST(NULL AS {kind})"
        return found[0] if len(found) == 1 else f"COALESCE({', '.join(found)})"


def shows(kind: SqlType, wanted: SqlType) -> bool:
    """Whether a value of one type can be shown as one of the other."""
    joined = join(kind, wanted)
    return kind.name == wanted.name or (joined is not None and joined.name == wanted.name)


def _shown(reference: str, kind: SqlType, wanted: SqlType) -> str:
    if wanted.name == "SUPER":
        return f"JSON_PARSE({reference})"
    if kind.name == wanted.name == "VARCHAR" or kind.name == wanted.name == "VARBYTE":
        return f"CAST({reference} AS {wanted})"
    return converted(reference, kind, wanted)


def comparable(reference: str, kind: SqlType) -> str:
    """The value in a form in which two values are equal only if they are the same, and that EXCEPT takes."""
    match kind.name:
        case "VARCHAR":
            return f"{reference} || '|'"  # blanks at the end are not compared
        case "SUPER":
            return f"JSON_SERIALIZE({reference})"
        case "VARBYTE":
            return f"FROM_VARBYTE({reference}, 'hex')"
        case _:
            return reference


def fits(reference: str, kind: SqlType) -> str:
    """The condition that a cold row can hold the value; empty if it can hold every value of the type."""
    match kind.name:
        case "VARCHAR" if kind.size > TEXT_BYTES:
            return f"COALESCE(OCTET_LENGTH({reference}), 0) <= {TEXT_BYTES}"
        case "SUPER":
            return f"COALESCE(OCTET_LENGTH(JSON_SERIALIZE_TO_VARBYTE({reference})), 0) <= {TEXT_BYTES}"
        case "VARBYTE" if kind.size > BINARY_BYTES:
            return f"COALESCE(OCTET_LENGTH({reference}), 0) <= {BINARY_BYTES}"
        case _:
            return ""
