"""A ledger for each table: loads without conflicts, the ledger that all tables once shared, and the view of all ledgers."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Report
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.warehouse.errors import LoadError
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.settings import PASSWORD
from ddb_assets.warehouse.sql.statements import Statement, TableName
from ddb_assets_tests.support.engines import AnyEngine, read, select, to_redshift
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.support.places import s3_in_process
from ddb_assets_tests.warehouse.exports import (
    BASE_MICROS,
    DELETED,
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

NAMES = ("alpha", "beta", "gamma", "delta")


def exported(folder: Path, name: str, time: int, *keys: str, window: bool = False) -> Report:
    made = relation(name, (KEY, VERSION, *((DELETED,) if window else ()), EXTRA))
    rows = [{"order_id": key, "_ddb_version": BASE_MICROS + time, "_ddb_deleted": False} for key in keys]
    root = write(folder / f"{name}{time}", made, rows)
    arn = f"arn:aws:dynamodb:eu-west-1:123456789012:table/{name}"
    if window:
        return report([root], window=(at(time), at(time + 10)), table_arn=arn)
    return report([root], export_time=at(time), table_arn=arn)


def at_once(*jobs: Callable[[], object]) -> list[BaseException]:
    """Runs the calls side by side; gives the exceptions."""
    failures: list[BaseException] = []

    def run(job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def loading(server: RedshiftServer, *exports: Report, schema: str = "public") -> Callable[[], None]:
    def run() -> None:
        with to_redshift(server, schema) as warehouse:
            for export in exports:
                load(warehouse, export)

    return run


@pytest.fixture(scope="module")
def serializable() -> Iterator[RedshiftServer]:
    """A serializable database, as in older clusters."""
    with (
        s3_in_process() as client,
        RedshiftServer(Storage(client), isolation="serializable") as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv(PASSWORD, server.password)
        yield server


@pytest.mark.slow
def test_loads_of_different_tables_never_conflict(
    serializable: RedshiftServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No load is retried, although the database treats two readers and writers of one table as a conflict."""
    for name in NAMES:
        loading(serializable, exported(tmp_path, name, 5, "a", "b"))()
    windows = {name: [exported(tmp_path, name, t, "b", f"k{t}", window=True) for t in (10, 20, 30)] for name in NAMES}
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", ())
    serializable.faults.delay_statements(0.01)  # so that all of them are in a transaction at the same time
    try:
        assert at_once(*(loading(serializable, *windows[name]) for name in NAMES)) == []
    finally:
        serializable.faults.clear()
    with to_redshift(serializable) as warehouse:
        for name in NAMES:
            assert len(select(warehouse, f"SELECT order_id FROM {name}")) == 5
        counted = select(warehouse, "SELECT relation, COUNT(*) FROM _ddb_loads GROUP BY relation ORDER BY relation")
    assert counted == [(name, 4) for name in sorted(NAMES)]


