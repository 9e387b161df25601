"""Writes values as JSON that SUPER keeps exactly; types that plain JSON cannot show are noted in `$types`.

SUPER cannot hold texts of more than 65,535 bytes and possibly none with U+0000 (reports differ). It holds numbers as DECIMAL
does, with at most 38 digits (Redshift Database Developer Guide, "SUPER type").
"""

import base64
from decimal import Context
from typing import Any

import orjson

from ddb_assets.contract.column_type import MAX_PRECISION, MAX_SCALE, MAX_VARCHAR
from ddb_assets.dynamodb.attribute_value import (
    NUL,
    Step,
    binary_text,
    format_path,
    number,
    number_text,
    sorted_members,
)
from ddb_assets.flatten.rules import pieces

Types = dict[str, str]
"""The content of `$types`: path -> type."""
Path = tuple[Step | int, ...]
PIECES = "[]"
"""The end of a type in `$types` for a text that is too long for SUPER: `_ddb_extra` has it as an array of its pieces."""
ENCODED = "S64"
"""The type in `$types` of a text with U+0000, which is written as base64 of its UTF-8."""
ESCAPED = "M0"
"""The type in `$types` of a map with U+0000 in a name. All its names are escaped: U+0000 as `\\0`, a backslash as `\\\\`."""
_WIDE = Context(prec=200)


def extra_path(path: tuple[Step | int, ...]) -> str:
    """The name of a value in `_ddb_extra`: its path in the item or element; `$value` for the element itself."""
    return format_path(path) if path else "$value"


def plain_scalar(descriptor: str, payload: Any, path: Path, types: Types) -> Any:
    """The JSON value of a payload that is not a map, list or string."""
    match descriptor:
        case "N":
            return _number(payload, path, types)
        case "NULL":
            return None
        case "B":
            return _binary(binary_text(payload), path, types)
        case "SS":
            return [plain_text(text, (*path, place), types) for place, text in enumerate(sorted_members("SS", payload))]
        case "BS":
            return [_binary(text, (*path, place), types) for place, text in enumerate(sorted_members("BS", payload))]
        case "NS":
            members = enumerate(sorted_members("NS", payload))
            return [_number(text, (*path, place), types) for place, text in members]
        case _:
            return payload


def plain_text(text: str, path: Path, types: Types) -> str | list[str]:
    """A text as SUPER can hold it: base64 if it has U+0000, and in pieces if it is too long."""
    type_ = ""
    if NUL in text:
        text, type_ = base64.b64encode(text.encode()).decode(), ENCODED
    if len(text.encode()) > MAX_VARCHAR:
        types[extra_path(path)] = (type_ or "S") + PIECES
        return pieces(text)
    if type_:
        types[extra_path(path)] = type_
    return text


def _binary(text: str, path: Path, types: Types) -> str | list[str]:
    """Base64 text as SUPER can hold it: in pieces if it is too long."""
    if len(text) <= MAX_VARCHAR:
        return text
    types[extra_path(path)] = "B" + PIECES
    return pieces(text)


def plain_map(members: dict[str | int, Any], path: Path, types: Types) -> dict[str, Any]:
    """The members of a map, with escaped names if one of them contains U+0000."""
    names = [str(name) for name in members]
    if any(NUL in name for name in names):
        types[extra_path(path)] = ESCAPED
        names = [name.replace("\\", "\\\\").replace(NUL, "\\0") for name in names]
    return dict(zip(names, members.values(), strict=True))


def _number(payload: str, path: Path, types: Types) -> Any:
    """A JSON number; a text, with its type noted, if SUPER cannot hold all its digits."""
    text = number_text(payload)
    if len(text) <= MAX_PRECISION and not {"e", "E"} & set(text):
        return orjson.Fragment(text)
    value = number(payload).normalize(_WIDE)
    scale = max(0, -int(value.as_tuple().exponent))
    if scale <= MAX_SCALE and max(1, value.adjusted() + 1) + scale <= MAX_PRECISION:
        return orjson.Fragment(text)
    types[extra_path(path)] = "N"
    return text
