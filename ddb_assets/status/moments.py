"""How findings write moments."""

from datetime import datetime


def said(moment: datetime) -> str:
    """The moment as messages write it."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
