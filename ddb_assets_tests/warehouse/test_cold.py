"""The cold tier: what moves to Iceberg, and that an item is shown once whatever happens before, after and meanwhile."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from ddb_assets.contract.report import Column, Hidden
from ddb_assets.contract.table import Table
from ddb_assets.contract.warehouse_options import WarehouseOptions
from ddb_assets.iceberg import writing
from ddb_assets.iceberg.errors import IcebergError
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.iceberg import IcebergTarget
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.warehouse.errors import LoadError, WarehouseError
from ddb_assets.warehouse.redshift.cold import move
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.sql.forgetting import forget, holdings
from ddb_assets.warehouse.sql.inspection import differing
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets.windows.cold_assets import cold_asset
from ddb_assets.windows.upkeep_assets import upkeep_asset
from ddb_assets_tests.support.engines import read, select, tables
from ddb_assets_tests.support.examples import SOAK
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.cold_store import BUCKET, AgedSource, ColdStore, cold, every_value, hot, shown
from ddb_assets_tests.warehouse.conformance.worlds import items
from ddb_assets_tests.warehouse.exports import NOTE


@pytest.fixture
def store(local_store: ColdStore) -> ColdStore:
    return local_store


@pytest.fixture
def engine(cold_engine: RedshiftEngine) -> RedshiftEngine:
    return cold_engine


@pytest.fixture
def source(tmp_path: Path) -> AgedSource:
    return AgedSource(tmp_path / "parquet")


def test_old_rows_become_cold_and_stay_what_they_are(
    store: ColdStore, engine: RedshiftEngine, source: AgedSource
) -> None:
    source.put(1, "old1", "500 first", "x", "y")
    source.put(2, "old0", "401 nothing else")
    source.put(3, "new1", "399 young", "z")
    source.put(4, "never1", "? no time", "w")
    source.put(5, "huge1", "500 huge")
    source.put(6, "long1", "500 with a long line", "short", "wide")
    load(engine, source.full(10))
    before = every_value(engine, "orders")
    done = store.move(engine)
    assert (hot(engine), cold(engine)) == ({"new1", "never1", "huge1", "long1"}, {"old1", "old0"})
    assert every_value(engine, "orders_all") == before
    assert shown(engine) == items(source, 10)
    assert (done.rows, done.hot, done.cold, done.kept, done.changed) == (
        {"orders": 2, "orders__lines": 2},
        {"orders": 4, "orders__lines": 4},
        2,
        2,
        0,
    )
    assert differing(engine, "public", "orders") == {}
    again = store.move(engine)
    assert (again.move, again.rows, again.cold, again.kept) == (None, {}, 2, 2)


STEPS = ("begin", "unload", "write orders", "write orders__lines", "show", "commit", "committing", "committed")


@pytest.fixture
def aged(engine: RedshiftEngine, store: ColdStore, source: AgedSource) -> AgedSource:
    """Three cold items, `a`, `b` and `c`, and a young one."""
    for time, key in enumerate("abc", 1):
        source.put(time, key, f"50{time} first", "x", "y")
    source.put(5, "young", "10 first", "z")
    load(engine, source.full(10))
    store.move(engine)
    assert cold(engine) == set("abc")
    return source


def consistent(engine: RedshiftEngine, source: AgedSource, time: int) -> None:
    """Every item is shown once, with its newest values, and is hot or cold."""
    assert shown(engine) == items(source, time)
    assert not hot(engine) & cold(engine)
    assert hot(engine) | cold(engine) == items(source, time).keys()
    assert differing(engine, "public", "orders") == {}


class StopError(Exception):
    pass


def stopping(*at: str) -> Callable[[str], None]:
    def step(name: str) -> None:
        if name in at:
            raise StopError(name)

    return step


def test_changes_of_cold_items(store: ColdStore, engine: RedshiftEngine, aged: AgedSource) -> None:
    """An update brings an item back, a delete removes it for ever, and the next move takes what is old again."""
    aged.put(11, "a", "501 second", "z")
    aged.delete(12, "b")
    aged.put(13, "d", "900 new, and old at once", "w")
    aged.put(14, "young", "11 second")
    load(engine, aged.window(10, 20))
    consistent(engine, aged, 20)
    assert (hot(engine), cold(engine)) == ({"a", "d", "young"}, {"c"})
    done = store.move(engine)
    consistent(engine, aged, 20)
    assert (done.rows, cold(engine)) == ({"orders": 2, "orders__lines": 2}, {"a", "c", "d"})
    aged.put(21, "a", "5 young by now")
    aged.put(22, "b", "700 back", "v")
    load(engine, aged.window(20, 30))
    assert cold(engine) == {"c", "d"}
    store.move(engine)
    consistent(engine, aged, 30)
    assert cold(engine) == {"b", "c", "d"}


def test_a_large_move_is_written_in_pieces(
    store: ColdStore, engine: RedshiftEngine, source: AgedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that memory does not grow with the move. UNLOAD makes two files here."""
    monkeypatch.setattr(writing, "FILE_BYTES", 1)
    for key in "abcd":
        source.put(1, key, "500 first", "x")
    load(engine, source.full(10))
    done = store.move(engine)
    assert (done.rows, len(store.stored())) == ({"orders": 4, "orders__lines": 4}, 4)
    with store.table() as table:
        assert len(list(table.scan().plan_files())) == 2
        assert len(table.snapshots()) == 1
    consistent(engine, source, 10)


