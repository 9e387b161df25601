"""Loads into ClickHouse, on its real engine: all tables of a load change together, whoever dies, and every value is kept."""

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.durable import NewerFormatError
from ddb_assets.contract.identity import Identity
from ddb_assets.contract.report import Column, Hidden, Relation, Report
from ddb_assets.contract.table import Table
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.flatten.arrow_types import arrow_schema
from ddb_assets.flatten.parts import write_part
from ddb_assets.infrastructure.policies import policies
from ddb_assets.infrastructure.wanted import Lake, Login, Wanted
from ddb_assets.sandbox.clickhouse.server import ClickHouseServer
from ddb_assets.streams.position import Position
from ddb_assets.warehouse.clickhouse.lock import Lock
from ddb_assets.warehouse.clickhouse.server import StatementError
from ddb_assets.warehouse.clickhouse.settings import ClickHouseSettings
from ddb_assets.warehouse.clickhouse.warehouse import ClickHouseWarehouse
from ddb_assets.warehouse.connect import login, open_warehouse, table_name
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError, WarehouseError
from ddb_assets.warehouse.position import Moved
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.url import local_file, reads_s3, warehouse_kind, warehouse_place, warehouse_pool
from ddb_assets_tests.support.clickhouse import again, in_database, read
from ddb_assets_tests.support.engines import read as read_sql
from ddb_assets_tests.support.engines import select
from ddb_assets_tests.support.examples import SOAK, examples
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.support.places import Place
from ddb_assets_tests.warehouse.conformance.worlds import WINDOW, WINDOWS, items, worlds
from ddb_assets_tests.warehouse.exports import (
    BASE_MICROS,
    DELETED,
    EXTRA,
    INDEX,
    KEY,
    LINE,
    NOTE,
    VERSION,
    Item,
    Source,
    at,
    relation,
    report,
    write,
)

RESTART = LoadOptions(restart=True)


def loaded(warehouse: ClickHouseWarehouse, source: Source) -> Report:
    """A full export is loaded; the window that follows is returned."""
    source.put(1, "a", "first", "x", "y")
    source.put(2, "b", "first", "x")
    source.put(3, "d", "stays", "u")
    warehouse.load(source.full(10))
    source.put(11, "a", "second", "z")
    source.delete(12, "b")
    source.put(13, "c", "new", "w")
    return source.window(10, 20)


@pytest.mark.slow
@pytest.mark.soak
@settings(
    max_examples=examples(1, 1 / 12),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=set(Phase) - {Phase.shrink, Phase.explain},
)
@given(worlds())
def test_any_schedule_gives_the_rows_and_counts_of_duckdb(
    clickhouse_server: ClickHouseServer,
    monkeypatch: pytest.MonkeyPatch,
    world: tuple[list[tuple[int, str, Item | None]], list[int], list[tuple[str, int]]],
) -> None:
    writes, _, schedule = world
    monkeypatch.setenv("DDB_ASSETS_CLICKHOUSE_PASSWORD", clickhouse_server.password)
    with (
        TemporaryDirectory() as folder,
        DuckDBEngine(":memory:") as rows,
        in_database(clickhouse_server) as clickhouse,
    ):
        source = Source(Path(folder), writes)
        exports = [source.full(0, export_id="first")]
        for kind, number in schedule:
            start = number * WINDOW
            exports.append(source.window(start, start + WINDOW) if kind == "window" else source.full(number))
        for export in exports:
            results = [load(rows, export), clickhouse.load(export)]
            counts = [(r.applied, r.sequence, r.upserted, r.deleted, r.stale, r.rows, r.table_rows) for r in results]
            assert counts[0] == counts[1]
            assert read(clickhouse) == read_sql(rows)
        assert read(clickhouse) == items(source, WINDOW * WINDOWS)


class KilledError(BaseException):
    """The process dies here."""


def watched(warehouse: ClickHouseWarehouse, what: Callable[[str], None]) -> None:
    """Calls `what` with each statement of the warehouse that changes something, right after it."""
    changed: Any = warehouse.server
    execute = changed.execute

    def then(statement: str, data: bytes | None = None) -> None:
        execute(statement, data)
        what(statement)

    changed.execute = then


def dying(warehouse: ClickHouseWarehouse, last: int) -> None:
    """Lets the process die after this many statements that change something: nothing reaches the server after that."""
    changed: Any = warehouse.server
    execute, fetch, done = changed.execute, changed.fetch, 0

    def check() -> None:
        if done >= last:
            lost = InterruptedLoadError("the process is gone")
            raise KilledError if threading.current_thread() is threading.main_thread() else lost

    def counted(statement: str, data: bytes | None = None) -> None:
        nonlocal done
        check()
        execute(statement, data)
        done += 1

    def alive(query: str) -> list[tuple[Any, ...]]:
        check()
        answer: list[tuple[Any, ...]] = fetch(query)
        return answer

    changed.execute, changed.fetch = counted, alive


