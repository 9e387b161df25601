"""Checksums of items that do not depend on how an item is written down nor on the order of a table's items.

Pure. Who compares which tables is `verify.py`'s.
"""

import hashlib
from collections.abc import Mapping
from decimal import Context
from typing import Any

import orjson

from ddb_assets.dynamodb.attribute_value import number
from ddb_assets.dynamodb.item import Item

BUCKETS = 4096
MODULUS = 1 << 128
_EXACT = Context(prec=60)  # more than any number has digits; the default would round


class Checksums:
    """Per bucket of keys the number of items and the sum of their digests. Not thread-safe: one per thread, then `add`."""

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.sums = [0] * BUCKETS

    def include(self, item: Item, key_names: tuple[str, ...]) -> None:
        """Adds an item."""
        bucket = bucket_of(item, key_names)
        self.counts[bucket] += 1
        self.sums[bucket] = (self.sums[bucket] + int.from_bytes(item_digest(item))) % MODULUS

    def add(self, other: "Checksums") -> None:
        """Adds what another thread has seen."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.sums = [(mine + theirs) % MODULUS for mine, theirs in zip(self.sums, other.sums, strict=True)]

    @property
    def count(self) -> int:
        """All items."""
        return sum(self.counts)

    def differing(self, other: "Checksums") -> set[int]:
        """The buckets in which the two do not have the same items."""
        mine, theirs = (zip(one.counts, one.sums, strict=True) for one in (self, other))
        return {bucket for bucket, (left, right) in enumerate(zip(mine, theirs, strict=True)) if left != right}


def item_digest(item: Mapping[str, Any]) -> bytes:
    """16 bytes that are equal for items with equal values: 1 and 1.0 are one number, a set has no order."""
    normal = {name: _normal(value) for name, value in item.items()}
    return hashlib.blake2b(orjson.dumps(normal, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def bucket_of(item: Mapping[str, Any], key_names: tuple[str, ...]) -> int:
    """The bucket of the item with this key."""
    return int.from_bytes(item_digest({name: item[name] for name in key_names})[:2]) % BUCKETS


def _normal(value: dict[str, Any]) -> dict[str, Any]:
    ((descriptor, payload),) = value.items()
    match descriptor:
        case "N":
            return {"N": _number(payload)}
        case "NS":
            return {"NS": sorted(map(_number, payload))}
        case "SS" | "BS":
            return {descriptor: sorted(payload)}
        case "L":
            return {"L": [_normal(member) for member in payload]}
        case "M":
            return {"M": {name: _normal(member) for name, member in payload.items()}}
    return value


def _number(text: str) -> str:
    """The same text for the same number."""
    if text.isascii() and text.isdigit() and not text.startswith("0"):
        return text
    value = number(text)
    return format(value.normalize(_EXACT), "f") if value else "0"
