"""The shards of a stream, and which of them can be read now.

Facts: Kinesis Data Streams guide, "Resharding". A shard that splits or merges is closed, and its children take its keys. A
key's records in a child are later than those in the parent, so a parent is read to its end first. A closed shard is listed
until its last record has expired.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ddb_assets.streams.position import Position


@dataclass(frozen=True)
class Shard:
    """A shard's id and the shards that it came from: none, one after a split, two after a merge."""

    id: str
    parents: tuple[str, ...] = ()


def after_parents(shards: Mapping[str, Shard], last: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """By shard: the greatest sequence number that was read of its ancestors, and how many of them there are in a row.

    Kinesis' numbers grow from parents to children. That those of a table's own stream do so is not documented. `last` has the
    last number that was read of each shard.
    """
    found: dict[str, tuple[int, int]] = {}
    while ready := [
        shard
        for shard in shards.values()
        if shard.id not in found and all(parent in found or parent not in shards for parent in shard.parents)
    ]:
        for shard in ready:
            parents = [parent for parent in shard.parents if parent in found]
            greatest = max((max(found[parent][0], last.get(parent, 0)) for parent in parents), default=0)
            found[shard.id] = greatest, max((found[parent][1] + 1 for parent in parents), default=0)
    return found


def readable(shards: Mapping[str, Shard], position: Position) -> list[str]:
    """The shards that can be read now: each one's parents were read to their end, or have expired and are not listed.

    Those that are furthest behind come first, because a drain's limits may leave out the last ones.
    """
    found = [
        shard.id
        for shard in shards.values()
        if not position.is_closed(shard.id)
        and all(position.is_closed(parent) or parent not in shards for parent in shard.parents)
    ]
    return sorted(found, key=lambda shard: (position.read_at.get(shard, 0), shard))
