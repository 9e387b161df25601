"""Items in DynamoDB JSON: validity, size, key, and equality.

Pure functions over DynamoDB JSON (`{"id": {"S": "a"}}`, binary as base64 text). `attribute_value.py` checks single
values.

Facts: DynamoDB Developer Guide, "Constraints" (400 KB, 32 levels, keys of 2,048 and 1,024 bytes, no empty sets, no
empty keys, no member twice in a set) and "DynamoDB item sizes and formats" (how sizes are counted).
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ddb_assets.dynamodb.attribute_value import (
    MAX_DEPTH,
    MAX_DIGITS,
    AttributeValueError,
    binary,
    binary_text,
    format_path,
    number,
    number_text,
    split,
)

Item = dict[str, Any]
"""Attributes by name, in DynamoDB JSON."""
Key = tuple[object, ...]
"""The values of the key attributes; two are equal exactly when DynamoDB treats them as one key, such as 1 and 1.0."""

MAX_ITEM_BYTES = 400 * 1024
MAX_NAME_BYTES = 64 * 1024 - 1
_PLAIN_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)
MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES = 2048, 1024


@dataclass(frozen=True, slots=True)
class KeyAttribute:
    """A key attribute of a table or an index: its name, its type (S, N or B) and its maximum size in bytes."""

    name: str
    type: str
    max_bytes: int


class _Refused(Exception):  # noqa: N818 -- never leaves this module
    """DynamoDB would refuse the value. Callers fill `path` on the way up, so that it costs nothing for good values."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str | int] = []


def _value_size(value: Any, depth: int = 0) -> int:
    """The size of a value in bytes, without its name."""
    if not isinstance(value, dict) or len(value) != 1:
        split(value)  # raises and says what is wrong
    ((descriptor, payload),) = value.items()
    if descriptor == "S" and isinstance(payload, str):
        return _text_size(payload)
    if descriptor == "N" and isinstance(payload, str):
        return _number_size(payload)
    if (descriptor == "BOOL" and isinstance(payload, bool)) or (descriptor == "NULL" and payload is True):
        return 1
    if descriptor == "B" and isinstance(payload, str):
        return len(binary(payload))
    if descriptor == "M" and isinstance(payload, dict):
        return _members_size(payload.items(), depth) + sum(map(_name_size, payload)) + len(payload) + 3
    if descriptor == "L" and isinstance(payload, list):
        return _members_size(enumerate(payload), depth) + len(payload) + 3
    if descriptor in {"SS", "NS", "BS"} and isinstance(payload, list):
        return _set_size(descriptor[0], payload)
    split(value)  # raises for an unknown descriptor
    raise _Refused(f"{descriptor} cannot hold {type(payload).__name__}")


def _members_size(members: Iterable[tuple[str | int, object]], depth: int) -> int:
    if depth >= MAX_DEPTH:
        raise _Refused(f"nested deeper than {MAX_DEPTH} levels")
    size = 0
    for step, member in members:
        try:
            size += _value_size(member, depth + 1)
        except (_Refused, AttributeValueError) as error:
            raise _within(step, error) from None
    return size


def _within(step: str | int, error: Exception) -> _Refused:
    refused = error if isinstance(error, _Refused) else _Refused(str(error).removeprefix("(item): "))
    refused.path.insert(0, step)
    return refused


def _number_size(text: str) -> int:
    """One byte for every two significant digits, plus one."""
    if not (len(text) <= MAX_DIGITS and _PLAIN_NUMBER.fullmatch(text)):
        text = "".join(map(str, number(text).as_tuple().digits))
    return (len(text.strip("-").replace(".", "").strip("0")) + 1) // 2 + 1


def attribute_sizes(item: Mapping[str, object]) -> dict[str, int]:
    """Each attribute's size in bytes, with its name. Raises AttributeValueError for what DynamoDB would refuse."""
    sizes = {}
    for name, value in item.items():
        try:
            sizes[name] = _name_size(name) + _value_size(value)
        except (_Refused, AttributeValueError) as error:
            refused = _within(name, error)
            raise AttributeValueError(f"{format_path(refused.path)}: {refused}") from None
    return sizes


