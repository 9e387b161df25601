"""CSV files as rows of text cells.

Facts: RFC 4180 (quotes are doubled, a quoted field may hold line breaks). What type a column has is `column_types.py`'s.
"""

import csv
import io
from collections.abc import Iterator
from typing import Annotated, BinaryIO

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ddb_assets.bulk.rows import BadRow, Cell, Row, SourceError

MAX_FIELD = 16 << 20  # no attribute is larger than 400 KB; a longer field is a quote that nobody closed


def _encoding(name: str) -> str:
    try:
        "".encode(name)
    except LookupError:
        raise ValueError(f"there is no encoding {name!r}") from None
    return name


class CsvFormat(BaseModel):
    """How the files are written. `columns`: their names when the first line is data. `no_value`: texts that are no value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    quote: Annotated[str, Field(min_length=1, max_length=1)] = '"'
    columns: tuple[str, ...] | None = None
    no_value: tuple[str, ...] = ("",)
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8-sig"


class _Lines:
    """Hands out lines and remembers those of the record that is being read, for it may be a bad one."""

    def __init__(self, text: Iterator[str]) -> None:
        self._text = text
        self.seen: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._text)
        self.seen.append(line)
        return line


def csv_rows(stream: BinaryIO, uri: str, how: CsvFormat) -> Iterator[Row | BadRow]:
    """The file's records. Raises SourceError for a header that is none.

    Bytes that are no text in the encoding become lone surrogates, which the check of the item then refuses.
    """
    csv.field_size_limit(MAX_FIELD)
    lines = _Lines(io.TextIOWrapper(stream, encoding=how.encoding, errors="surrogateescape", newline=""))
    reader = csv.reader(lines, delimiter=how.delimiter, quotechar=how.quote, strict=True)
    columns = how.columns
    nulls = dict.fromkeys(how.no_value)
    number = 0
    while True:
        lines.seen.clear()
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if columns is None:
                raise SourceError(f"{uri}:{line}: the header cannot be read: {error}") from error
            yield BadRow(number, line, "".join(lines.seen), f"no CSV: {error}", columns)
            number += 1
            continue
        if columns is None:
            columns = _header(fields, uri)
        elif fields:  # an empty line is no record
            yield _row(columns, fields, number, line, lines.seen, nulls)
            number += 1


def csv_record(text: str, columns: tuple[str, ...], number: int, line: int, how: CsvFormat) -> Row | BadRow:
    """One record by itself, as an exceptions file has it."""
    csv.field_size_limit(MAX_FIELD)
    try:
        records = list(csv.reader([text], delimiter=how.delimiter, quotechar=how.quote, strict=True))
    except csv.Error as error:
        return BadRow(number, line, text, f"no CSV: {error}", columns)
    if len(records) != 1:
        return BadRow(number, line, text, "no single CSV record", columns)
    return _row(columns, records[0], number, line, [text], dict.fromkeys(how.no_value))


def _row(
    columns: tuple[str, ...], fields: list[str], number: int, line: int, seen: list[str], nulls: dict[str, None]
) -> Row | BadRow:
    if len(fields) != len(columns):
        reason = f"{len(fields)} fields, but there are {len(columns)} columns"
        return BadRow(number, line, "".join(seen), reason, columns)
    cells: dict[str, Cell] = {
        column: None if field in nulls else field for column, field in zip(columns, fields, strict=True)
    }
    return Row(number, line, cells)


def _header(fields: list[str], uri: str) -> tuple[str, ...]:
    names = tuple(fields)
    if "" in names or len(set(names)) < len(names):
        bad = next(name for name in names if not name or names.count(name) > 1)
        raise SourceError(
            f"{uri}:1: the header has the name {bad!r} {names.count(bad)} times: mend it, or declare `csv.columns` when the "
            "first line is data"
        )
    return names
