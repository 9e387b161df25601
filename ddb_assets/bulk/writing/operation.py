"""One write, checked and ready to be sent: a put or a delete with its key, its JSON, its size and its cost.

Pure. Whatever would make DynamoDB refuse a whole batch is found here, before anything is sent.
Facts: DynamoDB Developer Guide, "Write capacity units" (1 per started KB, for deletes too; every index that holds the item
is written too) and "Constraints".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from ddb_assets.aws.table import Index, TableDescription
from ddb_assets.dynamodb.attribute_value import AttributeValueError
from ddb_assets.dynamodb.item import MAX_ITEM_BYTES, Item, Key, attribute_sizes, item_key, key_value

Kind = Literal["put", "put_if_absent", "delete"]
WCU_BYTES = 1024


class RejectedItemError(ValueError):
    """DynamoDB will not take this item; the message says why, and names the attribute."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`body` is the item as JSON, or for a delete its key. `units` are the expected WCUs of the table and of each index.

    With `expected` it is carried out only while the table's item is this one (DynamoDB JSON).
    """

    kind: Kind
    key: Key
    body: bytes
    units: tuple[int, ...]
    token: object
    expected: Item | None = None

    @property
    def conditional(self) -> bool:
        """Whether the table decides if it is carried out. It is then sent alone."""
        return self.kind == "put_if_absent" or self.expected is not None

    @property
    def attributes(self) -> Item:
        """The item, or the key of a delete, in DynamoDB JSON."""
        attributes: Item = orjson.loads(self.body)
        return attributes


def put(
    target: TableDescription,
    item: Mapping[str, Any],
    token: object,
    *,
    if_absent: bool = False,
    expected: Item | None = None,
) -> Operation:
    """Raises RejectedItemError for what DynamoDB refuses."""
    try:
        sizes = attribute_sizes(item)
        key = item_key(item, target.key)
        size = sum(sizes.values())
        if size > MAX_ITEM_BYTES:
            raise AttributeValueError(f"the item has {size:,} bytes, DynamoDB takes {MAX_ITEM_BYTES:,}")
        units = (
            units_of(size),
            *(_index_units(index, item, sizes, size) for index in target.indexes),
        )
        return Operation("put_if_absent" if if_absent else "put", key, orjson.dumps(item), units, token, expected)
    except (AttributeValueError, orjson.JSONEncodeError) as error:
        raise RejectedItemError(str(error)) from None


def delete(
    target: TableDescription, key: Mapping[str, Any], token: object, *, expected: Item | None = None
) -> Operation:
    """`key` may be a whole item; only its key attributes are sent. Raises RejectedItemError when they are not a key."""
    try:
        found = item_key(key, target.key)
        only = {attribute.name: key[attribute.name] for attribute in target.key}
        return Operation("delete", found, orjson.dumps(only), (1,) * (1 + len(target.indexes)), token, expected)
    except (AttributeValueError, orjson.JSONEncodeError) as error:
        raise RejectedItemError(str(error)) from None


def units_of(size: int) -> int:
    """WCUs of writing this many bytes."""
    return -(-size // WCU_BYTES) or 1


def _index_units(index: Index, item: Mapping[str, Any], sizes: Mapping[str, int], size: int) -> int:
    """What the index costs for a new item; replacing one may cost more, which ConsumedCapacity then shows."""
    present = [attribute for attribute in index.key if attribute.name in item]
    for attribute in present:
        try:
            key_value(item[attribute.name], attribute)
        except AttributeValueError as error:
            raise AttributeValueError(f"index {index.name}: {error}") from None
    if len(present) < len(index.key):
        return 0
    if index.projected is None:
        return units_of(size)
    return units_of(sum(bytes_ for name, bytes_ in sizes.items() if name in index.projected))