def item_key(item: Mapping[str, object], key: Sequence[KeyAttribute]) -> Key:
    """The item's key. Raises AttributeValueError when a key attribute is missing, empty, too long or of another type."""
    values: list[object] = []
    for attribute in key:
        if attribute.name not in item:
            raise AttributeValueError(f"key attribute {attribute.name!r} is missing")
        values.append(key_value(item[attribute.name], attribute))
    return tuple(values)


def key_value(value: object, attribute: KeyAttribute) -> object:
    """A key attribute's value in a form that is equal for equal keys. Raises AttributeValueError like `item_key`."""
    descriptor, payload = split(value, (attribute.name,))
    if descriptor != attribute.type:
        raise AttributeValueError(
            f"key attribute {attribute.name!r} must be of type {attribute.type}, found {descriptor}"
        )
    if not isinstance(payload, str):
        raise AttributeValueError(
            f"key attribute {attribute.name!r}: {descriptor} cannot hold {type(payload).__name__}"
        )
    if descriptor == "N":
        return number(payload, (attribute.name,))
    found = binary(payload, (attribute.name,)) if descriptor == "B" else payload
    if not found:
        raise AttributeValueError(f"key attribute {attribute.name!r} is empty")
    size = len(found) if isinstance(found, bytes) else _text_size(found)
    if size > attribute.max_bytes:
        raise AttributeValueError(
            f"key attribute {attribute.name!r} has {size} bytes, DynamoDB takes {attribute.max_bytes}"
        )
    return found


def _text_size(text: str) -> int:
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise _Refused(f"the text is not valid Unicode ({error.reason})") from None


def _name_size(name: str) -> int:
    size = _text_size(name)
    if not 0 < size <= MAX_NAME_BYTES:
        raise _Refused(f"an attribute name has {size} bytes, DynamoDB takes 1 to {MAX_NAME_BYTES}")
    return size


def _set_size(descriptor: str, members: list[object]) -> int:
    if not members:
        raise _Refused("a set must not be empty")
    size = _members_size(enumerate({descriptor: member} for member in members), 0)
    seen = {number(str(m)) if descriptor == "N" else binary(str(m)) if descriptor == "B" else m for m in members}
    if len(seen) < len(members):
        raise _Refused("a member occurs twice in a set")
    return size


def canonical(value: object) -> Item:
    """A value in a canonical form, the same for equal values: 1 and 1.0 are one number, and sets have no order.

    Binary may be base64 text, as in DynamoDB JSON, or bytes, as botocore returns it. Raises AttributeValueError.
    """
    descriptor, payload = split(value)
    match descriptor:
        case "N":
            return {"N": number_text(payload)}
        case "B":
            return {"B": _base64(payload)}
        case "SS":
            return {"SS": sorted(payload)}
        case "NS":
            return {"NS": sorted(map(number_text, payload))}
        case "BS":
            return {"BS": sorted(map(_base64, payload))}
        case "L":
            return {"L": list(map(canonical, payload))}
        case "M":
            return {"M": {name: canonical(member) for name, member in payload.items()}}
        case _:
            return {descriptor: payload}


def canonical_json(item: Mapping[str, object]) -> bytes:
    """An item as JSON text that is equal for equal items. Raises AttributeValueError."""
    form = {name: canonical(value) for name, value in item.items()}
    return orjson.dumps(form, option=orjson.OPT_SORT_KEYS)


def item_digest(item: Mapping[str, object]) -> bytes:
    """16 bytes that are equal for equal items."""
    return hashlib.blake2b(canonical_json(item), digest_size=16).digest()


def _base64(payload: str | bytes) -> str:
    return binary_text(payload) if isinstance(payload, str) else base64.b64encode(payload).decode()
