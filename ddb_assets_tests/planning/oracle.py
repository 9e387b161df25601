"""What a plan said, compared with what flattening and the load of a real export then do."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.profile import seen_of
from ddb_assets.flatten.schema_store import HeldSchemas, SchemaStore
from ddb_assets.planning.attempts import REFUSALS, Attempt, Kept, Way, attempts, next_window
from ddb_assets.planning.plan import Plan, reason
from ddb_assets.planning.upcoming import NEXT, Origin
from ddb_assets.settings import MASK_SECRET
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import LoadResult
from ddb_assets.warehouse.sql.warehouse import SqlWarehouse
from ddb_assets_tests.flatten.flattening import STORAGE
from ddb_assets_tests.support.written_export import TABLE_ARN, write_export
from ddb_assets_tests.warehouse.rehearsing import check_statements, noted

BEGUN = datetime(2023, 9, 19, 4, tzinfo=UTC)
ITEMS: Sequence[dict[str, Any]] = [
    {
        "id": {"S": f"k{n}"},
        "other": {"S": f"o{n}"},
        "n": {"N": str(n)},
        "d": {"N": f"{n}.25"},
        "t": {"S": f"text {n}"},
        "digits": {"S": str(n)},
        "at": {"S": f"2026-01-0{n + 1}T10:00:00Z"},
        "b": {"BOOL": n % 2 == 0},
        "void": {"NULL": True},
        "m": {"M": {"a": {"S": "x"}, "k": {"M": {"z": {"N": "1"}}}}},
        "l": {"L": [{"M": {"sku": {"S": "s"}, "q": {"N": "2"}}}]},
        "tags": {"SS": ["p", "q"]},
        "mix": {"S": "x"} if n else {"N": "7"},
    }
    for n in range(3)
]


@dataclass
class World:
    """One table: its folder, its warehouse, the place of its schema documents, and the exports that were made."""

    folder: Path
    engine: DuckDBEngine
    key: str = "id"
    storage: Storage = STORAGE
    schemas: str = ""
    arn: str = TABLE_ARN
    table_id: str = "b116b490-6460-4d4a-9a6b-5d360abf4fb3"
    exports: int = 0
    now: datetime = BEGUN
    store: SchemaStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = SchemaStore(self.storage, self.schemas or str(self.folder / "schemas"))
        self.warehouse = SqlWarehouse(self.engine)

    @property
    def kept(self) -> Kept:
        profile = self.store.profile("orders")
        return Kept(
            self.store.latest("orders"),
            None if profile is None else seen_of(profile, "profile.json"),
            self.warehouse.recorded("orders"),
        )

    def plan(self, table: Table, *, rehearsed: bool = True) -> Plan:
        origin = Origin(self.arn, self.table_id, KeySchema.of([self.key]))
        kept, before = self.kept, self.everything()
        tried = attempts(table, origin, kept, self.warehouse if rehearsed else None, self.now)
        assert self.everything() == before
        return Plan(table, tried, kept.stored, loaded=bool(kept.recorded.loads))

    def everything(self) -> tuple[list[str], list[Any], list[str]]:
        """What a plan must not change: tables, views and columns, and the files of the lake."""
        tables = self.engine.tables("main", "")
        columns = self.engine.connection.execute(
            "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() ORDER BY ALL"
        ).fetchall()
        return tables, columns, sorted(map(str, self.folder.rglob("*")))

    def load(self, table: Table, way: Way, items: Sequence[dict[str, Any]] = ITEMS) -> LoadResult:
        """Exports the items, flattens and loads them. Schema documents are kept only if all of it is done."""
        self.exports += 1
        self.now += timedelta(hours=1)
        export_id = _export_id(self)
        root = str(self.folder / "bucket")
        period: dict[str, Any]
        if way == "window":
            span = next_window(table, self.warehouse.recorded("orders"))
            assert span
            micros = int(span[0].timestamp() * 1_000_000) + 5
            lines = [
                {
                    "Metadata": {"WriteTimestampMicros": {"N": str(micros)}},
                    "Keys": {self.key: item[self.key]},
                    "NewImage": item,
                }
                for item in items
            ]
            period = {"exportFromTime": _text(span[0]), "exportToTime": _text(span[1])}
            self.now = max(self.now, span[1])
        else:
            lines = [{"Item": item} for item in items]
            period = {"exportTime": _text(self.now)}
        named: dict[str, Any] = {
            "tableArn": self.arn,
            "tableId": self.table_id,
            "exportArn": f"{self.arn}/export/{export_id}",
        }
        written = [[json.dumps(line).encode() for line in lines]]
        source = write_export(
            STORAGE, root, lines=written, incremental=way == "window", export_id=export_id, **period, **named
        )
        held, restart = HeldSchemas(self.storage, self.store.root), way == "restart"
        flattened = flatten(
            STORAGE,
            read_export(STORAGE, source),
            table=table,
            key=KeySchema.of([self.key]),
            out=str(self.folder / f"out{self.exports}"),
            schemas=held,
            restart=restart,
            workers=1,
        )
        result = self.warehouse.load(flattened.report, LoadOptions.of(table, restart=restart))
        held.release()
        return result


def _export_id(world: World) -> str:
    return f"0169509721{world.exports:04}-d6299cbd"


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def check(world: World, table: Table, items: Sequence[dict[str, Any]] = ITEMS) -> Plan:
    """Plans, then does what was planned: what is refused is refused with these words, and the rest comes out as said."""
    plan = world.plan(table)
    for attempt in plan.refused:
        with pytest.raises(REFUSALS) as refused:
            world.load(table, attempt.way, items)
        real = reason(Attempt("full", str(refused.value))).replace(_export_id(world), NEXT)
        # a load looks at frozen values before it looks at anything else
        assert _timeless(real) == _timeless(reason(attempt)) or "that the frozen contract of" in real
    if plan.taken is None or plan.taken.rehearsal is None:
        return plan
    if plan.doubt:
        with pytest.raises(REFUSALS) as refused:
            world.load(table, plan.taken.way, items)
        real = str(refused.value).replace(_export_id(world), NEXT)
        if "the frozen contract of" in plan.doubt:
            # a profile has kinds of values, not whether each fits its declared type: a load can find more
            foreseen, found = (
                text.partition(f"{word} at ")[2].partition(":")[0] for text, word in ((plan.doubt, " has"), (real, ","))
            )
            assert " more" in found or {*foreseen.split(", ")} <= {*found.split(", ")}
        else:
            assert plan.unknowns
            assert real == plan.doubt
        return plan
    with noted(world.engine) as done:
        result = world.load(table, plan.taken.way, items)
    assert result.remarks == plan.old_rows
    then = plan.taken.rehearsal.after
    now = {
        name: dict(layout.types)
        for name, layout in world.engine.layouts("main", world.engine.tables("main", "orders")).items()
    }
    if not plan.unknowns:
        check_statements(plan.taken.rehearsal, done)
        assert {name: now[name] for name in then} == {name: dict(types) for name, types in then.items()}
        return plan
    likely = {name for one in plan.unknowns for name, _ in one.likely}
    if plan.starts_over:
        assert likely <= now["orders"].keys()
        return plan
    for name, types in then.items():
        assert types.items() <= now[name].items()
        assert now[name].keys() - types.keys() <= likely
    return plan


def _timeless(text: str) -> str:
    """Without random ids of histories that are not there yet."""
    before, sign, after = text.partition("this export was flattened by ")
    return before + sign + after[16:] if sign else text


@contextmanager
def secret(text: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MASK_SECRET, text)
        yield