def test_deletes_of_cold_items_need_no_tombstone(engine: RedshiftEngine, aged: AgedSource) -> None:
    aged.delete(11, "b")
    load(engine, aged.window(10, 20))
    engine.execute(Statement("DELETE FROM _ddb_tombstones__orders"))
    consistent(engine, aged, 20)


def test_late_and_repeated_windows_bring_nothing_old_back(
    store: ColdStore, engine: RedshiftEngine, aged: AgedSource
) -> None:
    aged.put(11, "a", "501 second", "z")
    late = aged.window(10, 20)
    aged.put(21, "a", "501 third")
    aged.put(22, "b", "502 second", "q")
    window = aged.window(20, 30)
    load(engine, window)
    store.move(engine)
    consistent(engine, aged, 30)
    assert cold(engine) == set("abc")
    assert load(engine, late).stale == 1
    consistent(engine, aged, 30)
    load(engine, window, force=True)  # the same versions again: they are hot, and not twice
    consistent(engine, aged, 30)
    assert cold(engine) == {"c"}
    store.move(engine)
    consistent(engine, aged, 30)


def test_a_full_export_replaces_what_is_cold(store: ColdStore, engine: RedshiftEngine, aged: AgedSource) -> None:
    old = aged.full(8)
    aged.put(11, "a", "501 second", "z")
    aged.delete(12, "b")
    load(engine, aged.full(20))
    consistent(engine, aged, 20)
    assert cold(engine) == set()
    store.move(engine)
    consistent(engine, aged, 20)
    assert cold(engine) == {"a", "c"}
    load(engine, old)
    consistent(engine, aged, 20)


def test_a_table_that_starts_over_has_nothing_cold(store: ColdStore, engine: RedshiftEngine, aged: AgedSource) -> None:
    again = aged.full(9)  # older than what is cold
    load(engine, again, restart=True)
    consistent(engine, aged, 9)
    assert cold(engine) == set()
    store.move(engine)
    consistent(engine, aged, 9)
    assert cold(engine) == set("abc")


def test_items_that_could_not_be_read_stay_cold_and_are_marked(engine: RedshiftEngine, aged: AgedSource) -> None:
    aged.put(11, "c", "503 second")
    load(engine, aged.full(20, unread="a", unkeyed="b"), max_quarantined=9)
    assert cold(engine) == {"a", "b"}
    assert shown(engine).keys() == {"a", "b", "c", "young"}
    assert {key for (key,) in select(engine, "SELECT order_id FROM orders_all WHERE _ddb_stale_since IS NOT NULL")} == {
        *"ab"
    }
    load(engine, aged.full(30))
    consistent(engine, aged, 30)


@pytest.mark.slow
def test_a_move_that_crashes_is_begun_again(store: ColdStore, engine: RedshiftEngine, aged: AgedSource) -> None:
    """Nothing is lost or shown twice at any moment, and what crashed moves wrote is taken away."""
    time = 10
    for crash in STEPS:
        aged.put(time + 1, "d", f"{600 + time} changed again and again", "v")
        aged.put(time + 2, f"gone at {crash}", "700 y", "w")
        load(engine, aged.window(time, time + 10))
        time += 10
        with pytest.raises(StopError):
            store.move(engine, step=stopping(crash))
        consistent(engine, aged, time)
        aged.delete(time + 3, f"gone at {crash}")
    aged.put(time + 1, "d", "600 and at last moved", "v")
    load(engine, aged.window(time, time + 10))
    with store.engine() as another:
        store.move(another)
    consistent(engine, aged, time + 10)
    assert cold(engine) == set("abcd")
    # the last of the crashed moves had committed: what changed since is superseded, not abandoned
    assert [key for key, _ in store.stored()] == ["a", "b", "c", "d", "d", "gone at committed"]
    assert {move for _, move in store.stored("orders__lines__cold")} == {1, len(STEPS), len(STEPS) + 1}


