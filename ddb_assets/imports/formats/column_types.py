"""The types of CSV columns that have no declared one.

Pure. A column is N or BOOL if every cell of every file is written that way, otherwise S. All cells are read, not a sample, so
that no type depends on the order of the rows. A text becomes N only if DynamoDB gives it back as it is: `007`, `1.10`, `+1`
and `1E5` stay texts unless the column's type is declared.
"""

import re
from collections.abc import Iterable
from typing import Literal

from ddb_assets.bulk.rows import BadRow, Row
from ddb_assets.dynamodb.attribute_value import CANONICAL_NUMBER, MAX_DIGITS

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
