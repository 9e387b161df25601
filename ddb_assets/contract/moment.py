"""Parses points in time in configuration and command-line options: the same rule everywhere.

Pure. A time without a time zone is refused, because it would mean a different moment on each machine.
"""

from datetime import UTC, datetime


def parse_moment(text: str) -> datetime:
    """An ISO 8601 time with a time zone, converted to UTC. Raises ValueError that says how to write it."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an ISO 8601 time: write it like 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        said = moment.isoformat()
        raise ValueError(f"{text!r} has no time zone: write {said}Z for UTC, or an offset like {said}+01:00")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is outside the years 1 to 9999 in UTC") from None
