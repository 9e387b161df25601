"""Follows a stream of changes once: drains it, lands what it read, and loads that into its tables or their tails.

Several tables can write to one stream. Each has its own position in it, which moves with its load, so a table whose load is
refused falls behind alone. The others go on, and it catches up when its fault is mended.

No dagster. `assets.py` makes this a step, `ddb-assets follow` repeats it. One process at a time may follow a stream.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from ddb_assets.aws.storage import join
from ddb_assets.aws.table import describe_table
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.manifest import SUMMARY, Export, read_export
from ddb_assets.flatten.schema_store import HeldSchemas
from ddb_assets.live.scanned import scanned_at
from ddb_assets.logs import about
from ddb_assets.microseconds import now_micros
from ddb_assets.streams.calls import Stream
from ddb_assets.streams.destination import LATEST_ARRIVAL, sends_to
from ddb_assets.streams.drain import Limits, drain
from ddb_assets.streams.drained import Drained
from ddb_assets.streams.expired import expired_since
from ddb_assets.streams.landing import Landed, Landing, StreamedTable, land
from ddb_assets.streams.not_sent import unsent
from ddb_assets.streams.own_stream import OWN_STREAM
from ddb_assets.streams.position import BEGINNING_OF_STREAM, Gap, Position, least
from ddb_assets.streams.sources import connected, stream_calls
from ddb_assets.warehouse.errors import StreamMovedError
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import LoadOptions, Warehouse
from ddb_assets.warehouse.results import LoadResult, TailResult

if TYPE_CHECKING:
    from ddb_assets.aws.clients import AWS
    from ddb_assets.contract.report import Report

logger = logging.getLogger(__name__)

LIMITS = Limits()
QUIET = timedelta(minutes=15)
"""After this time the position is written although no record has moved it."""
MICROSECOND = timedelta(microseconds=1)
NOTHING_KNOWN: Mapping[str, Position] = {}


class RestartError(DdbAssetsError):
    """A table cannot be started over from its stream."""


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
    """What became of the records of one table; `error` says why they were not loaded.

    `result` is of its tail, `loaded` of the table itself if the stream fills it; both are None without rows. `moved`: the
    warehouse has the landing's end as its position.
    """

    table: Table
    landing: Landing
    report: "Report | None" = None
    result: TailResult | None = None
    loaded: LoadResult | None = None
    error: DdbAssetsError | None = None
    moved: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """What became of the items that the records name."""
        one, landing = self.result or self.loaded, self.landing
        outdated = self.result.superseded if self.result else self.loaded.stale if self.loaded else 0
        return {
            "rows": landing.rows,
            "upserted": one.upserted if one else 0,
            "deleted": one.deleted if one else 0,
            "duplicates": landing.duplicates,
            "superseded": landing.superseded + outdated,
            "too_late": self.result.too_late if self.result else 0,
            "quarantined": landing.quarantined + (one.quarantined if one else 0),
        }

    @property
    def gap(self) -> Gap | None:
        """The time of which records may be lost: known before, found now, or both."""
        before, now = self.landing.start.gap, self.landing.end.gap
        return before.joined(now) if before else now


@dataclass
class Followed:
    """What one look at a stream brought. There are several drains only while a table is behind the others."""

    stream: str
    drains: list[tuple[Drained, Landed]] = field(default_factory=list)
    tables: dict[str, TableFollowed] = field(default_factory=dict)

    @property
    def positions(self) -> dict[str, Position]:
        """The position that the warehouse has now, by table; without the tables whose load failed."""
        return {
            name: one.landing.end if one.moved else one.landing.start
            for name, one in self.tables.items()
            if one.error is None
        }

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
    restart: bool

    @classmethod
    def of(cls, aws: "AWS", table: Table, position: Position, *, restart: bool) -> "_Streamed":
        described = describe_table(aws.dynamodb(table.table), table.table)
        key = table.key or KeySchema.of(described.key_names)
        start = BEGINNING_OF_STREAM if restart else position
        return cls(table, StreamedTable(described.arn, described.id or "", key, start), restart)


def follow(
    aws: "AWS",
    opened: Callable[[], AbstractContextManager[Warehouse]],
    stream: str,
    tables: Sequence[Table],
    places: Places,
    limits: Limits = LIMITS,
    *,
    known: Mapping[str, Position] = NOTHING_KNOWN,
    restart: Collection[str] = (),
    now: Callable[[], int] = now_micros,
    pause: Callable[[float], object] = time.sleep,
) -> Followed:
    """Brings the tables or their tails to what the stream has now, or as far as the limits allow.

    `stream` is the name or ARN of a Kinesis stream, or `dynamodb` for the own stream of the only table.

    `known` has positions of tables, as the look before gave them; the warehouse is asked for the others. A position that is
    not that of the warehouse any more is an error of its table, and nothing is loaded.
    `restart` names tables of `source: stream` that start over: the stream's oldest records replace all of their rows.
    `opened` opens the warehouse. It is open only while a table is loaded, because some warehouses let in one process at a
    time. `now` gives microseconds since 1970, `pause` waits for seconds. Raises AwsError and WarehouseError; what is wrong
    with one table alone is in its `error`.
    """
    check_restart(stream, tables, restart)
    client, named = connected(aws, stream, tables[0].table)
    found = stream_calls(client, named).describe()
    arn = found.arn
    known = {**positions(opened, arn, [table for table in tables if table.name not in known]), **known}
    waiting = [_Streamed.of(aws, table, known[table.name], restart=table.name in restart) for table in tables]
    storage, followed = aws.storage(), Followed(arn)
    is_own = stream == OWN_STREAM
    sends = {one.name: None if is_own else sends_to(aws.dynamodb(one.table), one.table, arn) for one in tables}
    scanned = scanned_at(opened, [table for table in tables if not known[table.name].shards])
    while waiting:
        drained = drain(client, named, least(one.streamed.position for one in waiting), limits, now=now, pause=pause)
        landed = land(storage, join(places.streams, found.name), drained, [one.streamed for one in waiting])
        followed.drains.append((drained, landed))
        for one in waiting:
            landing, name = landed.landings[one.streamed.name], one.table.name
            landing = _with_missed(landing, drained, sends=sends[name], scanned=scanned.get(name))
            followed.tables[one.table.name] = _loaded(aws, opened, one, drained.stream, landing, places)
        ahead = [one for one in waiting if drained.moved(one.streamed.position) == one.streamed.position]
        waiting = [] if drained.caught_up or len(ahead) == len(waiting) else ahead
    return followed


def check_restart(stream: str, tables: Sequence[Table], restart: Collection[str]) -> None:
    """Raises RestartError for names that are not tables which this stream fills."""
    if wrong := set(restart) - {table.name for table in tables if table.source == "stream"}:
        raise RestartError(
            f"{', '.join(sorted(wrong))}: only tables of stream {stream} with `source: stream` start over from it; a table of "
            "exports starts over with a full export"
        )


def _loaded(
    aws: "AWS",
    opened: Callable[[], AbstractContextManager[Warehouse]],
    streamed: _Streamed,
    stream: Stream,
    landing: Landing,
    places: Places,
) -> TableFollowed:
    """Flattens a landing and loads it into the table or its tail, or only moves the position when it has no rows."""
    table, arn, restart = streamed.table, stream.arn, streamed.restart
    moved = Moved(arn, landing.start, landing.end)
    done = TableFollowed(table, landing)
    try:
        if landing.uri is None and restart:
            raise RestartError(
                f"{arn} has no records of {table.name}, so the table does not start over: it keeps its rows"
            )
        if landing.uri is None:
            if _is_worth_writing(landing):
                with opened() as warehouse:
                    warehouse.move_stream(table.name, moved)
                done.moved = True
            return done
        from ddb_assets.flatten.flatten import flatten  # pyarrow: only when there is something to flatten

        storage = aws.storage()
        schemas = HeldSchemas(storage, places.schemas)
        export = read_export(storage, join(landing.uri, SUMMARY), expected_table=table.table)
        _check_own(export, landing, arn)
        out, key = places.parquet_of(table, stream.name), streamed.streamed.key
        flattened = flatten(storage, export, table=table, key=key, out=out, schemas=schemas, restart=restart)
        done.report = flattened.report
        options = LoadOptions.of(table, restart=restart, before_commit=schemas.release)
        with opened() as warehouse:
            if table.source == "stream":
                retention = timedelta(microseconds=stream.retention) + LATEST_ARRIVAL
                options = replace(options, tombstone_retention=retention)
                done.loaded = warehouse.load_stream(done.report, moved, options)
            else:
                done.result = warehouse.load_tail(done.report, moved, options)
        done.moved = True
    except DdbAssetsError as error:
        logger.warning(
            "table %s: its records of stream %s were not loaded: %s", table.name, arn, error, extra=about(table.name)
        )
        done.error = error
    return done


def _with_missed(landing: Landing, drained: Drained, *, sends: bool | None, scanned: int | None) -> Landing:
    """The landing, with what the table did not send, and what expired since it was scanned, in the gap of its end."""
    start, gap = landing.start, landing.end.gap
    missed = [unsent(start.gap, start.read_until, sends=sends, began=drained.began)]
    if scanned is not None and not start.shards:
        missed.append(expired_since(scanned, drained.stream, drained.began))
    for one in missed:
        gap = gap.joined(one) if gap else one
    return landing if gap == landing.end.gap else replace(landing, end=replace(landing.end, gap=gap))


def _check_own(export: Export, landing: Landing, stream: str) -> None:
    """Raises StreamMovedError when another process, which read from the same position, has landed other records in the folder.

    The position would move by more records than are loaded. Flattening compares the file with the MD5 of this manifest.
    """
    if [file.md5 for file in export.files] != [landing.md5]:
        raise StreamMovedError(
            f"another process follows {stream} too, and has replaced {landing.uri}: stop one of them; this one reads again"
        )


def _is_worth_writing(landing: Landing) -> bool:
    """Whether a landing without rows has moved the position, found a gap, or read for much longer: that is written down.

    Not every look is. A warehouse that sleeps would be awake all the time, and some are paid for by the second.
    """
    start, end = landing.start, landing.end
    longer = (end.read_until or 0) - (start.read_until or 0) >= QUIET // MICROSECOND
    return start != end or end.gap not in (None, start.gap) or longer


def positions(
    opened: Callable[[], AbstractContextManager[Warehouse]], stream: str, tables: Sequence[Table]
) -> dict[str, Position]:
    """The positions that the warehouse has of these tables in the stream of this ARN."""
    if not tables:
        return {}
    with opened() as warehouse:
        return {table.name: warehouse.stream_position(table.name, stream) for table in tables}
