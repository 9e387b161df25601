"""The warehouses that a load must treat alike, empty at first."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ddb_assets.aws.clients import AWS
from ddb_assets.cli.sandbox import environment
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets.warehouse.iceberg.connection import IcebergEngine
from ddb_assets.warehouse.postgres.adapter import PASSWORD as POSTGRES_PASSWORD
from ddb_assets.warehouse.postgres.adapter import Postgres
from ddb_assets.warehouse.postgres.connection import PostgresEngine
from ddb_assets.warehouse.redshift.cold import iceberg_tables
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.settings import PASSWORD
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets_tests.support.engines import Followable, SmallBuckets, wipe
from ddb_assets_tests.warehouse.cold_store import BUCKET, ColdStore
from ddb_assets_tests.warehouse.conformance.conftest import KINDS
from ddb_assets_tests.warehouse.exports import Source


@pytest.fixture(scope="module")
def opened_duckdb() -> Iterator[DuckDBEngine]:
    """To open DuckDB takes longer than most loads of tests."""
    with DuckDBEngine(":memory:") as open_:
        yield open_


@pytest.fixture
def duckdb(opened_duckdb: DuckDBEngine) -> DuckDBEngine:
    wipe(opened_duckdb)
    return opened_duckdb


@pytest.fixture(scope="module")
def opened_iceberg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IcebergEngine]:
    """Iceberg tables in a folder, of which every one with more than one row is partitioned."""
    with SmallBuckets(CatalogUrl.parse(f"iceberg:///{tmp_path_factory.mktemp('iceberg')}/c?namespace=main")) as open_:
        yield open_


@pytest.fixture
def iceberg(opened_iceberg: IcebergEngine) -> IcebergEngine:
    wipe(opened_iceberg)
    return opened_iceberg


@pytest.fixture(scope="module")
def opened_postgres(postgres_server: str) -> Iterator[PostgresEngine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(POSTGRES_PASSWORD, "any")
        with PostgresEngine(Postgres().server(postgres_server)) as open_:
            yield open_


@pytest.fixture
def postgres(opened_postgres: PostgresEngine, monkeypatch: pytest.MonkeyPatch) -> PostgresEngine:
    monkeypatch.setenv(POSTGRES_PASSWORD, "any")
    wipe(opened_postgres)
    return opened_postgres


ON_ICEBERG = frozenset(
    {
        "test_a_row_of_somebody_else_is_not_taken_for_ours",
        "test_whole_numbers",
    }
)
"""The tests of `warehouse` that always run on Iceberg too.

`INSTEAD_OF_DUCKDB=iceberg`, or `postgres`, runs all tests there in the place of DuckDB.
"""


ON_CLICKHOUSE = frozenset(
    {
        "test_any_order_of_records_leaves_the_newest_write",
        "test_records_are_applied_once_or_not_at_all",
        "test_what_exports_cover_does_not_enter",
        "test_what_the_stream_said_is_compared_before_it_is_forgotten",
        "test_a_stream_can_come_before_the_first_export",
    }
)
"""The tests of `warehouse` that always run on ClickHouse too. `CONFORMANCE=clickhouse` runs all of them, and no others."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out the other tests on Iceberg and ClickHouse, which take several times as long as those on DuckDB."""
    only = os.environ.get("CONFORMANCE") == "clickhouse"
    # beside a stream it keeps no rows of deleted items
    can = next(kind.can for kind in KINDS if kind.name == "clickhouse") - {"soft_delete"}

    def runs(item: pytest.Item) -> bool:
        chosen = getattr(item, "callspec", None)
        if chosen is None or (param := chosen.params.get("warehouse")) is None:
            return True
        name = item.name.partition("[")[0]
        if only or param == "clickhouse":
            needed = {ability for mark in item.iter_markers("needs") for ability in mark.args}
            return param == "clickhouse" and needed <= can and (only or name in ON_CLICKHOUSE)
        return param != "iceberg" or name in ON_ICEBERG

    items[:] = [item for item in items if runs(item)]


@pytest.fixture(params=["duckdb", "over_redshift", "iceberg"])
def warehouse(request: pytest.FixtureRequest) -> Followable:
    instead = os.environ.get("INSTEAD_OF_DUCKDB") if request.param == "duckdb" else None
    found = request.getfixturevalue(instead or request.param)
    assert isinstance(found, Followable)
    return found


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path / "parquet")


@pytest.fixture(scope="module")
def cold_aws() -> AWS:
    """Clients for the sandbox, which are made when a test needs them and kept for the others."""
    return AWS()


@pytest.fixture
def cold_store(
    sandbox: Sandbox, streaming_redshift: RedshiftServer, cold_aws: AWS, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ColdStore]:
    """A Redshift with a catalog of its own for each test."""
    for name, value in environment(sandbox).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(PASSWORD, streaming_redshift.password)
    sandbox.s3().create_bucket(Bucket=BUCKET)
    database = f"cold_{uuid.uuid4().hex}"
    yield ColdStore(streaming_redshift, f"iceberg://glue/{database}?location=s3://{BUCKET}/{database}", cold_aws)
    streaming_redshift.faults.clear()


@pytest.fixture
def local_store(cold_store: ColdStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ColdStore:
    """The same with the tables' files in a folder, for half the time. The catalog is that of Glue."""
    monkeypatch.setattr(iceberg_tables, "location_of", lambda _, name: str(tmp_path / f"{name}-{uuid.uuid4().hex}"))
    return cold_store


@pytest.fixture
def cold_engine(cold_store: ColdStore) -> Iterator[RedshiftEngine]:
    """A connection to it, which is empty."""
    with cold_store.engine() as opened:
        opened.session = "0a1b2c3d"  # with equal texts, the emulator need not translate them again
        wipe(opened)
        opened.execute(Statement("DROP SCHEMA IF EXISTS public_cold"))
        yield opened
