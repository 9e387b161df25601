"""What is written to the tables of the model of streams, and with which faults the stream tells of it.

A schedule is a group of keys with writes and faults of its own. All groups of a run share the tables and the stream.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

from ddb_assets.contract.table import Table
from ddb_assets.sandbox.stream_faults import Faults

MILLISECOND = 1_000
SECOND = 1000 * MILLISECOND
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
WINDOWS = 3
LENGTH = WINDOWS * HOUR
WRITING = LENGTH - HOUR // 2
"""Drains take time too. So writes end well before the last window does."""

STREAM = "changes"
UNDECLARED = "Others"
CONTRACTS = tuple(
    Table.model_validate({"table": name, "stream": STREAM, "nested": {"lines": "child"}})
    for name in ("Orders", "Carts")
)
NAMES = tuple(contract.table for contract in CONTRACTS)
SORT_KEYS = {"Orders": "sk"}
"""Orders have a string and a number as their key, carts only the string."""
Item = dict[str, Any]
"""Attributes by name, as Python values: texts, whole numbers and lists of texts."""
Items = dict[str, Item]
"""Items by key."""


@dataclass(frozen=True)
class Write:
    """A write that is to be made at a time: the item after it, or None for a delete."""

    time: int
    group: int
    key: str
    item: Item | None


@dataclass(frozen=True)
class Group:
    """A schedule: which table it writes to, what, and what the stream does to it.

    `off`: by how much a stamp may be off at most, None if records are lost. `late`: records may arrive out of order.
    """

    number: int
    table: str
    writes: tuple[Write, ...]
    faults: Faults
    off: int | None

    @property
    def late(self) -> bool:
        return self.faults.late > 0


def group_of(random: Random, number: int) -> Group:
    """Random writes of three keys in bursts, many of them where windows end, some of them within a millisecond."""
    writes: dict[int, Write] = {}
    for _ in range(random.randint(1, 4)):
        key = f"{number}-{random.choice('abc')}"
        near = random.randrange(1, WINDOWS) * HOUR + random.randint(-MINUTE, MINUTE // 2)
        begin = random.choice([near, near, random.randrange(WRITING)])
        within = random.choice([MINUTE, MINUTE, MILLISECOND // 2])
        for _ in range(random.choice([1, 1, 1, 2, 3])):
            time = begin + random.randrange(within)
            writes[time] = Write(time, number, key, _item(random, time) if random.random() < 0.65 else None)
    ordered = tuple(write for _, write in sorted(writes.items()))
    return Group(number, NAMES[number % len(NAMES)], ordered, *_faults(random))


def _item(random: Random, time: int) -> Item:
    item: Item = {"note": f"at {time}"}
    if random.random() < 0.3:
        item["count"] = random.choice([7, 10**12, 10**30])
    if lines := [f"{time}.{n}" for n in range(random.randint(0, 2))]:
        item["lines"] = lines
    return item


def _faults(random: Random) -> tuple[Faults, int | None]:
    """What goes wrong with a group's records, and by how much stamps may be off."""
    seed = random.randrange(1 << 30)
    repeated = random.choice([0.0, 0.4])
    skew = random.choice([MINUTE // 6, MINUTE])
    off = timedelta(microseconds=skew)
    match random.choice(["exact", "milliseconds", "milliseconds", "disordered", "mixed", "skewed", "skewed", "faulty"]):
        case "exact":
            return Faults(repeated=repeated, seed=seed), 0
        case "milliseconds":  # the order of reading says which of two writes is newer
            return Faults(repeated=repeated, milliseconds=1.0, seed=seed), 0
        case "disordered":
            return Faults(repeated=repeated, late=0.4, seed=seed), 0
        case "mixed":
            return Faults(repeated=repeated, milliseconds=0.5, seed=seed), MILLISECOND
        case "skewed":
            return Faults(repeated=repeated, skew=off, seed=seed), skew
        case _:
            return Faults(lost=0.4, repeated=repeated, late=random.choice([0.0, 0.4]), skew=off, seed=seed), None


def attributes_of(table: str, key: str, item: Item | None) -> dict[str, Any]:
    """DynamoDB JSON of an item, or of its key alone. Of the key `3-a`, a table with a number has "3" and 97."""
    group, _, letter = key.partition("-")
    keys: dict[str, Any] = {"pk": {"S": key}}
    if sort_key := SORT_KEYS.get(table):
        keys = {"pk": {"S": group}, sort_key: {"N": str(ord(letter))}}
    return keys | {name: _value(value) for name, value in (item or {}).items()}


def _value(value: Any) -> dict[str, Any]:
    match value:
        case str():
            return {"S": value}
        case list():
            return {"L": [_value(member) for member in value]}
        case _:
            return {"N": str(value)}


def item_of(table: str, found: Mapping[str, Any]) -> tuple[str, Item]:
    """The reverse, from Python values."""
    rest = dict(found)
    key = str(rest.pop("pk"))
    if sort_key := SORT_KEYS.get(table):
        key = f"{key}-{chr(int(rest.pop(sort_key)))}"
    return key, rest
