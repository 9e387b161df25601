"""ISO 8601 texts as timestamps, and the one textual form a column keeps, so that the text can be had back from the time.

`2024-05-14T11:14:20.608Z` has the form `T.3Z`: date and time joined by T, three digits of a second, Z. A value of another
form in the same column is loaded as well; its own text then stands in `_ddb_extra` (`exact.py`).
"""

import re
from datetime import UTC, date, datetime, timedelta

from ddb_assets.column_type import SqlType

_TEXT = re.compile(
    r"(?P<date>[12][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]))"
    r"(?:(?P<joint>[T ])(?P<time>(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])"
    r"(?:\.(?P<fraction>[0-9]{1,6}))?(?P<zone>Z|\+00:00)?)?",
    re.ASCII,
)
DATE_FORM = "date"


def form(text: str) -> str | None:
    """The form of an ISO 8601 date or UTC time, None for any other text: `date`, `T.3Z`, ` .0`, `T.6+00:00`."""
    found = _TEXT.fullmatch(text)
    if not found or _value(found) is None:
        return None
    if not found["time"]:
        return DATE_FORM
    return f"{found['joint']}.{len(found['fraction'] or '')}{found['zone'] or ''}"


def parse(text: str, type_: SqlType) -> datetime | date | None:
    """The text in the column's type, None when it is not of that kind: a zone fits only TIMESTAMPTZ."""
    found = _TEXT.fullmatch(text)
    value = _value(found) if found else None
    if value is None or found is None:
        return None
    kind = "DATE" if not found["time"] else "TIMESTAMPTZ" if found["zone"] else "TIMESTAMP"
    return value if kind == type_.name else None


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
    """The text of a value in a form: the inverse of `parse` for texts of that form."""
    if not isinstance(value, datetime):
        return value.isoformat()
    digits = int(form_[2])
    text = value.strftime(f"%Y-%m-%d{form_[0]}%H:%M:%S")
    fraction = f".{value.microsecond:06d}"[: digits + 1] if digits else ""
    return f"{text}{fraction}{form_[3:]}"


def pattern(form_: str) -> str:
    """A regular expression, for polars, of the texts of a form."""
    day = "[12][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    if form_ == DATE_FORM:
        return f"^{day}$"
    digits = int(form_[2])
    fraction = rf"\.[0-9]{{{digits}}}" if digits else ""
    return f"^{day}{form_[0]}(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]{fraction}{re.escape(form_[3:])}$"
