"""CSV files as rows of text cells, and the type of each column that has no declared one.

A column is N or BOOL if every cell of every file is written that way, otherwise S. All cells are read, not a sample, so that
no type depends on the order of the rows. A text becomes N only if DynamoDB gives it back as it is: `007`, `1.10`, `+1` and
`1E5` stay texts unless the column's type is declared.
Facts: RFC 4180 (quotes are doubled, a quoted field may hold line breaks).
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, BinaryIO, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ddb_assets.bulk.rows import BadRow, Cell, Row, SourceError
from ddb_assets.dynamodb.attribute_value import CANONICAL_NUMBER, MAX_DIGITS

COMPRESSIONS = (".gz", ".zst", ".zstd")
MAX_FIELD = 16 << 20  # no attribute is larger than 400 KB; a longer field is a quote that was never closed


def _encoding(name: str) -> str:
    try:
        "".encode(name)
    except LookupError:
        raise ValueError(f"there is no encoding {name!r}") from None
    return name


class CsvFormat(BaseModel):
    """How the files are written. `delimiter` is by default a comma, in `.tsv` files a tab.

    `columns`: their names if the first line is data. `no_value`: texts that mean no value.
    `max_record_lines`: a record with more lines is a quote that was never closed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    quote: Annotated[str, Field(min_length=1, max_length=1)] = '"'
    columns: tuple[str, ...] | None = None
    no_value: tuple[str, ...] = ("",)
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8-sig"
    max_record_lines: Annotated[int, Field(ge=1)] = 200

    def of(self, uri: str) -> Self:
        """The same with the delimiter of this file."""
        return self.model_copy(update={"delimiter": self.delimiter or ("\t" if ending_of(uri) == ".tsv" else ",")})


def ending_of(uri: str) -> str:
    """`.csv` of `s3://b/a.CSV.gz`."""
    name = uri.lower()
    for ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    return f".{name.rpartition('.')[2]}"


class _TooLongError(Exception):
    """A record has more lines than it may have."""


class _Lines:
    """Hands out lines and remembers those of the current record, in case it cannot be read."""

    def __init__(self, text: Iterator[str], most: int) -> None:
        self._text = text
        self._most = most
        self.seen: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.seen) == self._most:
            raise _TooLongError
        line = next(self._text)
        self.seen.append(line)
        return line


def _opening(lines: list[str], quote: str) -> int:
    """The line, from 0, on which the quote opens that is still open at the end; 0 when none is."""
    place, inside = 0, False
    for number, line in enumerate(lines):
        if line.count(quote) % 2:
            inside = not inside
            place = number if inside else 0
    return place


def csv_rows(stream: BinaryIO, uri: str, how: CsvFormat) -> Iterator[Row | BadRow]:
    """The file's records. Raises SourceError for a header that cannot be read or used.

    Bytes that are not valid in the encoding become lone surrogates, which the check of the item then refuses.
    """
    csv.field_size_limit(MAX_FIELD)
    lines = _Lines(
        io.TextIOWrapper(stream, encoding=how.encoding, errors="surrogateescape", newline=""), how.max_record_lines
    )
    reader = csv.reader(lines, delimiter=how.delimiter or ",", quotechar=how.quote, strict=True)
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
        except _TooLongError:
            raise SourceError(
                f"{uri}:{line + _opening(lines.seen, how.quote)}: the quote that opens on this line is not closed within "
                f"{how.max_record_lines} lines: mend it, or set `csv.max_record_lines` if there are records of more lines"
            ) from None
        except csv.Error as error:
            if columns is None:
                raise SourceError(f"{uri}:{line}: the header cannot be read: {error}") from error
            yield _bad(columns, f"not CSV: {error}", number, line, lines.seen, how)
            number += 1
            continue
        if line == 1:
            _check_text("".join(lines.seen), uri, how)
        if columns is None:
            columns = _header(fields, uri)
        elif number == 0 and how.columns and _repeats(fields, how.columns):
            raise SourceError(
                f"{uri}:{line}: this line is a header, and `csv.columns` says that there is none: delete the line, or leave "
                "`csv.columns` out"
            )
        elif fields:  # an empty line is not a record
            yield _row(columns, fields, number, line, lines.seen, how, nulls)
            number += 1


