"""DynamoDB's types as DynamoDB JSON writes them: type descriptors, attribute paths, numbers, and what each may hold.

Pure: no dagster, no boto3, no Arrow. `flatten/` decides what a value becomes in a warehouse.

Facts: DynamoDB Developer Guide, "Naming rules and data types" and "Constraints": there are ten descriptors, S, N, B,
BOOL, NULL, SS, NS, BS, L and M; N is a JSON string of up to 38 significant digits, of magnitude 1E-130 to 9.99…E+125.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, cast, get_args

Descriptor = Literal["S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M"]
DESCRIPTORS: frozenset[str] = frozenset(get_args(Descriptor))
MAX_DIGITS = 38
MIN_EXPONENT, MAX_EXPONENT = -130, 125
MAX_DEPTH = 32

Step = str | None
"""One step of an attribute path: an attribute's name, or None for "any element of this list"."""

CANONICAL_NUMBER = r"0|-?(?:[1-9][0-9]*(?:\.[0-9]*[1-9])?|0\.[0-9]*[1-9])"
"""The canonical text of a number: digits without an exponent and without needless zeros."""
_CANONICAL_NUMBER = re.compile(CANONICAL_NUMBER, re.ASCII)
_DYNAMODB_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?", re.ASCII)
_TO_ESCAPE = re.compile(r"[\\.\[\0]|^\$")
NUL = "\0"
"""U+0000. DynamoDB allows it in texts and names, Redshift does not: COPY refuses such a text or cuts it there."""


class AttributeValueError(ValueError):
    """A text or JSON value is not what DynamoDB JSON allows; the message says where and why.

    `reason` is a fixed text with the placeholders `{path}` and `{value}`, so that a table that hides values can give
    the reason without them (`without_values`).
    """

    def __init__(self, reason: str, path: "Sequence[Step | int]" = (), value: object = "") -> None:
        self.reason, self.path, self.value = reason, tuple(path), value
        super().__init__(self._with(format_path(path), str(value)))

    def without_values(self, shown: "Sequence[Step | int]") -> str:
        """The message with `shown` in place of its path and without the value."""
        return self._with(format_path(shown), "…")

    def _with(self, path: str, value: str) -> str:
        texts = {"{path}": path, "{value}": value}
        return re.sub(r"\{(?:path|value)\}", lambda found: texts[found[0]], self.reason)


def split(value: object, path: Sequence[Step | int] = ()) -> tuple[Descriptor, Any]:
    """`{"S": "x"}` -> `("S", "x")`. Raises AttributeValueError unless it is an object with one known descriptor."""
    if not isinstance(value, dict) or len(value) != 1:
        what, names = ("descriptors {value}", sorted(value)) if isinstance(value, dict) else (_kind(value), ())
        raise AttributeValueError(
            "{path}: expected one object with one type descriptor, found " + what, path, list(map(str, names))
        )
    ((descriptor, payload),) = value.items()
    if descriptor not in DESCRIPTORS:
        raise AttributeValueError("{path}: unknown type descriptor {value}", path, repr(descriptor))
    return cast("Descriptor", descriptor), payload


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"


def check(descriptor: Descriptor, payload: object, path: Sequence[Step | int] = ()) -> None:
    """Raises AttributeValueError unless the payload has its descriptor's form. Does not check the members of L and M."""
    match descriptor, payload:
        case ("S", str()) | ("BOOL", bool()) | ("NULL", True) | ("L", list()) | ("M", dict()):
            return
        case "N", str():
            number_text(payload, path)
        case "B", str():
            binary(payload, path)
        case (("SS" | "NS" | "BS"), list()):
            for index, member in enumerate(payload):
                check(cast("Descriptor", descriptor[0]), member, (*path, index))
        case _:
            raise AttributeValueError(f"{{path}}: {descriptor} cannot hold {type(payload).__name__}", path)


def check_all(value: object, path: Sequence[Step | int] = ()) -> None:
    """`check` for a value in DynamoDB JSON, such as `{"S": "x"}`, and for everything in it."""
    descriptor, payload = split(value, path)
    check(descriptor, payload, path)
    if descriptor == "M":
        for name, member in payload.items():
            check_all(member, (*path, name))
    elif descriptor == "L":
        for index, member in enumerate(payload):
            check_all(member, (*path, index))


