"""Texts as attribute values of a declared type, and one type of value as another.

Pure. Nothing is guessed here: `column_types.py` guesses, `mapping.py` says which type an attribute has.
"""

import base64
from collections.abc import Callable
from typing import Any, cast

from ddb_assets.bulk.rows import Cell
from ddb_assets.dynamodb.attribute_value import AttributeValueError, Descriptor, binary, number_text
from ddb_assets.imports.json_rows import parse_json

TRUE, FALSE = {"true", "t", "yes", "y", "1"}, {"false", "f", "no", "n", "0"}
Value = dict[str, Any]


class ConversionError(ValueError):
    """A cell cannot be of the type that its attribute has."""


def as_type(cell: Cell, type_: Descriptor | None, separator: str | None = None) -> Value:
    """A cell that is a value, in this type (None: the one it has; a text is S). Raises ConversionError.

    `separator` divides a text into the members of a set or list, which else is a JSON array.
    """
    assert cell is not None  # noqa: S101 -- what no value becomes is the mapping's
    if isinstance(cell, str):
        return {"S": cell} if type_ is None else _from_text(cell, type_, separator)
    ((found, payload),) = cell.items()
    if type_ is None or found == type_:
        return cell
    if found == "S":
        return _from_text(payload, type_, separator)
    if type_ == "S" and found in {"N", "B"}:
        return {"S": payload}
    if type_ == "S" and found == "BOOL":
        return {"S": "true" if payload else "false"}
    if found == "L" and type_ in {"SS", "NS", "BS"}:
        return {type_: [_member(member, type_[0]) for member in payload]}
    raise ConversionError(f"{found} cannot become {type_}")


def _from_text(text: str, type_: Descriptor, separator: str | None) -> Value:
    try:
        return _FROM_TEXT[type_](text) if type_ in _FROM_TEXT else _collection(text, type_, separator)
    except AttributeValueError as error:
        raise ConversionError(str(error).removeprefix("(item): ")) from None


def _number(text: str) -> Value:
    return {"N": number_text(text.strip())}


def _boolean(text: str) -> Value:
    word = text.strip().lower()
    if word not in TRUE | FALSE:
        raise ConversionError(f"{text[:60]!r} is neither true nor false")
    return {"BOOL": word in TRUE}


def _binary(text: str) -> Value:
    return {"B": base64.b64encode(binary(text.strip())).decode()}


_FROM_TEXT: dict[str, Callable[[str], Value]] = {
    "S": lambda text: {"S": text},
    "N": _number,
    "BOOL": _boolean,
    "B": _binary,
    "NULL": lambda _: {"NULL": True},
}


def _collection(text: str, type_: Descriptor, separator: str | None) -> Value:
    if separator is not None and type_ != "M":
        members: list[Value] = [{"S": member.strip()} for member in text.split(separator)] if text else []
    else:
        try:
            found = parse_json(text)
        except ValueError as error:
            raise ConversionError(f"{text[:60]!r} is no JSON for {type_}: {error}") from None
        if type_ in found:
            return found
        if type_ == "M" or "L" not in found:
            raise ConversionError(f"{text[:60]!r} is no JSON {'object' if type_ == 'M' else 'array'} for {type_}")
        members = found["L"]
    return {"L": members} if type_ == "L" else {type_: [_member(member, type_[0]) for member in members]}


def _member(value: Value, type_: str) -> str:
    member: str = as_type(value, cast("Descriptor", type_))[type_]
    return member
