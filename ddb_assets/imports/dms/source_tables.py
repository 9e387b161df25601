"""The external table definition of a task's S3 source: tables, their folders and their columns.

Pure. Facts: DMS User Guide, "Using Amazon S3 as a source", "Defining external tables".
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AliasGenerator, BeforeValidator, ConfigDict, Field, model_validator

from ddb_assets.dynamodb.attribute_value import Descriptor
from ddb_assets.imports.dms.document import DmsError, Part, part

TYPES: dict[str, Descriptor | None] = {
    "STRING": "S", "DATE": "S", "TIME": "S", "DATETIME": "S", "TIMESTAMP": "S", "CLOB": "S",
    "INT1": "N", "INT2": "N", "INT4": "N", "INT8": "N", "UINT1": "N", "UINT2": "N", "UINT4": "N", "UINT8": "N",
    "NUMERIC": "N", "REAL4": "N", "REAL8": "N", "BOOLEAN": "BOOL", "BYTE": None, "BLOB": None,
}  # fmt: skip
"""What DynamoDB holds for each type of a column; None: nothing, as with DMS."""
DATE_FORMATS = {
    day + time
    for day in ("YYYY-MM-dd", "YYYY/MM/dd", "MM/dd/YYYY", "YYYYMMdd")
    for time in ("", " HH:mm:ss", " HH:mm:ss.F")
}
TIMES = {"DATE", "DATETIME", "TIMESTAMP"}


def _pascal(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


class _Part(Part):
    model_config = ConfigDict(alias_generator=AliasGenerator(alias=_pascal))


def _lower(value: object) -> object:
    return str(value).lower() if isinstance(value, str | bool) else value


Flag = Annotated[Literal["true", "false"], BeforeValidator(_lower)]
Digits = Annotated[str, Field(pattern=r"^[0-9]{1,9}$")]


def repeated(names: Iterable[str]) -> str | None:
    """The first name that is there more than once."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


class Column(_Part):
    """One column. All values are texts, numbers and truth too. Nothing is cut to a length or rounded to a scale."""

    column_name: Annotated[str, Field(min_length=1)]
    column_type: Annotated[str, BeforeValidator(lambda value: str(value).upper())]
    column_length: Digits | None = None
    column_precision: Digits | None = None
    column_scale: Digits | None = None
    column_nullable: Flag = "false"
    column_is_pk: Flag = "false"
    column_date_format: str | None = None

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.column_type not in TYPES:
            raise ValueError(f"ColumnType {self.column_type} is not one of {', '.join(TYPES)}")
        if self.column_date_format is not None and self.column_date_format not in DATE_FORMATS:
            raise ValueError(
                f"ColumnDateFormat {self.column_date_format!r} is not one of {', '.join(sorted(DATE_FORMATS))}"
            )
        return self

    @property
    def type(self) -> Descriptor | None:
        """What DynamoDB holds for it; None: nothing."""
        return TYPES[self.column_type]

    @property
    def is_moment(self) -> bool:
        """Whether its cells are dates that compare as `where` compares them."""
        return self.column_type in TIMES and (self.column_date_format or "").startswith("YYYY-MM-dd")


class SourceTable(_Part):
    """One table: `table_path` is its folder in the bucket, or in the bucket's folder."""

    table_name: Annotated[str, Field(min_length=1)]
    table_path: Annotated[str, Field(min_length=1)]
    table_owner: Annotated[str, Field(min_length=1)]
    table_columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    table_columns_total: Digits | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [column.column_name for column in self.table_columns]
        if self.table_columns_total is not None and int(self.table_columns_total) != len(names):
            raise ValueError(f"TableColumnsTotal is {self.table_columns_total}, but there are {len(names)} columns")
        if twice := repeated(names):
            raise ValueError(f"the column {twice!r} is there more than once: give each a name of its own")
        steps = self.table_path.strip("/").split("/")
        if not all(steps) or ".." in steps or any(mark in self.table_path for mark in "*?["):
            raise ValueError(f"TablePath {self.table_path!r} is not the path of a folder")
        return self

    @property
    def name(self) -> str:
        """`hr.employee`."""
        return f"{self.table_owner}.{self.table_name}"

    @property
    def folder(self) -> str:
        """Its path without slashes at its ends."""
        return self.table_path.strip("/")

    @property
    def columns(self) -> dict[str, Column]:
        """By name, in the order of the fields in the files."""
        return {column.column_name: column for column in self.table_columns}


class _Definition(_Part):
    table_count: Digits | None = None
    tables: Annotated[list[Any], Field(min_length=1)]


@dataclass(frozen=True)
class TableDefinition:
    """All tables of a definition, and its file."""

    tables: tuple[SourceTable, ...]
    file: str


def table_definition(document: object, file: str) -> TableDefinition:
    """Raises DmsError with the file and the table that is wrong."""
    if not isinstance(document, dict) or "Tables" not in document:
        raise DmsError(
            f"{file}: this is no external table definition of an S3 source, which has TableCount and Tables, and no settings "
            "of an S3 endpoint with an ExternalTableDefinition: name that file"
        )
    found = part(_Definition, document, file, _pascal)
    if found.table_count is not None and int(found.table_count) != len(found.tables):
        raise DmsError(f"{file}: TableCount is {found.table_count}, but there are {len(found.tables)} tables: mend one")
    tables = tuple(_table(raw, number, file) for number, raw in enumerate(found.tables))
    if twice := repeated(table.name for table in tables):
        raise DmsError(f"{file}: the table {twice} is defined more than once: delete one of them")
    return TableDefinition(tables, file)


def _table(raw: object, number: int, file: str) -> SourceTable:
    name = raw.get("TableName") if isinstance(raw, dict) else None
    return part(SourceTable, raw, f"{file}: table {str(name)[:60] if name else f'Tables[{number}]'}", _pascal)
