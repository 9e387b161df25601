"""Follows a stream of changes once: drains it, lands what it read, and loads that into the tails of its tables.

Several tables can write to one stream. Each has its own position in it, which moves with its load, so a table whose load is
refused falls behind alone. The others go on, and it catches up when its fault is mended.

No dagster. `assets.py` makes this a step, `ddb-assets follow` repeats it. One process at a time may follow a stream.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ddb_assets.aws.storage import join
from ddb_assets.aws.table import describe_table
from ddb_assets.bulk.raw_call import BULK_CLIENT
from ddb_assets.contract.table import KeySchema, Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.manifest import SUMMARY, Export, read_export
from ddb_assets.flatten.schema_store import HeldSchemas
from ddb_assets.microseconds import now_micros
from ddb_assets.streams.calls import StreamCalls
from ddb_assets.streams.drain import Limits, drain
from ddb_assets.streams.drained import Drained
from ddb_assets.streams.landing import Landed, Landing, StreamedTable, land
from ddb_assets.streams.position import Position, least
from ddb_assets.warehouse.errors import StreamMovedError
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import LoadOptions, Warehouse
from ddb_assets.warehouse.results import TailResult

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS
    from ddb_assets.contract.report import Report

logger = logging.getLogger(__name__)

LIMITS = Limits()
PEEK = Limits(records=1, seconds=10.0)
MINUTE = 60 * 1_000_000
SILENCE = 60 * MINUTE
"""Microseconds after which a stream is followed although nothing new is in it."""


@dataclass(frozen=True)
class Places:
    """Where files go: landings below `streams`, Parquet below `parquet`, schema documents below `schemas`."""

    streams: str
    parquet: str
    schemas: str

    @classmethod
    def below(cls, root: str) -> "Places":
        """Those of a lake: everything below one URI."""
        return cls(*(join(root, folder) for folder in ("streams", "parquet", "schemas")))

    def parquet_of(self, table: Table, stream: str) -> str:
        """The folder of a table's newest landing of a stream as Parquet. The next one takes its place."""
        return join(self.parquet, table.name, "stream", stream)


@dataclass
class TableFollowed:
    """What became of the records of one table. `result` is None without rows, `error` says why they were not loaded."""

    table: Table
    landing: Landing
    report: "Report | None" = None
    result: TailResult | None = None
    error: DdbAssetsError | None = None


@dataclass
class Followed:
    """What one look at a stream brought. There are several drains only while a table is behind the others."""

    stream: str
    drains: list[tuple[Drained, Landed]] = field(default_factory=list)
    tables: dict[str, TableFollowed] = field(default_factory=dict)

    @property
    def last(self) -> Drained:
        """The drain that went furthest."""
        return self.drains[-1][0]

    @property
    def records(self) -> int:
        return sum(len(drained.records) for drained, _ in self.drains)

    def refuse(self) -> None:
        """Raises the error of a table whose records were not loaded, if there is one."""
        for followed in self.tables.values():
            if followed.error:
                raise followed.error


@dataclass(frozen=True)
class _Streamed:
    table: Table
    streamed: StreamedTable

    @classmethod
    def of(cls, aws: "AWS", table: Table, position: Position) -> "_Streamed":
        described = describe_table(aws.dynamodb(table.table), table.table)
        key = table.key or KeySchema.of(described.key_names)
        return cls(table, StreamedTable(described.arn, described.id or "", key, position))


