"""A DynamoDB table, its exports and a warehouse in one process, with a crash on demand at every step between them.

The change log, the exporter, the manifests, the flattening and the load are the real ones. Only S3 is a folder, because
a schedule of the model test (`test_model.py`) must take a fraction of a second.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.report import Relation, Report
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.output import REPORT, read_report
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.microseconds import to_micros
from ddb_assets.sandbox.backend import SandboxBackend
from ddb_assets.sandbox.change_log import ChangeLog, LoggedWrite
from ddb_assets.sandbox.clock import Clock
from ddb_assets.sandbox.exporter import Exporter, ExportPeriod, ExportTask
from ddb_assets.warehouse.bookkeeping import DELETED_AT, STALE_SINCE, history_name
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import LoadResult
from ddb_assets.warehouse.sql.engine import SqlEngine
from ddb_assets.warehouse.sql.ledger import PREFIX
from ddb_assets.warehouse.sql.load import load as sql_load
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.flatten.rebuild import items_in
from ddb_assets_tests.flatten.texts import number_text
from ddb_assets_tests.model.bucket import FolderBucket

BUCKET = "model"
KEY = KeySchema(partition_key="pk", sort_key="sk")
Attributes = dict[str, dict[str, Any]]


Sort = int | float | str
"""A sort key of a schedule. A number that must keep its text is a text."""


FaultKind = Literal[
    "lost before commit", "lost after commit", "lost", "conflict", "refused", "copy", "no answer", "twice"
]


class Crash(BaseException):
    """The process dies here. Not an Exception, so that nothing catches it and continues."""


@dataclass(frozen=True)
class ServerFault:
    """A fault of the server: in its n-th statement, in the n-th file of a COPY, or around the next COMMIT.

    `no answer`: the statement is run, and the connection is lost before its answer comes. `twice`: it is run twice.
    """

    kind: FaultKind
    number: int = 1


class ModelWarehouse(Protocol):
    """A warehouse that can crash at each step. If it has a server, the server can fail too.

    An adapter implements it once, and `conftest.py` lists it. Its steps call `Faults.step` and `Faults.commit`.
    """

    @property
    def hit(self) -> bool:
        """Whether the fault has happened."""
        ...

    def load(self, report: Report, options: LoadOptions) -> LoadResult:
        """As the warehouse's own `load`, with a step before and after whatever changes anything."""
        ...

    def misbehaving(self, fault: ServerFault | None) -> contextlib.AbstractContextManager[None]:
        """Arms the fault for the block."""
        ...

    def die(self) -> None:
        """Does to the connection what the end of the process does."""
        ...

    def wipe(self) -> None:
        """Empties the warehouse."""
        ...

    def rows(self, name: str, columns: Iterable[str]) -> list[dict[str, Any]]:
        """The rows that a person sees of a relation, with these columns and its other columns.

        A missing column is None, and so is a missing value. A relation that does not exist has no rows.
        """
        ...

    def ledger(self, root: str) -> list[dict[str, Any]]:
        """The loads of a table, in order: `sequence`, the counts of `LoadCounts` by their names, and the export's times."""
        ...


class SqlModelWarehouse(ModelWarehouse, SqlEngine, Protocol):
    """One whose loads are SQL in transactions."""

    def elsewhere(self, statement: Statement) -> None:
        """Runs a statement on a connection of its own, which commits."""
        ...


class SqlLoads:
    """What the warehouses have in common whose loads are SQL."""

    def load(self: SqlModelWarehouse, report: Report, options: LoadOptions) -> LoadResult:
        """By the engine itself."""
        return sql_load(self, report, options)

    def ledger(self: ModelWarehouse, root: str) -> list[dict[str, Any]]:
        """The table of loads, which also has rows that are of no load."""
        rows = [row for row in self.rows(f"{PREFIX}{root}", ()) if row["relation"]]
        return sorted(rows, key=lambda row: int(row["sequence"]))


class Faults:
    """Raises Crash once, at the n-th step after `arm(n)` or before the n-th commit after it; after `arm(None)` never.

    With `asleep` the process sleeps there instead, and that is what happens meanwhile. `taken` counts the steps since then.
    """

    def __init__(self) -> None:
        self.arm(None)

    def arm(self, last: int | None, commit: int | None = None, asleep: Callable[[], object] | None = None) -> None:
        self.taken = self._commits = 0
        self._last, self._last_commit, self._asleep = last, commit, asleep

    def step(self) -> None:
        self.taken += 1
        if self.taken != self._last:
            return
        if self._asleep is None:
            raise Crash
        self._last = None
        self._asleep()

    def commit(self) -> None:
        """The step before a commit."""
        self._commits += 1
        if self._commits == self._last_commit:
            raise Crash
        self.step()


