"""The own stream of a table (DynamoDB Streams) as AWS behaves: shards that close and have children, records of 24 hours.

moto's stand-in has one shard that never closes, milliseconds, and records of writes that change nothing. Here the change log
says what has changed.

Facts: DynamoDB Streams API reference; Developer Guide, "Change data capture for DynamoDB Streams"; answers of AWS. A shard
closes after about four hours, and another one follows it; an item's records are in one line of shards. Times are in seconds,
rounded down. Sequence numbers grow within a line. A disabled stream has closed shards, and is there for 24 hours. An iterator
is valid for 15 minutes. A place that is older than the records that are left is an error. AWS may answer without records
although there are some.
"""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import orjson

from ddb_assets.microseconds import from_micros
from ddb_assets.sandbox import image
from ddb_assets.sandbox.api_error import ApiError
from ddb_assets.sandbox.change_log import Change
from ddb_assets.sandbox.change_record import Source
from ddb_assets.sandbox.clock import MICROS, Clock

SHARD_LIFE = 4 * 3600 * MICROS
RETENTION = 24 * 3600 * MICROS
ITERATOR_LIFE = 15 * 60 * MICROS
MAX_RECORDS, MAX_BYTES = 1000, 1_000_000
LINES = 2
"""Lines of shards that a new stream has; AWS has one for each partition of the table."""
SEQUENCE = 10**5
"""Sequence numbers of a microsecond: 21 digits in all, the fewest that there are."""
TIME_TO_LIVE = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}


@dataclass(frozen=True)
class Record:
    """A record: its sequence number, when it was written (microseconds), and its text."""

    sequence: int
    micros: int
    text: bytes


