"""Untrusted text (names, keys, values, messages) for Dagster's pages, which render Markdown.

Pure. Such text must not become a link, an image or markup. It is put into code spans: Markdown does not interpret them,
and names and keys are easy to read in them. Facts: GitHub Flavored Markdown, "Code spans", "Tables (extension)" and
"Autolinks (extension)": a bare address becomes a link too, but not within code.
"""

import re
from collections.abc import Sequence

_INVISIBLE = "\\x7f-\\x9f\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff\\ud800-\\udfff"
UNSEEN = re.compile(f"[\\x00-\\x1f{_INVISIBLE}]")
"""Control characters, characters that are invisible or change the direction of text, and lone surrogates."""
_UNSEEN_IN_LINES = re.compile(f"[\\x00-\\x08\\x0b-\\x1f{_INVISIBLE}]")
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
_WORD = re.compile(r"\S+?(?=[,.;:]?(?:\s|$))")
"""A word without the punctuation after it."""
_MARK = re.compile(r"[\\`*_{}\[\]<>#|~!&@]|://|www\.", re.IGNORECASE)
"""Characters that make Markdown interpret a word."""
_RULE = re.compile(r"[-+=\s]+|\s*\d+[.)]\s*")
"""A line that Markdown reads as the underline of a heading, as a rule or as a list item."""


def code(text: str) -> str:
    """The text in a code span, on one line; an empty string for an empty text."""
    shown = visible(text)
    # a table cell cannot have a backslash before a bar within one span
    return " ".join(map(_span, re.split(r"(?<=\\)(?=\|)", shown))) if shown else ""


def prose(text: str) -> str:
    """A sentence with untrusted names and values: harmless words stay as they are, others go into code spans."""
    return "\n".join(_line(visible(line)).rstrip(" ") for line in text.splitlines())  # two blanks would be a line break


def table(header: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> str:
    """A Markdown table, with `note` as a paragraph below it. The cells are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    grid = "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"{grid}\n\n{note}".rstrip()


def visible(text: str, *, lines: bool = False) -> str:
    """The text with invisible and control characters spelled out; with `lines`, newlines and tabs stay."""
    return (_UNSEEN_IN_LINES if lines else UNSEEN).sub(lambda found: _letters(found[0]), text)


def _letters(character: str) -> str:
    code_point = ord(character)
    return _SHORT.get(character) or (f"\\x{code_point:02x}" if code_point < 256 else f"\\u{code_point:04x}")


def _line(line: str) -> str:
    if _RULE.fullmatch(line):
        return code(line.strip())
    return _WORD.sub(lambda word: code(word[0]) if _MARK.search(word[0]) else word[0], line)


def _span(text: str) -> str:
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    blank = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{blank}{text}{blank}{fence}"
