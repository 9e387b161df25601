"""The cold tier together with what else a table may have or suffer: a history, a backup that is restored, a lost warehouse."""

from pathlib import Path

import pytest

from ddb_assets.iceberg.catalog import open_catalog
from ddb_assets.iceberg.errors import IcebergError
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets_tests.support.engines import read, wipe
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.cold_store import AgedSource, ColdStore, cold, hot
from ddb_assets_tests.warehouse.conformance.sql_subjects import SqlSubject
from ddb_assets_tests.warehouse.conformance.test_history import at_time, kept, versions
from ddb_assets_tests.warehouse.conformance.worlds import items
from ddb_assets_tests.warehouse.test_cold import consistent


@pytest.fixture
def store(local_store: ColdStore) -> ColdStore:
    return local_store


@pytest.fixture
def engine(cold_engine: RedshiftEngine) -> RedshiftEngine:
    return cold_engine


@pytest.fixture
def source(tmp_path: Path) -> AgedSource:
    found = AgedSource(tmp_path / "parquet")
    for time, key in enumerate("abc", 1):
        found.put(time, key, f"50{time} first", "x", "y")
    return found


def test_a_history_keeps_the_versions_of_cold_items(
    store: ColdStore, engine: RedshiftEngine, source: AgedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions are rows of their own in the warehouse, so a move and a compaction change nothing in them."""
    source.hashed = True
    subject = SqlSubject(engine, monkeypatch)
    kept(subject, source.full(10))
    store.move(engine)
    source.put(11, "a", "501 second", "z")
    source.delete(12, "b")
    kept(subject, source.window(10, 20))
    store.move(engine)
    assert [(begin, end) for begin, end, *_ in versions(subject)["a"]] == [(10, 11), (11, None)]
    assert [(begin, end) for begin, end, *_ in versions(subject)["b"]] == [(10, 12)]
    store.compact(engine)
    kept(subject, source.full(30))  # what is in it is no new version, cold or hot
    store.move(engine)
    found = versions(subject)
    assert [(begin, end) for begin, end, *_ in found["a"]] == [(10, 11), (11, None)]
    assert (at_time(found, 10), at_time(found, 30)) == (items(source, 10), items(source, 30))
    consistent(engine, source, 30)
    assert cold(engine) == {"a", "c"}


TABLES = ("orders", "orders__lines", "_ddb_cold__orders", "_ddb_moves__orders", "_ddb_loads__orders")


def test_a_warehouse_that_was_restored_from_a_backup_goes_on(
    store: ColdStore, engine: RedshiftEngine, source: AgedSource
) -> None:
    """The Iceberg tables have moves that the backup does not know, with numbers that it would give again."""
    load(engine, source.full(10))
    store.move(engine)
    source.put(11, "d", "600 x", "v")
    window = source.window(10, 20)
    for name in TABLES:
        engine.execute(Statement(f"CREATE TABLE backup_{name} AS SELECT * FROM {name}"))
    load(engine, window)
    store.move(engine)
    source.put(21, "d", "601 y", "v")
    later = source.window(20, 30)
    load(engine, later)
    store.move(engine)
    assert [key for key, _ in store.stored()] == ["a", "b", "c", "d", "d"]
    for name in TABLES:
        engine.execute(Statement(f"DELETE FROM {name}"))
        engine.execute(Statement(f"INSERT INTO {name} SELECT * FROM backup_{name}"))
    consistent(engine, source, 10)
    load(engine, window)
    assert store.move(engine).move == 4
    consistent(engine, source, 20)
    load(engine, later)
    consistent(engine, source, 30)
    store.move(engine)
    store.compact(engine)
    consistent(engine, source, 30)
    assert (cold(engine), store.stored()) == (set("abcd"), [("a", 1), ("b", 1), ("c", 1), ("d", 5)])


def test_rows_that_a_compaction_took_away_since_the_backup_come_back_with_the_windows(
    store: ColdStore, engine: RedshiftEngine, source: AgedSource
) -> None:
    load(engine, source.full(10))
    store.move(engine)
    for name in TABLES:
        engine.execute(Statement(f"CREATE TABLE backup_{name} AS SELECT * FROM {name}"))
    source.put(11, "a", "501 second", "z")
    source.delete(12, "b")
    window = source.window(10, 20)
    load(engine, window)
    store.compact(engine)
    for name in TABLES:
        engine.execute(Statement(f"DELETE FROM {name}"))
        engine.execute(Statement(f"INSERT INTO {name} SELECT * FROM backup_{name}"))
    assert store.move(engine, days=10_000).lost == 2  # which is a check that fails
    load(engine, window)
    consistent(engine, source, 20)
    assert store.move(engine).lost == 0


def test_a_lost_warehouse_begins_again_without_its_former_cold_rows(
    cold_store: ColdStore, engine: RedshiftEngine, source: AgedSource
) -> None:
    """Only it knew which of them are true. Everything that is loaded again is hot."""
    exports = [source.full(10)]
    load(engine, exports[0])
    cold_store.move(engine)
    source.put(11, "a", "501 second", "z")
    exports.append(source.window(10, 20))
    load(engine, exports[1])
    wipe(engine)
    for export in exports:
        load(engine, export)
    assert read(engine) == items(source, 20)
    assert hot(engine) == set("abc")
    with pytest.raises(IcebergError, match="is not the table of the cold rows of"):
        cold_store.move(engine)
    assert read(engine) == items(source, 20)
    with open_catalog(cold_store.catalog, cold_store.aws) as catalog:
        for name in ("orders__cold", "orders__lines__cold"):
            catalog.drop_table((cold_store.catalog.split("/")[3].partition("?")[0], name))
    cold_store.move(engine)
    consistent(engine, source, 20)
    assert cold(engine) == set("abc")
