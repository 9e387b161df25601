"""Tables that write to one stream, their exports and a warehouse in one process, with a crash on demand at every step.

The change log, the delivery to the stream, Kinesis, the exporter, following, flattening and loading are the real ones. Only
the connection to Kinesis is short, and S3 is a folder. The clock moves only when it is asked or told to.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, cast

from ddb_assets.aws.clients import AWS
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.report import Report
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.live.follow import Followed, Places, follow
from ddb_assets.sandbox.api_error import Answer, ApiError
from ddb_assets.sandbox.backend import SandboxBackend
from ddb_assets.sandbox.change_log import Change, ChangeLog
from ddb_assets.sandbox.change_record import Source
from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.exporter import Exporter, ExportPeriod, ExportTask
from ddb_assets.sandbox.json_api import Caller
from ddb_assets.sandbox.kinesis_api import KinesisApi
from ddb_assets.sandbox.kinesis_shards_api import KinesisShardsApi
from ddb_assets.sandbox.kinesis_stream import KinesisStream
from ddb_assets.sandbox.kinesis_streams import KinesisStreams
from ddb_assets.sandbox.stream_delivery import Route, StreamDelivery
from ddb_assets.streams.drain import Limits
from ddb_assets.streams.position import CLOSED, Position
from ddb_assets.warehouse.bookkeeping import DELETED_AT
from ddb_assets.warehouse.clickhouse.catalog import standing
from ddb_assets.warehouse.protocol import LoadOptions, Warehouse
from ddb_assets.warehouse.results import LoadResult
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets.warehouse.sql.warehouse import SqlWarehouse
from ddb_assets_tests.flatten.rebuild import items_in
from ddb_assets_tests.model.bucket import FolderBucket
from ddb_assets_tests.model.clickhouse_world import FragileClickHouse
from ddb_assets_tests.model.live_writes import (
    CONTRACTS,
    SECOND,
    SORT_KEYS,
    STREAM,
    UNDECLARED,
    Group,
    Item,
    Items,
    Write,
    attributes_of,
    item_of,
)
from ddb_assets_tests.model.world import Faults, FragileStorage, SqlModelWarehouse
from ddb_assets_tests.support.in_process import REGION, client_of

ACCOUNT = "123456789012"
CALLER = Caller(ACCOUNT, REGION)
ARN = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{STREAM}"
BASE = 1_772_323_200 * SECOND
"""The time 0 of schedules: 2026-03-01."""


LiveWarehouse = SqlModelWarehouse | FragileClickHouse


class SteppedClock(Clock):
    """A clock that moves a microsecond each time it is asked, and otherwise when it is told to."""

    def __init__(self, start: int) -> None:
        super().__init__()
        self._now = start

    def micros(self) -> int:
        self._now += 1
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by // timedelta(microseconds=1)

    def reach(self, moment: int) -> None:
        """Moves on to this time, unless it is later already."""
        self._now = max(self._now, moment)


@dataclass
class Trouble:
    """What goes wrong while a stream is followed.

    A call to Kinesis is refused with the chance `refused`. At call number `at`, something else happens `meanwhile`.
    """

    random: Random
    refused: float = 0.0
    at: int = -1
    meanwhile: Callable[[], None] = lambda: None


class LiveWorld(AWS):
    """The world of one run. It is the `AWS` of what it calls. Times are in microseconds since BASE, unless 1970 is named."""

    def __init__(
        self,
        folder: Path,
        warehouse: LiveWarehouse,
        faults: Faults,
        groups: Iterable[Group],
        *,
        soft_delete: bool,
    ) -> None:
        super().__init__()
        self.warehouse, self.faults = warehouse, faults
        self.trouble = Trouble(Random(0))
        self.writes: dict[str, list[tuple[int, str, Item | None]]] = {contract.table: [] for contract in CONTRACTS}
        self.contracts = [contract.model_copy(update={"soft_delete": soft_delete}) for contract in CONTRACTS]
        self.clock = SteppedClock(BASE)
        self.streams = KinesisStreams(self.clock, timedelta(0))
        self.stream = self._created(2)
        self._operations = KinesisApi(self.streams).operations() | KinesisShardsApi(self.streams).operations()
        folder.mkdir(parents=True)
        self._log = ChangeLog(folder / "change_log.sqlite", self.clock, self._delivered)
        backend: Any = SandboxBackend(REGION, ACCOUNT, log=self._log, latest_lag=timedelta(0))
        self._tables = {name: _created(backend, name) for name in (*self.writes, UNDECLARED)}
        self._groups = {group.number: group for group in groups}
        self._ways = {number: self._way(group) for number, group in self._groups.items()}
        self._plain = self._way(None)
        self._writing = ""
        self._way_now = self._plain
        self._bucket = folder / "bucket"
        self._exporter = Exporter(self._log, cast("Any", FolderBucket(self._bucket)), timedelta(0))
        self._storage = FragileStorage(faults)
        self._places = Places.below(str(folder / "lake"))
        self._calls = 0
        warehouse.wipe()

    def close(self) -> None:
        self._exporter.stop()
        self._log.close()

    # writes, and how they come to the stream

    @property
    def now(self) -> int:
        return self.clock.micros() - BASE

    def write(self, write: Write) -> None:
        """Makes a write, not before its time, and adds it to `writes`. To delete what is not there is no write."""
        group = self._groups[write.group]
        self.clock.reach(BASE + write.time)
        if write.item is None and write.key not in self.state(group.table):
            return
        self._write(group.table, write.key, write.item, self._ways[group.number])

    def write_undeclared(self) -> None:
        """A change of a table that nobody has declared, and a record that is no change."""
        self._write(UNDECLARED, "0-a", {"note": str(self.now)}, self._plain)
        self.stream.put("k", b"no change")

    def _write(self, table: str, key: str, item: Item | None, way: StreamDelivery) -> None:
        self._writing, self._way_now = key, way
        source = self._tables[table]
        stored, image, size = source.encode(attributes_of(table, key, item))
        self._log.append(source.number, stored, None if item is None else image, 0 if item is None else size)
        if table in self.writes:
            self.writes[table].append((self._written - BASE, key, item))

    def _delivered(self, number: int, change: Change) -> None:
        self._written = change.micros
        self._way_now(number, change)

    def _way(self, group: Group | None) -> StreamDelivery:
        """The way to the stream with the faults of a group. Partition keys are the same in each world."""
        way = StreamDelivery(self.streams)
        for name, table in self._tables.items():
            source = Source(name, name, REGION, tuple(table.table_key_attrs))
            way.routes[table.number] = Route(source, ARN, 0, milliseconds=False)
        if group:
            way.set_faults(ARN, group.faults)
        return way

    def deliver_late(self) -> None:
        """Lets the records arrive that are late."""
        for number, way in self._ways.items():
            faults = self._groups[number].faults
            way.set_faults(ARN, replace(faults, seed=faults.seed + self.now))

    def state(self, table: str) -> Items:
        """The model: the items of a table now."""
        last = {key: item for _, key, item in self.writes[table]}
        return {key: item for key, item in last.items() if item is not None}

    # the stream

    def _created(self, shards: int) -> KinesisStream:
        return self.streams.create(CALLER, STREAM, shards)

    def reshard(self, random: Random, *, newest: bool) -> None:
        """Splits a shard, or merges it with the one beside it: any shard, or the one with the newest record."""
        shards = [shard for shard in self.stream.shards.values() if shard.is_open]
        shards.sort(key=lambda shard: shard.first_hash)
        place = random.randrange(len(shards))
        if newest:
            place = max(range(len(shards)), key=lambda n: max((r.sequence for r in shards[n].records[-1:]), default=0))
        if len(shards) > 1 and random.random() < len(shards) / 6:
            one, other = shards[place], shards[place - 1] if place else shards[1]
            self.stream.merge(one.id, other.id)
        else:
            found = shards[place]
            self.stream.split(found.id, (found.first_hash + found.last_hash) // 2 + 1)

    def recreate(self, random: Random) -> None:
        """Deletes the stream, and creates it again later. What is written in between is in neither."""
        self.stream.delete()
        self.clock.advance(timedelta(seconds=2))
        self.stream = self._created(random.randint(1, 3))

    def is_read(self, position: Position) -> bool:
        """Whether a position is behind all records that the stream has."""
        if position.created is None or position.created // SECOND != self.stream.created // SECOND:
            return False
        return all(
            position.shards.get(shard.id) == CLOSED
            if shard.closed is not None
            else not shard.records or position.last(shard.id) >= shard.records[-1].sequence
            for shard in self.stream.listed()
        )

    # what the world is to those that it calls

    def kinesis(self, stream: str = "", config: Any = None) -> Any:
        return client_of("kinesis", self._answer)

    def dynamodb(self, table: str = "", config: Any = None) -> Any:
        return client_of("dynamodb", self._describe)

    def storage(self) -> FragileStorage:
        return self._storage

    def _describe(self, _: str, asked: Answer) -> Answer:
        described = self._tables[asked["TableName"]].describe("Table")["Table"]
        return {"Table": {name: value for name, value in described.items() if name != "CreationDateTime"}}

    def _answer(self, operation: str, asked: Answer) -> Answer:
        self.faults.step()
        self._calls += 1
        trouble = self.trouble
        if self._calls == trouble.at:
            trouble.at = -1
            trouble.meanwhile()
        if trouble.random.random() < trouble.refused:
            codes = ["ProvisionedThroughputExceededException", "InternalError"]
            codes += ["ExpiredIteratorException"] * (operation == "GetRecords")
            raise ApiError(trouble.random.choice(codes), "as the test wants it")
        if operation == "ListShards":
            asked = {"MaxResults": 3, **asked}
        answer = self._operations[operation](CALLER, asked)
        self.faults.step()
        return answer

    def _pause(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    # what runs

    @property
    def opened(self) -> Warehouse:
        """The warehouse, by what its users call."""
        found = self.warehouse
        return found.warehouse if isinstance(found, FragileClickHouse) else SqlWarehouse(found)

    def follow(self, limits: Limits, trouble: Trouble) -> Followed:
        before, self.trouble, self._calls = (self.trouble, self._calls), trouble, 0
        try:
            return follow(
                self,
                lambda: nullcontext(self.opened),
                STREAM,
                self.contracts,
                self._places,
                limits,
                now=self.clock.micros,
                pause=self._pause,
            )
        finally:
            self.trouble, self._calls = before

    def position(self, table: Table) -> Position:
        return self.opened.stream_position(table.name, ARN)

    def export(self, contract: Table, start: int | None, end: int) -> Report:
        """An export of the window `[start, end)`, or a full one as of `end`, flattened."""
        window = None if start is None else ExportPeriod(BASE + start, BASE + end, "NEW_IMAGE")
        table = self._tables[contract.table]
        made = ExportTask(table, {"S3Bucket": "model"}, self.clock.micros(), BASE + end, window)
        self._exporter.start(made)
        while made.status == "IN_PROGRESS":
            time.sleep(0.0002)
        assert made.status == "COMPLETED", made.failure
        export = read_export(self._storage, str(self._bucket / made.summary_key))
        return flatten(
            self._storage,
            export,
            table=contract,
            key=KeySchema.of(tuple(table.table_key_attrs)),
            out=self._places.parquet + f"/{contract.name}/{export.id}",
            schemas=SchemaStore(self._storage, self._places.schemas),
        ).report

    def load(self, contract: Table, report: Report, *, force: bool, restart: bool) -> LoadResult:
        options = LoadOptions.of(contract, force=force, restart=restart)
        return self.opened.load(report, options)

    # what the warehouse shows

    def has(self, name: str) -> bool:
        if isinstance(self.warehouse, FragileClickHouse):
            return standing(self.warehouse.server, name) is not None
        return self.warehouse.standing(TableName(self.warehouse.default_schema, name)) is not None

    def lose_tail(self, contract: Table) -> bool:
        """Somebody drops a tail's table, but not its position. Returns whether there was one."""
        name = f"_ddb_tail__{contract.name}"
        if not self.has(name):
            return False
        views = [view for view in (f"{contract.name}_live", f"{contract.name}__lines_live") if self.has(view)]
        for what in (*(f'VIEW "{view}"' for view in views), f'TABLE "{name}"'):
            if isinstance(self.warehouse, FragileClickHouse):
                self.warehouse.server.execute(f"DROP {what} SYNC")
            else:
                self.warehouse.execute(Statement(f"DROP {what}"))
        return True

    def shown(self, contract: Table) -> Items:
        """What people are shown: the live view, or the table as long as there is none."""
        return self.items(contract, "_live" if self.has(f"{contract.name}_live") else "")

    def items(self, contract: Table, suffix: str = "") -> Items:
        """The items in the tables of a contract, or in their views with a suffix. No item is there twice."""
        schema = SchemaStore(self._storage, self._places.schemas).latest(contract.name)
        if schema is None:
            return {}
        relations = schema.relations(incremental=True)
        tables = {
            relation.name: self.warehouse.rows(f"{relation.name}{suffix}", [column.name for column in relation.columns])
            for relation in relations
        }
        root = relations[0].name
        tables[root] = [row for row in tables[root] if row.get(DELETED_AT) is None]
        found = [item_of(contract.table, item) for item in items_in(schema, relations[0], tables)]
        assert len(dict(found)) == len(found), "an item is there twice"
        return dict(found)


def _created(backend: Any, name: str) -> Any:
    sort_key = SORT_KEYS.get(name)
    return backend.create_table(
        name,
        schema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            *([{"AttributeName": sort_key, "KeyType": "RANGE"}] if sort_key else []),
        ],
        attr=[
            {"AttributeName": "pk", "AttributeType": "S"},
            *([{"AttributeName": sort_key, "AttributeType": "N"}] if sort_key else []),
        ],
        throughput=None,
        indexes=[],
        global_indexes=[],
        billing_mode="PAY_PER_REQUEST",
        streams=None,
        sse_specification=None,
        tags=[],
        deletion_protection_enabled=False,
        warm_throughput=None,
    )
