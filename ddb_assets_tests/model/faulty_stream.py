"""A stream of the changes of a table, with two shards and the faults that streams have, and what a drain reads of it.

A schedule is a group of keys, with writes and faults of its own; all groups of a run share the table and the stream. The
records of an exact group are all there, in order, with the right stamps, perhaps in whole milliseconds. Those of a skewed
group have stamps that are up to a minute off. Those of a faulty group may also be lost, repeated, out of order or late.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from ddb_assets.contract.report import Report
from ddb_assets.streams.position import Position
from ddb_assets.warehouse.position import Moved
from ddb_assets_tests.warehouse.exports import BASE_MICROS, Item, Source, at

HOUR = 3_600_000_000
MINUTE = 60_000_000
WINDOWS = 3
END = WINDOWS * HOUR
SHARDS = ("shard-0", "shard-1")
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders-cdc"
LONG_AGO = at(0)


@dataclass(frozen=True)
class Group:
    """A schedule of writes, (time, key, item or None for a delete), and how the stream tells of them."""

    number: int
    writes: tuple[tuple[int, str, Item | None], ...]
    kind: Literal["exact", "skewed", "faulty"]

    def __contains__(self, key: str) -> bool:
        return key.startswith(f"{self.number}-")


@dataclass(frozen=True)
class Record:
    """One change in the stream: when it came, and the time of the write as the stream says it."""

    arrived: int
    key: str
    stamp: int
    item: Item | None


@dataclass
class Stream:
    """The records of each shard, in the order of their sequence numbers, which begin at 1."""

    shards: Mapping[str, Sequence[Record]] = field(default_factory=dict)

    def ends(self) -> dict[str, str]:
        """The position at the end of every shard."""
        return {shard: str(len(records)) for shard, records in self.shards.items()}


def group_of(random: Random, number: int) -> Group:
    """Random writes of three keys in bursts, as stamps confuse their order, many of them at the ends of windows."""
    writes: dict[int, tuple[str, Item | None]] = {}
    for _ in range(random.randint(1, 4)):
        key = f"{number}-{random.choice('abc')}"
        near = random.randint(1, WINDOWS) * HOUR + random.randint(-MINUTE, MINUTE // 2)
        begin = random.choice([near, near, random.randrange(END)])
        for _ in range(random.choice([1, 1, 1, 2, 3])):
            time = max(0, min(END - 1, begin + random.randrange(MINUTE)))
            writes[time] = (key, _item(random, time) if random.random() < 0.65 else None)
    kind: Literal["exact", "skewed", "faulty"] = random.choice(["exact", "skewed", "skewed", "faulty"])
    return Group(number, tuple((time, *write) for time, write in sorted(writes.items())), kind)


def _item(random: Random, time: int) -> Item:
    return Item(f"at {time}", tuple(f"{time}.{n}" for n in range(random.randint(0, 2))))


def stream_of(random: Random, groups: Sequence[Group]) -> Stream:
    """The stream of all groups; the records of one key are in one shard."""
    shards: dict[str, list[Record]] = {shard: [] for shard in SHARDS}
    for group in groups:
        shards[SHARDS[group.number % len(SHARDS)]] += _records(random, group)
    return Stream({shard: sorted(records, key=lambda record: record.arrived) for shard, records in shards.items()})


def _records(random: Random, group: Group) -> Iterator[Record]:
    unit = random.choice([1, 1, 1000])
    skew = 0 if group.kind == "exact" else random.choice([MINUTE // 6, MINUTE])
    lost, repeated, late = (random.choice([0.0, 0.4]) if group.kind == "faulty" else 0.0 for _ in range(3))
    for time, key, item in group.writes:
        if random.random() < lost:
            continue
        stamp = max(0, time + random.randint(-skew, skew) if skew else time // unit * unit)
        for _ in range(2 if random.random() < repeated else 1):
            yield Record(time + (random.randrange(2 * HOUR) if random.random() < late else 0), key, stamp, item)


@dataclass(frozen=True)
class Landing:
    """What a drain has read: the newest record of each key as an export has it, and how the position moves."""

    report: Report | None
    moved: Moved


def drain(source: Source, stream: Stream, start: Position, limits: Mapping[str, int]) -> Landing:
    """Reads at most so many records of each shard, from the position on; without any record there is no report."""
    read = {shard: stream.shards[shard][start.last(shard) :][: limits[shard]] for shard in SHARDS}
    newest: dict[str, Record] = {}
    for records in read.values():
        for record in records:  # in the order of sequence numbers: the later one of two with one stamp wins
            if record.key not in newest or record.stamp >= newest[record.key].stamp:
                newest[record.key] = record
    ends = {shard: start.last(shard) + len(read[shard]) for shard in SHARDS}
    end = Position(
        {shard: str(sequence) for shard, sequence in ends.items()},
        {shard: BASE_MICROS + _read_at(stream, shard, sequence) for shard, sequence in ends.items()},
    )
    moved = Moved(STREAM, start, end)
    if not newest:
        return Landing(None, moved)
    stamps = [record.stamp for record in newest.values()]
    rows = [(record.key, record.stamp, record.item) for record in newest.values()]
    span = (at(min(stamps) - 1), at(max(stamps) + 1))
    return Landing(source.landing(rows, span, f"landing of {sorted(start.shards.items())}"), moved)


def _read_at(stream: Stream, shard: str, sequence: int) -> int:
    records = stream.shards[shard]
    if sequence >= len(records):
        return 2 * END
    return records[sequence - 1].arrived if sequence else 0
