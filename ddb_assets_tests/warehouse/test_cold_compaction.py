"""Compaction of cold rows: superseded rows go, every other row stays what it is, and views show the same at every moment."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ddb_assets.iceberg.errors import IcebergError
from ddb_assets.iceberg.upkeep import AT_LEAST
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.cold_store import AgedSource, ColdStore, cold, every_value
from ddb_assets_tests.warehouse.test_cold import StopError, consistent, stopping

STEPS = ("note", "rewrite orders", "rewrite orders__lines", "forget", "done")
NONE = {"orders": 0, "orders__lines": 0}


@pytest.fixture
def store(local_store: ColdStore) -> ColdStore:
    return local_store


@pytest.fixture
def engine(cold_engine: RedshiftEngine) -> RedshiftEngine:
    return cold_engine


@pytest.fixture
def aged(engine: RedshiftEngine, store: ColdStore, tmp_path: Path) -> AgedSource:
    """Cold items `a` to `c`, then `a` comes back and moves again, `b` is deleted and `young` stays hot; as of 20."""
    source = AgedSource(tmp_path / "parquet")
    for time, key in enumerate("abc", 1):
        source.put(time, key, f"50{time} first", "x", "y")
    source.put(5, "young", "10 first", "z")
    load(engine, source.full(10))
    store.move(engine)
    source.put(11, "a", "501 second", "z")
    source.delete(12, "b")
    load(engine, source.window(10, 20))
    store.move(engine)
    assert store.stored() == [("a", 1), ("a", 2), ("b", 1), ("c", 1)]
    return source


def test_superseded_rows_go_and_the_others_stay_what_they_are(
    store: ColdStore, engine: RedshiftEngine, aged: AgedSource
) -> None:
    before = every_value(engine, "orders_all")
    assert store.compact(engine, dry_run=True).superseded == 2
    done = store.compact(engine)
    assert (done.rows, done.superseded) == ({"orders": 2, "orders__lines": 4}, 0)
    assert (store.stored(), store.stored("orders__lines__cold")) == (
        [("a", 2), ("c", 1)],
        [("a", 2), ("c", 1), ("c", 1)],
    )
    assert every_value(engine, "orders_all") == before
    consistent(engine, aged, 20)
    assert store.move(engine).lost == 0
    again = store.compact(engine)
    assert (again.rows, again.files_before, again.superseded) == (NONE, NONE, 0)


def test_rows_wait_until_no_query_can_need_them(store: ColdStore, engine: RedshiftEngine, aged: AgedSource) -> None:
    """A query that began before a row was superseded finds it after a compaction too."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    assert store.compact(engine, hours=12, now=now).superseded == 2
    aged.put(21, "c", "1 young by now")
    load(engine, aged.window(20, 30))
    done = store.compact(engine, hours=12, now=now + timedelta(hours=11, minutes=59))
    assert (done.rows["orders"], done.superseded) == (0, 3)
    assert len(store.stored()) == 4
    done = store.compact(engine, hours=12, now=now + timedelta(hours=12))
    assert (done.rows["orders"], done.superseded, store.stored()) == (2, 1, [("a", 2), ("c", 1)])
    consistent(engine, aged, 30)


@pytest.mark.slow
def test_a_compaction_that_crashes_is_done_by_the_next_one(
    store: ColdStore, engine: RedshiftEngine, aged: AgedSource
) -> None:
    time = 20
    for crash in STEPS:
        aged.put(time + 1, "c", f"{600 + time} changed again and again", "v", "w")
        load(engine, aged.window(time, time + 10))
        time += 10
        store.move(engine)
        with pytest.raises(StopError):
            store.compact(engine, step=stopping(crash))
        consistent(engine, aged, time)
        assert store.move(engine).lost == 0
    done = store.compact(engine)
    consistent(engine, aged, time)
    assert {key for key, _ in store.stored()} == cold(engine) == {"a", "c"}
    assert (len(store.stored()), len(store.stored("orders__lines__cold")), done.superseded) == (2, 3, 0)


