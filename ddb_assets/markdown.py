"""Text that others wrote, where Dagster's pages take it for Markdown: names, keys, values, messages.

Pure. Whatever such a text holds, no link, picture or markup comes of it: it stands in code, which Markdown does not look
into, and which is how names and keys are read best. Facts: GitHub Flavored Markdown, "Code spans", "Tables (extension)" and
"Autolinks (extension)": a bare address becomes a link as well, but not within code.
"""

import re
from collections.abc import Sequence

_UNSEEN = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff\\ud800-\\udfff]"
)
"""Control characters, characters that turn the direction of text or are not seen, and halves of characters."""
_MARKED = re.compile(
    r"[^\s]*(?:[\\`*_{}\[\]<>#|~!&@]|://|www\.|^[-+=]+$|^\d+[.)]$)[^\s]*", re.IGNORECASE | re.MULTILINE
)
"""A word that Markdown may take for more than text."""


def code(text: str) -> str:
    """The text in code, on one line; nothing for no text."""
    shown = _visible(text)
    # in a table's cell a backslash before a bar cannot be written within one span
    return " ".join(map(_span, re.split(r"(?<=\\)(?=\|)", shown))) if shown else ""


def prose(text: str) -> str:
    """A sentence with names and values of others in it: its harmless words as they are, the others in code."""
    return _MARKED.sub(lambda found: code(found[0]), "\n".join(map(_visible, text.splitlines())))


def table(header: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> str:
    """A table of cells that are Markdown, and a sentence below it."""
    lines = [header, ["---"] * len(header), *rows]
    grid = "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"{grid}\n\n{note}".rstrip()


def _visible(text: str) -> str:
    return _UNSEEN.sub(lambda found: _letters(ord(found[0])), text)


def _letters(code_point: int) -> str:
    return f"\\x{code_point:02x}" if code_point < 256 else f"\\u{code_point:04x}"


def _span(text: str) -> str:
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    blank = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{blank}{text}{blank}{fence}"
