"""Items of unusual shape, for figures without a target: very wide, very deep, very large.

As in `orders.py`, each item is generated from its number alone.
"""

from random import Random
from typing import Any

from ddb_assets.contract.table import KeySchema, Table

TABLE = Table(table="Shapes", max_depth=8, nested={})
KEY = KeySchema(partition_key="id")
WIDTH, DEPTH, LARGE_BYTES = 300, 8, 200_000


def wide(number: int) -> dict[str, Any]:
    """300 attributes, strings and numbers in turn, each in four of five items."""
    random = Random(number)
    item: dict[str, Any] = {"id": {"S": f"00-{number:08d}"}}
    for place in range(WIDTH):
        value = random.getrandbits(30)
        if value % 5:
            item[f"attribute{place:03d}"] = {"S": f"value {value:x}"} if place % 2 else {"N": str(value)}
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