def follow(
    aws: "AWS",
    opened: Callable[[], AbstractContextManager[Warehouse]],
    stream: str,
    tables: Sequence[Table],
    places: Places,
    limits: Limits = LIMITS,
    *,
    now: Callable[[], int] = now_micros,
) -> Followed:
    """Brings the tails of the tables to what the stream of this name or ARN has now, or as far as the limits allow.

    `opened` opens the warehouse. It is open only while a table is loaded, because some warehouses let in one process at a
    time. `now` gives microseconds since 1970. Raises AwsError and WarehouseError; what is wrong with one table alone is in
    its `error`.
    """
    client = aws.kinesis(stream, BULK_CLIENT)
    arn = StreamCalls(client, stream).describe().arn
    with opened() as warehouse:
        waiting = [_Streamed.of(aws, table, warehouse.stream_position(table.name, arn)) for table in tables]
    storage, followed = aws.storage(), Followed(arn)
    while waiting:
        drained = drain(client, stream, least(one.streamed.position for one in waiting), limits, now=now)
        landed = land(storage, join(places.streams, arn.rpartition("/")[2]), drained, [one.streamed for one in waiting])
        followed.drains.append((drained, landed))
        for one in waiting:
            landing = landed.landings[one.streamed.name]
            followed.tables[one.table.name] = _loaded(aws, opened, one, arn, landing, places)
        ahead = [one for one in waiting if drained.moved(one.streamed.position) == one.streamed.position]
        waiting = [] if drained.caught_up or len(ahead) == len(waiting) else ahead
    return followed


def _loaded(
    aws: "AWS",
    opened: Callable[[], AbstractContextManager[Warehouse]],
    streamed: _Streamed,
    stream: str,
    landing: Landing,
    places: Places,
) -> TableFollowed:
    """Flattens a landing and loads it into the table's tail, or only moves the position when it has no rows."""
    table, moved = streamed.table, Moved(stream, landing.start, landing.end)
    done = TableFollowed(table, landing)
    try:
        if landing.uri is None:
            if _is_worth_writing(landing):
                with opened() as warehouse:
                    warehouse.move_stream(table.name, moved)
            return done
        from ddb_assets.flatten.flatten import flatten  # pyarrow: only when there is something to flatten

        storage = aws.storage()
        schemas = HeldSchemas(storage, places.schemas)
        export = read_export(storage, join(landing.uri, SUMMARY), expected_table=table.table)
        _check_own(export, landing, stream)
        out, key = places.parquet_of(table, stream.rpartition("/")[2]), streamed.streamed.key
        done.report = flatten(storage, export, table=table, key=key, out=out, schemas=schemas).report
        with opened() as warehouse:
            options = LoadOptions.of(table, before_commit=schemas.release)
            done.result = warehouse.load_tail(done.report, moved, options)
    except DdbAssetsError as error:
        logger.warning("table %s: its records of stream %s were not loaded: %s", table.name, stream, error)
        done.error = error
    return done


def _check_own(export: Export, landing: Landing, stream: str) -> None:
    """Raises StreamMovedError when another process, which read from the same position, has landed other records in the folder.

    The position would move by more records than are loaded. Flattening compares the file with the MD5 of this manifest.
    """
    if [file.md5 for file in export.files] != [landing.md5]:
        raise StreamMovedError(
            f"another process follows {stream} too, and has replaced {landing.uri}: stop one of them; this one reads again"
        )


def _is_worth_writing(landing: Landing) -> bool:
    """Whether a landing without rows has moved the position, found a gap, or read a minute more: that is written down."""
    start, end = landing.start, landing.end
    longer = (end.read_until or 0) - (start.read_until or 0) >= MINUTE
    return start != end or end.gap is not None or longer


def has_news(
    aws: "AWS", opened: Callable[[], AbstractContextManager[Warehouse]], stream: str, tables: Sequence[Table]
) -> bool:
    """Whether following the stream would bring anything: a record, a gap, or a shard that has ended.

    A stream without records is followed once an hour too, so that a gap is never only a long silence.
    """
    client = aws.kinesis(stream, BULK_CLIENT)
    arn = StreamCalls(client, stream).describe().arn
    with opened() as warehouse:
        positions = [warehouse.stream_position(table.name, arn) for table in tables]
    drained = drain(client, stream, least(positions), PEEK)
    silent = min((at for one in positions for at in one.read_at.values()), default=0)
    moved = any(drained.moved(one) != one for one in positions)
    return bool(drained.records) or moved or drained.ended - silent > SILENCE
