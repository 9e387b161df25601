"""A move of a table's position in a stream of changes, which belongs to the load of what was read."""

from dataclasses import dataclass

from ddb_assets.streams.position import Position


@dataclass(frozen=True)
class Moved:
    """What was read of the stream of this ARN: from the position `start`, all of it, to the position `end`.

    The gap of `end` is one that was found now; None if there was none.
    """

    stream: str
    start: Position
    end: Position
