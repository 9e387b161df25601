"""What a copy could not write, as lines of a reject file that `ddb-assets import --redrive` can read.

Items are there as the destination should have them: renamed, and without the excluded attributes. DynamoDB or
`bulk/writing/operation.py` says what is wrong with an item. `bulk/reject_file.py` writes the file.
"""

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import orjson

from ddb_assets.bulk.reject_file import RejectFile, RejectFileError
from ddb_assets.bulk.rows import Row
from ddb_assets.bulk.writing.outcome import Fate
from ddb_assets.copies.attribute_mapping import CollisionError
from ddb_assets.dynamodb.item import Item

SAMPLE = 5
"""How many rejected items a report shows. All of them are in the file."""


SHOWN_CHARACTERS = 4096
"""More than any key has. A key attribute that is larger is left out: it is the reason for the reject."""


def shown_reject(item: Item, reason: str, key_names: Iterable[str]) -> dict[str, Any]:
    """A rejected item as reports show it: the key attributes that it has, and the reason."""
    found = {name: item[name] for name in key_names if name in item}
    return {
        "key": {name: value for name, value in found.items() if len(orjson.dumps(value)) <= SHOWN_CHARACTERS},
        "reason": reason,
    }


class RejectedItem(NamedTuple):
    """An item that DynamoDB or the mapping refuses. `text`: its line, if the item alone does not say everything."""

    item: Item
    reason: str
    text: str | None = None

    @classmethod
    def of(cls, item: Item, error: ValueError) -> Self:
        """For an item that was not accepted. Two attributes of one name are both kept: it cannot be redriven as it is."""
        return cls(item, str(error), _twice(error.pairs) if isinstance(error, CollisionError) else None)


def deletion(key: Item) -> str:
    """The line of an incremental export that deletes this key now."""
    now = str(time.time_ns() // 1000)
    return orjson.dumps({"Metadata": {"WriteTimestampMicros": {"N": now}}, "Keys": key}).decode()


class CopyRejects:
    """What one copy could not write. Thread-safe. The caller closes the file.

    `source` is the source table's ARN, `key_names` the attributes by which a report names an item.
    """

    def __init__(self, file: RejectFile, source: str, key_names: Sequence[str]) -> None:
        self._file = file
        self._source = source
        self._key_names = key_names
        self._lock = threading.Lock()
        self._line = 0
        self.sample: list[dict[str, Any]] = []

    def reject(self, items: Sequence[RejectedItem], number: int) -> None:
        """Writes the rejected items of one page, durable on return. `number`: how many the checkpoint counts before them.

        By these numbers a resumed run knows which lines the checkpoint includes (`keep_settled`).
        """
        for offset, one in enumerate(items):
            self._add(one.item, "rejected", one.reason, number=number + offset, text=one.text)
            if len(self.sample) < SAMPLE:
                self.sample.append(shown_reject(one.item, one.reason, self._key_names))
        self._file.sync()

    def unprocessed(self, item: Item, reason: str, text: str | None = None) -> None:
        """Writes an item that was not written when the copy stopped, or that differs. `text` as in `RejectedItem`."""
        self._add(item, "unprocessed", reason, text=text)

    @property
    def problem(self) -> RejectFileError | None:
        """Why the file is not whole; None while it is."""
        return self._file.problem

    def sync(self) -> None:
        """Returns when all items are on the disk. Raises RejectFileError."""
        self._file.sync()

    def _add(self, item: Item, fate: Fate, reason: str, *, number: int = 0, text: str | None = None) -> None:
        with self._lock:
            self._line += 1
            self._file.add(Row(number, self._line, item, text), self._source, fate, reason)


def _twice(pairs: Sequence[tuple[str, Any]]) -> str:
    """The line of an export with a name twice: valid JSON that our readers refuse until one of the two is gone."""
    members = ",".join(f"{orjson.dumps(name).decode()}:{orjson.dumps(value).decode()}" for name, value in pairs)
    return f'{{"Item":{{{members}}}}}'