def test_first_loads_at_once_make_one_schema(
    redshift: RedshiftServer, over_redshift: RedshiftEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load that finds the schema or the view of all ledgers just created continues."""
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", (0.05,) * 8)
    over_redshift.execute(Statement("DROP SCHEMA IF EXISTS together CASCADE"))
    jobs = [loading(redshift, exported(tmp_path, name, 5, "a"), schema="together") for name in NAMES]
    try:
        assert at_once(*jobs) == []
        shown = select(over_redshift, "SELECT relation FROM together._ddb_loads ORDER BY relation")
        assert shown == [(name,) for name in sorted(NAMES)]
    finally:
        over_redshift.execute(Statement("DROP SCHEMA together CASCADE"))


def test_a_snapshot_older_than_the_lock_does_no_harm(
    redshift: RedshiftServer,
    over_redshift: RedshiftEngine,
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two loads of one window that only adds rows. The second would see neither the rows nor the first load's ledger row."""
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", (0.05,) * 8)
    load(over_redshift, source.full(5))
    source.put(11, "new", "x", "y")
    window = source.window(10, 20)
    redshift.faults.early_full_exports = True
    redshift.faults.delay_statements(0.01)
    assert at_once(*[loading(redshift, window)] * 3) == []
    redshift.faults.clear()
    assert read(over_redshift) == {"new": Item("x", ("y",))}
    assert select(over_redshift, "SELECT COUNT(*) FROM _ddb_loads") == [(2,)]


def test_loads_of_one_table_wait_for_each_other(
    redshift: RedshiftServer, over_redshift: RedshiftEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is retried. The lock comes first, so each load sees what the last holder committed."""
    load(over_redshift, exported(tmp_path, "alpha", 5, "a"))
    windows = [exported(tmp_path, "alpha", time, "a", f"k{time}", window=True) for time in (10, 20, 30)]
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", ())
    redshift.faults.delay_statements(0.01)
    assert at_once(*(loading(redshift, window) for window in windows)) == []
    redshift.faults.clear()
    assert select(over_redshift, "SELECT MAX(sequence), COUNT(*) FROM _ddb_loads") == [(4, 4)]
    assert len(select(over_redshift, "SELECT order_id FROM alpha")) == 4


def shared_again(warehouse: AnyEngine) -> None:
    """The ledger of earlier versions."""
    for text in (
        "DROP VIEW _ddb_loads",
        "ALTER TABLE _ddb_loads__orders RENAME TO _ddb_loads",
        "DELETE FROM _ddb_loads WHERE relation IS NULL",
    ):
        warehouse.execute(Statement(text))


def test_the_ledger_that_all_tables_shared_is_honoured(warehouse: AnyEngine, source: Source, tmp_path: Path) -> None:
    """Its rows move to each table's ledger, and nothing is loaded twice."""
    source.put(1, "a", "first")
    source.put(11, "a", "second")
    initial_load, window = source.full(5), source.window(10, 20)
    load(warehouse, initial_load)
    load(warehouse, window)
    shared_again(warehouse)
    columns = "relation, sequence, export_id, digest, from_time, relation_rows"
    before = select(warehouse, f"SELECT {columns} FROM _ddb_loads ORDER BY sequence")
    load(warehouse, exported(tmp_path, "others", 5, "k"))
    assert not load(warehouse, window).applied
    shown = select(warehouse, f"SELECT {columns} FROM _ddb_loads WHERE relation = 'orders' ORDER BY sequence")
    assert shown == before
    assert select(warehouse, "SELECT COUNT(*) FROM _ddb_loads_shared") == [(2,)]
    source.put(21, "a", "third")
    assert load(warehouse, source.window(20, 30)).sequence == 3


def test_two_loads_at_once_move_the_shared_ledger_once(
    redshift: RedshiftServer,
    over_redshift: RedshiftEngine,
    source: Source,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second load has seen the shared ledger as well, and waits for the lock of the first."""
    monkeypatch.setattr("ddb_assets.warehouse.sql.load.RETRIES", (0.05,) * 8)
    load(over_redshift, source.full(5))
    shared_again(over_redshift)
    both, transaction = threading.Barrier(2), RedshiftEngine.transaction

    def together(warehouse: RedshiftEngine, lock: TableName | None = None) -> AbstractContextManager[None]:
        if lock == TableName("public", "_ddb_loads"):
            both.wait(10)
        return transaction(warehouse, lock)

    monkeypatch.setattr(RedshiftEngine, "transaction", together)
    assert at_once(*(loading(redshift, exported(tmp_path, name, 5, "k")) for name in NAMES[:2])) == []
    shown = select(over_redshift, "SELECT relation FROM _ddb_loads ORDER BY relation")
    assert shown == [("alpha",), ("beta",), ("orders",)]


def test_a_table_that_is_no_ledger_is_not_taken_for_one(warehouse: AnyEngine, source: Source) -> None:
    warehouse.execute(Statement("CREATE TABLE _ddb_loads (a VARCHAR(9))"))
    with pytest.raises(LoadError, match=r"_ddb_loads.* exists and is not a ledger of loads: rename it"):
        load(warehouse, source.full(5))
    assert select(warehouse, "SELECT COUNT(*) FROM _ddb_loads") == [(0,)]


def test_the_view_of_all_ledgers_bears_with_older_ones(warehouse: AnyEngine, source: Source, tmp_path: Path) -> None:
    """A ledger without all columns, because its table has not been loaded since they were added."""
    source.put(1, "a", "x")
    load(warehouse, source.full(5))
    for text in ("DROP VIEW _ddb_loads", "ALTER TABLE _ddb_loads__orders DROP COLUMN seconds"):
        warehouse.execute(Statement(text))
    load(warehouse, exported(tmp_path, "others", 5, "k"))
    found = select(warehouse, "SELECT relation, seconds IS NULL FROM _ddb_loads ORDER BY relation")
    assert found == [("orders", True), ("others", False)]
