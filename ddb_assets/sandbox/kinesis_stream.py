"""A Kinesis data stream as AWS behaves: shards that split and merge, sequence numbers, iterators that expire, throttling.

Pure, without HTTP (`kinesis_api`) and without moto, whose streams go on writing into closed shards, number records 1, 2, 3 and
never expire an iterator: a reader that is wrong about any of this would pass. The clock gives the time.

Facts (Kinesis Data Streams API and guide, "Quotas and limits"): a record goes to the open shard whose range has the MD5 of its
partition key. Sequence numbers have 56 digits and grow within a shard. A closed shard is read to its end, then the next
iterator is null and ChildShards names its children. An iterator is valid for five minutes. A shard takes five calls of
GetRecords and five of GetShardIterator per second, and gives 2 MiB per second: after an answer of 10 MiB, the largest, it takes
none for five seconds. One answer has at most 10,000 records. A stream whose shards are changing is UPDATING and refuses another
change.
"""

import base64
import hashlib
import json
from bisect import bisect_right, insort
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter
from typing import Any, Literal

from ddb_assets.sandbox.api_error import ApiError
from ddb_assets.sandbox.clock import MICROS, Clock
from ddb_assets.sandbox.kinesis_shard import MAX_RECORDS, MIB, Record, Shard, first_sequence

