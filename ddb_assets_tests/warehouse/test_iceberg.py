"""Loads into Iceberg tables: all tables of a load change together, other programs read them, and little is written again."""

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb as duck
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from pyiceberg.catalog import Catalog
from pyiceberg.types import FloatType

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage
from ddb_assets.changes.append import append
from ddb_assets.changes.read import read_changes
from ddb_assets.cli.sandbox import environment
from ddb_assets.contract.history import HistoryOptions
from ddb_assets.contract.report import Column, Report
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.microseconds import to_micros
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.streams.position import Position
from ddb_assets.warehouse.connect import open_warehouse, table_name
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError, WarehouseError
from ddb_assets.warehouse.iceberg.connection import IcebergEngine
from ddb_assets.warehouse.iceberg.held import BUCKETS
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets.warehouse.url import local_file, reads_s3, warehouse_kind, warehouse_pool
from ddb_assets_tests.support.engines import SmallBuckets, read, select
from ddb_assets_tests.support.examples import SOAK, examples
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.conformance.worlds import WINDOW, WINDOWS, items, worlds
from ddb_assets_tests.warehouse.exports import (
    BASE_MICROS,
    EXTRA,
    KEY,
    VERSION,
    Item,
    Source,
    at,
    relation,
    report,
    write,
)


def url(folder: Path) -> str:
    return f"iceberg:///{folder}/catalog.sqlite?namespace=main"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[IcebergEngine]:
    with SmallBuckets(CatalogUrl.parse(url(tmp_path))) as engine:
        yield engine


def table(engine: IcebergEngine, name: str = "orders") -> Any:
    return engine.store.catalog.load_table(("main", name))


def newest(log: list[dict[str, Any]], full: int) -> dict[str, str]:
    """Key to note of the newest version of each item in a log; what the newest full export, of this time, lacks is gone."""
    last: dict[str, dict[str, Any]] = {}
    for row in sorted(log, key=lambda row: row["_ddb_version"]):
        if row["_ddb_version"] >= full:
            last[row["order_id"]] = row
    return {key: row["note"] for key, row in last.items() if not row["_ddb_deleted"]}


@pytest.mark.slow
@pytest.mark.soak
@settings(
    max_examples=examples(2, 1 / 12),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=set(Phase) - {Phase.shrink, Phase.explain},
)
@given(worlds())
def test_any_schedule_gives_the_rows_of_duckdb_and_the_last_versions_of_the_log(
    world: tuple[list[tuple[int, str, Item | None]], list[int], list[tuple[str, int]]],
) -> None:
    writes, _, schedule = world
    with (
        TemporaryDirectory() as folder,
        DuckDBEngine(":memory:") as rows,
        SmallBuckets(CatalogUrl.parse(url(Path(folder)))) as lake,
    ):
        source = Source(Path(folder, "parquet"), writes)
        exports = [source.full(0, export_id="first")]
        for kind, number in schedule:
            start = number * WINDOW
            exports.append(source.window(start, start + WINDOW) if kind == "window" else source.full(number))
        own = CatalogUrl.parse(url(Path(folder)))
        for export in exports:
            results = [load(engine, export) for engine in (rows, lake)]
            counts = [(r.applied, r.upserted, r.deleted, r.stale, r.rows, r.table_rows) for r in results]
            assert counts[0] == counts[1]
            append(lake.store.catalog, own, Storage(), export)
        assert read(lake) == read(rows) == items(source, WINDOW * WINDOWS)
        log = read_changes(lake.store.catalog.load_table("main.orders__changes")).read_all().to_pylist()
        full = max(to_micros(export.export_time) for export in exports if export.export_time)
        assert newest(log, full) == {key: item.note for key, item in items(source, WINDOW * WINDOWS).items()}


VALUES: dict[str, tuple[str, object]] = {
    "whole": ("BIGINT", -9223372036854775808),
    "exact": ("DECIMAL(38,0)", Decimal("12345678901234567890123456789012345678")),
    "small": ("DECIMAL(38,37)", Decimal("-1.2345678901234567890123456789012345678")),
    "float": ("DOUBLE PRECISION", 0.1),
    "text": ("VARCHAR(65535)", "O'Brien \n\t \U0001f600"),
    "empty": ("VARCHAR(16)", ""),
    "bytes": ("VARBYTE(64)", b"\x00\xff'"),
    "truth": ("BOOLEAN", False),
    "tags": ("SUPER", '["a","b",1.10,12345678901234567890123456789012345678]'),
    "when": ("TIMESTAMP", datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC).replace(tzinfo=None)),
    "zoned": ("TIMESTAMPTZ", datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC)),
    "day": ("DATE", date(1, 1, 1)),
}