def csv_records(text: str, columns: tuple[str, ...], number: int, line: int, how: CsvFormat) -> list[Row | BadRow]:
    """The text of a line of a reject file: one record, or those that a quote had made one."""
    csv.field_size_limit(MAX_FIELD)
    lines = io.StringIO(text, newline="")
    try:
        records = list(
            filter(None, csv.reader(lines, delimiter=how.delimiter or ",", quotechar=how.quote, strict=True))
        )
    except csv.Error as error:
        return [_bad(columns, f"not CSV: {error}", number, line, text.splitlines(keepends=True), how)]
    if not records:
        return [_bad(columns, "there is no CSV record", number, line, [text], how)]
    nulls = dict.fromkeys(how.no_value)
    return [_row(columns, fields, number + n, line, [text], how, nulls) for n, fields in enumerate(records)]


def _bad(columns: tuple[str, ...], reason: str, number: int, line: int, seen: list[str], how: CsvFormat) -> BadRow:
    if len(seen) > 1:
        opened = line + _opening(seen, how.quote)
        reason += f"; the record has {len(seen)} lines, with a quote that opens on line {opened}"
    return BadRow(number, line, "".join(seen), reason, columns, max(1, len(seen)))


def _check_text(first: str, uri: str, how: CsvFormat) -> None:
    """Raises SourceError when the first record is not text, so that nothing in the file can be."""
    invalid = how.columns is None and any("\ud800" <= char <= "\udfff" for char in first)
    if invalid or "\0" in first:
        raise SourceError(
            f"{uri}:1: this is not {how.encoding} text: set `csv.encoding`, or unpack the file if it is compressed in another "
            "way than gzip or zstd"
        )


def _row(
    columns: tuple[str, ...],
    fields: list[str],
    number: int,
    line: int,
    seen: list[str],
    how: CsvFormat,
    nulls: dict[str, None],
) -> Row | BadRow:
    if len(fields) != len(columns):
        reason = f"{len(fields)} fields, but there are {len(columns)} columns"
        return _bad(columns, reason, number, line, seen, how)
    cells: dict[str, Cell] = {
        column: None if field in nulls else field for column, field in zip(columns, fields, strict=True)
    }
    return Row(number, line, cells)


def _header(fields: list[str], uri: str) -> tuple[str, ...]:
    names = tuple(fields)
    if "" in names or len(set(names)) < len(names):
        bad = next(name for name in names if not name or names.count(name) > 1)
        raise SourceError(
            f"{uri}:1: the header has the name {bad!r} {names.count(bad)} times: give every column a name of its own "
            "there. Only if this line is data, and not a header, declare `csv.columns`"
        )
    return names


def _repeats(fields: list[str], columns: tuple[str, ...]) -> bool:
    """Whether most of the fields are the names of their columns, so that this is no record."""
    return 2 * sum(field == column for field, column in zip(fields, columns, strict=False)) > len(columns)


ColumnType = Literal["S", "N", "BOOL"]

_NUMBER = re.compile(CANONICAL_NUMBER, re.ASCII)
_BOOLEANS = {"true", "false", "True", "False", "TRUE", "FALSE"}


class ColumnTypes:
    """Finds the types that all cells of a column allow, row by row."""

    def __init__(self) -> None:
        self._open: dict[str, ColumnType] = {}  # columns that may still be more than text
        self._closed: dict[str, ColumnType] = {}

    def see(self, rows: Iterable[Row | BadRow]) -> None:
        """Looks at these rows. Those that cannot be read are rejected later and do not count."""
        for row in rows:
            if isinstance(row, Row):
                if row.cells.keys() - self._open.keys() - self._closed.keys():
                    self._begin(row)
                for column in tuple(self._open):
                    cell = row.cells.get(column)
                    if cell is not None:
                        self._narrow(column, str(cell))

    def _begin(self, row: Row) -> None:
        """The first value of a column decides what it may be; a column without values has no type."""
        for column, cell in row.cells.items():
            if cell is None or column in self._open or column in self._closed:
                continue
            if isinstance(cell, str):
                self._open[column] = "BOOL" if cell in _BOOLEANS else "N"
            else:  # it stands in the file's path
                self._closed[column] = "S"

    def _narrow(self, column: str, cell: str) -> None:
        number = self._open[column] == "N"
        if not (_NUMBER.fullmatch(cell) and len(cell) <= MAX_DIGITS if number else cell in _BOOLEANS):
            del self._open[column]
            self._closed[column] = "S"

    @property
    def types(self) -> dict[str, ColumnType]:
        """By column; a column without any value is not in it."""
        return {**self._closed, **self._open}
