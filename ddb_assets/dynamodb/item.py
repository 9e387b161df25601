"""Whether DynamoDB will take an item, how large it is, and which item of its table it is.

Pure functions over DynamoDB JSON (`{"id": {"S": "a"}}`, binary as base64 text). What a single value may be is
`attribute_value.py`'s; who sends items is `imports/`.
Facts: DynamoDB Developer Guide, "Constraints" (400 KB, 32 levels, keys of 2,048 and 1,024 bytes, no empty sets, no empty
keys, no member twice in a set) and "DynamoDB item sizes and formats" (how sizes are counted).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ddb_assets.dynamodb.attribute_value import MAX_DEPTH, MAX_DIGITS, AttributeValueError, binary, number, split

Item = dict[str, Any]
"""Attributes by name, in DynamoDB JSON."""
Key = tuple[object, ...]
"""Which item of its table: the key attributes' values, equal exactly when DynamoDB takes them for one key (1 and 1.0)."""

MAX_ITEM_BYTES = 400 * 1024
MAX_NAME_BYTES = 64 * 1024 - 1
MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES = 2048, 1024


@dataclass(frozen=True, slots=True)
class KeyAttribute:
    """A key attribute of a table or an index: its name, its type (S, N or B) and the most bytes it may have."""

    name: str
    type: str
    max_bytes: int


def number_size(text: str) -> int:
    """Bytes of an N: one per two significant digits, and one; the text has no exponent."""
    return (len(text.strip("-").replace(".", "").strip("0")) + 1) // 2 + 1


def base64_size(text: str) -> int:
    """Bytes that a padded base64 text stands for."""
    return len(text) * 3 // 4 - text[-2:].count("=")


def value_size(value: object, path: tuple[str | int, ...], depth: int = 0) -> int:
    """Bytes of a value without its name. Raises AttributeValueError with the path of what DynamoDB refuses."""
    descriptor, payload = split(value, path)
    match descriptor, payload:
        case "S", str():
            return _text_size(payload, path)
        case "N", str():
            if payload.isdigit() and payload.isascii() and len(payload) <= MAX_DIGITS:
                return number_size(payload)
            digits = "".join(map(str, number(payload, path).as_tuple().digits))
            return number_size(digits)
        case ("BOOL", bool()) | ("NULL", True):
            return 1
        case "B", str():
            return len(binary(payload, path))
        case ("M", dict()) | ("L", list()):
            if depth >= MAX_DEPTH:
                raise AttributeValueError(f"attribute {path[0]!r} is nested deeper than {MAX_DEPTH} levels")
            if descriptor == "M":
                return (
                    sum(
                        _name_size(name, path) + value_size(member, (*path, name), depth + 1) + 1
                        for name, member in payload.items()
                    )
                    + 3
                )
            return sum(value_size(member, (*path, i), depth + 1) + 1 for i, member in enumerate(payload)) + 3
        case (("SS" | "NS" | "BS"), list()):
            return _set_size(descriptor[0], payload, path)
    raise AttributeValueError(f"{path[0]}: {descriptor} cannot hold {type(payload).__name__}")


def attribute_sizes(item: Mapping[str, object]) -> dict[str, int]:
    """Bytes of every attribute with its name. Raises AttributeValueError naming what DynamoDB would refuse."""
    return {name: _name_size(name, ()) + value_size(value, (name,)) for name, value in item.items()}


def item_key(item: Mapping[str, object], key: Sequence[KeyAttribute]) -> Key:
    """The item's key. Raises AttributeValueError when a key attribute is missing, empty, too long or of another type."""
    values: list[object] = []
    for attribute in key:
        if attribute.name not in item:
            raise AttributeValueError(f"key attribute {attribute.name!r} is missing")
        values.append(key_value(item[attribute.name], attribute))
    return tuple(values)


def key_value(value: object, attribute: KeyAttribute) -> object:
    """A key attribute's value such that equal keys are equal. Raises AttributeValueError as `item_key` does."""
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
    size = len(found) if isinstance(found, bytes) else _text_size(found, (attribute.name,))
    if size > attribute.max_bytes:
        raise AttributeValueError(
            f"key attribute {attribute.name!r} has {size} bytes, DynamoDB takes {attribute.max_bytes}"
        )
    return found


def _text_size(text: str, path: tuple[str | int, ...]) -> int:
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise AttributeValueError(f"{path[0] if path else 'a name'}: the text is no Unicode ({error.reason})") from None


def _name_size(name: str, path: tuple[str | int, ...]) -> int:
    size = _text_size(name, path)
    if not 0 < size <= MAX_NAME_BYTES:
        raise AttributeValueError(f"an attribute name has {size} bytes, DynamoDB takes 1 to {MAX_NAME_BYTES}")
    return size


def _set_size(descriptor: str, members: list[object], path: tuple[str | int, ...]) -> int:
    if not members:
        raise AttributeValueError(f"{path[0]}: a set must not be empty")
    size = 0
    seen: set[object] = set()
    for index, member in enumerate(members):
        size += value_size({descriptor: member}, (*path, index))
        text = str(member)
        seen.add(number(text) if descriptor == "N" else binary(text) if descriptor == "B" else text)
    if len(seen) < len(members):
        raise AttributeValueError(f"{path[0]}: a member stands twice in a set")
    return size


def canonical(value: object) -> object:
    """A value in a form that is equal for equal values: numbers by value, sets without order, binary as bytes.

    Binary may be base64 text, as in DynamoDB JSON, or bytes, as botocore has it. Raises AttributeValueError.
    """
    descriptor, payload = split(value)
    match descriptor:
        case "N":
            return "N", number(payload)
        case "B":
            return "B", _bytes(payload)
        case "SS":
            return "SS", frozenset(payload)
        case "NS":
            return "NS", frozenset(map(number, payload))
        case "BS":
            return "BS", frozenset(map(_bytes, payload))
        case "L":
            return "L", tuple(map(canonical, payload))
        case "M":
            return "M", frozenset((name, canonical(member)) for name, member in payload.items())
        case _:
            return descriptor, payload


def _bytes(payload: str | bytes) -> bytes:
    return binary(payload) if isinstance(payload, str) else payload
