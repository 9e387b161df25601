"""A number of days as a contract writes it: `400 days`."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator

_DAYS = re.compile(r"([1-9][0-9]{0,4}) ?(?:days?|d)")


def _checked(text: str) -> str:
    if not _DAYS.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is not a number of days: write it like 400 days")
    return text


DaysText = Annotated[str, AfterValidator(_checked)]


def days(text: str) -> timedelta:
    """The time that such a text says. Raises ValueError for any other text."""
    found = _DAYS.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a number of days")
    return timedelta(days=int(found[1]))