def test_a_move_that_finds_nothing_takes_away_what_was_given_up(
    store: ColdStore, engine: RedshiftEngine, aged: AgedSource
) -> None:
    aged.put(11, "d", "600 x", "v")
    load(engine, aged.window(10, 20))
    with pytest.raises(StopError):
        store.move(engine, step=stopping("show"))
    aged.put(21, "d", "1 young by now")
    load(engine, aged.window(20, 30))
    assert [key for key, _ in store.stored()] == ["a", "b", "c", "d"]
    for _ in range(2):
        assert (done := store.move(engine)).move is None
        assert (done.rows, done.cold, done.lost) == ({}, 3, 0)
        assert [key for key, _ in store.stored()] == ["a", "b", "c"]
        assert [move for _, move in store.stored("orders__lines__cold")] == [1] * 6
        consistent(engine, aged, 30)
    assert select(engine, "SELECT COUNT(*) FROM _ddb_moves__orders") == [(3,)]  # the last one needed no number


def test_a_move_whose_rows_were_taken_away_by_one_that_found_nothing_is_given_up(
    store: ColdStore, engine: RedshiftEngine, aged: AgedSource
) -> None:
    """Else it could commit by what Redshift still knows of the Iceberg table, whose rows are gone."""
    aged.put(11, "d", "600 x", "v")
    load(engine, aged.window(10, 20))

    def find_nothing(name: str) -> None:
        if name == "commit":
            assert store.move(another, days=10_000).rows == {}

    with store.engine() as another:
        another.session = "4e5f6a7b"
        with pytest.raises(WarehouseError, match="has begun while move"):
            store.move(engine, step=find_nothing)
    consistent(engine, aged, 20)
    assert hot(engine) == {"d", "young"}


@pytest.mark.soak
@pytest.mark.slow
def test_a_lost_connection_leaves_everything_as_it_was(
    store: ColdStore, engine: RedshiftEngine, source: AgedSource
) -> None:
    """Of the statements of a first move, every seventh one fails once; in a soak, each."""
    step = 1 if SOAK else 7
    source.put(1, "a", "500 first", "x")
    source.put(2, "young", "1 first", "x")
    load(engine, source.full(10))
    run, fail_at, ran = engine.execute, 1 - step, 0

    def execute(statement: Statement) -> None:
        nonlocal ran
        ran += 1
        if ran == fail_at:
            raise StopError
        run(statement)

    engine.execute = execute  # type: ignore[method-assign]
    while True:
        fail_at, ran = fail_at + step, 0
        try:
            store.move(engine)
            break
        except StopError:
            assert read(engine) == items(source, 10) or cold(engine) == {"a"}
    consistent(engine, source, 10)
    assert fail_at > 20