def test_moves_and_loads_may_run_at_any_moment_of_a_compaction(
    store: ColdStore, engine: RedshiftEngine, aged: AgedSource
) -> None:
    time = 20

    def change(_: str) -> None:
        nonlocal time
        aged.put(time + 1, f"k{time}", f"{500 + time} old", "z")
        aged.put(time + 2, "c", f"{500 + time} changed", "z")
        load(another, aged.window(time, time + 10))
        time += 10
        store.move(another)
        consistent(another, aged, time)

    with store.engine() as another:
        another.session = "4e5f6a7b"
        store.compact(engine, step=change)
    consistent(engine, aged, time)
    store.compact(engine)
    consistent(engine, aged, time)
    assert {key for key, _ in store.stored()} == cold(engine)


def test_a_compaction_may_run_at_any_moment_of_a_move(
    store: ColdStore, engine: RedshiftEngine, aged: AgedSource
) -> None:
    """It leaves the rows of the move alone, and those of one that was given up, which are of no cold key."""
    aged.put(21, "d", "600 x", "v")
    load(engine, aged.window(20, 30))
    with pytest.raises(StopError):
        store.move(engine, step=stopping("show"))
    with store.engine() as another:
        another.session = "4e5f6a7b"
        before = len(store.stored())
        store.compact(another)
        assert len(store.stored()) == before - 2
        done = store.move(engine, step=lambda name: store.compact(another) and None if name != "committing" else None)
    assert (done.rows["orders"], done.lost) == (1, 0)
    consistent(engine, aged, 30)
    assert store.stored() == [("a", 2), ("c", 1), ("d", 4)]


def test_many_small_files_become_one_and_rows_stay_in_order(
    store: ColdStore, engine: RedshiftEngine, aged: AgedSource
) -> None:
    for time in range(20, 10 * AT_LEAST, 10):
        aged.put(time + 1, f"k{time}", f"{500 + time} old", "z")
        load(engine, aged.window(time, time + 10))
        store.move(engine)
    before = every_value(engine, "orders_all")
    done = store.compact(engine)
    assert done.files_before == {"orders": AT_LEAST, "orders__lines": AT_LEAST}
    assert done.files_after == {"orders": 1, "orders__lines": 1}
    with store.table() as table:
        assert table.scan().to_arrow().column("_ddb_move").to_pylist() == sorted(move for _, move in store.stored())
    assert every_value(engine, "orders_all") == before
    assert store.compact(engine).files_before == NONE


def test_two_compactions_at_once_take_each_row_away_once(
    store: ColdStore, engine: RedshiftEngine, aged: AgedSource
) -> None:
    began: list[str] = []

    def change(name: str) -> None:
        if name == "rewrite orders" and not began:
            began.append(name)
            with store.engine() as another:
                another.session = "4e5f6a7b"
                store.compact(another)

    done = store.compact(engine, step=change)
    assert done.rows == NONE
    consistent(engine, aged, 20)
    assert store.stored() == [("a", 2), ("c", 1)]


def test_rows_that_redshift_counts_otherwise_are_not_taken_away(
    store: ColdStore, engine: RedshiftEngine, aged: AgedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddb_assets.warehouse.redshift.cold.compaction.counted", lambda *_: 3)
    with pytest.raises(IcebergError, match="3 of them were to be left out, and 1 were written: nothing was changed"):
        store.compact(engine)
    assert len(store.stored()) == 4
    consistent(engine, aged, 20)


def test_a_table_without_cold_rows_has_nothing_to_compact(
    store: ColdStore, engine: RedshiftEngine, tmp_path: Path
) -> None:
    with pytest.raises(WarehouseError, match="load a full export first"):
        store.compact(engine)
    source = AgedSource(tmp_path / "none")
    source.put(1, "a", "1 young")
    load(engine, source.full(10))
    assert store.compact(engine).tables == {}
    store.move(engine)
    assert store.compact(engine).tables == {}
