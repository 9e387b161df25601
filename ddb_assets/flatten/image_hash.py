"""Hashes of items, by which a history tells whether two exports show the same item. Only for tables with `history`.

Equal items have equal hashes, however they are written: the order of names and of sets does not count, and neither does the
form of a number or of base64. What the contract hides is not part of an item here, and of a masked value only the mask is,
so that nobody can find a hidden value by trying which one gives the hash.

`block.py` adds the hashes to the rows. The kernel knows nothing of them: its rows are in the order of their lines.
"""

from collections.abc import Collection, Iterable
from typing import Any

import orjson
import pyarrow as pa

from ddb_assets.dynamodb.attribute_value import AttributeValueError, Step, split
from ddb_assets.dynamodb.item import canonical, item_digest
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten.exact import mask_text
from ddb_assets.flatten.record import Image
from ddb_assets.flatten.rules import Rules
from ddb_assets.flatten.schema import ARRAYS, HASH, OLD_HASH

UNREADABLE = "unreadable"
"""In place of the hash of an old image that is no item: it equals no hash, so the history reports a broken chain."""


def hashes(new: Image | None, old: Image | None, rules: Rules) -> dict[str, str | None]:
    """The hashes of a line's images by column; None where the line has no image."""
    return {
        HASH: None if new is None else image_hash(new, rules),
        OLD_HASH: None if old is None else _old_hash(old, rules),
    }


def image_hash(image: Image, rules: Rules) -> str:
    """32 hexadecimal digits, the same for equal items under one contract. Raises AttributeValueError."""
    if not rules.table.hides:
        return item_digest(image).hex()
    shown = ((name, _shown(canonical(value), (name,), rules)) for name, value in image.items())
    return item_digest({name: value for name, value in shown if value is not None}).hex()


def with_hashes(
    rows: pa.RecordBatch, lines: Iterable[bytes], first: int, left: Collection[int], rules: Rules
) -> pa.RecordBatch:
    """The rows that the kernel made of these lines, the first of which has the number `first`, with their hashes.

    `left` are the numbers of the lines that it handed back.
    """
    read = (orjson.loads(line) for number, line in enumerate(lines, first) if line.strip() and number not in left)
    found = [hashes(line.get("Item", line.get("NewImage")), line.get("OldImage"), rules) for line in read]
    if len(found) != rows.num_rows:
        raise DdbAssetsError(f"{rows.num_rows} rows were made of {len(found)} lines: this is a defect, report it")
    for place, field in enumerate(rows.schema):
        if field.name in {HASH, OLD_HASH}:
            rows = rows.set_column(place, field, pa.array([one[field.name] for one in found], field.type))
    return rows


def _old_hash(image: Any, rules: Rules) -> str:
    try:
        return image_hash(image, rules)
    except AttributeValueError:
        return UNREADABLE


def _shown(value: Image, where: tuple[Step, ...], rules: Rules) -> Image | None:
    """What the contract shows of a canonical value, as the exact path treats it; None for nothing."""
    descriptor, payload = split(value)
    policy = rules.policy(where).of(descriptor)
    if policy.exclude or policy.mask == "drop":
        return None
    if descriptor == "M" and not policy.whole:
        fields = ((name, _shown(member, (*where, name), rules)) for name, member in payload.items())
        return {"M": {name: member for name, member in fields if member is not None}}
    if descriptor == "L" and not policy.whole:
        return {"L": [_shown(member, (*where, None), rules) or {"NULL": True} for member in payload]}
    if descriptor in ARRAYS and not policy.whole:
        members = (_shown({descriptor[0]: member}, (*where, None), rules) for member in payload)
        return {"L": [member for member in members if member is not None]}
    if policy.mask is None or descriptor == "NULL":
        return value
    return {"S": str(rules.masked(policy.mask, mask_text(descriptor, payload)))}