IteratorType = Literal["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]
HASHES = 1 << 128
MAX_SHARDS = 10**6
ITERATOR_LIFE = 300 * MICROS
READ_PER_SECOND = 2 * MIB

_FIRST_HASH = attrgetter("first_hash")


@dataclass(frozen=True)
class Answer:
    """The answer of GetRecords. `iterator` is None at the end of a closed shard, and then `children` are those of the shard."""

    records: list[Record]
    iterator: str | None
    behind_millis: int
    children: list[Shard]


class KinesisStream:
    """One stream. Its methods are the calls of the API, with numbers where the API has texts. They raise ApiError.

    `delay` is how long it is CREATING, UPDATING after a change, and DELETING. The next `empty_pages` answers of GetRecords
    have no records, though there are some: AWS answers so when it has searched for a while.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        shards: int = 1,
        *,
        arn: str = "",
        on_demand: bool = False,
        delay: timedelta = timedelta(0),
    ) -> None:
        self.name, self.arn, self.on_demand = name, arn, on_demand
        self.retention_hours, self.max_record = 24, MIB
        self.empty_pages = 0
        self._clock, self._delay = clock, delay // timedelta(microseconds=1)
        self.created = clock.tick()
        self.shards: dict[str, Shard] = {}
        self._open_shards: list[Shard] = []  # in the order of their hashes
        for number in range(shards):
            self._add(HASHES * number // shards, HASHES * (number + 1) // shards - 1, self.created)
        self._begin("CREATING")

    @property
    def status(self) -> str:
        done = self._clock.micros() >= self._until
        return "ACTIVE" if done and self._state != "DELETING" else self._state

    @property
    def takes_records(self) -> bool:
        return self.status in ("ACTIVE", "UPDATING")

    @property
    def is_gone(self) -> bool:
        """Whether it was deleted, and its deletion has ended."""
        return self._state == "DELETING" and self._clock.micros() >= self._until

    def delete(self) -> None:
        self._begin("DELETING")

    def put(self, partition_key: str, data: bytes, explicit_hash: int | None = None) -> tuple[Shard, Record]:
        """Adds a record to the open shard of its key."""
        self.check_size(partition_key, data)
        if explicit_hash is None:
            explicit_hash = int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest(), "big")
        shard = self._open_at(explicit_hash)
        shard.trim(self.horizon)
        now = self._clock.tick()
        record = Record(shard.sequence(now), now, partition_key, data)
        shard.records.append(record)
        return shard, record

    def check_size(self, partition_key: str, data: bytes) -> None:
        """Raises ApiError for a record that is too large for the stream."""
        size = len(data) + len(partition_key.encode())
        if size > self.max_record:
            raise ApiError(
                "InvalidArgumentException",
                f"Record size {size} exceeds the stream's max record size of {self.max_record} bytes",
            )

    def split(self, shard_id: str, new_first_hash: int) -> None:
        """Closes an open shard and opens two in its place; the second begins at this hash."""
        shard = self._open(shard_id)
        if not shard.first_hash < new_first_hash <= shard.last_hash:
            raise ApiError("InvalidArgumentException", f"{new_first_hash} does not split the hash range of {shard_id}")
        self.begin_update()
        self._split(shard, new_first_hash)

    def merge(self, shard_id: str, adjacent_id: str) -> None:
        """Closes two adjacent open shards and opens one in their place."""
        one, other = self._open(shard_id), self._open(adjacent_id)
        if one.last_hash + 1 != other.first_hash and other.last_hash + 1 != one.first_hash:
            raise ApiError("InvalidArgumentException", f"{shard_id} and {adjacent_id} are not adjacent")
        self.begin_update()
        self._merge(one, other)

    def resize(self, count: int) -> None:
        """Splits and merges until `count` open shards have equal ranges."""
        now = len(self._open_shards)
        if not now / 2 <= count <= now * 2:
            raise ApiError(
                "InvalidArgumentException", f"{count} shards are less than half or more than twice the {now} open ones"
            )
        self.begin_update()
        firsts = [HASHES * number // count for number in range(count)]
        for first in firsts:
            if (shard := self._open_at(first)).first_hash != first:
                self._split(shard, first)
        for first, following in zip(firsts, [*firsts[1:], HASHES], strict=True):
            while (shard := self._open_at(first)).last_hash + 1 != following:
                self._merge(shard, self._open_at(shard.last_hash + 1))

    def begin_update(self) -> None:
        """Makes an ACTIVE stream UPDATING."""
        if self.status != "ACTIVE":
            raise ApiError("ResourceInUseException", f"Stream {self.name} is {self.status}, not ACTIVE")
        self._begin("UPDATING")

    def listed(self) -> list[Shard]:
        """The shards that have not expired: a closed one does so when all that it may have had has expired."""
        return [shard for shard in self.shards.values() if not self._is_expired(shard)]

    @property
    def horizon(self) -> int:
        """Records that arrived before this time have expired."""
        return max(self.created, self._clock.micros() - self.retention_hours * 3600 * MICROS)

    def iterator(
        self, shard_id: str, kind: IteratorType, sequence: int | None = None, timestamp: int | None = None
    ) -> str:
        """An iterator for GetRecords. A sequence number that has expired is taken for the oldest record that is left."""
        shard = self._shard(shard_id)
        if not shard.iterators.takes(self._clock.micros()):
            raise self._throttled(shard)
        match kind:
            case "TRIM_HORIZON":
                start = 0
            case "LATEST":
                start = first_sequence(self._clock.tick())
            case "AT_TIMESTAMP":
                start = first_sequence(timestamp or 0)
            case _:
                if sequence is None or not shard.gave(sequence, self._clock.tick()):
                    raise ApiError(
                        "InvalidArgumentException",
                        f"StartingSequenceNumber {sequence} used in GetShardIterator on shard {shard_id} in stream "
                        f"{self.name} is invalid because it did not come from this stream.",
                    )
                start = sequence if kind == "AT_SEQUENCE_NUMBER" else sequence + 1
        return self._token(shard, start)

    def records(self, token: str, limit: int = MAX_RECORDS) -> Answer:
        """The next records. Raises ApiError for an expired iterator, and where a shard has been asked too often."""
        found = read_token(token)
        now = self._clock.micros()
        if found["stream"] != self.created or now - found["made"] > ITERATOR_LIFE:
            raise ApiError("ExpiredIteratorException", "Iterator expired. It is valid for 300 seconds.")
        shard = self._shard(found["shard"])
        if now < shard.paused_until or not shard.reads.takes(now):
            raise self._throttled(shard)
        shard.trim(self.horizon)
        some, following = shard.page(found["start"], 0 if self._shows_nothing() else limit)
        size = sum(len(record.data) for record in some)
        if size > READ_PER_SECOND:
            shard.paused_until = now + size * MICROS // READ_PER_SECOND
        if following:
            behind = max((now - following.arrived) // 1000, 0 if some else 1)
            return Answer(some, self._token(shard, following.sequence), behind, [])
        if shard.is_open:
            return Answer(some, self._token(shard, some[-1].sequence + 1 if some else found["start"]), 0, [])
        return Answer(some, None, 0, [s for s in self.shards.values() if shard.id in (s.parent, s.adjacent_parent)])

    def _shows_nothing(self) -> bool:
        if not self.empty_pages:
            return False
        self.empty_pages -= 1
        return True

    def _throttled(self, shard: Shard) -> ApiError:
        return ApiError(
            "ProvisionedThroughputExceededException", f"Rate exceeded for shard {shard.id} in stream {self.name}"
        )

    def _is_expired(self, shard: Shard) -> bool:
        return shard.closed is not None and shard.closed < self.horizon

    def _split(self, shard: Shard, new_first_hash: int) -> None:
        now = self._close(shard)
        self._add(shard.first_hash, new_first_hash - 1, now, shard.id)
        self._add(new_first_hash, shard.last_hash, now, shard.id)

    def _merge(self, one: Shard, other: Shard) -> None:
        now = self._close(one, other)
        first, last = min(one.first_hash, other.first_hash), max(one.last_hash, other.last_hash)
        self._add(first, last, now, one.id, other.id)

    def _add(self, first: int, last: int, now: int, parent: str | None = None, adjacent: str | None = None) -> None:
        number = len(self.shards)
        mark = self.created * MAX_SHARDS + number
        shard = Shard(f"shardId-{number:012d}", mark, first, last, now, parent, adjacent)
        self.shards[shard.id] = shard
        insort(self._open_shards, shard, key=_FIRST_HASH)

    def _close(self, *shards: Shard) -> int:
        """Closes shards, and returns when."""
        now = self._clock.tick()
        for shard in shards:
            shard.closed = now
            self._open_shards.remove(shard)
        return now

    def _open_at(self, digest: int) -> Shard:
        return self._open_shards[bisect_right(self._open_shards, digest, key=_FIRST_HASH) - 1]

    def _shard(self, shard_id: str) -> Shard:
        shard = self.shards.get(shard_id)
        if shard is None or self._is_expired(shard):
            raise ApiError("ResourceNotFoundException", f"Shard {shard_id} in stream {self.name} does not exist")
        return shard

    def _open(self, shard_id: str) -> Shard:
        shard = self._shard(shard_id)
        if not shard.is_open:
            raise ApiError("ResourceInUseException", f"Shard {shard_id} in stream {self.name} is closed")
        return shard

    def _begin(self, state: str) -> None:
        self._state, self._until = state, self._clock.micros() + self._delay

    def _token(self, shard: Shard, start: int) -> str:
        made = {
            "arn": self.arn,
            "stream": self.created,
            "shard": shard.id,
            "start": start,
            "made": self._clock.micros(),
        }
        return base64.urlsafe_b64encode(json.dumps(made).encode()).decode()


def read_token(token: str) -> dict[str, Any]:
    """What an iterator says. Raises ApiError for one that was not made here."""
    try:
        found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.encode()))
    except ValueError:
        raise ApiError("InvalidArgumentException", "Invalid ShardIterator.") from None
    return found