def test_every_value_is_that_of_duckdb_for_whoever_reads_it(opened: IcebergEngine, tmp_path: Path) -> None:
    """By the warehouse, by pyiceberg, and by DuckDB from pyiceberg; in the current state and in the log."""
    columns = [Column(name=name, path=(name,), type=kind) for name, (kind, _) in VALUES.items()]
    root = relation("orders", (KEY, *columns, VERSION, EXTRA))
    rows = [
        {"order_id": "a", "_ddb_version": BASE_MICROS + 9, **{name: value for name, (_, value) in VALUES.items()}},
        {"order_id": "b", "_ddb_version": BASE_MICROS + 9},
    ]
    export = report([write(tmp_path / "parquet", root, rows)], export_time=at(9))
    names = ", ".join(f'"{name}"' for name in VALUES)
    with DuckDBEngine(":memory:") as plain:
        load(plain, export)
        expected = select(plain, f"SELECT {names} FROM orders ORDER BY order_id")
    load(opened, export)
    assert select(opened, f"SELECT {names} FROM orders ORDER BY order_id") == expected
    given_ = tuple(value for _, value in VALUES.values())
    append(opened.store.catalog, CatalogUrl.parse(url(tmp_path)), Storage(), export)
    log = opened.store.catalog.load_table("main.orders__changes")
    for scanned in (table(opened), log):
        found = scanned.scan().to_arrow().sort_by("order_id")
        assert [tuple(row.values()) for row in found.select(list(VALUES)).to_pylist()] == [
            given_,
            (None,) * len(VALUES),
        ]
        with duck.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("lake", found)
            answer = connection.execute(f"SELECT {names} FROM lake ORDER BY order_id").fetchall()
        assert answer == expected


def loaded(engine: IcebergEngine, source: Source) -> Report:
    """A full export is loaded; the window that follows is returned."""
    source.put(1, "a", "first", "x", "y")
    source.put(2, "b", "first", "x")
    load(engine, source.full(10))
    source.put(11, "a", "second", "z")
    source.delete(12, "b")
    source.put(13, "c", "new", "w")
    return source.window(10, 20)


class KilledError(BaseException):
    """The process dies here."""


def dying(catalog: Catalog, last: int) -> list[str]:
    """Lets the process die before a commit of a table, or right after it; returns the tables that were committed."""
    changed: Any = catalog
    commit = changed.commit_table
    names: list[str] = []

    def counted(table: Any, *arguments: Any) -> Any:
        if len(names) * 2 == last:
            raise KilledError
        names.append(table.name()[-1])
        answer = commit(table, *arguments)
        if len(names) * 2 - 1 == last:
            raise KilledError
        return answer

    changed.commit_table = counted
    return names


@pytest.mark.slow
@pytest.mark.soak
def test_a_process_that_dies_between_the_commits_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    """At the commits of every table; the next load finds all of a load or nothing of it. A few of them outside of a soak."""
    source, own = Source(tmp_path / "parquet"), CatalogUrl.parse(url(tmp_path))
    with SmallBuckets(own) as engine:
        window = loaded(engine, source)
        names = dying(engine.store.catalog, -1)
        load(engine, window)
    tables = ["_ddb_tombstones__orders", "orders__lines", "orders"]
    assert names == [*tables, "_ddb_loads__orders", "_ddb_loads__orders", *tables, "_ddb_loads__orders"]
    decided, newest = 2 * names.index("_ddb_loads__orders") + 3, "c"
    moments = range(2 * len(names)) if SOAK else (3, decided - 1, decided, decided + 5)
    for done, last in enumerate(moments, 3):
        time = (done - 1) * 10
        source.put(time + 1, "a", f"at {time}", "z")
        source.delete(time + 2, newest)
        source.put(time + 3, newest := f"key {time}", "new", "w")
        window = source.window(time, time + 10)
        with SmallBuckets(own) as engine:
            died = dying(engine.store.catalog, last)
            with pytest.raises(KilledError):
                load(engine, window)
            assert died == names[: (last + 1) // 2]
        with SmallBuckets(own) as engine:
            assert load(engine, window).applied == (last < decided)
            assert read(engine) == items(source, time + 10)
            assert select(engine, "SELECT max(sequence), count(*) FROM _ddb_loads") == [(done, done)]


def test_loads_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    with SmallBuckets(CatalogUrl.parse(url(tmp_path))) as engine:
        source = Source(tmp_path / "parquet")
        source.put(1, "a", "first", "x")
        load(engine, source.full(10))
    for time in (11, 21):
        source.put(time, "a", f"at {time}", "y")
        source.put(time + 1, f"key {time}", "new", "z")
    windows = [source.window(10, 20), source.window(20, 30)]
    failed: list[BaseException] = []

    def work(window: Report) -> None:
        try:
            with SmallBuckets(CatalogUrl.parse(url(tmp_path))) as own:
                load(own, window)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(window,)) for window in windows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with SmallBuckets(CatalogUrl.parse(url(tmp_path))) as engine:
        assert read(engine) == items(source, 30)
        assert select(engine, "SELECT sequence FROM _ddb_loads ORDER BY 1") == [(1,), (2,), (3,)]


