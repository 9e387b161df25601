"""The canonical text of a number, as an oracle that shares no code with flattening.

It moves the point within the original text; flattening uses Decimal and the casts of Arrow.
"""

import base64
import re
from dataclasses import dataclass
from typing import Any

_PARTS = re.compile(r"([+-]?)([0-9]*)\.?([0-9]*)(?:[eE]([+-]?[0-9]+))?")


@dataclass(frozen=True)
class N:
    """A number as its text, so that `3` and `3.00` differ."""

    text: str


def number_text(text: str) -> str:
    """The digits of a number, without an exponent and needless zeros."""
    parts = _PARTS.fullmatch(text)
    assert parts, text
    sign, whole, fraction, exponent = parts.groups()
    digits, point = whole + fraction, len(whole) + int(exponent or 0)
    if point <= 0:
        digits, point = "0" * (1 - point) + digits, 1
    digits = digits.ljust(point, "0")
    before, after = digits[:point].lstrip("0") or "0", digits[point:].rstrip("0")
    plain = f"{before}.{after}" if after else before
    return f"-{plain}" if sign == "-" and plain != "0" else plain


def with_texts(value: Any) -> Any:
    """A value in DynamoDB JSON as Python values, with numbers as their texts."""
    ((descriptor, payload),) = value.items()
    match descriptor:
        case "N":
            return N(number_text(payload))
        case "NS":
            return {N(number_text(member)) for member in payload}
        case "B":
            return base64.b64decode(payload)
        case "BS":
            return {base64.b64decode(member) for member in payload}
        case "SS":
            return set(payload)
        case "NULL":
            return None
        case "L":
            return [with_texts(member) for member in payload]
        case "M":
            return {name: with_texts(member) for name, member in payload.items()}
        case _:
            return payload
