"""Files of JSON objects as rows, one a line or in a document. `dynamodb_record.py` reads those in DynamoDB JSON.

Numbers never pass through a float.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from ddb_assets.bulk.rows import BadRow, Cell, Row, SourceError
from ddb_assets.exports.data_file import MAX_LINE_BYTES
from ddb_assets.imports.formats.json_document import Document, Path


class _Number(str):
    """A number as it is written in the file."""

    __slots__ = ()


def json_lines(stream: BinaryIO, uri: str, first_line: int = 1) -> Iterator[tuple[int, int, bytes]]:
    """Number, line and text of every line that is not blank. Raises SourceError for a line that is too long."""
    number = 0
    line = first_line - 1
    while text := stream.readline(MAX_LINE_BYTES + 1):
        line += 1
        if len(text) > MAX_LINE_BYTES:
            raise SourceError(
                f"{uri}:{line}: this line has more than {MAX_LINE_BYTES} bytes: this is not a JSON Lines file"
            )
        if text := text.strip():
            yield number, line, text
            number += 1


def json_rows(
    stream: BinaryIO, uri: str, record: Callable[[str, int, int], Row | BadRow], path: Path | None = None
) -> Iterator[Row | BadRow]:
    """The file's lines, each read by `plain_record`, `dynamodb_record` or `ion_record`; with a `path` the items there."""
    if path is not None:
        records = Document(stream, uri).items(path)
    else:
        records = (
            (number, line, data.decode(errors="surrogateescape")) for number, line, data in json_lines(stream, uri)
        )
    for number, line, text in records:
        yield (
            record(text, number, line)
            if text.isprintable() or _is_text(text)
            else BadRow(number, line, text, "the line is not UTF-8 text")
        )


def _is_text(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def plain_record(text: str, number: int, line: int) -> Row | BadRow:
    """A JSON object: strings, numbers, booleans, null, arrays and objects become S, N, BOOL, NULL, L and M."""
    try:
        loaded = _decode(text)
        if not isinstance(loaded, dict):
            return BadRow(number, line, text, f"expected an object, found {type(loaded).__name__}")
        cells: dict[str, Cell] = {
            name: None if value is None else attribute_value(value) for name, value in loaded.items()
        }
        return Row(number, line, cells, text)
    except (ValueError, RecursionError) as error:
        return BadRow(number, line, text, f"not JSON: {error}")


def attribute_value(value: Any) -> dict[str, Any]:
    """A value of `parse_json` in DynamoDB JSON."""
    match value:
        case _Number():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case None:
            return {"NULL": True}
        case list():
            return {"L": [attribute_value(member) for member in value]}
        case _:
            return {"M": {name: attribute_value(member) for name, member in value.items()}}


def parse_json(text: str) -> dict[str, Any]:
    """Any JSON text in DynamoDB JSON. Raises ValueError."""
    try:
        return attribute_value(_decode(text))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for i, (name, _) in enumerate(pairs) if name in dict(pairs[:i]))
        raise ValueError(f"the name {twice!r} stands twice in one object")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number")


_decode = json.JSONDecoder(
    parse_float=_Number, parse_int=_Number, parse_constant=_refuse, object_pairs_hook=_unique
).decode
