"""Checks by the items themselves that the given key can be the table's key.

Every item of a table has the key, and every record of an incremental export names it. So the key is wrong if most lines do
not have it, or very many do not. The latter is reported at once, before all other lines are quarantined.
The result depends on how many lines lack the key, not on the order of the blocks.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ddb_assets.dynamodb.attribute_value import AttributeValueError
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten.record import load_line

MANY = 1000
NAMED = 10
_KEY_TYPES = {"S": "string", "N": "number", "B": "binary"}


class WrongKeyError(DdbAssetsError):
    """The given key is not the key of the export's items."""


class KeyCheck:
    """Counts the lines of an export without the key, and keeps what the message needs. Safe from several threads."""

    def __init__(self, export: str, key: Sequence[str], *, incremental: bool) -> None:
        self._export, self._key, self._incremental = export, key, incremental
        self._lock = threading.Lock()
        self._lines = self._wrong = 0
        self._named: Counter[tuple[str, ...]] = Counter()
        self._lacking: set[str] = set()
        self._candidates: dict[str, str] | None = None

    def look(self, quarantined: Iterable[str | bytes], lines: int) -> None:
        """Counts `lines` lines, some of them quarantined. Raises WrongKeyError once many lack the key."""
        found = [attributes for line in quarantined if (attributes := _attributes(line, incremental=self._incremental))]
        with self._lock:
            self._lines += lines
            for attributes in found:
                self._count(attributes)
            if self._wrong >= MANY:
                raise self._error()

    def finish(self) -> None:
        """Raises WrongKeyError when most lines of the export lack the key."""
        if 2 * self._wrong > self._lines:
            raise self._error()

    def _count(self, attributes: dict[str, Any]) -> None:
        types = {name: type_ for name, value in attributes.items() if (type_ := _type(value))}
        lacking = [name for name in self._key if name not in types]
        if not lacking and not (self._incremental and len(attributes) != len(self._key)):
            return
        self._wrong += 1
        self._lacking.update(name for name in lacking if name not in attributes)
        self._named[tuple(attributes) if self._incremental else ()] += 1
        common = types.items() & (types if self._candidates is None else self._candidates).items()
        self._candidates = {name: type_ for name, type_ in types.items() if (name, type_) in common}

    def _error(self) -> WrongKeyError:
        given = ", ".join(self._key)
        if self._incremental:
            ((named, times),) = self._named.most_common(1)
            return WrongKeyError(
                f"{self._export}: the given key is {given}, but {times:,} of the {self._lines:,} records read so far have "
                f"the key {', '.join(named)}: use that (--key PK[,SK], or `key:` in the table's contract)"
            )
        lacking = ", ".join(repr(name) for name in self._key if name in self._lacking) or given
        named_types = [f"{name!r} ({type_})" for name, type_ in (self._candidates or {}).items()]
        more = [f"and {len(named_types) - NAMED} more"] if len(named_types) > NAMED else []
        return WrongKeyError(
            f"{self._export}: {self._wrong:,} of the {self._lines:,} items read so far have no key attribute {lacking}. "
            f"Attributes that all of those have and that can be a key: {', '.join([*named_types[:NAMED], *more]) or 'none'}. "
            "Give the table's key (--key PK[,SK], or `key:` in its contract); names are case-sensitive"
        )


def _attributes(line: str | bytes, *, incremental: bool) -> dict[str, Any] | None:
    """The attributes that must contain the key: those of the item, or of the record's Keys; None for a bad line."""
    try:
        found = load_line(line if isinstance(line, str) else line.decode()).get("Keys" if incremental else "Item")
    except (AttributeValueError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _type(value: Any) -> str | None:
    descriptor = next(iter(value)) if isinstance(value, dict) and len(value) == 1 else ""
    return _KEY_TYPES.get(descriptor)
