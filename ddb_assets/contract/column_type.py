"""Column types: their names in Redshift, their sizes, and how they widen.

The widening rules are only here: BIGINT -> DECIMAL -> VARCHAR, sizes grow, and any other type joins only with itself.
`flatten/infer.py` chooses the type of a path; `flatten/arrow_types.py` maps a type to Arrow.

Facts: Redshift Database Developer Guide, "Data types": the size of VARCHAR is in bytes, at most 65,535; DECIMAL has at
most 38 digits, at most 37 of them after the point; VARBYTE holds at most 16,777,216 bytes.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

Name = Literal[
    "BIGINT",
    "DECIMAL",
    "DOUBLE PRECISION",
    "VARCHAR",
    "VARBYTE",
    "BOOLEAN",
    "SUPER",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "DATE",
]
MAX_VARCHAR = 65_535
MAX_VARBYTE = 16_777_216
MAX_PRECISION, MAX_SCALE = 38, 37
SHORT_PRECISION = 18
BIGINT_DIGITS = 19
_PARSED = re.compile(r"([A-Z]+(?: PRECISION)?)(?:\(([0-9]+)(?:, *([0-9]+))?\))?")


@dataclass(frozen=True)
class SqlType:
    """A column type. `size`: bytes of VARCHAR and VARBYTE, digits of DECIMAL, else 0. Only DECIMAL has a `scale`."""

    name: Name
    size: int = 0
    scale: int = 0

    @classmethod
    @lru_cache(maxsize=1024)
    def parse(cls, text: str) -> "SqlType":
        """`DECIMAL(38,2)` -> SqlType("DECIMAL", 38, 2). Raises ValueError with the allowed types."""
        found = _PARSED.fullmatch(text.strip().upper())
        name = found[1] if found else ""
        size, scale = (int(found[2] or 0), int(found[3] or 0)) if found else (0, 0)
        limits = {"VARCHAR": MAX_VARCHAR, "VARBYTE": MAX_VARBYTE, "DECIMAL": MAX_PRECISION}
        if name == "DECIMAL" and 0 < size <= MAX_PRECISION and scale <= min(size, MAX_SCALE):
            return cls("DECIMAL", size, scale)
        if name in {"VARCHAR", "VARBYTE"} and 0 < size <= limits[name] and not scale:
            return cls(name, size)  # type: ignore[arg-type]
        if name in get_args(Name) and name not in limits and not size:
            return cls(name)  # type: ignore[arg-type]
        raise ValueError(
            f"{text!r} is not a column type: use BIGINT, DECIMAL(p,s), DOUBLE PRECISION, VARCHAR(bytes), "
            "VARBYTE(bytes), BOOLEAN, SUPER, TIMESTAMP, TIMESTAMPTZ or DATE"
        )

    def __str__(self) -> str:
        if self.name == "DECIMAL":
            return f"DECIMAL({self.size},{self.scale})"
        return f"{self.name}({self.size})" if self.size else self.name


def varchar(observed: int) -> SqlType:
    """A VARCHAR for `observed` bytes plus 25 % headroom, rounded up to a power of two."""
    return SqlType("VARCHAR", _bucket(observed, 16, MAX_VARCHAR))


def varbyte(observed: int) -> SqlType:
    """A VARBYTE for `observed` bytes plus 25 % headroom, rounded up to a power of two."""
    return SqlType("VARBYTE", _bucket(observed, 64, MAX_VARBYTE))


def _bucket(observed: int, least: int, most: int) -> int:
    wanted = max(least, observed + observed // 4)
    return min(1 << (wanted - 1).bit_length(), most)


def numeric(integer_digits: int, scale: int, *, fits_bigint: bool) -> SqlType:
    """The narrowest exact type, with some headroom, for numbers of these sizes: BIGINT, else DECIMAL, else VARCHAR.

    The scale grows in steps of two, so that one more digit in a price does not always change the column's type.
    """
    if fits_bigint and not scale:
        return SqlType("BIGINT")
    roomy = scale + scale % 2
    if integer_digits + roomy <= SHORT_PRECISION - 2:
        return SqlType("DECIMAL", SHORT_PRECISION, roomy)
    for candidate in (roomy, scale):
        if integer_digits + candidate <= MAX_PRECISION and candidate <= MAX_SCALE:
            return SqlType("DECIMAL", MAX_PRECISION, candidate)
    return varchar(integer_digits + scale + 2)


def join(a: SqlType, b: SqlType) -> SqlType | None:
    """The narrowest type that holds every value of both types without loss; None if there is no such type."""
    if a == b:
        return a
    names = {a.name, b.name}
    if names in ({"VARCHAR"}, {"VARBYTE"}):
        return SqlType(a.name, max(a.size, b.size))
    if not names <= {"BIGINT", "DECIMAL", "VARCHAR"}:
        return None
    if "VARCHAR" in names:
        return SqlType("VARCHAR", max(_text_width(a), _text_width(b)))
    scale = max(a.scale, b.scale)
    digits = max(_integer_digits(a), _integer_digits(b)) + scale
    if digits <= MAX_PRECISION and scale <= MAX_SCALE:
        return SqlType("DECIMAL", digits, scale)
    return SqlType("VARCHAR", max(_text_width(a), _text_width(b)))


def storable(type_: SqlType) -> SqlType:
    """DECIMAL(20,s) for DECIMAL(19,s): Redshift stores 19 digits in 8 bytes, whose maximum is 9223372036854775807."""
    if type_.name == "DECIMAL" and type_.size == BIGINT_DIGITS:
        return SqlType("DECIMAL", BIGINT_DIGITS + 1, type_.scale)
    return type_


def _integer_digits(type_: SqlType) -> int:
    return BIGINT_DIGITS if type_.name == "BIGINT" else type_.size - type_.scale


def _text_width(type_: SqlType) -> int:
    """The bytes of the longest text of the type. They are rounded up so that `join` is associative."""
    return type_.size if type_.name == "VARCHAR" else 64
