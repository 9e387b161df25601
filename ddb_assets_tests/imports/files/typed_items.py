"""Items of declared types, and how they are written in files that have no types, or others."""

import csv
import io
import json
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ddb_assets.dynamodb.item import canonical
from ddb_assets_tests.parquet.items import binaries, numbers, texts

EXAMPLES = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

json_values = st.recursive(
    texts.map(lambda v: {"S": v})
    | numbers.filter(
        lambda v: v.lstrip("-")[:1].isdigit() and not v.startswith("00") and v[-1] != "." and v != "007"
    ).map(lambda v: {"N": v})
    | st.booleans().map(lambda v: {"BOOL": v})
    | st.just({"NULL": True}),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda v: {"L": v})
        | st.dictionaries(texts.filter(bool), inner, max_size=3).map(lambda v: {"M": v})
    ),
    max_leaves=5,
)
written = texts.filter(bool)
typed_items = st.lists(
    st.fixed_dictionaries(
        {"pk": st.uuids().map(lambda v: {"S": str(v)})},
        optional={
            "s": written.map(lambda v: {"S": v}),
            "n": numbers.map(lambda v: {"N": v}),
            "flag": st.booleans().map(lambda v: {"BOOL": v}),
            "b": binaries.filter(bool).map(lambda v: {"B": v}),
            "ss": st.sets(texts, min_size=1, max_size=3).map(lambda v: {"SS": sorted(v)}),
            "ns": st.sets(st.integers(-99, 99).map(str), min_size=1, max_size=3).map(lambda v: {"NS": sorted(v)}),
            "bs": st.sets(binaries, min_size=1, max_size=3).map(lambda v: {"BS": sorted(v)}),
            "l": st.lists(json_values, max_size=3).map(lambda v: {"L": v}),
            "m": st.dictionaries(written, json_values, max_size=3).map(lambda v: {"M": v}),
        },
    ),
    min_size=1,
    max_size=6,
)
TYPES = {"s": "S", "n": "N", "flag": "BOOL", "b": "B", "ss": "SS", "ns": "NS", "bs": "BS", "l": "L", "m": "M"}


def state(items: list[Any]) -> Counter[object]:
    return Counter(canonical({"M": item}) for item in items)


def plain(value: Any) -> Any:
    """A value as JSON without types would have it; numbers as they are written."""
    ((descriptor, payload),) = value.items()
    match descriptor:
        case "N":
            return Verbatim(payload)
        case "NULL":
            return None
        case "L":
            return [plain(member) for member in payload]
        case "M":
            return {name: plain(member) for name, member in payload.items()}
        case "NS":
            return [Verbatim(member) for member in payload]
        case _:
            return payload


class Verbatim(str):
    """A number's text, which `dumped` writes without quotes."""


def dumped(value: Any) -> str:
    match value:
        case Verbatim():
            return str(value)
        case list():
            return f"[{', '.join(map(dumped, value))}]"
        case dict():
            return "{" + ", ".join(f"{json.dumps(name)}: {dumped(member)}" for name, member in value.items()) + "}"
        case _:
            return json.dumps(value)


def cell(value: Any) -> str:
    """As a CSV cell has it."""
    found = plain(value)
    if isinstance(found, bool):
        return "true" if found else "false"
    return found if isinstance(found, str) else dumped(found)


def csv_file(rows: list[dict[str, str]], columns: list[str], **how: Any) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, **how)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