def test_of_two_loads_that_began_together_the_second_to_commit_begins_again(
    opened: IcebergEngine, tmp_path: Path
) -> None:
    source = Source(tmp_path / "parquet")
    window = loaded(opened, source)
    later = source.window(20, 30)
    lock = TableName("main", "_ddb_tombstones__orders")

    def overtaken() -> None:
        with opened.transaction(lock):
            opened.execute(Statement("UPDATE orders SET note = 'lost'"))
            opened.execute(Statement("UPDATE _ddb_loads__orders SET seconds = 0"))
            with IcebergEngine(CatalogUrl.parse(url(tmp_path))) as other:
                load(other, window)

    with pytest.raises(InterruptedLoadError):
        overtaken()
    assert read(opened) == items(source, 20)
    assert load(opened, later).sequence == 3


def test_a_load_that_began_before_types_were_changed_begins_again(opened: IcebergEngine, tmp_path: Path) -> None:
    source = Source(tmp_path / "parquet")
    window = loaded(opened, source)
    lock = TableName("main", "_ddb_tombstones__orders")

    def overtaken() -> None:
        with opened.transaction(lock):
            opened.execute(Statement("UPDATE orders SET note = 'lost'"))
            opened.execute(Statement("UPDATE _ddb_loads__orders SET seconds = 0"))
            with IcebergEngine(CatalogUrl.parse(url(tmp_path))) as other, other.transaction(lock):
                for text in (
                    "ALTER TABLE orders ADD COLUMN wide DECIMAL(38,2)",
                    "UPDATE orders SET wide = 1.5",
                    "ALTER TABLE orders RENAME COLUMN note TO former",
                    "ALTER TABLE orders ADD COLUMN note VARCHAR(64)",
                    "UPDATE orders SET note = former",
                    "ALTER TABLE orders DROP COLUMN former",
                ):
                    other.execute(Statement(text))

    with pytest.raises(InterruptedLoadError):
        overtaken()
    assert read(opened) == items(source, 10)
    assert select(opened, "SELECT DISTINCT wide FROM orders") == [(Decimal("1.50"),)]
    assert load(opened, window).sequence == 2
    assert read(opened) == items(source, 20)


def files(engine: IcebergEngine, name: str = "orders") -> set[str]:
    return {task.file.file_path for task in table(engine, name).scan().plan_files()}


def test_a_window_writes_only_the_buckets_of_its_keys_again(opened: IcebergEngine, tmp_path: Path) -> None:
    source = Source(tmp_path / "parquet")
    for number in range(40):
        source.put(number, f"key {number}", "first", "x")
    load(opened, source.full(50))
    assert int(table(opened).properties[BUCKETS]) == 40
    before = {name: files(opened, name) for name in ("orders", "orders__lines")}
    assert 15 < len(before["orders"]) <= 40
    source.put(51, "key 1", "second", "y", "z")
    result = load(opened, source.window(50, 60))
    assert result.table_rows == {"orders": 40, "orders__lines": 41}
    for name, found in before.items():
        assert len(found - files(opened, name)) == 1
    assert read(opened) == items(source, 60)
    assert "_ddb_bucket" not in opened.catalog(TableName("main", "orders"))
    for number in range(40):
        source.delete(61 + number, f"key {number}")
    source.put(110, "last", "one")
    load(opened, source.full(120))
    assert int(table(opened).properties[BUCKETS]) == 1
    assert read(opened) == {"last": Item("one")}


def test_a_small_table_has_no_partitions_and_no_column_for_them(tmp_path: Path) -> None:
    with IcebergEngine(CatalogUrl.parse(url(tmp_path))) as engine:
        loaded(engine, Source(tmp_path / "parquet"))
        assert [field.name for field in table(engine).schema().fields] == [
            "order_id",
            "note",
            "_ddb_version",
            "_ddb_extra",
        ]
        assert not table(engine).spec().fields