@dataclass
class Shard:
    """A shard of one line; `closed` is when it was closed, None while it is open."""

    id: str
    line: int
    first: int
    opened: int
    parent: str | None = None
    closed: int | None = None
    records: list[Record] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The sequence number of its last record, or its first number if it has none."""
        return self.records[-1].sequence if self.records else self.first


class TableStream:
    """One stream of a table. `records_per_shard` closes a shard early; the next `empty_pages` answers show nothing."""

    def __init__(self, source: Source, table_arn: str, view: str, clock: Clock, records_per_shard: int) -> None:
        self.source, self.view, self._clock = source, view, clock
        self.records_per_shard, self.empty_pages = records_per_shard, 0
        self.created = clock.tick()
        self.label = from_micros(self.created // 1000 * 1000).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        self.arn = f"{table_arn}/stream/{self.label}"
        self.disabled: int | None = None
        self.shards: dict[str, Shard] = {}
        for line in range(LINES):
            self._open(line, self.created)

    @property
    def is_gone(self) -> bool:
        return self.disabled is not None and self.disabled < self._horizon

    def disable(self) -> None:
        """Closes every shard. What was written stays for a day."""
        self.disabled = self._clock.tick()
        for shard in self.shards.values():
            shard.closed = shard.closed or self.disabled

    def add(self, change: Change) -> None:
        """Writes the record of a change."""
        self._rotate()
        line = hashlib.md5(change.key, usedforsecurity=False).digest()[0] % LINES
        shard = self._last(line)
        if len(shard.records) >= self.records_per_shard:
            shard = self._follow(shard, self._clock.tick())
        sequence = self._clock.tick() * SEQUENCE
        shard.records.append(Record(sequence, change.micros, self._text(change, sequence)))

    def listed(self) -> list[Shard]:
        """The shards that are left, the oldest first."""
        self._rotate()
        return [shard for shard in self.shards.values() if shard.closed is None or shard.closed >= self._horizon]

    def iterator(self, shard_id: str, kind: str, sequence: int | None) -> str:
        """An iterator for GetRecords."""
        shard = self._shard(shard_id)
        match kind:
            case "TRIM_HORIZON":
                start = 0
            case "LATEST":
                start = self._clock.tick() * SEQUENCE
            case "AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER" if sequence is not None:
                if sequence // SEQUENCE < self._horizon:
                    raise _trimmed()
                start = sequence + (kind == "AFTER_SEQUENCE_NUMBER")
            case _:
                raise ApiError("ValidationException", f"Invalid ShardIteratorType {kind}, or no SequenceNumber")
        return self._token(shard, start)

    def page(self, token: dict[str, Any], limit: int) -> tuple[list[Record], str | None]:
        """The next records, and the next iterator, which is None at the end of a closed shard."""
        if self._clock.micros() - token["made"] > ITERATOR_LIFE:
            raise ApiError(
                "ExpiredIteratorException", "Iterator expired. The iterator was created more than 15 min ago."
            )
        shard, start = self._shard(token["shard"]), token["start"]
        left = [record for record in shard.records if record.sequence >= start and record.micros >= self._horizon]
        if start and any(record.micros < self._horizon and record.sequence >= start for record in shard.records):
            raise _trimmed()
        if self.empty_pages:
            self.empty_pages -= 1
            return [], self._token(shard, start)
        found: list[Record] = []
        size = 0
        for record in left[:limit]:
            size += len(record.text)
            if found and size > MAX_BYTES:
                break
            found.append(record)
        following = found[-1].sequence + 1 if found else start
        ended = shard.closed is not None and len(found) == len(left)
        return found, None if ended else self._token(shard, following)

    @property
    def _horizon(self) -> int:
        return self._clock.micros() - RETENTION

    def _rotate(self) -> None:
        """Closes the shards whose time is over, as often as it was since anybody looked."""
        now = self._clock.micros()
        for line in range(LINES):
            while (shard := self._last(line)).closed is None and shard.opened + SHARD_LIFE <= now:
                self._follow(shard, shard.opened + SHARD_LIFE)

    def _last(self, line: int) -> Shard:
        return next(shard for shard in reversed(self.shards.values()) if shard.line == line)

    def _follow(self, shard: Shard, moment: int) -> Shard:
        shard.closed = moment
        return self._open(shard.line, moment, shard.id)

    def _open(self, line: int, moment: int, parent: str | None = None) -> Shard:
        digest = hashlib.md5(f"{self.arn} {len(self.shards)}".encode(), usedforsecurity=False).hexdigest()
        number = max([moment // 1000, *(int(shard.id.split("-")[1]) + 1 for shard in self.shards.values())])
        shard = Shard(f"shardId-{number:020d}-{digest[:8]}", line, self._clock.tick() * SEQUENCE, moment, parent)
        self.shards[shard.id] = shard
        return shard

    def _shard(self, shard_id: str) -> Shard:
        found = next((shard for shard in self.listed() if shard.id == shard_id), None)
        if found is None:
            raise ApiError("ResourceNotFoundException", "Requested resource not found: Shard does not exist")
        return found

    def _token(self, shard: Shard, start: int) -> str:
        made = {"arn": self.arn, "shard": shard.id, "start": start, "made": self._clock.micros()}
        return base64.urlsafe_b64encode(json.dumps(made).encode()).decode()

    def _text(self, change: Change, sequence: int) -> bytes:
        new, old = (found and image.decode(found) for found in (change.new, change.old))
        keys = {name: (new or old or {})[name] for name in self.source.key_names}
        dynamodb: dict[str, Any] = {"ApproximateCreationDateTime": change.micros // MICROS, "Keys": keys}
        if new and self.view in {"NEW_IMAGE", "NEW_AND_OLD_IMAGES"}:
            dynamodb["NewImage"] = new
        if old and self.view in {"OLD_IMAGE", "NEW_AND_OLD_IMAGES"}:
            dynamodb["OldImage"] = old
        dynamodb |= {"SequenceNumber": str(sequence), "SizeBytes": change.size, "StreamViewType": self.view}
        record = {
            "eventID": hashlib.md5(f"{self.arn} {sequence}".encode(), usedforsecurity=False).hexdigest(),
            "eventName": "INSERT" if old is None else "REMOVE" if new is None else "MODIFY",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": self.source.region,
            "dynamodb": dynamodb,
        }
        return orjson.dumps(record | ({"userIdentity": TIME_TO_LIVE} if change.expired else {}))


def _trimmed() -> ApiError:
    return ApiError(
        "TrimmedDataAccessException",
        "The operation attempted to read past the oldest stream record in a shard.",
    )
