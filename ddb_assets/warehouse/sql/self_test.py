"""Tries whether a warehouse does what loads assume, in a schema of its own that is dropped at the end.

The only way to find out how a Redshift reads a Parquet type is to let it read one. Everything created here has a random
name, nothing else is dropped, and the schema is dropped only if it is empty at the end.
"""
# ruff: noqa: S608  -- names come from quoted(), types from SqlType

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.column_type import SqlType, storable
from ddb_assets.contract.report import Column, Relation, Report
from ddb_assets.contract.warehouse_options import Compression
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten.arrow_types import arrow_schema
from ddb_assets.flatten.parts import write_part
from ddb_assets.warehouse.results import Finding
from ddb_assets.warehouse.sql import ddl, statements
from ddb_assets.warehouse.sql.engine import SqlEngine, number
from ddb_assets.warehouse.sql.key_changes import CHANGES
from ddb_assets.warehouse.sql.ledger import LEDGER
from ddb_assets.warehouse.sql.load import load
from ddb_assets.warehouse.sql.self_test_values import PROBES, Probe
from ddb_assets.warehouse.sql.staged_values import check_values, measure
from ddb_assets.warehouse.sql.statements import Statement, TableName, quoted

KEY = Column(name="id", path=("id",), type="VARCHAR(16)", role="key")
VERSION = Column(name="_ddb_version", path=(), type="BIGINT", role="version")
DELETED = Column(name="_ddb_deleted", path=(), type="BOOLEAN", role="deleted")
EXTRA = Column(name="_ddb_extra", path=(), type="SUPER", role="extra")
T0 = datetime(2026, 1, 1, tzinfo=UTC)
LOCK_SECONDS = 2.0
LOADS = "loads"


