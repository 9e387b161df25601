"""The disasters of a warehouse on Redshift, over the emulator: lost, restored, truncated, dropped, without its ledger."""

from collections.abc import Iterator

import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.settings import PASSWORD
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets_tests.cli.test_commands import answer, call
from ddb_assets_tests.recovery.test_recovering import ONE
from ddb_assets_tests.status.standing import Standing, since
from ddb_assets_tests.support.engines import select, to_redshift
from ddb_assets_tests.support.window_chain import orders

TABLES = ("orders", "orders__items", "_ddb_tombstones__orders", "_ddb_loads__orders")


@pytest.fixture
def server(sandboxed: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedshiftServer]:
    """An emulator that copies from the sandbox's buckets."""
    with RedshiftServer(Storage(sandboxed.s3())) as server:
        monkeypatch.setenv(PASSWORD, server.password)
        yield server


@pytest.fixture
def engine(server: RedshiftServer) -> Iterator[RedshiftEngine]:
    with to_redshift(server) as engine:
        yield engine


def run(engine: RedshiftEngine, *statements: str) -> None:
    for statement in statements:
        engine.execute(Statement(statement))


def snapshot(engine: RedshiftEngine) -> None:
    run(engine, *(f"CREATE TABLE kept_{name} AS SELECT * FROM {name}" for name in TABLES))


def restore(engine: RedshiftEngine) -> None:
    for name in TABLES:
        run(engine, f"DROP TABLE {name}", f"CREATE TABLE {name} AS SELECT * FROM kept_{name}")


def test_each_disaster_is_named_and_mended(standing: Standing, server: RedshiftServer, engine: RedshiftEngine) -> None:
    url = f"{server.url}?sslmode=disable&staging=s3://staging/copy"
    here = (*ONE, "--warehouse", url)

    def found() -> set[str]:
        return set(standing.found(dagster=False, address=url))

    def recovered(loads: int, *options: str) -> None:
        (done,) = answer("recover", *here, *options, "--apply")["tables"]
        assert done["error"] == done["refused"] == ""
        assert done["loads"] == loads
        assert dict(select(engine, "SELECT order_id, status FROM orders")) == {
            order: status for order, (status, _) in orders(standing.chain.sandbox).items()
        }
        assert found() == set()

    assert found() == {"never_loaded"}  # the receipts in the lake are of another warehouse
    last = since(3)[-1]
    hidden = standing.objects(f"parquet/orders/{last}")
    (export,) = {name.split("/")[-2] for name in hidden if name.endswith("/report.json")}
    hidden |= standing.objects(f"exports/AWSDynamoDB/{export}/")
    standing.chain.delete(*hidden)
    said = call("recover", *here, "--apply").output
    assert "1 windows are still to be exported" in said
    snapshot(engine)
    standing.chain.put(hidden)
    recovered(1)

    restore(engine)
    assert found() == {"warehouse_restored"}
    recovered(1)
    run(engine, "DELETE FROM orders")
    assert found() == {"rows_changed"}
    recovered(4, "--restart")
    run(engine, "DROP TABLE orders")
    assert found() == {"table_dropped"}
    recovered(4, "--restart")
    run(engine, "DROP TABLE _ddb_loads__orders")
    assert found() == {"ledger_lost"}
    run(engine, *(f"ALTER TABLE {name} RENAME TO {name}_put_aside" for name in TABLES[:2]))
    assert found() == {"warehouse_lost"}
    recovered(4)
