"""Exports of unusual shape: very wide, deep or large items, conflicts of types, maps with dynamic keys, changes in a window.

As in `orders.py`, each item is generated from its number alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from random import Random
from typing import Any

from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets_tests.bench import export, orders

TABLE = Table(table="Shapes", max_depth=8, nested={})
KEY = KeySchema(partition_key="id")
WIDTH, MOST_COLUMNS, DEPTH, LARGE_BYTES = 300, 1_500, 8, 200_000
SPARSE = 30
USERS = 500_000
MICROS = 1_000_000


@dataclass(frozen=True)
class Shape:
    """A shape: who makes its lines, the most CPU per MB in times of plain orders (None: no target), and its contract."""

    make: Callable[[int], dict[str, Any]]
    wanted: float | None
    table: Table = TABLE
    incremental: bool = False


def wide(number: int, width: int = WIDTH) -> dict[str, Any]:
    """So many attributes, strings and numbers in turn, each in four of five items."""
    random = Random(number)
    item: dict[str, Any] = {"id": {"S": f"00-{number:08d}"}}
    for place in range(width):
        value = random.getrandbits(30)
        if value % 5:
            item[f"attribute{place:03d}"] = {"S": f"value {value:x}"} if place % 2 else {"N": str(value)}
    return {"Item": item}


def sparse(number: int) -> dict[str, Any]:
    """30 of 1,500 attributes, others in each item, as in a table that holds many kinds of items."""
    random = Random(number)
    item: dict[str, Any] = {"id": {"S": f"00-{number:08d}"}}
    for place in sorted(random.sample(range(MOST_COLUMNS), SPARSE)):
        value = random.getrandbits(30)
        item[f"attribute{place:04d}"] = {"S": f"value {value:x}"} if place % 2 else {"N": str(value)}
    return {"Item": item}


def deep(number: int) -> dict[str, Any]:
    """Maps within maps: eight levels, with two values at each level."""
    random = Random(number)
    value: dict[str, Any] = {}
    for level in range(DEPTH, 0, -1):
        value = {"text": {"S": f"{random.getrandbits(40):x}"}, "number": {"N": str(random.getrandbits(20))}} | (
            {f"level{level}": {"M": value}} if value else {}
        )
    return {"Item": {"id": {"S": f"00-{number:08d}"}, "nested": {"M": value}}}


def large(number: int) -> dict[str, Any]:
    """200 KB in one item: a text of 50 KB, and a long list of small maps, kept as JSON."""
    random = Random(number)
    entries = [
        {"M": {"at": {"N": str(random.getrandbits(31))}, "what": {"S": f"event {random.getrandbits(40):x}"}}}
        for _ in range((LARGE_BYTES - 50_000) // 66)
    ]
    text = " ".join(f"{random.getrandbits(40):x}" for _ in range(4_600))
    return {"Item": {"id": {"S": f"00-{number:08d}"}, "text": {"S": text}, "log": {"L": entries}}}


def conflicts(number: int) -> dict[str, Any]:
    """An order; in half of them, one attribute has another type than in most orders.

    There are numbers as texts, also texts that are not numbers, numbers instead of texts, flags as texts, and texts or lists
    instead of maps.
    """
    record = orders.item(number)
    order: dict[str, Any] = record["Item"]
    random = Random(f"conflict {number}")
    if random.random() < 0.5:
        match int(random.random() * 6):
            case 0:
                order["points"] = {"S": order["points"]["N"]}
            case 1:
                order["total"] = {"S": f"{order['total']['N']} EUR"}
            case 2:
                order["customerId"] = {"N": order["customerId"]["S"].removeprefix("cus-").lstrip("0") or "0"}
            case 3:
                order["paid"] = {"S": "yes" if order["paid"]["BOOL"] else "no"}
            case 4:
                order["address"] = {"S": ", ".join(order["address"]["M"][name]["S"] for name in ("street", "city"))}
            case _:
                order["address"] = {"L": [order["address"]["M"][name] for name in ("street", "city", "postcode")]}
    return record


def dynamic_keys(number: int) -> dict[str, Any]:
    """Counts by day, and members of a group by user id: the names in these maps are data."""
    random = Random(number)
    first = date(2024, 1, 1)
    days = sorted(random.sample(range(366), 8))
    counts = {str(first + timedelta(days=day)): {"N": str(random.getrandbits(12))} for day in days}
    members = {
        f"user-{random.randrange(USERS):06d}": {
            "M": {"role": {"S": ("owner", "editor", "viewer")[random.getrandbits(8) % 3]}, "score": {"N": f"{place}.5"}}
        }
        for place in range(4 + random.getrandbits(3))
    }
    group = {"id": {"S": f"00-{number:08d}"}, "title": {"S": f"group {random.getrandbits(40):x}"}}
    return {"Item": {**group, "visits": {"M": counts}, "members": {"M": members}}}


def change(number: int) -> dict[str, Any]:
    """A changed order with its old and new image; two of ten are new orders and one is a delete, so an image is missing."""
    random = Random(f"change {number}")
    old: dict[str, Any] = orders.item(number)["Item"]
    new = old | {"status": {"S": random.choice(orders.STATUSES)}, "points": {"N": str(random.getrandbits(13))}}
    images = {"OldImage": old, "NewImage": new}
    if (kind := int(random.random() * 10)) < 3:
        del images["NewImage" if kind == 0 else "OldImage"]
    micros = export.FROM_MICROS + random.randrange(export.WINDOW_SECONDS * MICROS)
    keys = {name: old[name] for name in orders.KEY.attributes}
    return {"Metadata": {"WriteTimestampMicros": {"N": str(micros)}}, "Keys": keys, **images}


SHAPES = {
    "300 attributes": Shape(wide, 1.5),
    "8 levels": Shape(deep, 1.5),
    "200 KB items": Shape(large, 1.2),
    "type conflicts": Shape(conflicts, 2.0, orders.TABLE),
    "dynamic keys": Shape(dynamic_keys, 2.0),
    "windows": Shape(change, 1.3, orders.TABLE, incremental=True),
    "1,500 columns": Shape(partial(wide, width=MOST_COLUMNS), 3.0),
    "1,500 columns, sparse": Shape(sparse, None),  # its cost is that of rows and columns, not of bytes
}
