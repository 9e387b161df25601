"""Checks by the items themselves that the given key can be the table's key.

Every item of a table has the key, and every record of an incremental export names it. So the key is wrong if most lines do
not have it, or very many do not. The latter is reported at once, before all other lines are quarantined.
The result depends on how many lines lack the key, not on the order of the blocks.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ddb_assets.dynamodb.attribute_value import AttributeValueError
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten.record import load_line

MANY = 1000
NAMED = 10
_KEY_TYPES = {"S": "string", "N": "number", "B": "binary"}


class WrongKeyError(DdbAssetsError):
    """The given key is not the key of the export's items."""


@dataclass
class KeyCounts:
    """What was counted: all lines, those without the key, and what the message needs to know of these."""

    lines: int = 0
    wrong: int = 0
    named: Counter[tuple[str, ...]] = field(default_factory=Counter)
    lacking: set[str] = field(default_factory=set)
    candidates: dict[str, str] | None = None

    def merge(self, other: "KeyCounts") -> None:
        """Adds what was counted in other lines of the same export."""
        self.lines += other.lines
        self.wrong += other.wrong
        self.named.update(other.named)
        self.lacking |= other.lacking
        if other.candidates is not None:
            self.narrow(other.candidates)

    def narrow(self, types: dict[str, str]) -> None:
        """Keeps the candidates that these attributes have too, with the same types."""
        common = types.items() & (types if self.candidates is None else self.candidates).items()
        self.candidates = {name: type_ for name, type_ in types.items() if (name, type_) in common}


class KeyCheck:
    """Counts the lines of an export without the key, and keeps what the message needs. Safe from several threads."""

    def __init__(self, export: str, key: Sequence[str], *, incremental: bool) -> None:
        self._export, self._key, self._incremental = export, key, incremental
        self._lock = threading.Lock()
        self.counts = KeyCounts()

    def look(self, quarantined: Iterable[str | bytes], lines: int) -> None:
        """Counts `lines` lines, some of them quarantined. Raises WrongKeyError once many lack the key."""
        found = [attributes for line in quarantined if (attributes := _attributes(line, incremental=self._incremental))]
        with self._lock:
            self.counts.lines += lines
            for attributes in found:
                self._count(attributes)
            self._refuse_many()

    def add(self, counts: KeyCounts) -> None:
        """Adds what was counted elsewhere. Raises WrongKeyError once many lack the key."""
        with self._lock:
            self.counts.merge(counts)
            self._refuse_many()

    def finish(self) -> None:
        """Raises WrongKeyError when most lines of the export lack the key."""
        if 2 * self.counts.wrong > self.counts.lines:
            raise self._error()

    def _refuse_many(self) -> None:
        if self.counts.wrong >= MANY:
            raise self._error()

    def _count(self, attributes: dict[str, Any]) -> None:
        types = {name: type_ for name, value in attributes.items() if (type_ := _type(value))}
        lacking = [name for name in self._key if name not in types]
        if not lacking and not (self._incremental and len(attributes) != len(self._key)):
            return
        self.counts.wrong += 1
        self.counts.lacking.update(name for name in lacking if name not in attributes)
        self.counts.named[tuple(attributes) if self._incremental else ()] += 1
        self.counts.narrow(types)

    def _error(self) -> WrongKeyError:
        given, counts = ", ".join(self._key), self.counts
        if self._incremental:
            ((named, times),) = counts.named.most_common(1)
            return WrongKeyError(
                f"{self._export}: the given key is {given}, but {times:,} of the {counts.lines:,} records read so far have "
                f"the key {', '.join(named)}: use that (--key PK[,SK], or `key:` in the table's contract)"
            )
        lacking = ", ".join(repr(name) for name in self._key if name in counts.lacking) or given
        named_types = [f"{name!r} ({type_})" for name, type_ in (counts.candidates or {}).items()]
        more = [f"and {len(named_types) - NAMED} more"] if len(named_types) > NAMED else []
        return WrongKeyError(
            f"{self._export}: {counts.wrong:,} of the {counts.lines:,} items read so far have no key attribute {lacking}. "
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