class FragileStorage(Storage):
    """A step before every change of a file."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults

    def write(self, uri: str, data: bytes) -> None:
        self._faults.step()
        super().write(uri, data)

    def create(self, uri: str, data: bytes) -> bool:
        self._faults.step()
        return super().create(uri, data)

    def delete(self, uris: Iterable[str]) -> None:
        self._faults.step()
        super().delete(uris)


class FragileWarehouse(SqlLoads, DuckDBEngine):
    """A step before every statement, query, copy and commit, and one after every commit. Its server has no faults."""

    hit = False

    def __init__(self, faults: Faults) -> None:
        super().__init__(":memory:")
        self._faults = faults

    def execute(self, statement: Statement) -> None:
        self._faults.step()
        super().execute(statement)

    def copy(self, relation: Relation, stage: TableName) -> None:
        self._faults.step()
        super().copy(relation, stage)

    @contextlib.contextmanager
    def transaction(self, lock: TableName | None = None) -> Iterator[None]:
        with super().transaction(lock):
            yield
            self._faults.commit()
        self._faults.step()

    @contextlib.contextmanager
    def misbehaving(self, fault: "ServerFault | None") -> Iterator[None]:
        assert fault is None
        yield

    def elsewhere(self, statement: Statement) -> None:
        """Runs a statement on a connection of its own, which commits."""
        with self.connection.cursor() as other:
            other.execute(statement.text, list(statement.values))

    def die(self) -> None:
        """Does nothing: all state of the process is in memory, and the database belongs to the test."""

    def wipe(self) -> None:
        """Drops every table. Translations to DuckDB's dialect are kept, which makes a schedule twice as fast."""
        for (name,) in self.connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall():
            self.connection.execute(f'DROP VIEW "{name}"')
        for (name,) in self.connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            self.connection.execute(f'DROP TABLE "{name}"')

    def rows(self, name: str, columns: Iterable[str]) -> list[dict[str, Any]]:
        """The rows of a table or view with these columns and its other columns. A missing column is NULL."""
        if self.standing(TableName(self.default_schema, name)) is None:
            return []
        found = self.connection.execute(f'SELECT * FROM "{name}"')
        present = [column for column, *_ in found.description or ()]
        return [dict.fromkeys(columns) | dict(zip(present, row, strict=True)) for row in found.fetchall()]


