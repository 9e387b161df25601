"""What was seen at every attribute path: types with counts, sizes, digits, an example. For inference and for people.

A `Seen` is filled from single items here, and from what the kernel has counted in `fast_path.py`. Two of them can be merged, so
files can be read in any order and in parallel. `infer.py` decides what a path becomes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

import orjson

from ddb_assets.contract.durable import DurableFormat
from ddb_assets.dynamodb.attribute_value import (
    AttributeValueError,
    Descriptor,
    Step,
    format_path,
    number_text,
    parse_path,
)
from ddb_assets.flatten.timestamps import form

FORMAT = DurableFormat("the profile of an export")
INT64 = range(-(1 << 63), 1 << 63)
MAX_NAMES = 5000
"""The most names of a map that are distinguished, because maps with dynamic keys have any number. The others share a `Seen`."""


@dataclass
class Seen:
    """One path: how often each type was seen, and the largest sizes. `max_bytes` is in bytes of UTF-8 or binary.

    `forms` counts the forms of ISO 8601 in which strings were written, "" for any other string. `example` is the key of the
    first item that had the path, as plain text. `rest` is what was seen at names beyond the first `MAX_NAMES`. `names` is the
    number of names that samples show in a map; `fields` may have fewer (`take_samples`).
    """

    counts: Counter[Descriptor] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    max_bytes: int = 0
    integer_digits: int = 0
    scale: int = 0
    fits_bigint: bool = True
    example: str | None = None
    fields: "dict[str, Seen]" = field(default_factory=dict)
    element: "Seen | None" = None
    rest: "Seen | None" = None
    names: int = 0

    @property
    def total(self) -> int:
        """The number of values of any type."""
        return self.counts.total()

    @property
    def width(self) -> int:
        """The number of names that a map has, as far as it is known."""
        return max(len(self.fields), self.names)

    def at(self, name: str) -> "Seen":
        """The `Seen` of a map's member: a new one, or `rest` if the map has too many names."""
        found = self.fields.get(name)
        if found is None and len(self.fields) < MAX_NAMES:
            found = self.fields[name] = Seen()
        return found or self.others()

    def others(self) -> "Seen":
        """The shared `Seen` of all names that are not distinguished."""
        self.rest = self.rest or Seen()
        return self.rest

    def elements(self) -> "Seen":
        """The `Seen` of a list's elements."""
        self.element = self.element or Seen()
        return self.element

    def add_number(self, value: Decimal) -> None:
        """Widens digits and scale to hold this number."""
        _, digits, exponent = value.as_tuple()
        exponent = int(exponent)
        while len(digits) > 1 and digits[-1] == 0 and exponent < 0:  # 1.50 needs one digit of scale
            digits, exponent = digits[:-1], exponent + 1
        scale = max(0, -exponent) if value else 0
        self.scale = max(self.scale, scale)
        self.integer_digits = max(self.integer_digits, len(digits) + exponent if value else 1)
        if scale or (value and value.adjusted() > 19) or int(value) not in INT64:
            self.fits_bigint = False

    def merge(self, other: "Seen") -> None:
        """Adds what the other has seen."""
        for descriptor, count in other.counts.items():  # several times as fast as `Counter.update`
            self.counts[descriptor] += count
        for form_, count in other.forms.items():
            self.forms[form_] += count
        self.max_bytes = max(self.max_bytes, other.max_bytes)
        self.integer_digits = max(self.integer_digits, other.integer_digits)
        self.scale = max(self.scale, other.scale)
        self.fits_bigint = self.fits_bigint and other.fits_bigint
        self.example = self.example if self.example is not None else other.example
        self.names = max(self.names, other.names)
        for name, seen in other.fields.items():
            self.at(name).merge(seen)
        if other.element:
            self.elements().merge(other.element)
        if other.rest:
            self.others().merge(other.rest)

    def name_examples(self, other: "Seen") -> None:
        """Copies the examples that are missing here from the other: whole columns do not name single items."""
        if self.example is None:
            self.example = other.example
        for name, seen in self.fields.items():
            if name in other.fields:
                seen.name_examples(other.fields[name])
        if self.element and other.element:
            self.element.name_examples(other.element)

    def take_samples(self, sample: "Seen") -> None:
        """Takes from samples what the kernel does not count: the forms of times, and the names of a map in opaque JSON.

        Of a column of times the kernel only counts how many texts have some form, and in opaque JSON it counts only the names
        that the schema has.
        """
        named = Counter({form_: count for form_, count in sample.forms.items() if form_ and count})
        if named:
            others = max(self.forms[""], sample.forms[""])
            self.forms = named + Counter({"": others})  # without zeros
        self.names = max(self.names, sample.width)
        for name, seen in self.fields.items():
            if name in sample.fields:
                seen.take_samples(sample.fields[name])
        if self.element and sample.element:
            self.element.take_samples(sample.element)

    def walk(self, path: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], "Seen"]]:
        """Every path with what was seen there, parents first."""
        yield path, self
        for name in sorted(self.fields):
            yield from self.fields[name].walk((*path, name))
        if self.element:
            yield from self.element.walk((*path, None))


