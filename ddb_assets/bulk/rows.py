"""What the readers of input files produce: rows, and records that cannot be read.

Pure. `imports/mapping/item_mapping.py` makes items of rows.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import orjson

from ddb_assets.errors import DdbAssetsError

Cell = str | dict[str, Any] | None
"""A text that still needs a type (CSV), a value in DynamoDB JSON (formats that have types), or None for no value."""


Format = Literal["csv", "jsonl", "parquet", "dynamodb-json", "ion"]


class SourceError(DdbAssetsError):
    """An input does not exist, or is not what it should be."""


class Origin(NamedTuple):
    """A file, and the number of a record in it, from 0. `part`: of several rows that stood in one record, from 0."""

    file: str
    number: int
    part: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One record. `number` counts the file's records from 0, `line` its lines from 1 (Parquet: rows).

    `text` is the record as it stood in the file; None where `cells` is all there is. `deleted`: the cells are the key of an
    item that was deleted. `origin` is where it was first read from, for a row of a reject file.
    """

    number: int
    line: int
    cells: dict[str, Cell]
    text: str | None = None
    deleted: bool = False
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A record that cannot be read, of so many `lines`. `columns` are a CSV file's, without which its text means nothing.

    `origin` as in a Row.
    """

    number: int
    line: int
    text: str
    reason: str
    columns: tuple[str, ...] | None = None
    lines: int = 1
    origin: Origin | None = None


def original(
    row: Row | BadRow, hidden: frozenset[str] = frozenset(), masked: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """What a reject file keeps of a row: `text`, or else `row`; and `columns` where the text needs them.

    The values of `hidden` columns are left out. In a text they cannot be told apart, so then there is none. Without those of
    `masked` columns the row would become another item, so nothing is kept of a row that has them.
    """
    hidden = hidden | masked
    if isinstance(row, Row) and not masked.isdisjoint(row.cells):
        return {"text": None} | ({"deleted": True} if row.deleted else {})
    if isinstance(row, BadRow):
        more = ({"columns": row.columns} if row.columns else {}) | ({"lines": row.lines} if row.lines > 1 else {})
        return {"text": None if hidden else row.text} | more
    if row.text is not None and not hidden:
        return {"text": row.text}
    cells = {name: cell for name, cell in row.cells.items() if name not in hidden}
    return {"row": cells} | ({"deleted": True} if row.deleted else {})


def dump(document: dict[str, Any]) -> bytes:
    """One line of JSON. Parts of a text that are not valid Unicode are kept as escapes."""
    try:
        return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:
        return json.dumps(document).encode() + b"\n"
