"""The messages about runs and checks that fail: which table and window, what happened, what to do, and where to look. Pure.

Errors of this project say what to do, and contain no values of items, so their text is passed on. Of others it is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

PREFIX = "ddb_assets: "
MAX_SUBJECT = 100
"""Characters of a subject: SNS takes no more, and only printable ASCII."""
MAX_TEXT = 3000
MAX_ASSETS = 5
MAX_MESSAGES = 20
"""Messages at a time. Slack takes about one a second in a channel, and a tick of a sensor has a minute."""


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
        return cls(_subject(f"{PREFIX}{what}: {named}{window}"), "\n".join(line for line in lines if line))


def limited(alerts: Sequence[Alert]) -> list[Alert]:
    """The alerts, at most 20 messages: of more, the last message lists the others by their subjects."""
    if len(alerts) <= MAX_MESSAGES:
        return list(alerts)
    shown, others = alerts[: MAX_MESSAGES - 1], alerts[MAX_MESSAGES - 1 :]
    listed = "\n".join(alert.subject.removeprefix(PREFIX) for alert in others)
    text = f"{len(others):,} more alerts at the same time:\n{_shortened(listed)}"
    return [*shown, Alert(f"{PREFIX}{len(others):,} more alerts", text)]


def _subject(text: str) -> str:
    plain = "".join(character if " " <= character <= "~" else "?" for character in text)
    return plain if len(plain) <= MAX_SUBJECT else f"{plain[: MAX_SUBJECT - 3]}..."


def _shortened(text: str) -> str:
    stripped = text.strip()
    return stripped if len(stripped) <= MAX_TEXT else f"{stripped[:MAX_TEXT]}\n[shortened: Dagster's UI has all of it]"