def number(text: str, path: Sequence[Step | int] = ()) -> Decimal:
    """The exact value of an N. Raises AttributeValueError when it is not a number or not one that DynamoDB can hold."""
    try:
        if not _DYNAMODB_NUMBER.fullmatch(text):
            raise InvalidOperation
        value = Decimal(text)
    except InvalidOperation:
        raise AttributeValueError("{path}: N {value} is not a number", path, repr(text[:60])) from None
    if value and not MIN_EXPONENT <= value.adjusted() <= MAX_EXPONENT:
        raise AttributeValueError("{path}: N {value} is out of range 1E-130..9.9E+125", path, repr(text[:60]))
    if len("".join(map(str, value.as_tuple().digits)).strip("0")) > MAX_DIGITS:
        raise AttributeValueError(
            f"{{path}}: N {{value}} has more than {MAX_DIGITS} significant digits", path, repr(text[:60])
        )
    return value


def number_text(text: str, path: Sequence[Step | int] = ()) -> str:
    """The canonical text of an N, which is also a JSON number: `5` for `5.00`, `100` for `1E+2`, `0` for `-0`.

    DynamoDB returns numbers in this form. All numbers that are written as text have it, so that equal numbers are equal
    texts. Raises AttributeValueError as `number` does.
    """
    if len(text) <= MAX_DIGITS and _CANONICAL_NUMBER.fullmatch(text):
        return text  # most numbers are: too short to have too many digits or to be out of range
    value = number(text, path)
    plain = format(value, "f") if value else "0"  # 0E+999999 would be a million zeros
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def binary(text: str, path: Sequence[Step | int] = ()) -> bytes:
    """The bytes of a B. Raises AttributeValueError when the text is not padded standard base64."""
    try:
        return base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise AttributeValueError("{path}: B {value} is not base64", path, repr(text[:60])) from None


def binary_text(text: str, path: Sequence[Step | int] = ()) -> str:
    """The canonical base64 text of a B: base64 may end in unused bits, which are set to zero here."""
    return base64.b64encode(binary(text, path)).decode()


def sorted_members(descriptor: Descriptor, members: Sequence[str]) -> list[str]:
    """The members of a set as canonical texts in canonical order: texts by code point, numbers by value as a float."""
    if descriptor == "NS":
        return sorted(map(number_text, members), key=lambda text: (float(text), text))
    return sorted(map(binary_text, members) if descriptor == "BS" else members)


def format_path(path: Sequence[Step | int]) -> str:
    """`("items", 0, "a.b")` -> `items[0].a\\.b`; None is any element: `items[].sku`; `()` is `(item)`.

    `.`, `[` and `\\` in a name, and a leading `$`, get a backslash, so that different paths have different texts.
    U+0000 becomes `\\0`.
    """
    text = ""
    for position, step in enumerate(path):
        if isinstance(step, str):
            name = _TO_ESCAPE.sub(lambda found: "\\" + found[0].replace(NUL, "0"), step)
            text += f".{name}" if position else name
        else:
            text += "[]" if step is None else f"[{step}]"
    return text if path else "(item)"


def parse_path(text: str) -> tuple[Step, ...]:
    """The inverse of `format_path` for configured paths (`address.city`, `items[].sku`). Raises AttributeValueError."""
    steps: list[Step] = []
    name = ""
    after_name = False
    rest = iter(text)
    for char in rest:
        if char == "\\":
            name, after_name = name + next(rest, "").replace("0", NUL), True
        elif char == ".":
            if name or after_name:
                steps.append(name)
            elif not steps or steps[-1] is not None:
                raise AttributeValueError(f"path {text!r}: an attribute name is missing before '.'")
            name, after_name = "", False
        elif char == "[":
            if next(rest, "") != "]":
                raise AttributeValueError(
                    f"path {text!r}: write [] for the elements of a list, \\[ for a bracket in a name"
                )
            if name or after_name:
                steps.append(name)
            steps.append(None)
            name, after_name = "", False
        else:
            name, after_name = name + char, True
    if name or after_name:
        steps.append(name)
    if not steps or (text.endswith(".") and not text.endswith("\\.")):
        raise AttributeValueError(f"path {text!r}: an attribute name is missing at the end")
    return tuple(steps)
