"""Lands what a drain read: for each table a folder as an incremental export has it, which is flattened and loaded like one.

A landing has the newest record of each key, by the time of the write, then by sequence number. Its folder is named after the
table and the position that the table had, so a repeated drain writes the same objects again. Its times lie around those of
its records, so that flattening changes none of them (`flatten/record.py`).

Every record ends in one of these: a table's rows, its duplicates, its superseded or its known records, the records of tables
that no contract declares, or the quarantine.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from isal import igzip

from ddb_assets.aws.storage import join
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.dynamodb.attribute_value import AttributeValueError, binary_text, number_text, split
from ddb_assets.dynamodb.export_manifests import Summary, base64_md5, file_entry
from ddb_assets.exports.landing import write_manifests
from ddb_assets.exports.manifest import FILES
from ddb_assets.microseconds import from_micros
from ddb_assets.streams.calls import Stream, StreamRecord
from ddb_assets.streams.drained import Drained
from ddb_assets.streams.position import Position
from ddb_assets.streams.record import BadRecordError, ChangeRecord, read_record

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage

DATA = "records.json.gz"


@dataclass(frozen=True)
class StreamedTable:
    """A table whose changes are in the stream: its ARN and id, its key, and its position, up to which it has them."""

    arn: str
    id: str
    key: KeySchema
    position: Position

    @property
    def name(self) -> str:
        return self.arn.rpartition("/")[2]


@dataclass
class Landing:
    """What a drain had of one table, which is at `start` before it is loaded and at `end` afterwards.

    `uri` is the landing's folder, and `md5` that of its data file; both are None without rows. `records` were read; of them
    `known` are up to `start`, `duplicates` are the same as another one, `superseded` are older than the newest one of their
    key, `quarantined` have another key. The rest are `rows`. `ttl_deletes` and `in_milliseconds` count records: deletes by
    Time to Live, and those whose time has no microseconds. `oldest` and `newest` are the times of writes in microseconds
    since 1970.
    """

    start: Position
    end: Position
    uri: str | None = None
    md5: str | None = None
    records: int = 0
    known: int = 0
    rows: int = 0
    duplicates: int = 0
    superseded: int = 0
    quarantined: int = 0
    ttl_deletes: int = 0
    in_milliseconds: int = 0
    oldest: int | None = None
    newest: int | None = None


@dataclass(frozen=True)
class Landed:
    """The landings by table name, and what is in none of them.

    `undeclared` counts records by the name of their table. `unreadable` records are no changes of a table. They are in the file
    `quarantine`, and so are quarantined ones; it is None without any.
    """

    landings: Mapping[str, Landing]
    undeclared: Mapping[str, int]
    unreadable: int
    quarantine: str | None


def land(storage: "Storage", folder: str, drained: Drained, tables: Sequence[StreamedTable]) -> Landed:
    """Writes the records of each table below a folder (local or s3://), and those that cannot be read beside them."""
    batches = {table.name: _Batch(table, drained.moved(table.position)) for table in tables}
    undeclared: Counter[str] = Counter()
    quarantined: list[bytes] = []
    unreadable = 0
    for record in drained.records:
        try:
            change = read_record(record.data, record.table)
        except BadRecordError as error:
            unreadable += 1
            quarantined.append(_quarantine_line(record, str(error), None))
            continue
        batch = batches.get(change.table)
        if batch is None:
            undeclared[change.table] += 1
        elif reason := batch.add(record, change):
            quarantined.append(_quarantine_line(record, reason, change.table))
    for batch in batches.values():
        batch.write(storage, folder, drained.stream)
    quarantine = None
    if quarantined:
        starts = [(table.arn, table.position) for table in tables]
        quarantine = join(folder, "quarantine", f"{_id(drained.stream, starts)}.jsonl")
        storage.write(quarantine, b"".join(quarantined))
    return Landed({name: batch.landing for name, batch in batches.items()}, dict(undeclared), unreadable, quarantine)


@dataclass
class _Batch:
    """The records of one table: the newest line of each key, with the time of its write."""

    table: StreamedTable
    end: Position
    landing: Landing = field(init=False)
    newest: dict[tuple[str, ...], tuple[int, bytes]] = field(default_factory=dict)
    applied: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        again = self.table.position.created not in (None, self.end.created)
        self.start = Position({}) if again else self.table.position
        self.landing = Landing(self.table.position, self.end)
        self.names = self.table.key.attributes

    def add(self, record: StreamRecord, change: ChangeRecord) -> str | None:
        """Counts a record and keeps it if it is the newest of its key; returns why it must be quarantined, if so.

        Records come by sequence number, so of two with the same time the later one is newer.
        """
        landing = self.landing
        landing.records += 1
        applied = self.applied.get(record.shard)
        if applied is None:
            applied = self.applied[record.shard] = self.start.last(record.shard)
        if record.sequence <= applied:
            landing.known += 1
            return None
        try:
            key = _key(change.keys, self.names)
        except AttributeValueError as error:
            landing.quarantined += 1
            return str(error)
        landing.ttl_deletes += change.expired
        landing.in_milliseconds += not change.exact
        line = change.line()
        before = self.newest.get(key)
        if before is None:
            self.newest[key] = change.micros, line
        elif before == (change.micros, line):
            landing.duplicates += 1
        else:
            landing.superseded += 1
            if change.micros >= before[0]:
                self.newest[key] = change.micros, line
        return None

    def write(self, storage: "Storage", folder: str, stream: Stream) -> None:
        """Writes the folder, the summary last; nothing without rows."""
        landing, table = self.landing, self.table
        landing.rows = len(self.newest)
        if not self.newest:
            return
        landing.oldest = min(micros for micros, _ in self.newest.values())
        landing.newest = max(micros for micros, _ in self.newest.values())
        name = _id(stream, [(table.arn, table.position)])
        landing.uri = join(folder, table.name, "AWSDynamoDB", name)
        key = f"AWSDynamoDB/{name}"
        data = igzip.compress(b"\n".join([*(line for _, line in self.newest.values()), b""]), 1, mtime=0)
        md5 = landing.md5 = base64_md5(data).decode()
        entry = file_entry(landing.rows, md5, base64.b64decode(md5).hex(), f"{key}/data/{DATA}")
        first, last = _iso(landing.oldest - 1), _iso(landing.newest + 1)
        summary = Summary(
            arn=f"{table.arn}/export/{name}",
            table_arn=table.arn,
            table_id=table.id,
            started=first,
            ended=last,
            span={"exportFromTime": first, "exportToTime": last},
            place={},
            files_key=f"{key}/{FILES}",
            billed_bytes=0,
            items=landing.rows,
            view="NEW_IMAGE",
        )
        storage.write(join(landing.uri, "data", DATA), data)
        write_manifests(storage, landing.uri, summary, entry)


_KEY_TEXT: Mapping[str, Callable[[str], str]] = {"S": str, "N": number_text, "B": binary_text}


def _key(keys: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    """The key as texts that are equal for equal keys. Raises AttributeValueError unless it has just these attributes."""
    if len(keys) != len(names) or any(name not in keys for name in names):
        raise AttributeValueError("its key is {value}, not that of the table", value=", ".join(sorted(keys)))
    found: list[str] = []
    for name in names:
        descriptor, payload = split(keys[name], (name,))
        if descriptor not in _KEY_TEXT or not isinstance(payload, str):
            raise AttributeValueError(f"key attribute {name!r} is neither a string nor a number nor binary")
        found += (descriptor, _KEY_TEXT[descriptor](payload))
    return tuple(found)


def _id(stream: Stream, starts: Sequence[tuple[str, Position]]) -> str:
    """A name that is the same for the same tables at the same positions in a stream, in the form of an export's id."""
    positions = [[arn, sorted(position.shards.items())] for arn, position in starts]
    content = [stream.arn, stream.created, positions]
    return f"stream-{hashlib.sha256(orjson.dumps(content)).hexdigest()[:32]}"


def _quarantine_line(record: StreamRecord, reason: str, table: str | None) -> bytes:
    """Where the record is, why it is not in a table, and its bytes."""
    return orjson.dumps(
        {
            "shard": record.shard,
            "sequence": str(record.sequence),
            "arrived": _iso(record.arrived),
            "table": table,
            "reason": reason,
            "base64": base64.b64encode(record.data).decode(),
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def _iso(micros: int) -> str:
    return from_micros(micros).isoformat(timespec="microseconds").replace("+00:00", "Z")