@dataclass
class World:
    """Table, lake and warehouse for one schedule after another. `begin` makes a new table and empties lake and warehouse.

    `steps` are the steps of the last run, `hits` the faults of the server that happened.
    """

    folder: Path
    warehouse: ModelWarehouse
    faults: Faults
    soft_delete: bool = False
    writes: list[tuple[int, str, Sort, Attributes | None]] = field(default_factory=list)
    steps: int = 0
    hits: list[ServerFault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log = ChangeLog(self.folder / "change_log.sqlite", Clock())
        self._backend: Any = SandboxBackend("eu-west-1", "123456789012", log=self.log, latest_lag=timedelta(0))
        self._exporter = Exporter(self.log, cast("Any", FolderBucket(self.folder / "bucket")), timedelta(0))
        self._storage = FragileStorage(self.faults)
        self._tables = 0

    def begin(self, contract: Table, *, soft_delete: bool) -> None:
        """A table without items."""
        self.contract, self.soft_delete, self.writes, self.steps = contract, soft_delete, [], 0
        self._tables += 1
        self._source = self._backend.create_table(
            f"Model{self._tables}",
            schema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            attr=[{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "N"}],
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
        self._exporter.exports.clear()
        for name in ("bucket", "lake", "schemas"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.schemas = SchemaStore(self._storage, str(self.folder / "schemas"))
        self.warehouse.wipe()

    def write(self, micros: int, pk: str, sk: Sort, rest: Attributes | None) -> None:
        """A put of the whole item, or a delete."""
        self.writes.append((micros, pk, sk, rest))
        item = {"pk": {"S": pk}, "sk": {"N": str(sk)}, **(rest or {})}
        key, image, size = self._source.encode(item)
        self.log.load(self._source.number, [LoggedWrite(micros, key, None if rest is None else image, size)])

    def state(self, before: int) -> dict[tuple[str, Sort], Attributes]:
        """The model: the items after all writes before this time."""
        state: dict[tuple[str, Sort], Attributes] = {}
        for micros, pk, sk, rest in sorted(self.writes, key=lambda write: write[0]):
            if micros >= before:
                break
            state.pop((pk, sk), None)
            if rest is not None:
                state[pk, sk] = {"pk": {"S": pk}, "sk": {"N": str(sk)}, **rest}
        return state

    def export(self, start: int | None, end: int, view: str = "NEW_AND_OLD_IMAGES") -> ExportTask:
        """A finished export of the window `[start, end)`, or a full one as of `end`."""
        window = None if start is None else ExportPeriod(start, end, view)
        made = ExportTask(self._source, {"S3Bucket": BUCKET}, self.log.clock.micros(), end, window)
        self._exporter.start(made)
        while made.status == "IN_PROGRESS":
            time.sleep(0.0002)
        assert made.status == "COMPLETED", made.failure
        return made

    def run(
        self,
        export: ExportTask,
        *,
        force: bool,
        again: bool,
        crash: int | None,
        fault: ServerFault | None = None,
        restart: bool = False,
        asleep: Callable[[], object] | None = None,
    ) -> LoadResult:
        """From the export to the warehouse; `again` makes new Parquet. Raises Crash at that step, if any.

        With `asleep` the load sleeps at that step of its own, and that is what happens meanwhile.
        """
        out = str(self.folder / "lake" / export.id)
        self.faults.arm(None if asleep else crash)
        try:
            source = read_export(self._storage, str(self.folder / "bucket" / export.summary_key))
            if again or not self._storage.exists(f"{out}/{REPORT}"):
                flatten(self._storage, source, table=self.contract, key=KEY, out=out, schemas=self.schemas)
            report = read_report(self._storage, out)
            if asleep:
                self.faults.arm(crash, asleep=asleep)
            with self.warehouse.misbehaving(fault):
                options = LoadOptions(
                    force=force,
                    restart=restart,
                    soft_delete=self.soft_delete,
                    max_quarantined=self.contract.max_quarantined,
                    history=self.contract.history,
                )
                return self.warehouse.load(report, options)
        except Crash:
            self.warehouse.die()
            raise
        finally:
            if fault is not None and self.warehouse.hit:
                self.hits.append(fault)
            self.steps = self.faults.taken
            self.faults.arm(None)

    def ledger(self) -> list[dict[str, Any]]:
        """The loads so far, in order."""
        return self.warehouse.ledger(self.contract.name)

    def versions_outside(self, spans: set[tuple[datetime, datetime]]) -> list[int]:
        """Versions of the root's rows that are outside the times of these initial loads and windows."""
        rows = self.warehouse.rows(self.contract.name, ())
        versions = {row["_ddb_version"] for row in rows if row["_ddb_version"] is not None}
        micros = [(_micros(start), _micros(end)) for start, end in spans]
        return [v for v in versions if not any(start <= v < end or start == v == end for start, end in micros)]

    def stale(self) -> dict[tuple[str, str], int]:
        """The keys of the rows that are marked as possibly older than their items, with the time in the mark."""
        rows = self.warehouse.rows(self.contract.name, (STALE_SINCE,))
        marked = [row for row in rows if row[STALE_SINCE]]
        return {(row["pk"], number_text(str(row["sk"]))): _micros(row[STALE_SINCE]) for row in marked}

    def items(self) -> list[dict[str, Any]]:
        """The items in the warehouse's tables that are not deleted, with numbers as texts."""
        schema = self.schemas.latest(self.contract.name)
        assert schema
        relations = schema.relations(incremental=True)
        # a refused export may have columns and lists that no table has yet
        tables = {r.name: self.warehouse.rows(r.name, [c.name for c in r.columns]) for r in relations}
        root = relations[0].name
        tables[root] = [row for row in tables[root] if row.get(DELETED_AT) is None]
        return items_in(schema, relations[0], tables, texts=True)

    def items_at(self, time: int) -> list[dict[str, Any]]:
        """The items that the history has at a time, with numbers as texts."""
        schema = self.schemas.latest(self.contract.name)
        assert schema
        relations = schema.relations(incremental=True)
        tables = {
            r.name: [
                row
                for row in self.warehouse.rows(history_name(r.name), [c.name for c in r.columns])
                if row["_version_us"] <= time and (row["valid_to"] is None or _micros(row["valid_to"]) > time)
            ]
            for r in relations
        }
        return items_in(schema, relations[0], tables, texts=True)


def _micros(stored: datetime) -> int:
    return to_micros(stored.replace(tzinfo=UTC))
