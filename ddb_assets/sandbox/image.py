"""The image of an item: how DynamoDB JSON is kept, measured and ordered on disk.

Pure functions over DynamoDB JSON (`{"id": {"S": "a"}}`). No moto, no SQLite: those are `tables` and `change_log`.
Facts: data types, naming rules and item sizes, AWS pages HowItWorks.NamingRulesDataTypes, CapacityUnitCalculations and
Constraints.
"""

import base64
import hashlib
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import orjson

Attributes = dict[str, dict[str, Any]]

HASH_BYTES = 4  # the head of a storage key that says which partition the item is in
KEY_END = b"\xff" * 1025  # sorts after every storage key and every sort key, which has at most 1,024 bytes
MAX_DIGITS = 38
_EXACT = Context(prec=200, Emin=-1000, Emax=1000)


class ImageError(ValueError):
    """An item DynamoDB would refuse; the message is DynamoDB's own where it is known."""


def number_text(text: str) -> str:
    """The number as DynamoDB returns it: plain digits without needless zeros ("1.50" -> "1.5", "1E2" -> "100")."""
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


def _number_size(text: str) -> int:
    return (len(text.strip("-").replace(".", "").strip("0")) + 1) // 2 + 1


def _base64_size(text: str) -> int:
    return len(text) * 3 // 4 - text[-2:].count("=")


def normalise(attribute: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """One attribute value with its numbers in canonical text, and its size in bytes by DynamoDB's rules."""
    ((kind, value),) = attribute.items()
    match kind:
        case "S":
            return attribute, len(value) if value.isascii() else len(value.encode())
        case "N":
            text = number_text(value)
            return {"N": text}, _number_size(text)
        case "BOOL" | "NULL":
            return attribute, 1
        case "B":
            return attribute, _base64_size(value)
        case "M":
            members, size = normalise_all(value)
            return {"M": members}, size + 3 + len(members)
        case "L":
            pairs = [normalise(member) for member in value]
            return {"L": [member for member, _ in pairs]}, sum(size + 1 for _, size in pairs) + 3
        case "SS":
            return attribute, sum(len(member.encode()) for member in value)
        case "NS":
            texts = [number_text(member) for member in value]
            return {"NS": texts}, sum(map(_number_size, texts))
        case "BS":
            return attribute, sum(map(_base64_size, value))
    raise ImageError(f"Supplied AttributeValue has the unknown type {kind}")


def normalise_all(attributes: Attributes) -> tuple[Attributes, int]:
    """Every attribute normalised, and the size of names and values together."""
    result: Attributes = {}
    total = 0
    for name, attribute in attributes.items():
        result[name], size = normalise(attribute)
        total += size + (len(name) if name.isascii() else len(name.encode()))
    return result, total


def encode(attributes: Attributes, key_names: list[str]) -> tuple[bytes, int]:
    """The image as compact JSON in raw UTF-8, key attributes first as exports have it, and the item's size in bytes.

    Raises `ImageError` for what DynamoDB refuses: a number out of range, a string that is no Unicode text.
    """
    ordered = {name: attributes[name] for name in key_names} | attributes
    try:
        normal, size = normalise_all(ordered)
        return orjson.dumps(normal), size
    except (orjson.JSONEncodeError, UnicodeEncodeError) as error:
        raise ImageError(f"One or more parameter values were invalid: not UTF-8 text ({error})") from None


def decode(image: bytes) -> Attributes:
    """The attributes of an image, in DynamoDB JSON."""
    attributes: Attributes = orjson.loads(image)
    return attributes


def storage_key(partition_key: dict[str, Any], sort_key: dict[str, Any] | None) -> bytes:
    """Where an item stands in its table: MD5 of the partition key, then the sort key in an order-preserving form.

    Bytes compare as DynamoDB scans: by hash of the partition key, then by sort key (UTF-8 bytes, raw binary, number).
    """
    head = hashlib.md5(_sortable(partition_key), usedforsecurity=False).digest()
    return head if sort_key is None else head + _sortable(sort_key)


def partition_range(partition_key: dict[str, Any]) -> tuple[bytes, bytes]:
    """Storage keys of one partition key: every `k` with `low <= k < high`."""
    head = storage_key(partition_key, None)
    return head, head + KEY_END


def segment_range(segment: int, total: int) -> tuple[bytes, bytes]:
    """Storage keys of one segment of a parallel scan: every `k` with `low <= k < high`."""
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
    """Sign, exponent, digits; all complemented for a negative number, so that bytes compare as the numbers do."""
    if not number:
        return b"\x01"
    exponent = number.adjusted() + 1000
    digits = "".join(map(str, number.as_tuple().digits)).rstrip("0").encode()
    if number > 0:
        return b"\x02" + exponent.to_bytes(2) + digits
    return b"\x00" + (0xFFFF - exponent).to_bytes(2) + bytes(0xFF - digit for digit in digits) + b"\xff"
