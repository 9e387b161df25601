"""The streams that tables name, and the names of what Dagster has of each."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from ddb_assets.contract.table import Table, snake_case
from ddb_assets.streams.own_stream import OWN_STREAM


@dataclass(frozen=True)
class FollowedStream:
    """A stream as contracts name it, the tables that write to it, and a name that no other stream of the project has."""

    stream: str
    name: str
    tables: tuple[Table, ...]

    @property
    def is_own(self) -> bool:
        """Whether it is the own stream of its only table."""
        return self.stream == OWN_STREAM

    @property
    def pool(self) -> str:
        """The pool that lets one process at a time follow the stream."""
        return f"stream_{self.name}"

    @property
    def label(self) -> str:
        """By which an administrator of the warehouse finds our queries."""
        return f"ddb_assets stream {self.name}"

    @property
    def sensor(self) -> str:
        return f"ddb_assets_stream_{self.name}"


def streams_of(tables: Sequence[Table]) -> list[FollowedStream]:
    """The streams of these tables, in order."""
    found: dict[str, list[Table]] = {}
    for table in tables:
        if table.stream:
            own = f"{table.table}/{table.name}_{OWN_STREAM}"
            found.setdefault(own if table.stream == OWN_STREAM else table.stream, []).append(table)
    plain = {stream: _plain(stream) for stream in found}
    times = Counter(plain.values())
    return [
        FollowedStream(of[0].stream, plain[stream] if times[plain[stream]] == 1 else _distinct(stream), tuple(of))
        for stream, of in found.items()
    ]


def _plain(stream: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", snake_case(stream.rpartition("/")[2])) or "stream"


def _distinct(stream: str) -> str:
    return f"{_plain(stream)}_{sha256(stream.encode()).hexdigest()[:8]}"
