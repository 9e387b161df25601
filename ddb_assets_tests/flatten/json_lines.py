"""Random lines of a full export that use all the freedom of JSON, each with its expected result.

Blanks wherever JSON allows them, escapes in names and texts, any order, every form of a number, duplicate names in any
spelling, nesting up to the limit and beyond. A line is made as a tree of pairs. The expected result comes from the tree, not
from the text.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Object(list[tuple[str, Any]]):
    """The names and values of an object, in order; a JSON list is a list."""


SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "/": "\\/"}
NAMES = [
    "a",
    "b",
    "count",
    "new",
    "x y",
    "é",
    "🙂",
    'q"',
    "back\\",
    "\\",
    '":',
    ' :"',
    "M",
    "S",
    "Item",
    ":",
    "nul\0",
    "A",
]
INNER = ["a", "S", "back\\", '":', ' :"']
"""The names in maps: few, because every path costs time in every block."""
TEXTS = [
    "",
    "x",
    '"',
    '":',
    '\\":',
    '" :',
    "\\",
    "\\\\",
    "} {",
    "null",
    "é🙂",
    "\n\t",
    "Prix : 5",
    '{"S":"x"}',
    "a\\ :",
]
NUMBERS = [
    "0",
    "-0",
    "7",
    "3.00",
    "-1.50",
    "007",
    "+5",
    ".5",
    "5.",
    "1E+2",
    "1e-3",
    "-0.0",
    "9" * 38,
    "1E125",
    "1e-130",
]
SETS = {"SS": ["a", "b", '":', "é"], "NS": ["1", "2.0", "1E1", "-0.5"], "BS": ["AA==", "eA==", "eHk="]}
DEEPEST = 32


@dataclass(frozen=True)
class Line:
    """A line of text; `item` is in DynamoDB JSON, or None if the line must be quarantined."""

    text: str
    item: dict[str, Any] | None


class Lines:
    """Makes lines, the same ones for the same seed; `own_names` is the share of lines with a name of no other line."""

    def __init__(self, seed: int, own_names: float) -> None:
        self._random = random.Random(seed)
        self._own_names = own_names

    def line(self, key: str) -> Line:
        """A new line with this key."""
        chance = self._random.random
        attributes = Object([("pk", Object([("S", key)])), *self._fields(self._random.randint(0, 5))])
        good = True
        if chance() < self._own_names:  # only the count of keys shows it
            attributes.append((f"only {key}", self._value(1)))
        if chance() < 0.03:  # at the limit, or just beyond it
            depth = self._random.choice([DEEPEST, DEEPEST + 1, 60, 100])
            attributes.append(("deep", self._nested(depth)))
            good = depth <= DEEPEST
        self._random.shuffle(attributes)
        line = Object([("Item", attributes)])
        if chance() < 0.15:
            self._repeat(self._random.choice(list(_objects(line))))
            good = False
        blanks = self._random.choice([0, 0, 0, 0.02, 0.3])
        escapes = self._random.choice([0, 0, 0, 0.02, 0.5])
        text = self._written(line, blanks, escapes)
        return Line(text, _plain(attributes) if good else None)

    def _fields(self, size: int) -> list[tuple[str, Any]]:
        names = self._random.sample(NAMES, size)
        return [(name, self._value(2)) for name in names]

    def _value(self, depth: int) -> Object:
        pick = self._random.choice
        kind = pick(["S"] * 5 + ["N"] * 4 + ["B", "BOOL", "NULL", "SS", "NS", "BS"] + ["M", "L"] * (2 if depth else 0))
        match kind:
            case "S":
                payload: Any = pick(TEXTS)
            case "N":
                payload = pick(NUMBERS)
            case "B":
                payload = pick(SETS["BS"])
            case "BOOL":
                payload = pick([True, False])
            case "NULL":
                payload = True
            case "M":
                payload = Object((name, self._value(depth - 1)) for name in self._random.sample(INNER, pick([0, 1, 3])))
            case "L":
                payload = [self._value(depth - 1) for _ in range(pick([0, 1, 2]))]
            case _:
                payload = self._random.sample(SETS[kind], pick([1, 2]))
        return Object([(kind, payload)])

    def _nested(self, depth: int) -> Object:
        value = Object([("S", "x")])
        for _ in range(depth):
            value = Object([("L", [value]) if self._random.random() < 0.5 else ("M", Object([("a", value)]))])
        return value

    def _repeat(self, found: Object) -> None:
        """Repeats one of the object's names, with the same or another value, before or after it."""
        name, value = self._random.choice(found)
        other = self._random.choice([value, self._value(1), None, "x"])
        found.insert(self._random.randint(0, len(found)), (name, other))

    def _written(self, value: Any, blanks: float, escapes: float) -> str:
        """The text of a value. A member has blanks around it and everywhere inside it, or nowhere.

        So a count of `":` can miss as many keys as the schema does not know.
        """

        def write(value: Any, blank: str) -> str:
            if isinstance(value, str):
                return self._quoted(value, escapes)
            if isinstance(value, Object):
                return "{" + (",".join(member(name, inner, blank) for name, inner in value) or blank) + "}"
            if isinstance(value, list):
                return "[" + (",".join(f"{blank}{write(inner, blank)}{blank}" for inner in value) or blank) + "]"
            return {True: "true", False: "false", None: "null"}[value]

        def member(name: str, value: Any, blank: str) -> str:
            if self._random.random() < (0.5 if name.startswith("only ") else blanks):
                blank = self._random.choice([" ", "\t", "  ", "\r"])
            return f"{blank}{self._quoted(name, escapes)}{blank}:{blank}{write(value, blank)}{blank}"

        return write(value, "")

    def _quoted(self, text: str, escapes: float) -> str:
        return '"' + "".join(self._character(char, escapes) for char in text) + '"'

    def _character(self, char: str, escapes: float) -> str:
        must = char in '"\\' or char < " "
        if not must and self._random.random() >= escapes:
            return char
        if char in SHORT and self._random.random() < 0.7:
            return SHORT[char]
        form: Callable[[bytes], str] = self._random.choice([bytes.hex, lambda unit: unit.hex().upper()])
        units = char.encode("utf-16-be")
        return "".join("\\u" + form(units[place : place + 2]) for place in range(0, len(units), 2))


def _objects(value: Any) -> Any:
    """Every object in a line that is not empty."""
    if isinstance(value, Object):
        if value:
            yield value
        for _, inner in value:
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _plain(value: Any) -> Any:
    if isinstance(value, Object):
        return {name: _plain(inner) for name, inner in value}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