def test_what_another_program_adds_to_a_table_is_not_lost(opened: IcebergEngine, tmp_path: Path) -> None:
    source = Source(tmp_path / "parquet")
    window = loaded(opened, source)
    with table(opened).update_schema() as update:
        update.add_column("score", FloatType())
    with pytest.raises(LoadError, match=r"somebody has added columns to .*orders.*: score \(float\); drop them"):
        load(opened, window)
    assert read(opened) == items(source, 10)
    with table(opened).update_schema() as update:
        update.delete_column("score")
    assert load(opened, window).applied


def test_a_table_that_another_program_changes_while_a_load_is_committed_is_said(
    opened: IcebergEngine, tmp_path: Path
) -> None:
    source = Source(tmp_path / "parquet")
    window = loaded(opened, source)
    names = dying(opened.store.catalog, 9)
    with pytest.raises(KilledError):
        load(opened, window)
    assert names[-1] == "_ddb_loads__orders"
    with IcebergEngine(CatalogUrl.parse(url(tmp_path))) as engine:
        base = table(engine).metadata.current_snapshot_id
        table(engine).append(table(engine).scan().to_arrow())
        with pytest.raises(LoadError, match=r"was changed by another program while a load was being committed"):
            load(engine, window)
        table(engine).manage_snapshots().rollback_to_snapshot(base).commit()
        assert not load(engine, window).applied
        assert read(engine) == items(source, 20)


def test_loads_go_into_glue(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(sandbox).items():
        monkeypatch.setenv(name, value)
    sandbox.s3().create_bucket(Bucket=f"glue-{tmp_path.name.replace('_', '-')}")
    own = CatalogUrl.parse(f"iceberg://glue/shop?location=s3://glue-{tmp_path.name.replace('_', '-')}")
    source = Source(tmp_path / "parquet")
    with SmallBuckets(own) as engine:
        window = loaded(engine, source)
        assert load(engine, window).applied
        assert not load(engine, window).applied
        assert read(engine) == items(source, 20)
    found = AWS().glue().get_table(DatabaseName="shop", Name="orders")["Table"]
    columns = {column["Name"]: column["Type"] for column in found["StorageDescriptor"]["Columns"]}
    assert columns == {
        "order_id": "string",
        "note": "string",
        "_ddb_version": "bigint",
        "_ddb_extra": "string",
        "_ddb_bucket": "bigint",
    }


def test_streams_and_views_are_for_other_warehouses(tmp_path: Path) -> None:
    nowhere = Moved("arn:aws:kinesis:eu-west-1:123456789012:stream/s", Position({}), Position({}))
    source = Source(tmp_path / "parquet")
    export = source.full(10)
    with open_warehouse(url(tmp_path)) as warehouse:
        for refused in (
            lambda: warehouse.load_tail(export, nowhere),
            lambda: warehouse.load_stream(export, nowhere),
            lambda: warehouse.move_stream("orders", nowhere),
            lambda: warehouse.stream_position("orders", nowhere.stream),
            lambda: warehouse.refresh_stream(nowhere.stream, (), None),  # type: ignore[arg-type]
        ):
            with pytest.raises(WarehouseError, match=r"stream arn:aws:kinesis:.*:stream/s"):
                refused()
        with pytest.raises(LoadError, match="names a schema for views"):
            warehouse.load(export, LoadOptions(tables=WarehouseOptions(views="people")))
        with pytest.raises(LoadError, match="`history`, which is shown by a view"):
            warehouse.load(export, LoadOptions(history=HistoryOptions()))
        assert warehouse.load(export).applied


def test_a_url_says_what_it_is_before_it_is_opened() -> None:
    glue = "iceberg://glue/lake?location=s3://bucket/prefix"
    assert table_name(glue, "orders") == "iceberg.lake.orders"
    assert (warehouse_kind(glue), warehouse_pool(glue), local_file(glue)) == ("iceberg", "warehouse_glue_lake", None)
    assert (reads_s3(glue), reads_s3("iceberg:////data/x"), reads_s3("iceberg:////x?location=s3://b/p")) == (
        True,
        False,
        True,
    )
    for wrong in ("iceberg://glue/lake", "iceberg://hive/lake"):
        with pytest.raises(WarehouseError, match="write iceberg:///FILE"):
            open_warehouse(wrong)
