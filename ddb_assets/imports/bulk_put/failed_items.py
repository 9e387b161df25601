"""Which items AWS could not put, from the records that a bulk put writes for them.

Pure. The form of these records is not known to us. So each JSON document is searched for one item, wherever in it that is: an
object that has all attributes of the table's key, with their types. A record with no item, or with two different ones, is not
read, and a place in the input alone says nothing: whoever counts from 0 and from 1 takes another item for it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ddb_assets.dynamodb.attribute_value import AttributeValueError
from ddb_assets.dynamodb.item import Key, KeyAttribute, item_key

TELLS_WHY = re.compile("error|message|reason|cause", re.IGNORECASE)
MAX_REASON = 500
NO_REASON = "AWS could not put this item, and gives no reason"


@dataclass
class FailedItems:
    """Why each item failed, by its key, and how many records have no item that can be read."""

    reasons: dict[Key, str] = field(default_factory=dict)
    unread: int = 0

    def see(self, lines: Iterable[bytes], key: Sequence[KeyAttribute]) -> None:
        """Adds the records of one output file, which is JSON lines or one array."""
        for line in lines:
            if not line.strip():
                continue
            try:
                document = json.loads(line)
            except (ValueError, RecursionError):
                self.unread += 1
                continue
            for record in document if isinstance(document, list) else [document]:
                found = dict.fromkeys(_keys(record, key))
                if len(found) == 1:
                    self.reasons[next(iter(found))] = _reason(record, key)
                else:
                    self.unread += 1


def _keys(value: Any, key: Sequence[KeyAttribute]) -> Iterator[Key]:
    """The keys of all items in a document. A text may be a document, too: the record as it was read."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return
    if isinstance(value, dict):
        found = _key(value, key)
        if found is not None:
            yield found
        else:
            for member in value.values():
                yield from _keys(member, key)
    elif isinstance(value, list):
        for member in value:
            yield from _keys(member, key)


def _key(value: dict[str, Any], key: Sequence[KeyAttribute]) -> Key | None:
    """None: it is no item of the table."""
    try:
        return item_key(value, key)
    except AttributeValueError:
        return None


def _reason(record: Any, key: Sequence[KeyAttribute]) -> str:
    texts = dict.fromkeys(_texts(record, key, telling=False))
    return ": ".join(texts)[:MAX_REASON] or NO_REASON


def _texts(value: Any, key: Sequence[KeyAttribute], *, telling: bool) -> Iterator[str]:
    """The texts below names that tell why, outside of items, whose attributes may have such names."""
    if isinstance(value, dict) and _key(value, key) is None:
        for name, member in value.items():
            yield from _texts(member, key, telling=telling or bool(TELLS_WHY.search(name)))
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member, key, telling=telling)
    elif isinstance(value, str) and telling and not value.lstrip().startswith("{"):
        yield value