@dataclass
class SelfTest:
    """`folder` is for parts that the engine can read."""

    engine: SqlEngine
    storage: Storage
    folder: str
    schema: str = field(default_factory=lambda: f"ddb_check_{secrets.token_hex(6)}")
    written: list[str] = field(default_factory=list)

    def run(self) -> Iterator[Finding]:
        """Tries everything and yields the findings; at the end everything that was created is removed."""
        try:
            self.engine.execute(Statement(f"CREATE SCHEMA {quoted(self.schema)}"))
        except DdbAssetsError as error:
            yield Finding("a schema of its own", f"this user may not make one, so nothing could be tried: {error}")
            return
        try:
            for compression in ("zstd", "snappy"):
                yield self._tried(f"Parquet compressed with {compression}", self._compressed, compression)
            for probe in PROBES:
                yield self._tried(probe.what, self._kept, probe)
            yield self._tried("loads: full exports, wider columns, a window with a delete", self._loads)
            if other := self.engine.another():
                yield self._tried("LOCK: who waits for it sees what its holder committed", self._lock, other)
        finally:
            yield from self._dropped()

    def _tried(self, what: str, attempt: Callable[..., str], *arguments: object) -> Finding:
        try:
            return Finding(what, attempt(*arguments))
        except DdbAssetsError as error:
            return Finding(what, str(error))

    def _compressed(self, compression: Compression) -> str:
        return self._kept(Probe("", "BIGINT", (1, 2)), compression)

    def _kept(self, probe: Probe, compression: Compression = "zstd") -> str:
        """Stages the values, checks and reads them, from a table of the type that loads make for them."""
        value = Column(name="value", path=("value",), type=probe.type)
        rows = [{"id": f"{place:03}", "value": one} for place, one in enumerate(probe.values)]
        relation = self._relation("values", (KEY, value, VERSION, EXTRA), rows, compression)
        stage, table = TableName(None, f"_ddb_check_{self.engine.session}"), TableName(self.schema, "kept")
        types = {"id": SqlType("VARCHAR", 16), "value": storable(SqlType.parse(probe.type))}
        target = statements.LoadTarget(table, types, relation, stage)
        found: list[object] = []
        try:
            with self._made(table, types), self.engine.transaction():
                self.engine.execute(ddl.create_stage(relation, stage))
                self.engine.copy(relation, stage)
                check_values(relation, measure(self.engine, relation, stage))
                self.engine.execute(
                    Statement(f"INSERT INTO {table} SELECT {target.staged(KEY)}, {target.staged(value)} FROM {stage}")
                )
                self.engine.execute(statements.drop(stage))
                found = [one for _, one in self.engine.fetch(Statement(f"SELECT id, value FROM {table} ORDER BY id"))]
        except DdbAssetsError:
            if probe.refusable:
                return ""
            raise
        return _difference(probe, found)

    @contextmanager
    def _made(self, table: TableName, types: Mapping[str, SqlType]) -> Iterator[None]:
        for statement in ddl.create_table(table, types, ddl.Design()):
            self.engine.execute(statement)
        try:
            yield
        finally:
            self.engine.execute(statements.drop(table))

    def _loads(self) -> str:
        """A full export, one with wider columns, and a window, by the code that loads them; then what is in the table."""
        name = LOADS
        narrow = {"n": "BIGINT", "d": "DECIMAL(18,2)", "t": "VARCHAR(16)"}
        wide = {"n": "DECIMAL(38,2)", "d": "DECIMAL(38,2)", "t": "VARCHAR(1024)"}
        small = {"n": 7, "d": Decimal("1.25"), "t": "short"}
        large = {"n": Decimal("123456789012345678901.25"), "d": Decimal("9" * 30), "t": "é" * 500}
        for days, types, rows in (
            (0, narrow, {"a": small, "b": small}),
            (1, wide, {"a": small, "b": large, "c": large}),
        ):
            made = [{"id": key, **values} for key, values in rows.items()]
            load(self.engine, self._report(name, types, made, days=days), schema=self.schema)
        gone = [{"id": "b", "_ddb_deleted": True}, {"id": "c", "_ddb_deleted": False, **small}]
        load(self.engine, self._report(name, wide, gone, days=1, window=True), schema=self.schema)
        found = self.engine.fetch(Statement(f"SELECT id, n, d, t FROM {TableName(self.schema, name)} ORDER BY id"))
        expected = [(key, Decimal(7), Decimal("1.25"), "short") for key in "ac"]
        return (
            "" if [tuple(row) for row in found] == expected else f"in the table is {found}, and it should be {expected}"
        )

    def _lock(self, another: SqlEngine) -> str:
        """Two transactions on one table: the second begins while the first has the lock."""
        table = TableName(self.schema, "locked")
        seen: list[int | DdbAssetsError] = []

        def second() -> None:
            try:
                with another as other, other.transaction(table):
                    seen.append(number(other, Statement(f"SELECT n FROM {table}")))
            except DdbAssetsError as error:
                seen.append(error)

        with self._made(table, {"n": SqlType("BIGINT")}):
            self.engine.execute(Statement(f"INSERT INTO {table} VALUES (0)"))
            waiting = threading.Thread(target=second, daemon=True)
            with self.engine.transaction(table):
                waiting.start()
                time.sleep(LOCK_SECONDS)
                early = list(seen)
                self.engine.execute(Statement(f"UPDATE {table} SET n = 1"))
            waiting.join()
        if early:
            return f"the second did not wait: {early[0]}"
        return "" if seen == [1] else f"the second got {seen[0]} instead of what the first had written"

    def _relation(
        self,
        name: str,
        columns: Sequence[Column],
        rows: Sequence[Mapping[str, object]],
        compression: Compression = "zstd",
    ) -> Relation:
        """A relation with one part, written where the warehouse reads it."""
        relation = Relation(name=name, path=(), columns=tuple(columns))
        table = pa.Table.from_pylist([{"_ddb_version": 1, **row} for row in rows], schema=arrow_schema(relation))
        uri = f"{self.folder}/{self.schema}-{len(self.written):03}.parquet"
        self.written.append(uri)
        return relation.with_parts([write_part(self.storage, uri, table, compression)])

    def _report(
        self,
        name: str,
        types: Mapping[str, str],
        rows: Sequence[Mapping[str, object]],
        *,
        days: int,
        window: bool = False,
    ) -> Report:
        values = [Column(name=one, path=(one,), type=kind) for one, kind in types.items()]
        columns = (KEY, *values, VERSION, *((DELETED,) if window else ()), EXTRA)
        start = T0 + timedelta(days=days)
        version = int(start.timestamp()) * 1_000_000 + window
        relation = self._relation(name, columns, [{"_ddb_version": version, **row} for row in rows])
        arn = "arn:aws:dynamodb:us-east-1:000000000000:table/ddb-assets-check-warehouse"
        return Report(
            table="ddb-assets-check-warehouse",
            name=name,
            table_arn=arn,
            table_id="00000000-0000-0000-0000-000000000000",
            export_id=f"{days}-{window}",
            export_arn=f"{arn}/export/{days}-{window}",
            export_type="INCREMENTAL_EXPORT" if window else "FULL_EXPORT",
            export_time=None if window else start,
            from_time=start if window else None,
            to_time=start + timedelta(hours=1) if window else None,
            digest=f"{days}-{window}",
            schema_version=1,
            items_in_manifest=len(rows),
            lines_read=len(rows),
            rows={name: len(rows)},
            deletes=sum(bool(row.get("_ddb_deleted")) for row in rows),
            quarantined=0,
            extra_values=0,
            bytes_raw=0,
            bytes_parquet=sum(part.bytes for part in relation.parts),
            seconds=0.0,
            relations=(relation,),
        )

    def _dropped(self) -> Iterator[Finding]:
        """Drops what was created here, by name; then the schema, which must be empty; and deletes the parts."""
        with suppress(DdbAssetsError):
            self.storage.delete(self.written)
        try:
            for kind, name in self._left_behind():
                self.engine.execute(Statement(f"DROP {kind} {TableName(self.schema, name)}"))
            self.engine.execute(Statement(f"DROP SCHEMA {quoted(self.schema)}"))
        except DdbAssetsError as error:
            yield Finding("cleaning up", f"schema {self.schema} is still there, drop it by hand: {error}")

    def _left_behind(self) -> Iterator[tuple[str, str]]:
        """What loads of the table have created, views first."""
        own = (LEDGER, LOADS, f"_ddb_tombstones__{LOADS}", f"{LEDGER}__{LOADS}", CHANGES, "kept", "locked")
        for name in own:
            if found := self.engine.standing(TableName(self.schema, name)):
                yield found.kind.upper(), name


def _difference(probe: Probe, found: Sequence[object]) -> str:
    if len(found) != len(probe.values):
        return f"{len(found)} of {len(probe.values)} rows came back"
    for sent, got in zip(probe.values, found, strict=True):
        if not _alike(probe, sent, got):
            return f"{_short(sent)} came back as {_short(got)}"
    return ""


def _alike(probe: Probe, sent: object, got: object) -> bool:
    match SqlType.parse(probe.type).name:
        case "SUPER":
            return got is not None and _json(str(got)) == _json(str(sent))
        case "VARBYTE":
            given = got if isinstance(got, bytes) else str(got).encode()
            return given == sent
        case "TIMESTAMPTZ":
            return isinstance(got, datetime) and got.astimezone(UTC) == sent
        case "DECIMAL":
            return isinstance(got, Decimal | int) and Decimal(got) == sent
        case _:
            return got == sent


def _json(text: str) -> object:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}… ({len(text)} characters)"
