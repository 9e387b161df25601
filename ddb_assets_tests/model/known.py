"""What the loaded exports say about each item if some of them cannot be read: the model test's second oracle.

It knows nothing of tables. For each key, the newest record that could be read holds. A newer record that could not be read
makes it stale.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Any

from ddb_assets_tests.model.world import Attributes, Sort, World

UNREADABLE = {"S": "too long for its column"}
"""The value of `bad` that sends an item to quarantine."""


NO_KEY = 1.5
"""A sort key that its column, a BIGINT, cannot hold, so that not even the key of the item can be read."""


class Known(Enum):
    """What an export says about an item instead of its attributes."""

    DELETED = "deleted"
    UNREAD = "present or written, but not readable"


UNREAD = Known.UNREAD
Key = tuple[str, Sort]
Span = tuple[int | None, int]


def shown_by(world: World, start: int | None, end: int) -> dict[Key, tuple[int, Attributes | Known]]:
    """The items in an export of this window, or in a full export of this time, with their versions."""
    if start is None:
        return {key: (end, _read(key, item)) for key, item in world.state(end).items()}
    before = world.state(start)
    last: dict[Key, tuple[int, Attributes | None]] = {}
    for micros, pk, sk, rest in sorted(world.writes, key=lambda write: write[0]):
        if start <= micros < end:
            last[pk, sk] = (micros, rest)
    return {
        key: (max(micros, start + 1), _read(key, None if rest is None else world.state(end)[key]))
        for key, (micros, rest) in last.items()
        if rest is not None or key in before
    }


def _read(key: Key, item: Attributes | None) -> Attributes | Known:
    if key[1] == NO_KEY:
        return UNREAD
    if item is None:
        return Known.DELETED
    return UNREAD if item.get("bad") == UNREADABLE else item


def blind(world: World, time: int) -> bool:
    """Whether a full export of this time has an item whose key cannot be read either."""
    return any(sk == NO_KEY for _, sk in world.state(time))


def known_of(world: World, applied: Iterable[Span]) -> tuple[dict[Key, Attributes], dict[Key, int]]:
    """The items that a table must show after these exports, and since when some of them may be stale."""
    exports = {span: shown_by(world, *span) for span in applied}
    keys = {key for export in exports.values() for key in export if key[1] != NO_KEY}
    items: dict[Key, Attributes] = {}
    stale: dict[Key, int] = {}
    for key in keys:
        facts: list[tuple[int, Any]] = [export[key] for export in exports.values() if key in export]
        for (start, end), export in exports.items():
            if start is None and key not in export:
                facts.append((end, UNREAD if blind(world, end) else Known.DELETED))
        version, known = max(
            ((time, known) for time, known in facts if known is not UNREAD),
            key=lambda fact: fact[0],
            default=(0, Known.DELETED),
        )
        if isinstance(known, Known):
            continue
        items[key] = known
        if gaps := [time for time, known in facts if known is UNREAD and time > version]:
            stale[key] = min(gaps)
    return items, stale
