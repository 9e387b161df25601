"""CSV files as rows of text cells.

Facts: RFC 4180 (quotes are doubled, a quoted field may hold line breaks).
"""

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from ddb_assets.bulk.rows import BadRow, Cell, Row, SourceError
from ddb_assets.imports.formats.csv_format import UTF8, CsvFormat
from ddb_assets.imports.opening.file_bytes import utf8


class _TooLongError(Exception):
    """A record has more lines than it may have."""


class _Lines:
    """Hands out lines and remembers those of the current record, in case it cannot be read. `read` counts all lines."""

    def __init__(self, stream: BinaryIO, uri: str, how: CsvFormat) -> None:
        text = utf8(stream, uri) if how.encoding == UTF8 else stream
        self._text = io.TextIOWrapper(text, encoding=how.encoding, errors="surrogateescape", newline="")
        self._uri, self._how = uri, how
        self.seen: list[str] = []
        self.read = 0
        for _ in range(how.skip_lines):
            self._next()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.seen) == self._how.max_record_lines:
            raise _TooLongError
        line = self._next()
        while self._how.comment and not self.seen and line.startswith(self._how.comment):
            line = self._next()
        if not line:
            raise StopIteration
        self.seen.append(line)
        return line

    @property
    def first(self) -> int:
        """The number of the current record's first line, from 1."""
        return self.read - len(self.seen) + 1

    def _next(self) -> str:
        try:
            line = next(self._text, "")
        except UnicodeError as error:
            raise SourceError(
                f"{self._uri}:{self.read + 1}: this is not complete {self._how.encoding} text ({error}): fetch the file again, "
                "or set `csv.encoding`"
            ) from error
        self.read += bool(line)
        return line


def _opening(lines: list[str], quote: str | None) -> int:
    """The line, from 0, on which the quote opens that is still open at the end; 0 when none is."""
    place, inside = 0, False
    for number, line in enumerate(lines if quote else ()):
        if line.count(str(quote)) % 2:
            inside = not inside
            place = number if inside else 0
    return place


def csv_rows(stream: BinaryIO, uri: str, how: CsvFormat) -> Iterator[Row | BadRow]:
    """The file's records. Raises SourceError for a header that cannot be read or used.

    Bytes that are not valid in the encoding become lone surrogates, which the check of the item then refuses.
    """
    lines = _Lines(stream, uri, how)
    reader = how.reader(lines)
    columns = None if how.has_header else how.columns
    nulls = dict.fromkeys(how.no_value)
    number = 0
    checked = False
    while True:
        lines.seen.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except _TooLongError:
            raise SourceError(
                f"{uri}:{lines.first + _opening(lines.seen, how.quote)}: the quote that opens on this line is not closed "
                f"within {how.max_record_lines} lines: mend it, or set `csv.max_record_lines` if there are records of more "
                "lines"
            ) from None
        except csv.Error as error:
            if columns is None:
                raise SourceError(f"{uri}:{lines.first}: the header cannot be read: {error}") from error
            yield _bad(columns, f"not CSV: {error}", number, lines.first, lines.seen, how)
            number += 1
            continue
        line = lines.first
        if not checked:
            _check_text("".join(lines.seen), uri, line, how)
            checked = True
        if not fields:  # an empty line is not a record
            continue
        if columns is None:
            columns = _header(fields, uri, line, how)
        elif number == 0 and not how.has_header and _repeats(fields, columns):
            raise SourceError(
                f"{uri}:{line}: this line is a header, and `csv.columns` says that there is none: delete the line, set "
                "`csv.header: true`, or leave `csv.columns` out"
            )
        else:
            yield _row(columns, fields, number, line, lines.seen, how, nulls)
            number += 1


def csv_records(text: str, columns: tuple[str, ...], number: int, line: int, how: CsvFormat) -> list[Row | BadRow]:
    """The text of a line of a reject file: one record, or those that a quote had made one."""
    try:
        records = list(filter(None, how.reader(io.StringIO(text, newline=""))))
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


def _check_text(first: str, uri: str, line: int, how: CsvFormat) -> None:
    """Raises SourceError when the first record is not text, so that nothing in the file can be."""
    invalid = how.has_header and any("\ud800" <= char <= "\udfff" for char in first)
    if invalid or "\0" in first:
        raise SourceError(
            f"{uri}:{line}: this is not {how.encoding} text: set `csv.encoding`, or unpack the file if it is compressed in "
            "another way than gzip or zstd"
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


def _header(fields: list[str], uri: str, line: int, how: CsvFormat) -> tuple[str, ...]:
    names = tuple(fields)
    if how.columns is not None:
        if len(names) != len(how.columns):
            raise SourceError(
                f"{uri}:{line}: the header has {len(names)} names, and `csv.columns` has {len(how.columns)}: name every column"
            )
        return how.columns
    if "" in names or len(set(names)) < len(names):
        bad = next(name for name in names if not name or names.count(name) > 1)
        raise SourceError(
            f"{uri}:{line}: the header has the name {bad!r} {names.count(bad)} times: give every column a name of its own "
            "there. Only if this line is data, and not a header, declare `csv.columns`"
        )
    return names


def _repeats(fields: list[str], columns: tuple[str, ...]) -> bool:
    """Whether most of the fields are the names of their columns, so that this is no record."""
    return 2 * sum(field == column for field, column in zip(fields, columns, strict=False)) > len(columns)
