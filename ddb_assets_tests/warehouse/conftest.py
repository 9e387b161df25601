"""The warehouses that a load must treat alike, empty at first."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets_tests.support.engines import AnyEngine, wipe
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


@pytest.fixture(params=["duckdb", "over_redshift"])
def warehouse(request: pytest.FixtureRequest) -> AnyEngine:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, AnyEngine)
    return found


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path / "parquet")
