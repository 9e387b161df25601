"""The streams that tables name, and the names of what Dagster has of each."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from ddb_assets.contract.names import snake_case
from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.streams.own_stream import OWN_STREAM


class MixedTailsError(DdbAssetsError):
    """Tables of one stream have different kinds of tails."""


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
    def reads_in_warehouse(self) -> bool:
        """Whether the warehouse reads the stream itself."""
        return any(table.reads_in_warehouse for table in self.tables)

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
    for stream, of in found.items():
        check_one_tail(stream, of)
    plain = {stream: _plain(stream) for stream in found}
    times = Counter(plain.values())
    return [
        FollowedStream(of[0].stream, plain[stream] if times[plain[stream]] == 1 else _distinct(stream), tuple(of))
        for stream, of in found.items()
    ]


def check_one_tail(stream: str, tables: Sequence[Table]) -> None:
    """Raises MixedTailsError unless the tables of a stream have the same kind of tail: it is read once for all of them."""
    if len({table.reads_in_warehouse for table in tables}) > 1:
        named = ", ".join(f"{table.name} ({table.stream_options.tail})" for table in tables)
        raise MixedTailsError(
            f"tables of stream {stream} have different tails: {named}; write the same `tail` for all of them"
        )


def _plain(stream: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", snake_case(stream.rpartition("/")[2])) or "stream"


def _distinct(stream: str) -> str:
    return f"{_plain(stream)}_{sha256(stream.encode()).hexdigest()[:8]}"
