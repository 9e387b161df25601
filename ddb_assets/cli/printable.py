"""Text for a terminal. Control characters are escaped (`\\x1b`), because keys, names and messages may come from others."""

from ddb_assets.markdown import visible


def printable(text: str, *, lines: bool = True) -> str:
    """The text with control characters escaped; without `lines`, newlines and tabs too."""
    return visible(text, lines=lines)
