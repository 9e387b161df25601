"""A moment as people write it in a config or an option: one rule for all of them.

Pure. A time without its zone is refused, because it would mean another moment on each machine.
"""

from datetime import UTC, datetime


def parse_moment(text: str) -> datetime:
    """An ISO 8601 time with its zone, as UTC. Raises ValueError that says how to write it."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no ISO 8601 time: write it like 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        said = moment.isoformat()
        raise ValueError(f"{text!r} does not say its time zone: write {said}Z for UTC, or an offset like {said}+01:00")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is outside the years 1 to 9999 in UTC") from None