def observe(seen: Seen, value: Mapping[str, Any], example: str | None = None) -> None:
    """Adds one value in DynamoDB JSON, `{"S": "x"}`, that has been checked (`attribute_value.check_all`)."""
    ((name_, payload),) = value.items()
    descriptor = cast("Descriptor", name_)
    seen.counts[descriptor] += 1
    if seen.example is None:
        seen.example = example
    match descriptor:
        case "S":
            seen.max_bytes = max(seen.max_bytes, len(payload.encode()))
            seen.forms[form(payload) or ""] += 1
        case "B":
            seen.max_bytes = max(seen.max_bytes, len(payload) * 3 // 4)
        case "N":
            seen.add_number(Decimal(payload))
            seen.max_bytes = max(seen.max_bytes, len(number_text(payload)))
        case "M":
            for name, member in payload.items():
                observe(seen.at(name), member, example)
        case "L":
            for member in payload:
                observe(seen.elements(), member, example)
        case "SS" | "NS" | "BS":
            for member in payload:
                observe(seen.elements(), {descriptor[0]: member}, example)


def path_rows(seen: Seen) -> Iterator[dict[str, Any]]:
    """One row per path, parents first. `absent` is the share of the maps without it, so it is None for list elements.

    `unnamed` counts the values at the names of a map that are not distinguished.
    """
    maps = {path: here.counts["M"] for path, here in seen.walk()}
    for path, here in seen.walk():
        if not path:
            continue
        could = maps[path[:-1]] if path[-1] is not None else None
        yield {
            "path": format_path(path),
            "types": {name: count for name, count in here.counts.most_common() if name != "NULL" and count},
            "values": here.total,
            "absent": 1 - here.total / could if could else None,
            "null": here.counts["NULL"] / here.total if here.total else None,
            "max_bytes": here.max_bytes or None,
            "integer_digits": here.integer_digits or None,
            "scale": here.scale if here.integer_digits else None,
            "example": here.example,
            "unnamed": here.rest.total if here.rest else 0,
        }


def profile_document(export_id: str, seen: Seen) -> bytes:
    """The content of `profile.json`: an export's id and a row per path, with what `seen_of` needs besides."""
    below = (here for path, here in seen.walk() if path)
    rows = [
        {**row, "forms": dict(here.forms), "width": here.width, "fits_bigint": here.fits_bigint}
        for row, here in zip(path_rows(seen), below, strict=True)
    ]
    return orjson.dumps({FORMAT.key: FORMAT.version, "export_id": export_id, "paths": rows}, option=orjson.OPT_INDENT_2)


def seen_of(document: bytes, where: str) -> Seen | None:
    """What a `profile.json` says was seen; None for one of an earlier version, which does not say enough.

    `where` is its URI, for messages. Raises FormatVersionError for one by a newer ddb_assets, ValueError for a document that
    is none.
    """
    seen = Seen()
    try:
        profile = orjson.loads(document)
        FORMAT.check(profile.get(FORMAT.key), where)
        for row in profile["paths"]:
            if "forms" not in row:
                return None
            here = seen
            for step in parse_path(row["path"]):
                here = here.elements() if step is None else here.at(step)
            here.counts = Counter(row["types"])
            here.counts["NULL"] = round((row["null"] or 0) * row["values"])
            here.max_bytes, here.example = row["max_bytes"] or 0, row["example"]
            here.integer_digits, here.scale = row["integer_digits"] or 0, row["scale"] or 0
            here.forms, here.names, here.fits_bigint = Counter(row["forms"]), row["width"], row["fits_bigint"]
    except (AttributeValueError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no profile: {error!r}") from error
    seen.counts["M"] = max((here.total for here in seen.fields.values()), default=0)  # items; each has its key
    return seen
