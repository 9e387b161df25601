"""Parses ISO 8601 texts and epoch numbers as times, and records their form, so that the text follows from the time.

`2024-05-14T11:14:20.608Z` has the form `T.3Z`: date and time joined by T, three digits after the second, Z. A column has one
form. A value of another form is loaded as well; its original text is then kept in `_ddb_extra` (`exact.py`).
"""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from ddb_assets.contract.column_type import SqlType
from ddb_assets.microseconds import from_micros, to_micros

_TEXT = re.compile(
    r"(?P<date>[12][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]))"
    r"(?:(?P<joint>[T ])(?P<time>(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])"
    r"(?:\.(?P<fraction>[0-9]{1,6}))?(?P<zone>Z|\+00:00)?)?",
    re.ASCII,
)
DATE_FORM = "date"
_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,20})?", re.ASCII)
_LOOSE = (
    r"^(?P<day>[1-9][0-9]{3}-[01][0-9]-[0-3][0-9])[T ](?P<clock>(?:[01][0-9]|2[0-3]):[0-5][0-9])"
    r"(?P<seconds>:[0-5][0-9])?(?:[.,](?P<fraction>[0-9]{1,12}))?"
    r"(?P<zone>Z|z|(?P<sign>[+-])(?P<hours>[01][0-9]|2[0-3])(?::?(?P<minutes>[0-5][0-9]))?)?$"
)
"""Other forms of ISO 8601: offsets, no seconds, more digits than microseconds."""
_LOOSE_TEXT = re.compile(_LOOSE.removeprefix("^").removesuffix("$"), re.ASCII)
EPOCH_UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}
"""The units of numbers that are times since 1970 UTC, and how many microseconds one unit has."""
_EPOCHS = {"s": (10**8, 10**11), "ms": (10**11, 10**14), "us": (10**14, 10**17)}
"""The range of numbers for each unit: the years 1973 to 5138. Smaller and larger numbers are not times."""


def form(text: str) -> str | None:
    """The form of an ISO 8601 date or UTC time: `date`, `T.3Z`, ` .0`, `T.6+00:00`; None for any other text."""
    found = _TEXT.fullmatch(text)
    if not found or _value(found) is None:
        return None
    if not found["time"]:
        return DATE_FORM
    return f"{found['joint']}.{len(found['fraction'] or '')}{found['zone'] or ''}"


def parse(text: str, type_: SqlType) -> datetime | date | None:
    """The text as a value of the column's type; None when it is of another type. Only TIMESTAMPTZ has a time zone."""
    found = _TEXT.fullmatch(text)
    value = _value(found) if found else None
    if value is None or found is None:
        return None
    kind = "DATE" if not found["time"] else "TIMESTAMPTZ" if found["zone"] else "TIMESTAMP"
    return value if kind == type_.name else None


def parse_loosely(text: str, type_: SqlType, *, epochs: bool) -> datetime | date | None:
    """A text in any of the forms as a value of the column's type; None when that would be a guess.

    `epochs`: numbers since 1970 count as times too, as in a column that the contract declares as a time. Digits beyond
    microseconds are cut; the caller keeps the original text. A TIMESTAMP gets the time in UTC if the text has a time zone.
    """
    exact = parse(text, type_)
    if exact is not None:
        return exact
    try:
        if _NUMBER.fullmatch(text):
            return epoch(Decimal(text), type_) if epochs else None
        return _instant(_LOOSE_TEXT.fullmatch(text), type_)
    except (ValueError, OverflowError):
        return None


def _instant(found: "re.Match[str] | None", type_: SqlType) -> datetime | None:
    if found is None or type_.name == "DATE" or (found["fraction"] and not found["seconds"]):
        return None
    if not found["zone"] and type_.name == "TIMESTAMPTZ":
        return None  # without a time zone the instant is unknown
    micros = int((found["fraction"] or "")[:6].ljust(6, "0"))
    local = datetime.fromisoformat(f"{found['day']}T{found['clock']}{found['seconds'] or ':00'}")
    offset = timedelta(hours=int(found["hours"] or 0), minutes=int(found["minutes"] or 0))
    value = local + timedelta(microseconds=micros) - (-offset if found["sign"] == "-" else offset)
    return value.replace(tzinfo=UTC) if type_.name == "TIMESTAMPTZ" else value


def epoch(number: Decimal, type_: SqlType) -> datetime | None:
    """The time of a number of seconds, milliseconds or microseconds since 1970, by its magnitude; None for others."""
    if type_.name == "DATE":
        return None
    for unit, (least, most) in _EPOCHS.items():
        if least <= number < most:
            value = from_micros(int(number * EPOCH_UNITS[unit]))
            return value if type_.name == "TIMESTAMPTZ" else value.replace(tzinfo=None)
    return None


def epoch_form(digits: int) -> str:
    """The unit (`EPOCH_UNITS`) of numbers with this many digits before the point."""
    return next((unit for unit, (_, most) in _EPOCHS.items() if 10 ** (digits - 1) < most), "us") if digits else "s"


def _value(found: "re.Match[str]") -> datetime | date | None:
    try:
        day = date.fromisoformat(found["date"])
    except ValueError:
        return None
    if not found["time"]:
        return day
    hours, minutes, seconds = map(int, found["time"].split(":"))
    micros = int((found["fraction"] or "").ljust(6, "0"))
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC if found["zone"] else None)
    return midnight + timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=micros)


def type_of(form_: str) -> SqlType:
    """The column type of a form."""
    if form_ == DATE_FORM:
        return SqlType("DATE")
    return SqlType("TIMESTAMPTZ" if form_.endswith(("Z", "+00:00")) else "TIMESTAMP")


def write(value: datetime | date, form_: str) -> str:
    """The text of a value in a form; the inverse of `parse` for texts of that form."""
    if not isinstance(value, datetime):
        return value.isoformat()
    if form_ in EPOCH_UNITS:
        return str(to_micros(value.replace(tzinfo=UTC)) // EPOCH_UNITS[form_])
    digits = int(form_[2])
    text = value.strftime(f"%Y-%m-%d{form_[0]}%H:%M:%S")
    fraction = f".{value.microsecond:06d}"[: digits + 1] if digits else ""
    return f"{text}{fraction}{form_[3:]}"