@pytest.mark.parametrize("kind", ["window", "full", "restart"])
def test_between_two_statements_a_reader_sees_the_old_or_the_new(
    clickhouse: ClickHouseWarehouse, source: Source, kind: str
) -> None:
    window = loaded(clickhouse, source)
    export = window if kind == "window" else source.full(20)
    old, new = items(source, 10), items(source, 20)
    assert old != new
    seen: list[dict[str, Item]] = []
    with again(clickhouse) as reader:
        watched(clickhouse, lambda _: seen.append(read(reader)))
        clickhouse.load(export, LoadOptions(restart=kind == "restart"))
    assert seen[0] == old
    assert seen[-1] == new
    turn = seen.index(new)
    assert (seen[:turn], seen[turn:]) == ([old] * turn, [new] * (len(seen) - turn))
    if kind == "window":  # rows that nobody sees any more are gone
        assert clickhouse.query("SELECT count() FROM _ddb_rows__orders__lines") == [(3,)]


@pytest.mark.slow
@pytest.mark.soak
def test_whoever_dies_leaves_all_of_a_load_or_nothing_and_the_next_load_finishes_it(
    clickhouse: ClickHouseWarehouse, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every statement of a load; it is loaded again, or its follower is. A fifth of them outside of a soak."""
    source.put(1, "a", "first", "x", "y")
    clickhouse.load(source.full(10))
    time, last, survived = 10, 1, False
    while not survived:
        source.put(time + 1, "a", f"at {time}", *("z" * (last % 3)))
        source.put(time + 2, f"only {time}", "new", "w")
        source.delete(time + 3, f"only {time - 10}")
        end = time + 10
        export = source.full(end) if last % 4 == 3 else source.window(time, end)
        old, new = items(source, time), items(source, end)
        monkeypatch.setattr("ddb_assets.warehouse.clickhouse.lock.LEASE_SECONDS", 0.1)
        with again(clickhouse) as mortal:
            dying(mortal, last)
            try:
                mortal.load(export)
                survived = True
            except KilledError:
                pass
        monkeypatch.undo()
        monkeypatch.setenv("DDB_ASSETS_CLICKHOUSE_PASSWORD", "sandbox")
        left = read(clickhouse)
        assert left in (old, new)
        follower = source.window(end, end + 10) if last % 2 and not export.is_full else export
        if follower is export or left == new:
            clickhouse.load(follower)
        else:  # it is finished first, if it was decided
            clickhouse.load(follower)
            clickhouse.load(export)
        assert read(clickhouse) == new
        assert clickhouse.inspect(export).leftovers == ()
        recorded = clickhouse.recorded("orders", counted=True)
        assert recorded.differing == {}
        assert [one.sequence for one in recorded.loads] == list(range(1, len(recorded.loads) + 1))
        assert len({one.export_id for one in recorded.loads}) == len(recorded.loads)
        time, last = end + (10 if follower is not export else 0), last + (1 if SOAK else 5)


def test_two_loads_at_the_same_time_are_both_there(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    loaded(clickhouse, source)
    source.put(21, "e", "later", "v")
    windows = [source.window(10, 20), source.window(20, 30)]
    failed: list[BaseException] = []

    def work(window: Report) -> None:
        try:
            with again(clickhouse, patience=60) as own:
                own.load(window)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(window,)) for window in windows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert read(clickhouse) == items(source, 30)
    assert [one.sequence for one in clickhouse.recorded("orders").loads] == [1, 2, 3]


def test_a_load_waits_for_another_one_and_then_says_so(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    window = loaded(clickhouse, source)
    with (
        Lock(clickhouse.server, "orders", patience=0),
        again(clickhouse, patience=0.1) as second,
        pytest.raises(WarehouseError, match="another load or `forget` of orders is running"),
    ):
        second.load(window)
    assert clickhouse.load(window).applied


def test_a_load_whose_lock_was_taken_away_changes_nothing(
    clickhouse: ClickHouseWarehouse, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", ())
    window = loaded(clickhouse, source)

    def taken() -> None:
        clickhouse.server.execute("ALTER TABLE `_ddb_lock__orders` MODIFY COMMENT 'somebody 9999999999999999'")

    with pytest.raises(InterruptedLoadError, match="another one has begun"):
        clickhouse.load(window, LoadOptions(before_commit=taken))
    assert read(clickhouse) == items(source, 10)
    clickhouse.server.execute("DROP TABLE `_ddb_lock__orders`")
    assert clickhouse.load(window).applied


def paused(warehouse: ClickHouseWarehouse, before: int | str, meanwhile: Callable[[], object]) -> Callable[[], bool]:
    """Calls `meanwhile` once, right before the first statement with this number or text; returns whether one was reached."""
    changed: Any = warehouse.server
    execute, number, reached = changed.execute, 0, False

    def counted(statement: str, data: bytes | None = None) -> None:
        nonlocal number, reached
        number += 1
        if not reached and (number == before if isinstance(before, int) else before in statement):
            reached = True
            meanwhile()
        execute(statement, data)

    changed.execute = counted
    return lambda: reached


def take_away(warehouse: ClickHouseWarehouse) -> None:
    """What a load does to a lock whose lease has ended."""
    warehouse.server.execute("DROP TABLE IF EXISTS `_ddb_lock__orders`")


def dead_after(warehouse: ClickHouseWarehouse, beginning: str, load: Callable[[ClickHouseWarehouse], object]) -> None:
    """Lets the process of a load die right after its first statement with this beginning. Its lock has ended."""
    with again(warehouse) as mortal:
        watched(mortal, lambda text: dying(mortal, 0) if text.startswith(beginning) else None)
        with pytest.raises(KilledError):
            load(mortal)
    take_away(warehouse)


def decided(warehouse: ClickHouseWarehouse, load: Callable[[ClickHouseWarehouse], object]) -> None:
    """Lets the process of a load die right after the row of the ledger that decides."""
    dead_after(warehouse, "INSERT INTO `_ddb_loads__", load)


def withheld(warehouse: ClickHouseWarehouse, beginning: str, load: Callable[[ClickHouseWarehouse], object]) -> str:
    """The first statement of a load with this beginning. The process stops there, before it has sent the statement."""
    found: list[str] = []
    with again(warehouse) as sleeper:
        changed: Any = sleeper.server
        execute = changed.execute

        def stopped(statement: str, data: bytes | None = None) -> None:
            if statement.startswith(beginning):
                found.append(statement)
                raise KilledError
            execute(statement, data)

        changed.execute = stopped
        with pytest.raises(KilledError):
            load(sleeper)
    return found[0]


def asleep(clickhouse: ClickHouseWarehouse, source: Source, time: int, before: int | str, *, full: bool) -> bool:
    """A load is paused, another one takes its lock away and is done, and the first one wakes up. Nothing is lost.

    The paused one is of the writes from `time` on, the other one of those from `time + 10` on. Returns whether it was paused.
    """
    source.put(time + 1, "a", f"without lines at {time}")
    source.put(time + 2, "b", f"at {time}")
    source.put(time + 11, "b", f"meanwhile at {time}", "y", "z")
    export = source.full(time + 10) if full else source.window(time, time + 10)
    other, new = source.window(time + 10, time + 20), items(source, time + 20)

    def meanwhile() -> None:
        take_away(clickhouse)
        clickhouse.load(other)

    with again(clickhouse) as sleeper:
        reached = paused(sleeper, before, meanwhile)
        with suppress(InterruptedLoadError):
            sleeper.load(export)
    if not reached():
        clickhouse.load(other)
    assert read(clickhouse)["b"] == new["b"]
    clickhouse.load(export)
    assert read(clickhouse) == new
    assert clickhouse.inspect(other).leftovers == ()
    recorded = clickhouse.recorded("orders", counted=True)
    assert recorded.differing == {}
    assert [one.sequence for one in recorded.loads] == list(range(1, len(recorded.loads) + 1))
    decided, done = (f"SELECT load_id FROM _ddb_loads__orders WHERE state = '{state}'" for state in ("begun", "done"))
    assert clickhouse.query(f"{decided} AND load_id NOT IN ({done})") == []
    return reached()


@pytest.mark.parametrize(
    ("before", "full"),
    [("INSERT INTO `_ddb_loads__orders`", False), ("DROP PARTITION", True)],
    ids=["before it decides", "before it drops rows"],
)
def test_a_load_that_wakes_up_when_another_one_is_done_does_no_harm(
    clickhouse: ClickHouseWarehouse, source: Source, monkeypatch: pytest.MonkeyPatch, before: str, full: bool
) -> None:
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", ())
    source.put(1, "a", "first", "x", "y")
    clickhouse.load(source.full(10))
    assert asleep(clickhouse, source, 10, before, full=full)


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("full", [False, True])
def test_a_load_may_sleep_before_any_statement(
    clickhouse: ClickHouseWarehouse, source: Source, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    """Before every one in a soak; before a few otherwise."""
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", ())
    source.put(1, "a", "first", "x", "y")
    clickhouse.load(source.full(10))
    time, before = 10, 1
    while asleep(clickhouse, source, time, before, full=full):
        time, before = time + 20, before + (1 if SOAK else 10)
    assert before > 15


def test_a_load_that_wakes_up_leaves_alone_what_another_one_has_staged(
    clickhouse: ClickHouseWarehouse, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", ())
    window = loaded(clickhouse, source)
    source.put(21, "e", "later", "v")
    asleep, wake = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def sleeps() -> None:
        asleep.set()
        assert wake.wait(60)

    def work() -> None:
        try:
            with again(clickhouse) as sleeper:
                sleeper.load(window, LoadOptions(before_commit=sleeps))
        except BaseException as error:
            failed.append(error)

    def wakes_up() -> None:
        wake.set()
        sleeper.join()

    sleeper = threading.Thread(target=work)
    sleeper.start()
    assert asleep.wait(60)
    take_away(clickhouse)
    clickhouse.load(source.window(20, 30), LoadOptions(before_commit=wakes_up))
    assert [type(error) for error in failed] == [InterruptedLoadError]
    clickhouse.load(window)
    assert read(clickhouse) == items(source, 30)


def test_a_lease_is_renewed_and_a_late_renewal_is_of_no_use_to_anybody(
    clickhouse: ClickHouseWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddb_assets.warehouse.clickhouse.lock.LEASE_SECONDS", 1.5)
    with Lock(clickhouse.server, "orders", patience=0) as lock:
        with pytest.raises(WarehouseError, match="another load"), Lock(clickhouse.server, "orders", patience=3):
            pass
        lock.check()
    columns = "CREATE TABLE `_ddb_lock__orders` (holder String, until Int64) ENGINE = MergeTree ORDER BY tuple()"
    clickhouse.server.execute(f"{columns} COMMENT 'somebody 1'")
    clickhouse.server.execute("INSERT INTO `_ddb_lock__orders` VALUES ('another', 9999999999999999)")
    with Lock(clickhouse.server, "orders", patience=0.5) as lock:
        lock.check()


def test_an_error_before_the_end_changes_nothing(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    window = loaded(clickhouse, source)

    def fails() -> None:
        raise LoadError("not this one")

    with pytest.raises(LoadError, match="not this one"):
        clickhouse.load(window, LoadOptions(before_commit=fails))
    assert (read(clickhouse), clickhouse.inspect(window).leftovers) == (items(source, 10), ())
    assert len(clickhouse.recorded("orders").loads) == 1


VALUES: dict[str, tuple[str, object]] = {
    "whole": ("BIGINT", -9223372036854775808),
    "exact": ("DECIMAL(38,0)", Decimal("12345678901234567890123456789012345678")),
    "small": ("DECIMAL(38,37)", Decimal("-1.2345678901234567890123456789012345678")),
    "nineteen": ("DECIMAL(19,2)", Decimal("12345678901234567.89")),
    "float": ("DOUBLE PRECISION", 0.1),
    "text": ("VARCHAR(65535)", "O'Brien \\ \n\t \0 \U0001f600"),
    "empty": ("VARCHAR(16)", ""),
    "bytes": ("VARBYTE(64)", b"\x00\xff'"),
    "truth": ("BOOLEAN", False),
    "tags": ("SUPER", '["a","b",1.10,12345678901234567890123456789012345678]'),
    "when": ("TIMESTAMP", datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC).replace(tzinfo=None)),
    "zoned": ("TIMESTAMPTZ", datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC)),
    "day": ("DATE", date(1, 1, 1)),
    "odd `name` \\ '": ("VARCHAR(16)", "x"),
}


def of_values(tmp_path: Path, values: dict[str, tuple[str, object]], time: int = 9, **more: Any) -> Report:
    columns = [Column(name=name, path=(name,), type=kind) for name, (kind, _) in values.items()]
    root = relation("orders", (KEY, *columns, VERSION, EXTRA))
    rows = [
        {"order_id": "a", "_ddb_version": BASE_MICROS + time, **{name: value for name, (_, value) in values.items()}},
        {"order_id": "b", "_ddb_version": BASE_MICROS + time},
    ]
    return report([write(tmp_path / f"parquet{time}", root, rows)], export_time=at(time), **more)


def test_every_value_is_that_of_duckdb(clickhouse: ClickHouseWarehouse, tmp_path: Path) -> None:
    export = of_values(tmp_path, VALUES)
    quoted = ", ".join('"' + name + '"' for name in VALUES)
    with DuckDBEngine(":memory:") as plain:
        load(plain, export)
        expected = [
            dict(zip(VALUES, row, strict=True))
            for row in select(plain, f"SELECT {quoted} FROM orders ORDER BY order_id")
        ]
    clickhouse.load(export)
    names = ", ".join(
        "hex(bytes)" if name == "bytes" else "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
        for name in VALUES
    )
    found = [
        dict(zip(VALUES, row, strict=True)) for row in clickhouse.query(f"SELECT {names} FROM orders ORDER BY order_id")
    ]
    for row in found:
        row["bytes"] = bytes.fromhex(row["bytes"]) if isinstance(row["bytes"], str) else None
        row["zoned"] = row["zoned"].replace(tzinfo=UTC) if isinstance(row["zoned"], datetime) else None
    assert found == expected
    assert {str(kind) for kind in clickhouse.columns(["orders"])["orders"].values()} >= {
        "SUPER",
        "TIMESTAMPTZ",
        "DECIMAL(20,2)",
    }


def test_a_value_that_was_not_read_as_it_was_written_is_refused(
    clickhouse: ClickHouseWarehouse, tmp_path: Path
) -> None:
    export = of_values(tmp_path, VALUES)
    for name in VALUES:
        measures = dict(export.root.measures)
        measures[name] = measures[name].model_copy(update={"most": 99, "least": 99})
        with pytest.raises(
            LoadError, match=re.escape(f"column {name!r} of 'orders' has another least value and greatest")
        ):
            clickhouse.load(replace_relation(export, measures=measures))


def test_a_type_that_holds_no_values_of_both_is_refused(clickhouse: ClickHouseWarehouse, tmp_path: Path) -> None:
    clickhouse.load(of_values(tmp_path, {"n": ("BIGINT", 5)}))
    with pytest.raises(LoadError, match="column 'n' of orders is BIGINT, the export has BOOLEAN"):
        clickhouse.load(of_values(tmp_path, {"n": ("BOOLEAN", True)}, time=40))
    assert clickhouse.query("SELECT n FROM orders WHERE order_id = 'a'") == [(5,)]


def test_what_clickhouse_does_not_do_is_refused(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    source.put(1, "a", "x")
    export = source.full(10)
    for options, why in ((LoadOptions(tables=WarehouseOptions(views="people")), "schema for views"),):
        with pytest.raises(LoadError, match=why):
            clickhouse.load(export, options)
    landing = source.landing([("a", 1, Item("x")), ("b", 2, Item("y"))], (at(0), at(9)), "landing", unread="b")
    moved = Moved("arn:of:a:stream", Position({}), Position({"shard-0": "1"}))
    with pytest.raises(LoadError, match="1 records of landing could not be read"):
        clickhouse.load_stream(landing, moved, LoadOptions(max_quarantined=1))
    with pytest.raises(LoadError, match="`soft_delete` and a stream"):
        clickhouse.load_stream(landing, moved, LoadOptions(soft_delete=True))
    assert clickhouse.query("SELECT name FROM system.tables WHERE database = currentDatabase()") == []


def test_a_name_of_somebody_else_is_left_alone(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    clickhouse.server.execute("CREATE TABLE orders (x UInt8) ENGINE = Memory")
    with pytest.raises(LoadError, match=r"there is something of that name that no load has created \(Memory\)"):
        clickhouse.load(source.full(10))
    assert clickhouse.query("SELECT count() FROM orders") == [(0,)]


def test_a_table_starts_over_with_a_full_export_only(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    window = loaded(clickhouse, source)
    with pytest.raises(LoadError, match="only be started over with a full export"):
        clickhouse.load(window, RESTART)
    clickhouse.load(window)
    other = source.full(5, export_id="other")  # older than what is there
    assert clickhouse.load(other).stale == 3
    assert read(clickhouse) == items(source, 20)
    result = clickhouse.load(other, RESTART)
    assert (result.sequence, read(clickhouse)) == (4, items(source, 5))
    assert [one.export_id for one in clickhouse.recorded("orders").loads] == ["other"]


def test_a_dropped_table_or_column_is_not_taken_for_loaded(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    window = loaded(clickhouse, source)
    clickhouse.server.execute("ALTER TABLE _ddb_rows__orders DROP COLUMN note")
    with pytest.raises(LoadError, match="column 'note' of _ddb_rows__orders, which has been dropped since"):
        clickhouse.load(window)
    clickhouse.server.execute("DROP TABLE _ddb_rows__orders__lines")
    with pytest.raises(LoadError, match="table _ddb_rows__orders__lines"):
        clickhouse.load(window)
    clickhouse.load(source.full(20), RESTART)
    assert read(clickhouse) == items(source, 20)


@pytest.mark.slow
@pytest.mark.parametrize("collection", ["default", "lake"])
def test_the_server_reads_parts_from_s3_itself(
    clickhouse_server: ClickHouseServer, bucket: Place, monkeypatch: pytest.MonkeyPatch, collection: str
) -> None:
    """With its own credentials, or those of a named collection; a name that it would take for a pattern is sent to it."""
    monkeypatch.setenv("DDB_ASSETS_CLICKHOUSE_PASSWORD", clickhouse_server.password)
    root = relation("orders", (KEY, NOTE, VERSION, EXTRA))
    rows = [{"order_id": f"k{number}", "_ddb_version": BASE_MICROS + 9} for number in range(9)]
    table = pa.Table.from_pylist(rows, schema=arrow_schema(root))
    names = ("plain/a=1 é+%20&#.parquet", "odd/{x}*?.parquet")
    with in_database(clickhouse_server, storage=bucket.storage, more=f"&s3={collection}") as warehouse:
        if collection != "default":
            keys = "access_key_id = 'testing', secret_access_key = 'testing'"
            warehouse.server.execute(f"CREATE NAMED COLLECTION {collection} AS {keys}")
        sent: list[str] = []
        watched(warehouse, sent.append)
        for name in names:
            part = write_part(bucket.storage, f"{bucket.root}/{name}", table, "zstd")
            export = report([root.with_parts([part])], export_time=at(9), export_id=name)
            assert warehouse.load(export).table_rows == {"orders": 9}
        read_by = ["s3(" in text for text in sent if "FROM input(" in text or " s3(" in text]
        assert read_by == [True, False]
        assert "testing" not in "".join(sent)
        if collection != "default":
            warehouse.server.execute(f"DROP NAMED COLLECTION {collection}")


def test_a_damaged_part_is_refused(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    window = loaded(clickhouse, source)
    root = window.relations[0]
    path = Path(root.parts[0].uri)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(LoadError, match="bytes, the report says"):
        clickhouse.load(window)
    path.write_bytes(content[:-9] + b"x" + content[-8:])
    with pytest.raises(LoadError, match="is damaged"):
        clickhouse.load(window)
    path.write_bytes(content)
    columns = tuple(c.model_copy(update={"type": "BIGINT"}) if c.name == "note" else c for c in root.columns)
    with pytest.raises(LoadError, match="has the columns order_id string, note string"):
        clickhouse.load(replace_relation(window, columns=columns, measures={}))
    part = root.parts[0].model_copy(update={"rows": root.rows + 1})
    more = replace_relation(window, rows=root.rows + 1, parts=(part,))
    more = more.model_copy(
        update={"rows": {**window.rows, "orders": root.rows + 1}, "items_in_manifest": root.rows + 1}
    )
    with pytest.raises(LoadError, match=r"rows, the report says \d+: flatten again"):
        clickhouse.load(more)
    assert clickhouse.load(window).applied


def test_staged_rows_that_contradict_the_report_are_refused(clickhouse: ClickHouseWarehouse, tmp_path: Path) -> None:
    root, child = (
        relation("orders", (KEY, NOTE, VERSION, EXTRA)),
        relation("orders__lines", (KEY, INDEX, LINE, VERSION, EXTRA), ("lines",)),
    )
    window_root = relation("orders", (KEY, NOTE, VERSION, DELETED, EXTRA))

    def rows(*versions: int) -> list[dict[str, object]]:
        return [{"order_id": "a", "_ddb_version": BASE_MICROS + version, "_ddb_deleted": False} for version in versions]

    def lines(version: int) -> list[dict[str, object]]:
        return [{"order_id": "a", "_ddb_index": 0, "value": "x", "_ddb_version": BASE_MICROS + version}]

    def written(number: int, own: Relation, versions: tuple[int, ...], line: int) -> list[Relation]:
        folder = tmp_path / str(number)
        return [write(folder / "root", own, rows(*versions)), write(folder / "lines", child, lines(line))]

    for number, (versions, line, why) in enumerate(
        [
            ((9, 9), 9, "has more than one row with order_id='a'"),
            ((8,), 8, "have another _ddb_version than the export's time"),
            ((9,), 8, "1 rows of 'orders__lines' have no item of 'orders' at their version"),
        ]
    ):
        with pytest.raises(LoadError, match=re.escape(why)):
            clickhouse.load(report(written(number, root, versions, line), export_time=at(9)))
    clickhouse.load(report(written(7, root, (9,), 9), export_time=at(9)))
    with pytest.raises(LoadError, match="0 deletes of 'orders' were staged, the report has 1"):
        clickhouse.load(report(written(8, window_root, (11,), 11), window=(at(9), at(20)), deletes=1))


def test_late_writes_do_not_undo_newer_ones(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    source.put(1, "a", "first", "x")
    source.put(1, "g", "gone before the newest full export")
    clickhouse.load(source.full(10))
    source.put(11, "a", "second", "x", "y")
    source.put(12, "b", "only here")
    source.put(21, "a", "third", "z")
    source.put(22, "c", "comes and goes", "z")
    source.delete(31, "c")
    early, middle, newest = source.window(10, 20), source.window(20, 30), source.window(30, 40)
    clickhouse.load(newest)
    clickhouse.load(middle)  # c was deleted after it
    assert clickhouse.load(early).stale == 1
    assert read(clickhouse) == items(source, 40)
    clickhouse.load(source.full(30))  # it has c, and not its delete
    assert read(clickhouse) == items(source, 40)


def test_a_late_window_before_the_newest_full_export_brings_nothing_back(
    clickhouse: ClickHouseWarehouse, source: Source
) -> None:
    source.put(11, "a", "deleted before the full export", "x")
    late = source.window(10, 20)
    source.delete(21, "a")
    source.put(22, "b", "newer", "y")
    clickhouse.load(source.full(30))
    assert clickhouse.load(late).stale == 1
    assert read(clickhouse) == items(source, 30)


def test_loads_that_are_forced_again_and_again_change_nothing(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    """Then there are rows of one key and version from several loads, and only one of them has its list."""
    source.put(1, "a", "before", "x")
    source.put(2, "b", "before")
    source.put(11, "a", "after", "y", "z")
    source.delete(12, "b")
    full, window = source.full(10), source.window(10, 20)
    for export in (full, window, window, full, window, full):
        clickhouse.load(export, LoadOptions(force=True))
    assert read(clickhouse) == items(source, 20)


def test_an_export_without_items_does_not_know_the_key(
    clickhouse: ClickHouseWarehouse, source: Source, tmp_path: Path
) -> None:
    """Neither at the beginning, when the table is created, nor later, when what is newer must be kept."""
    lists = relation("orders__lines", (INDEX, LINE, VERSION, EXTRA), ("lines",))
    nothing = (relation("orders", (VERSION, EXTRA)), lists)
    clickhouse.load(report(nothing, export_time=at(1)))
    assert clickhouse.rows(["orders", "orders__lines"]) == {"orders": 0, "orders__lines": 0}
    source.put(11, "a", "new", "x", "y")
    for start, end in ((1, 10), (10, 20)):
        clickhouse.load(source.window(start, end))
    assert read(clickhouse) == items(source, 20)
    clickhouse.load(report(nothing, export_time=at(10)))  # it has nothing, and is older
    assert read(clickhouse) == items(source, 20)
    clickhouse.load(report(nothing[:1], export_time=at(30)))
    assert (read(clickhouse), clickhouse.query("SELECT count() FROM _ddb_rows__orders__lines")) == ({}, [(0,)])


def test_a_load_that_was_decided_is_finished_by_the_next_one(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    window = loaded(clickhouse, source)
    decided(clickhouse, lambda mortal: mortal.load(window))
    assert read(clickhouse) == items(source, 10)
    source.put(21, "a", "third")
    clickhouse.load(source.window(20, 30))
    assert read(clickhouse) == items(source, 30)
    assert [one.export_id for one in clickhouse.recorded("orders").loads][1] == window.export_id
    assert not clickhouse.load(window).applied


def test_a_view_that_somebody_dropped_is_said_and_the_next_load_creates_it(
    clickhouse: ClickHouseWarehouse, source: Source
) -> None:
    """Also if a load was decided meanwhile and not finished."""
    window = loaded(clickhouse, source)
    clickhouse.server.execute("DROP VIEW orders__lines")
    for look in (clickhouse.inspect, clickhouse.load):
        with pytest.raises(LoadError, match="orders__lines cannot be read: the view has been dropped"):
            look(source.full(10))
    clickhouse.load(source.full(10), LoadOptions(force=True))
    assert read(clickhouse) == items(source, 10)
    decided(clickhouse, lambda mortal: mortal.load(window))
    clickhouse.server.execute("DROP VIEW orders__lines")
    source.put(21, "a", "third")
    clickhouse.load(source.window(20, 30))
    assert read(clickhouse) == items(source, 30)


def test_a_decided_load_whose_staged_rows_are_gone_is_said_and_the_table_starts_over(
    clickhouse: ClickHouseWarehouse, source: Source
) -> None:
    window = loaded(clickhouse, source)
    decided(clickhouse, lambda mortal: mortal.load(window))
    for name in clickhouse.inspect(window).leftovers:
        clickhouse.server.execute(f"DROP TABLE {name}")
    clickhouse.server.execute(  # by a clock that is ahead
        "ALTER TABLE `_ddb_loads__orders` UPDATE loaded_at = loaded_at + INTERVAL 1 HOUR WHERE state = 'begun' "
        "SETTINGS mutations_sync = 1"
    )
    with pytest.raises(WarehouseError, match="was decided and not finished, and its staged rows are gone"):
        clickhouse.load(window)
    clickhouse.load(source.full(20), RESTART)
    source.put(21, "a", "third")
    clickhouse.load(source.window(20, 30))
    assert read(clickhouse) == items(source, 30)


def test_a_table_starts_over_though_its_first_load_was_not_finished(
    clickhouse: ClickHouseWarehouse, source: Source
) -> None:
    """Its list has rows that no load which is done has written."""
    source.put(1, "a", "first", "x", "y")
    dead_after(clickhouse, "ALTER TABLE `_ddb_rows__orders__lines`", lambda mortal: mortal.load(source.full(10)))
    source.put(11, "a", "second", "z")
    clickhouse.load(source.full(20), LoadOptions(restart=True))
    assert read(clickhouse) == items(source, 20)


def test_what_a_contract_hides_is_not_left_in_rows(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    def hiding(export: Report) -> Report:
        return export.model_copy(update={"hidden": (Hidden(path="note", how="null", columns={"orders": ("note",)}),)})

    window = loaded(clickhouse, source)
    assert clickhouse.load(hiding(window)).remarks[0].startswith("note is hidden now (null)")
    assert clickhouse.query("SELECT note FROM orders ORDER BY order_id") == [("second",), ("new",), (None,)]
    assert clickhouse.query("SELECT DISTINCT note FROM _ddb_rows__orders WHERE note = 'stays'") == []
    assert clickhouse.load(hiding(source.window(20, 30))).remarks == ()
    with pytest.raises(LoadError, match="note must not be seen in orders"):
        clickhouse.load(source.window(30, 40))


def test_tables_of_two_dynamodb_tables_are_kept_apart(
    clickhouse: ClickHouseWarehouse, source: Source, tmp_path: Path
) -> None:
    clickhouse.load(loaded(clickhouse, source))
    lists = relation("orders__lines", (KEY, NOTE, VERSION, EXTRA))
    rows = [{"order_id": "a", "_ddb_version": BASE_MICROS + 9}]
    with pytest.raises(LoadError, match="orders__lines has rows, but by its ledger no load"):
        clickhouse.load(report([write(tmp_path / "p", lists, rows)], export_time=at(9)))
    other = relation("shop", (KEY, NOTE, VERSION, EXTRA))
    child = relation("orders", (KEY, INDEX, LINE, VERSION, EXTRA), ("orders",))
    with pytest.raises(
        LoadError, match="orders must hold the list orders of Orders, but it is already a table of items"
    ):
        clickhouse.load(
            report([write(tmp_path / "q", other, rows), write(tmp_path / "r", child, [])], export_time=at(9))
        )


def replace_relation(export: Report, **changed: Any) -> Report:
    root, *rest = export.relations
    return export.model_copy(update={"relations": (root.model_copy(update=changed), *rest)})


def test_the_self_test_finds_nothing_here_and_leaves_nothing(clickhouse: ClickHouseWarehouse, tmp_path: Path) -> None:
    findings = list(clickhouse.self_test(Storage(), str(tmp_path)))
    assert len(findings) == 7
    assert [one for one in findings if one.differs] == []
    assert list(tmp_path.iterdir()) == []
    assert clickhouse.query("SELECT name FROM system.tables WHERE database = currentDatabase()") == []


def test_its_url_says_all_that_is_needed_before_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "clickhouse://loader@host/shop?secret=loader"
    parsed = ClickHouseSettings.parse(url)
    assert (parsed.port, parsed.secure, ClickHouseSettings.parse(f"{url}&secure=0").port) == (8443, True, 8123)
    assert (local_file(url), reads_s3(url), warehouse_kind(url)) == (None, True, "clickhouse")
    assert not reads_s3("clickhouse://loader@host/shop")
    assert table_name(url, "orders") == "host.shop.orders"
    assert warehouse_place(url, "shop") == "clickhouse://host:8443/shop"
    plain = "clickhouse://loader@host/shop?secure=0"
    assert (warehouse_place(plain, "shop"), warehouse_pool(plain)) == (
        "clickhouse://host:8123/shop",
        "warehouse_host_8123_shop",
    )
    found = login(url)
    assert found == Login(secret="loader", redshift=False)
    rights = policies(Wanted(Lake("lake-bucket"), [Table(table="Orders")], login=found))
    actions = {action for one in rights["load"] for action in one.actions}
    assert "secretsmanager:GetSecretValue" in actions
    assert "redshift-copy" not in rights
    for wrong, why in (
        ("clickhouse://loader:word@host/shop", "must not hold a password"),
        ("clickhouse://loader@host/", "names no database"),
        ("clickhouse://host/shop", "names no user"),
        ("clickhouse://loader@host/shop?secure=yes", "secure is 'yes'"),
        ("clickhouse://loader@host/shop?schema=x", "'schema' is not an option"),
    ):
        with pytest.raises(WarehouseError, match=why):
            ClickHouseSettings.parse(wrong)
    monkeypatch.delenv("DDB_ASSETS_CLICKHOUSE_PASSWORD", raising=False)
    with (
        pytest.raises(WarehouseError, match="set DDB_ASSETS_CLICKHOUSE_PASSWORD"),
        open_warehouse("clickhouse://me@host/shop"),
    ):
        pass


def test_an_error_about_data_quotes_no_value(clickhouse: ClickHouseWarehouse) -> None:
    with pytest.raises(StatementError, match=r"error 6 \(CANNOT_PARSE_TEXT\); its text is in the log") as caught:
        clickhouse.server.value("SELECT toInt64(materialize('4929-secret'))")
    assert "4929" not in str(caught.value)


def test_errors_are_clear(clickhouse: ClickHouseWarehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StatementError, match=r"a query was refused: .*UNKNOWN_IDENTIFIER"):
        clickhouse.query("SELECT nothing")
    monkeypatch.setenv("DDB_ASSETS_CLICKHOUSE_PASSWORD", "wrong")
    with pytest.raises(WarehouseError, match="Authentication failed"), again(clickhouse):
        pass


@pytest.mark.parametrize("call", ["load", "recorded", "holdings"])
def test_a_newer_ledger_is_refused(clickhouse: ClickHouseWarehouse, source: Source, call: str) -> None:
    window = loaded(clickhouse, source)
    copied = "SELECT * REPLACE (2 AS ledger_format) FROM `_ddb_loads__orders` WHERE state = 'done' LIMIT 1"
    clickhouse.server.execute(f"INSERT INTO `_ddb_loads__orders` {copied}")
    before = read(clickhouse)
    calls: dict[str, Callable[[], object]] = {
        "load": lambda: clickhouse.load(window),
        "recorded": lambda: clickhouse.recorded("orders"),
        "holdings": lambda: clickhouse.holdings("orders"),
    }
    with pytest.raises(NewerFormatError, match=r"_ddb_loads__orders: a newer ddb_assets .* has version 2; .*upgrade"):
        calls[call]()
    assert read(clickhouse) == before


def test_rows_of_a_newer_form_are_left_alone(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    window = loaded(clickhouse, source)
    newer = Identity(format=2, key=("orderId",), key_masks=(None,), mask_secret="", schema_id="", contract="c")
    said = f"SELECT * REPLACE ('{newer.model_dump_json()}' AS row_identity, sequence + 1 AS sequence, 'x' AS load_id)"
    done = "FROM `_ddb_loads__orders` WHERE state = 'done' LIMIT 1"
    clickhouse.server.execute(f"INSERT INTO `_ddb_loads__orders` {said} {done}")
    before = read(clickhouse)
    with pytest.raises(
        NewerFormatError, match=r"_ddb_loads__orders: .*the format of the rows has version 2; .*upgrade"
    ):
        clickhouse.load(window)
    assert read(clickhouse) == before


def test_a_newer_ledger_is_not_given_columns(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    window = loaded(clickhouse, source)
    clickhouse.server.execute("ALTER TABLE `_ddb_loads__orders` DROP COLUMN kept_stale")
    clickhouse.server.execute("INSERT INTO `_ddb_loads__orders` (ledger_format) VALUES (2)")
    with pytest.raises(NewerFormatError):
        clickhouse.load(window)
    columns = clickhouse.server.fetch("SELECT name FROM system.columns WHERE table = '_ddb_loads__orders'")
    assert ("kept_stale",) not in columns


def test_a_ledger_without_a_version_is_of_the_first(clickhouse: ClickHouseWarehouse, source: Source) -> None:
    window = loaded(clickhouse, source)
    clickhouse.server.execute("ALTER TABLE `_ddb_loads__orders` DROP COLUMN ledger_format")
    assert len(clickhouse.recorded("orders").loads) == 1
    assert clickhouse.load(window).applied
    assert clickhouse.server.value("SELECT max(ledger_format) FROM `_ddb_loads__orders`") == 1
