"""What people are told when a run or a check fails: which table and window, what happened, what to do, and where to look. Pure.

Errors of this project say what to do, and contain no values of items, so their text is passed on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MAX_SUBJECT = 100
"""Characters of a subject: SNS takes no more, and only printable ASCII."""
MAX_TEXT = 3000
MAX_ASSETS = 5


@dataclass(frozen=True)
class Alert:
    """A message: one line, and the text below it."""

    subject: str
    text: str

    @classmethod
    def of(cls, what: str, assets: Sequence[str], *, partition: str = "", reason: str = "", link: str = "") -> "Alert":
        """`what` happened to these assets, whose names are sorted; `partition` is the window's key."""
        named = ", ".join(sorted(assets)[:MAX_ASSETS])
        if len(assets) > MAX_ASSETS:
            named += f" and {len(assets) - MAX_ASSETS} more"
        window = f", window {partition}" if partition else ""
        lines = [f"{what}: {named}{window}", _shortened(reason), link]
        return cls(_subject(f"ddb_assets: {what}: {named}{window}"), "\n".join(line for line in lines if line))


def _subject(text: str) -> str:
    plain = "".join(character if " " <= character <= "~" else "?" for character in text)
    return plain if len(plain) <= MAX_SUBJECT else f"{plain[: MAX_SUBJECT - 3]}..."


def _shortened(text: str) -> str:
    stripped = text.strip()
    return (
        stripped if len(stripped) <= MAX_TEXT else f"{stripped[:MAX_TEXT]}\n[shortened: the run's page has all of it]"
    )
