"""The items of a JSON document, however large it is: an array, or an array somewhere in an object, read item by item.

Pure. A few MB of the text are in memory at a time. Every item keeps the text that it has in the file, so that it is read as a
line of JSON Lines is: numbers stay exact, and a name that stands twice is found. What is around the items must be complete
JSON too: a file that is cut short is an error with its line, however many items came before.
Several documents may follow one another.
"""

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NoReturn

from ddb_assets.bulk.rows import SourceError
from ddb_assets.exports.data_file import MAX_LINE_BYTES

Path = tuple[str | int | None, ...]
"""Where the items are: names of members, numbers of elements from 0, and None for every element. `()` is the whole document."""

WINDOW = 1 << 20
SHOWN = 10  # names of members, in messages
_SPACE = re.compile(r"[ \t\n\r]*")
_NUMERIC = re.compile(r"[-+.eE0-9]*")
_STEP = re.compile(r"\.?((?:[^.\[\\]|\\.)+)|\[([0-9]*)\]", re.DOTALL)
_name = json.JSONDecoder().decode
# finds where a value ends; what it makes of it is thrown away
_value_at = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str).raw_decode


def parse_items_at(text: str) -> Path:
    r"""Such as `Items`, `data.orders`, `[].Items` or `tables[2].rows`; `\.` is a dot in a name. Raises ValueError."""
    steps: list[str | int | None] = []
    place = 0
    while place < len(text):
        found = _STEP.match(text, place)
        if not found or (found[1] and text.startswith(".", place) != bool(place)):
            raise ValueError(
                f"{text!r} is not the place of the items: write the names on the way with dots between them, [] for every "
                r"element of an array, and \. for a dot in a name: Items, data.orders, [].Items"
            )
        name, number = found.groups()
        steps.append(re.sub(r"\\(.)", r"\1", name) if name else int(number) if number else None)
        place = found.end()
    if not steps:
        raise ValueError("the place of the items is empty: write the name of the array, such as Items")
    return tuple(steps)


def format_path(path: Sequence[str | int | None]) -> str:
    """The inverse of `parse_items_at`."""
    text = ""
    for step in path:
        if isinstance(step, str):
            text += ("." if text else "") + re.sub(r"([.\[\\])", r"\\\1", step)
        else:
            text += f"[{'' if step is None else step}]"
    return text


class Document:
    """A JSON text, read from front to back. All methods raise SourceError for what is not JSON or not complete."""

    def __init__(self, stream: BinaryIO, uri: str) -> None:
        self._stream, self._uri = stream, uri
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._text, self._at, self._ended = "", 0, False
        self.line = 1

    def items(self, path: Path) -> Iterator[tuple[int, int, str]]:
        """Number (from 0), line and text of each item of all documents in the file."""
        number = 0
        while self.peek():
            for text in self._walk(path, path):
                line = self.line
                yield number, line - text.count("\n"), text
                number += 1

    def peek(self) -> str:
        """The next character that is not a blank; empty at the end."""
        while True:
            self._pass_by(_SPACE.match(self._text, self._at).end())  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def members(self) -> Iterator[str]:
        """The names of an object's members. The caller reads each value, by `value`, `skip` or another iterator."""
        for _ in self._parts("{", "}"):
            if self.peek() != '"':
                self.fail("here is no name in quotation marks")
            name = _name(self.value())
            self._expect(":")
            yield name

    def elements(self) -> Iterator[int]:
        """The numbers of an array's elements, likewise."""
        for number, _ in enumerate(self._parts("[", "]")):
            yield number

    def value(self) -> str:
        """The text of the next value."""
        self.peek()
        while True:
            end, problem = self._end()
            if end is not None:
                found = self._text[self._at : end]
                self._pass_by(end)
                return found
            if len(self._text) - self._at > MAX_LINE_BYTES:
                self.fail(f"this is not JSON, or a value of more than {MAX_LINE_BYTES} characters: {problem}")
            if not self._more():
                self.fail(f"this is not JSON, or the file is cut short: {problem}")

    def skip(self) -> None:
        """Passes by the next value, however long it is."""
        first = self.peek()
        end, _ = self._end()
        if end is not None:
            self._pass_by(end)
        elif first == "{":
            for _ in self.members():
                self.skip()
        elif first == "[":
            for _ in self.elements():
                self.skip()
        else:
            self.value()

    def fail(self, why: str) -> NoReturn:
        """Raises SourceError at the current line."""
        raise SourceError(f"{self._uri}:{self.line}: {why}")

    def _walk(self, path: Path, rest: Path) -> Iterator[str]:
        """The texts of the items at `rest` of the next value, which is where `path` without `rest` leads."""
        if not rest:
            if self.peek() != "[":
                self.fail(f"{self._named(path)} is not an array: name the array of the items (--items-at)")
            for _ in self.elements():
                yield self.value()
            return
        step, *further = rest
        opening = "{" if isinstance(step, str) else "["
        if self.peek() != opening:
            kind = "an object" if opening == "{" else "an array"
            self.fail(f"{self._named(path[: -len(rest)])} is not {kind}, so {format_path(path)} is not in it")
        seen: list[str] = []
        count = 0
        found = step is None
        for part in self.members() if opening == "{" else self.elements():
            if isinstance(part, str) and len(seen) < SHOWN:
                seen.append(part)
            if part == step and found:
                self.fail(f"the name {step!r} stands twice in one object")
            if step is None or part == step:
                found = True
                for text in self._walk(path, tuple(further)):
                    count += 1
                    yield text
            elif found and part == "Count" and rest == ("Items",):
                self._compare(count)
            else:
                self.skip()
        if not found:
            names = ", ".join(seen) or "nothing"
            self.fail(
                f"there is no {format_path(path)} here (--items-at): {self._named(path[: -len(rest)])} has {names}"
            )

    def _compare(self, count: int) -> None:
        """Passes by the number of items that an answer of Scan says it has."""
        stated = self.value()
        if stated.isdecimal() and int(stated) != count:
            self.fail(f"Count says {stated}, but here are {count} items: the file is not complete")

    def _named(self, path: Path) -> str:
        return format_path(path) or "the document"

    def _parts(self, opening: str, closing: str) -> Iterator[None]:
        self._expect(opening)
        if self.peek() == closing:
            self._expect(closing)
            return
        while True:
            yield
            if self.peek() == closing:
                self._expect(closing)
                return
            self._expect(",")

    def _expect(self, char: str) -> None:
        found = self.peek()
        if found != char:
            self.fail(f"expected {char!r}, found {found!r}" if found else f"the file is cut short: expected {char!r}")
        self._pass_by(self._at + 1)

    def _end(self) -> tuple[int | None, str]:
        """Where the next value ends, or why that is not known from the text in memory."""
        try:
            end = _value_at(self._text, self._at)[1]
        except json.JSONDecodeError as error:
            return None, f"{error.msg} on line {self.line + self._text.count(chr(10), self._at, error.pos)}"
        except RecursionError:
            self.fail("nested too deeply")
        if not self._ended and self._text[end - 1] not in '}]"' and _NUMERIC.fullmatch(self._text, end):
            return None, "a number without an end"  # `1.` of 1.5: the decoder stops before the dot
        return end, ""

    def _pass_by(self, place: int) -> None:
        self.line += self._text.count("\n", self._at, place)
        self._at = place

    def _more(self) -> bool:
        """Reads on, at least as much as is kept; False at the end of the file."""
        if self._ended:
            return False
        kept = self._text[self._at :]
        data = self._stream.read(max(WINDOW, len(kept)))
        self._ended = not data
        self._text, self._at = kept + self._decode(data, self._ended), 0
        return True
