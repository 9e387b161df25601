"""Items of declared types, and how they are written in files that have no types, or others."""

import base64
import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ddb_assets.dynamodb.item import Item, canonical_json
from ddb_assets_tests.flatten.items import binaries, numbers, texts

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
    return Counter(canonical_json(item) for item in items)


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


class Quoted(str):
    """A text that `dumped` writes as one."""


def dumped(value: Any) -> str:
    match value:
        case Quoted():
            return json.dumps(str(value))
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


def write_csv(path: Path, items: list[Item]) -> dict[str, Any]:
    """Writes the items to a file, and returns the config that imports them as they are; so do the others."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["pk", *TYPES])
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in item.items()} for item in items)
    path.write_text(text.getvalue(), newline="")
    return {"format": "csv", "types": TYPES}


def write_json_lines(path: Path, items: list[Item]) -> dict[str, Any]:
    """Numbers as they are written in N: not every one is one in JSON, so `n` is a text here."""
    rows = [{n: Quoted(v["N"]) if n == "n" else plain(v) for n, v in item.items()} for item in items]
    path.write_text("".join(dumped(row) + "\n" for row in rows))
    return {"format": "jsonl", "types": {name: TYPES[name] for name in ("n", "b", "ss", "ns", "bs")}}


def write_dynamodb_json(path: Path, items: list[Item]) -> dict[str, Any]:
    path.write_text("".join(json.dumps({"Item": item}) + "\n" for item in items))
    return {"format": "dynamodb-json"}


def write_json_array(path: Path, items: list[Item]) -> dict[str, Any]:
    config = write_json_lines(path, items)
    path.write_text(f"[\n{','.join(path.read_text().splitlines())}\n]")
    return config


def write_scan(path: Path, items: list[Item]) -> dict[str, Any]:
    """As `aws dynamodb scan` prints it."""
    answer = {"Items": items, "Count": len(items), "ScannedCount": len(items), "ConsumedCapacity": None}
    path.write_text(json.dumps(answer, indent=4))
    return {"format": "dynamodb-json"}


def write_parquet(path: Path, items: list[Item]) -> dict[str, Any]:
    columns = {n: pa.array([_arrow(item.get(n)) for item in items], type_) for n, type_ in ARROW.items()}
    pq.write_table(pa.table(columns), path)
    return {"format": "parquet", "types": {name: TYPES[name] for name in ("n", "ss", "ns", "bs", "l", "m")}}


ARROW = {
    "pk": pa.string(),
    "s": pa.string(),
    "n": pa.string(),
    "flag": pa.bool_(),
    "b": pa.binary(),
    "ss": pa.list_(pa.string()),
    "ns": pa.list_(pa.int64()),
    "bs": pa.list_(pa.binary()),
    "l": pa.string(),
    "m": pa.string(),
}


def _arrow(value: Any) -> Any:
    if value is None:
        return None
    ((descriptor, payload),) = value.items()
    match descriptor:
        case "B":
            return base64.b64decode(payload)
        case "BS":
            return [base64.b64decode(member) for member in payload]
        case "NS":
            return [int(member) for member in payload]
        case "L" | "M":
            return dumped(plain(value))
    return payload
