"""Which rows an import takes, and which of them delete their item, by the filters and changes of an `ImportConfig`.

Pure.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ddb_assets.bulk.rows import Cell, Row
from ddb_assets.bulk.writing.operation import RejectedItemError
from ddb_assets.imports.mapping.item_mapping import ConversionError, as_type
from ddb_assets.imports.mapping.where import Changes, Comparable, Filter, Kind, comparable

Test = Callable[[Comparable | None], bool]


class RowChoice:
    """Takes the rows that fulfil all filters; without filters, all rows. `changes` says which rows are deletes."""

    def __init__(self, where: Sequence[Filter] = (), changes: Changes | None = None) -> None:
        self._filters = [(one.column, one.kind, tuple(one.tests())) for one in where]
        self._column = changes.column if changes else None
        self._deletes = changes.meanings if changes else {}

    def chosen(self, row: Row) -> Row | None:
        """The row, as a delete if it is one; None when it is left out.

        A delete need not have more than its key: a filter whose column has no value in it does not matter.
        Raises RejectedItemError for a cell that cannot be compared, and for a change of an unknown kind.
        """
        if self._column is not None and not row.deleted:
            row = self._changed(row, self._column)
        taken = all(self._fulfils(row, *one) for one in self._filters)
        return row if taken else None

    def _changed(self, row: Row, column: str) -> Row:
        word = _value(row.cells.get(column), "S")
        deletes = self._deletes.get(str(word).strip().upper())
        if word is None or deletes is None:
            known = ", ".join(self._deletes)
            raise RejectedItemError(f"column {column} has {word!r}, which is no change: it is one of {known}")
        return replace(row, deleted=True) if deletes else row

    def _fulfils(self, row: Row, column: str, kind: Kind, tests: Sequence[Test]) -> bool:
        try:
            value = _value(row.cells.get(column), kind)
        except ValueError as error:
            raise RejectedItemError(f"column {column} cannot be compared as `where` says: {error}") from None
        return (value is None and row.deleted) or any(holds(value) for holds in tests)


def _value(cell: Cell, kind: Kind) -> Comparable | None:
    """Raises ValueError."""
    if cell is None or (isinstance(cell, dict) and "NULL" in cell):
        return None
    type_ = "S" if kind == "date" else kind
    try:
        (payload,) = as_type(cell, type_).values()
    except ConversionError as error:
        raise ValueError(str(error)) from None
    return comparable(payload, kind)
