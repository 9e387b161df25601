"""The image of an item: how the sandbox stores DynamoDB JSON on disk and orders it.

Pure functions over DynamoDB JSON (`{"id": {"S": "a"}}`), without moto (`tables`) and SQLite (`change_log`).
`dynamodb/item.py` checks items and computes their size. Facts: AWS page HowItWorks.NamingRulesDataTypes.
"""

import base64
import hashlib
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import orjson

from ddb_assets.dynamodb.attribute_value import AttributeValueError
from ddb_assets.dynamodb.item import attribute_sizes

Attributes = dict[str, dict[str, Any]]

HASH_BYTES = 4  # the first bytes of a storage key, which decide on the item's partition
KEY_END = b"\xff" * 1025  # sorts after every storage key and every sort key (at most 1,024 bytes)
MAX_DIGITS = 38
_EXACT = Context(prec=200, Emin=-1000, Emax=1000)


class ImageError(ValueError):
    """DynamoDB would refuse the item; the message is DynamoDB's own where it is known."""


def number_text(text: str) -> str:
    """A number as DynamoDB returns it: `1.50` -> `1.5`, `1E2` -> `100`. Raises ImageError if it is not a valid number."""
    if len(text) <= MAX_DIGITS and text.isascii() and text.isdigit() and text[0] != "0":
        return text
    try:
        value = _EXACT.create_decimal(text)
    except InvalidOperation:
        raise ImageError(f"The parameter cannot be converted to a numeric value: {text}") from None
    value = value.normalize(_EXACT)
    if not value:
        return "0"
    if len(value.as_tuple().digits) > MAX_DIGITS:
        raise ImageError("Attempting to store more than 38 significant digits in a Number")
    return format(value, "f")


def normalise(attribute: dict[str, Any]) -> dict[str, Any]:
    """An attribute value with its numbers as canonical texts."""
    ((kind, value),) = attribute.items()
    match kind:
        case "N":
            return {"N": number_text(value)}
        case "NS":
            return {"NS": [number_text(member) for member in value]}
        case "M":
            return {"M": {name: normalise(member) for name, member in value.items()}}
        case "L":
            return {"L": [normalise(member) for member in value]}
    return attribute


def encode(attributes: Attributes, key_names: list[str]) -> tuple[bytes, int]:
    """The image (compact JSON in raw UTF-8, key attributes first, as in exports) and the item's size in bytes.

    Raises ImageError for what DynamoDB refuses: a number out of range, a string that is not valid Unicode, an empty set.
    """
    ordered = {name: attributes[name] for name in key_names} | attributes
    normal = {name: normalise(attribute) for name, attribute in ordered.items()}
    try:
        return orjson.dumps(normal), sum(attribute_sizes(normal).values())
    except orjson.JSONEncodeError as error:
        raise ImageError(f"One or more parameter values were invalid: not UTF-8 text ({error})") from None
    except AttributeValueError as error:
        raise ImageError(f"One or more parameter values were invalid: {error}") from None


def decode(image: bytes) -> Attributes:
    """The attributes of an image, in DynamoDB JSON."""
    attributes: Attributes = orjson.loads(image)
    return attributes


def storage_key(partition_key: dict[str, Any], sort_key: dict[str, Any] | None) -> bytes:
    """The position of an item in its table: MD5 of the partition key, then the sort key in a form that keeps its order.

    The bytes sort in DynamoDB's scan order: by hash of the partition key, then by sort key (UTF-8 bytes, binary, number).
    """
    head = hashlib.md5(_sortable(partition_key), usedforsecurity=False).digest()
    return head if sort_key is None else head + _sortable(sort_key)


def partition_range(partition_key: dict[str, Any]) -> tuple[bytes, bytes]:
    """(low, high): the storage keys `k` of one partition key are those with `low <= k < high`."""
    head = storage_key(partition_key, None)
    return head, head + KEY_END


def segment_range(segment: int, total: int) -> tuple[bytes, bytes]:
    """(low, high): the storage keys `k` of one segment of a parallel scan are those with `low <= k < high`."""
    space = 1 << 8 * HASH_BYTES
    low = (space * segment // total).to_bytes(HASH_BYTES)
    return low, KEY_END if segment + 1 == total else (space * (segment + 1) // total).to_bytes(HASH_BYTES)


def _sortable(attribute: dict[str, Any]) -> bytes:
    ((kind, value),) = attribute.items()
    match kind:
        case "S":
            return value.encode()  # type: ignore[no-any-return]
        case "B":
            return base64.b64decode(value)
        case "N":
            return _sortable_number(_EXACT.create_decimal(number_text(value)))
    raise ImageError(f"One or more parameter values were invalid: Type mismatch for key, actual: {kind}")


def _sortable_number(number: Decimal) -> bytes:
    """Sign, exponent and digits, complemented for negative numbers, so that the bytes sort like the numbers."""
    if not number:
        return b"\x01"
    exponent = number.adjusted() + 1000
    digits = "".join(map(str, number.as_tuple().digits)).rstrip("0").encode()
    if number > 0:
        return b"\x02" + exponent.to_bytes(2) + digits
    return b"\x00" + (0xFFFF - exponent).to_bytes(2) + bytes(0xFF - digit for digit in digits) + b"\xff"
