"""The worlds of the model tests, each on another warehouse.

`models.py` lists them. A new adapter has its fixture here and its line there.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from ddb_assets.sandbox.clickhouse.server import ClickHouseServer
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.warehouse.clickhouse import lock
from ddb_assets.warehouse.clickhouse.settings import PASSWORD as CLICKHOUSE_PASSWORD
from ddb_assets.warehouse.postgres.adapter import PASSWORD as POSTGRES_PASSWORD
from ddb_assets.warehouse.postgres.adapter import Postgres
from ddb_assets.warehouse.redshift.settings import PASSWORD
from ddb_assets.warehouse.sql import load
from ddb_assets_tests.model.clickhouse_world import FragileClickHouse
from ddb_assets_tests.model.iceberg_world import FragileIceberg
from ddb_assets_tests.model.postgres_world import FragilePostgres
from ddb_assets_tests.model.redshift_world import FragileRedshift
from ddb_assets_tests.model.world import Faults, FragileWarehouse, ModelWarehouse, World


@contextmanager
def _world(folder: Path, warehouse: ModelWarehouse, faults: Faults) -> Iterator[World]:
    """An interrupted load is repeated at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "RETRIES", (0.0,) * 4)
        world = World(folder, warehouse, faults)
        yield world
        world.log.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    faults = Faults()
    with (
        FragileWarehouse(faults) as warehouse,
        _world(tmp_path_factory.mktemp("world"), warehouse, faults) as world,
    ):
        yield world


@pytest.fixture(scope="module")
def redshift_world(redshift: RedshiftServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The same on the Redshift emulator, over the driver."""
    faults = Faults()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PASSWORD, redshift.password)
        with (
            FragileRedshift(redshift, faults) as warehouse,
            _world(tmp_path_factory.mktemp("redshift_world"), warehouse, faults) as world,
        ):
            yield world


@pytest.fixture(scope="module")
def iceberg_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The same on Iceberg tables in a folder."""
    faults = Faults()
    folder = tmp_path_factory.mktemp("iceberg_world")
    with FragileIceberg(str(folder), faults) as warehouse, _world(folder, warehouse, faults) as world:
        yield world


@pytest.fixture(scope="module")
def clickhouse_world(clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The same on ClickHouse's engine, over the driver."""
    faults = Faults()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CLICKHOUSE_PASSWORD, clickhouse_server.password)
        with (
            FragileClickHouse(clickhouse_server, faults) as warehouse,
            _world(tmp_path_factory.mktemp("clickhouse_world"), warehouse, faults) as world,
        ):
            patch.setattr(lock, "time", SimpleNamespace(monotonic=time.monotonic, sleep=warehouse.server.wait))
            yield world


@pytest.fixture(scope="module")
def postgres_world(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The same on PostgreSQL."""
    faults = Faults()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(POSTGRES_PASSWORD, "any")
        with (
            FragilePostgres(Postgres().server(postgres_server), faults) as warehouse,
            _world(tmp_path_factory.mktemp("postgres_world"), warehouse, faults) as world,
        ):
            yield world
