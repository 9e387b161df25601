"""The bench of warehouses: both have the same rows, and every process is measured."""

import pytest

from ddb_assets_tests.bench.warehouses import measured


@pytest.mark.slow
def test_both_warehouses_get_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDB_ASSETS_CLICKHOUSE_PASSWORD", "replaced by the bench")
    found = measured(400, 40)
    assert [(one["into"], one["kind"], one["rows"]["orders"]) for one in found] == [
        ("DuckDB", "initial_load", 400),
        ("DuckDB", "window", 38),
        ("ClickHouse", "initial_load", 400),
        ("ClickHouse", "window", 38),
    ]
    assert all(one["wall"] > 0 and one["cpu"] > 0 and one["peak"] > 0 for one in found)
    assert [one["server_peak"] > 0 for one in found] == [False, False, True, True]
