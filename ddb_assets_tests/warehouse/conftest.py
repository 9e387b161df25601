"""The warehouses that a load must treat alike, empty at first."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ddb_assets.warehouse.duckdb.connection import DuckDBEngine
from ddb_assets_tests.support.engines import AnyEngine
from ddb_assets_tests.warehouse.exports import Source


@pytest.fixture
def duckdb() -> Iterator[DuckDBEngine]:
    with DuckDBEngine(":memory:") as open_:
        yield open_


@pytest.fixture(params=["duckdb", "over_redshift"])
def warehouse(request: pytest.FixtureRequest) -> AnyEngine:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, AnyEngine)
    return found


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path / "parquet")