def test_loads_may_run_at_any_moment_of_a_move(store: ColdStore, engine: RedshiftEngine, source: AgedSource) -> None:
    for key in "abcdefgh":
        source.put(1, key, "500 first", "x", "y")
    load(engine, source.full(10))
    time = 10

    with store.engine() as another:
        another.session = "4e5f6a7b"

        def change(_: str) -> None:
            nonlocal time
            key = "abcdefgh"[(time - 10) // 10]
            source.put(time + 1, key, f"{500 + time} changed", "z")
            if time == 30:
                source.delete(time + 2, "h")
            load(another, source.window(time, time + 10))
            time += 10

        quiet = {"committing"}  # while the transaction holds the lock, a load waits for it
        done = store.move(engine, step=lambda name: None if name in quiet else change(name))
        consistent(engine, source, time)
    assert done.lost == 0
    assert done.changed in {4, 5}
    store.move(engine)
    consistent(engine, source, time)
    assert cold(engine) == set("abcdefg")


def test_a_load_between_the_counts_of_a_move_does_not_look_like_lost_rows(
    store: ColdStore, engine: RedshiftEngine, aged: AgedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    shows = move._Move._shown
    aged.put(11, "b", "5 young by now")

    def shown_later(one: move._Move) -> int:
        load(another, aged.window(10, 20))
        return shows(one)

    monkeypatch.setattr(move._Move, "_shown", shown_later)
    with store.engine() as another:
        another.session = "4e5f6a7b"
        done = store.move(engine)
    assert (done.cold, done.lost) == (3, 0)
    assert cold(engine) == {"a", "c"}


@pytest.mark.slow
def test_of_two_moves_the_later_one_holds(store: ColdStore, engine: RedshiftEngine, aged: AgedSource) -> None:
    time, moment = 10, ""

    def begin_another(name: str) -> None:
        if name == moment:
            aged.put(time + 11, "d", f"{600 + time} y")
            load(another, aged.window(time + 10, time + 20))
            store.move(another)

    with store.engine() as another:
        another.session = "4e5f6a7b"
        for when in ("write orders", "show", "commit"):
            moment = when
            aged.put(time + 1, "d", "600 x", "v")
            load(engine, aged.window(time, time + 10))
            with pytest.raises(WarehouseError, match="has begun while move"):
                store.move(engine, step=begin_another)
            time += 20
            consistent(engine, aged, time)
            assert cold(engine) == set("abcd")
    aged.put(time + 1, "e", "1000 z")
    load(engine, aged.window(time, time + 10))
    store.move(engine)
    consistent(engine, aged, time + 10)


def test_columns_come_and_get_wider(store: ColdStore, engine: RedshiftEngine, aged: AgedSource) -> None:
    """A load between two moves adds a column, and makes numbers texts; cold values are shown as the column is."""
    number = Column(name="n", path=("n",), type="BIGINT")
    aged.extra = ((number, lambda key, _: len(key)),)
    aged.put(11, "d", "600 with a number", "v")
    load(engine, aged.window(10, 20))
    consistent(engine, aged, 20)
    store.move(engine)
    assert dict(select(engine, "SELECT order_id, n FROM orders_all")) == {**dict.fromkeys("abc"), "d": 1, "young": None}
    decimal = number.model_copy(update={"type": "DECIMAL(20,2)"})
    aged.extra = ((decimal, lambda *_: 25),)
    aged.put(21, "e", "600 with a decimal")
    load(engine, aged.window(20, 30))
    store.move(engine)
    text = number.model_copy(update={"type": "VARCHAR(64)"})
    aged.extra = ((text, lambda key, _: f"no. {key}"),)
    aged.put(31, "f", "600 with a text")
    load(engine, aged.window(30, 40))
    consistent(engine, aged, 40)
    store.move(engine)
    consistent(engine, aged, 40)
    found = dict(select(engine, "SELECT order_id, n FROM orders_all WHERE n IS NOT NULL"))
    assert found == {"d": "1", "e": "25", "f": "no. f"}


def test_a_type_that_cannot_show_cold_values_is_refused(
    store: ColdStore, engine: RedshiftEngine, aged: AgedSource
) -> None:
    """Hot rows have no value in the column any more, so the load alone would change it."""
    flag = Column(name="f", path=("f",), type="BOOLEAN")
    aged.extra = ((flag, lambda *_: True),)
    aged.put(11, "d", "600 with a flag")
    load(engine, aged.window(10, 20))
    store.move(engine)
    aged.extra = ((flag.model_copy(update={"type": "BIGINT"}), lambda *_: 1),)
    aged.put(21, "e", "1 young")
    window = aged.window(20, 30)
    with pytest.raises(LoadError, match="column 'f' of 'orders' is BOOLEAN in the cold tier"):
        load(engine, window)
    consistent(engine, aged, 20)
    load(engine, aged.full(30), restart=True)
    consistent(engine, aged, 30)
    store.move(engine)
    consistent(engine, aged, 30)
    assert dict(select(engine, "SELECT order_id, f FROM orders_all")) == dict.fromkeys(("a", *"bcde", "young"), 1)


def test_what_is_hidden_must_not_be_cold(engine: RedshiftEngine, aged: AgedSource) -> None:
    masked = (Hidden(path="note", how="sha256", columns={"orders": ("_ddb_extra", NOTE.name)}),)
    aged.put(11, "d", "1 x")
    window = aged.window(10, 20).model_copy(update={"hidden": masked})
    with pytest.raises(LoadError, match="rows in the cold tier with its old values"):
        load(engine, window)
    load(engine, aged.full(20).model_copy(update={"hidden": masked}))
    consistent(engine, aged, 20)


def test_the_view_for_people_shows_cold_rows(store: ColdStore, engine: RedshiftEngine, source: AgedSource) -> None:
    shown_to_people = WarehouseOptions(views="people")
    source.put(1, "a", "500 first", "x")
    source.put(2, "young", "1 first")
    load(engine, source.full(10), tables=shown_to_people)
    store.move(engine, views="people")
    for time in (20, 30):
        found = select(engine, "SELECT order_id, note FROM people.orders ORDER BY order_id")
        assert found == [("a", "500 first"), ("young", "1 first")]
        assert select(engine, "SELECT order_id FROM people.orders__lines") == [("a",)]
        load(engine, source.window(time - 10, time), tables=shown_to_people)


def test_what_cannot_have_a_cold_tier_is_refused(
    store: ColdStore, engine: RedshiftEngine, source: AgedSource, tmp_path: Path
) -> None:
    with pytest.raises(WarehouseError, match="load a full export first"):
        store.move(engine)
    source.put(1, "a", "500 first")
    load(engine, source.full(10))
    with pytest.raises(WarehouseError, match=r"column 'note' of \"public\".\"orders\" is VARCHAR"):
        store.move(engine, by="note")
    with pytest.raises(WarehouseError, match=r"column 'made' .* is not there"):
        store.move(engine, by="made")
    with pytest.raises(WarehouseError, match="Glue Data Catalog only"):
        store.move(engine, catalog=f"iceberg:///{tmp_path}/catalog.sqlite")
    store.move(engine)
    source.put(11, "b", "1 first")
    with pytest.raises(LoadError, match="cannot be combined with soft_delete"):
        load(engine, source.window(10, 20), soft_delete=True)
    consistent(engine, source, 10)


def test_cold_keys_that_are_gone_are_missed(engine: RedshiftEngine, aged: AgedSource) -> None:
    engine.execute(Statement("DROP TABLE _ddb_cold__orders"))
    aged.put(11, "d", "1 x")
    with pytest.raises(LoadError, match="only it says which rows"):
        load(engine, aged.window(10, 20))


def test_an_iceberg_table_of_another_is_left_alone(
    store: ColdStore, engine: RedshiftEngine, source: AgedSource
) -> None:
    source.put(1, "a", "500 first")
    load(engine, source.full(10))
    store.move(engine)
    forget(engine, "public", "orders", "", holdings(engine, "public", "orders"), 1.0)
    load(engine, source.full(10))
    with pytest.raises(IcebergError, match="is not the table of the cold rows of"):
        store.move(engine)
    assert read(engine) == items(source, 10)


def test_forgetting_lists_and_drops_what_is_there(engine: RedshiftEngine, aged: AgedSource) -> None:
    found = holdings(engine, "public", "orders")
    assert {"_ddb_cold__orders", "_ddb_moves__orders", "_ddb_cold_fields__orders"} <= found.tables.keys()
    assert found.tables["_ddb_cold__orders"] == 3
    assert {str(TableName("public", name)) for name in ("orders_all", "orders__lines_all")} <= {*found.views}
    forget(engine, "public", "orders", "", found, 1.0)
    assert not [name for _, name in tables(engine) if "orders" in name]


def test_time_columns_of_every_type(store: ColdStore, engine: RedshiftEngine, source: AgedSource) -> None:
    source.put(1, "a", "500 first")
    load(engine, source.full(10))
    for by in ("zoned", "day"):
        done = store.move(engine, by=by, days=60)  # `zoned` is of 1969, `day` of January
        assert done.rows == ({"orders": 1, "orders__lines": 0} if by == "zoned" else {})
        consistent(engine, source, 10)


def test_a_move_begins_again_when_a_load_came_between(
    store: ColdStore, engine: RedshiftEngine, aged: AgedSource
) -> None:
    """One load makes a number a text, and one that knew of no cold tier makes the view for people again."""
    number = Column(name="n", path=("n",), type="BIGINT")
    aged.extra = ((number, lambda *_: 5),)
    aged.put(11, "d", "600 with a number", "v")
    load(engine, aged.window(10, 20))
    seen = []

    def change(name: str) -> None:
        seen.append(name)
        if seen.count("commit") == 1 and name == "commit":
            aged.extra = ((number.model_copy(update={"type": "VARCHAR(64)"}), lambda *_: "five"),)
            aged.put(21, "young", "1 with a text")
            load(another, aged.window(20, 30))
        if seen.count("commit") == 2 and name == "commit":
            another.execute(Statement("DROP VIEW orders_all"))
            another.execute(
                Statement("CREATE VIEW orders_all AS SELECT order_id, note FROM public.orders WITH NO SCHEMA BINDING")
            )

    with store.engine() as another:
        another.session = "4e5f6a7b"
        done = store.move(engine, step=change)
    assert (seen.count("begin"), done.rows["orders"]) == (3, 1)
    consistent(engine, aged, 30)
    assert dict(select(engine, "SELECT order_id, n FROM orders_all WHERE n IS NOT NULL")) == {"d": "5", "young": "five"}


def test_rows_that_are_not_what_was_written_stay_hot(
    store: ColdStore, engine: RedshiftEngine, aged: AgedSource
) -> None:
    aged.put(11, "d", "600 x", "v")
    load(engine, aged.window(10, 20))

    def change(name: str) -> None:
        if name == "commit":  # not by a load, so the version is the same
            engine.execute(Statement("UPDATE orders SET note = note || ' ' WHERE order_id = 'd'"))

    with pytest.raises(WarehouseError, match="1 differ: nothing was moved"):
        store.move(engine, step=change)
    assert hot(engine) == {"d", "young"}


def test_unloaded_files_that_are_damaged_are_noticed(
    store: ColdStore, engine: RedshiftEngine, aged: AgedSource
) -> None:
    aged.put(11, "d", "600 x", "v")
    load(engine, aged.window(10, 20))

    def damage(name: str) -> None:
        if name == "write orders":
            (file,) = [one.uri for one in engine.storage.list("s3://staging/copy/_ddb_unload") if "orders/0" in one.uri]
            engine.storage.write(file, b"PAR1" + engine.storage.read(file))

    with pytest.raises(WarehouseError, match="bytes, and UNLOAD has written"):
        store.move(engine, step=damage)
    consistent(engine, aged, 20)
    assert not list(engine.storage.list("s3://staging/copy/_ddb_unload"))


def test_the_asset_moves_rows_and_says_so(
    cold_store: ColdStore, engine: RedshiftEngine, source: AgedSource, sandbox: Sandbox, tmp_path: Path
) -> None:
    source.put(1, "a", "900 first", "x")
    source.put(2, "b", "-900 of the future")
    load(engine, source.full(10))
    contract = Table(table="Orders", warehouse=WarehouseOptions(retain="400 days by created"))
    url = f"{cold_store.server.url}?sslmode=disable&staging=s3://staging/copy"

    def materialized(address: str, **config: bool) -> dg.ExecuteInProcessResult:
        resources = {
            "ddb_aws": AWSResource(endpoint=sandbox.endpoint_url, region="us-east-1"),
            "ddb_iceberg": IcebergTarget(url=cold_store.catalog),
            "ddb_lake": Lake(uri=f"s3://{BUCKET}/lake"),
            "ddb_warehouse": WarehouseTarget(url=address),
        }
        asset = upkeep_asset(contract) if config else cold_asset(contract, address)
        run_config = {"ops": {"iceberg__orders_upkeep": {"config": config}}} if config else None
        return dg.materialize([asset], resources=resources, run_config=run_config, raise_on_error=False)

    done = materialized(url)
    (event,) = done.asset_materializations_for_node("cold__orders_cold")
    shown_facts = {name: value.value for name, value in event.metadata.items()}
    assert event.asset_key == dg.AssetKey(["cold", "orders_cold"])
    assert [shown_facts[f"items_{what}"] for what in ("moved", "hot", "cold", "kept")] == [1, 1, 1, 0]
    assert (shown_facts["dagster/table_name"], shown_facts["dagster/row_count"]) == ("dev.public.orders_all", 1)
    assert [check.passed for check in done.get_asset_check_evaluations()] == [True]
    consistent(engine, source, 10)
    (kept_event,) = materialized(url, dry_run=False).get_asset_materialization_events()
    kept = {name: value.value for name, value in kept_event.materialization.metadata.items()}
    names = ("rows", "files", "snapshots", "cold_rows_taken_away", "cold_items_superseded")
    assert [kept[name] for name in names] == [2, 2, 2, 0, 0]
    with cold_store.table() as table:
        table.delete("order_id = 'a'")
    (check,) = materialized(url).get_asset_check_evaluations()
    assert (check.passed, check.metadata["without_a_row"].value) == (False, 1)
    failed = materialized(f"duckdb:///{tmp_path}/x.duckdb")
    (failure,) = [one for one in failed.all_events if one.is_step_failure]
    assert "only Redshift moves rows to Iceberg tables" in str(failure.step_failure_data.user_failure_data)
