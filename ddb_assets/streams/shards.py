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
