"""The loading bench: both tables get the same window by the same statements, and its figures are those of the loads."""

import pytest

from ddb_assets_tests.bench.loading import measured


@pytest.mark.slow
def test_a_window_takes_the_same_statements_whatever_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDB_ASSETS_REDSHIFT_PASSWORD", "replaced by the bench")
    figures = measured(200, 1000, 40, starts=1)
    small, large = figures["window"].values()
    assert small["statements"] == large["statements"]
    assert small["rows"] == large["rows"] == {"orders": 38, "orders__lines": 38}
    assert [one["rows"]["orders"] for one in figures["initial_load"].values()] == [200, 1000]
    assert large["table_rows"]["orders"] == 1000 - 2 + 1
    assert all(
        one["peak"] >= one["before"] > 0 for kind in ("initial_load", "window") for one in figures[kind].values()
    )
