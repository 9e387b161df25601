"""Which type a CSV column has when nobody declared one: N or BOOL if every cell of every file says so, else S.

Pure. All cells are looked at, not a sample, so that no type depends on the order of the rows. A text becomes N only when
it is written as a number is: `007`, `+1` and `1E5` are codes until somebody declares otherwise.
"""

import re
from collections.abc import Iterable
from typing import Literal

from ddb_assets.bulk.rows import BadRow, Row

ColumnType = Literal["S", "N", "BOOL"]

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", re.ASCII)
_BOOLEANS = {"true", "false", "True", "False", "TRUE", "FALSE"}
MAX_DIGITS = 38


class ColumnTypes:
    """Collects what the cells allow, row by row."""

    def __init__(self) -> None:
        self._open: dict[str, ColumnType] = {}  # columns that are still more than text, by what they would be
        self._closed: dict[str, ColumnType] = {}

    def see(self, rows: Iterable[Row | BadRow]) -> None:
        """Takes these rows into account; those that cannot be read are rejected later and say nothing."""
        for row in rows:
            if isinstance(row, Row):
                if row.cells.keys() - self._open.keys() - self._closed.keys():
                    self._begin(row)
                for column in tuple(self._open):
                    cell = row.cells.get(column)
                    if cell is not None:
                        self._narrow(column, str(cell))

    def _begin(self, row: Row) -> None:
        """A column's first value says what it may be; without one it stays unseen."""
        for column, cell in row.cells.items():
            if cell is not None and column not in self._open and column not in self._closed:
                self._open[column] = "BOOL" if cell in _BOOLEANS else "N"

    def _narrow(self, column: str, cell: str) -> None:
        number = self._open[column] == "N"
        if not (_NUMBER.fullmatch(cell) and len(cell) <= MAX_DIGITS if number else cell in _BOOLEANS):
            del self._open[column]
            self._closed[column] = "S"

    @property
    def types(self) -> dict[str, ColumnType]:
        """By column; a column without any value is not in it."""
        return {**self._closed, **self._open}
