"""`ddb-assets cold`: says first what it would do, and moves and compacts when it is told."""

from pathlib import Path

import pytest

from ddb_assets.settings import ICEBERG, WAREHOUSE
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets_tests.cli.test_commands import answer, call
from ddb_assets_tests.support.loading import load
from ddb_assets_tests.warehouse.cold_store import AgedSource, ColdStore, cold, hot
from ddb_assets_tests.warehouse.conftest import cold_aws, cold_engine, cold_store

__all__ = ["cold_aws", "cold_engine", "cold_store"]  # the fixtures
YAML = """
type: ddb_assets.components.DynamoDBTable
attributes:
  table: Orders
  start: 2026-01-01
  nested: {{lines: child}}
  warehouse: {{{retain}}}
"""


def test_old_rows_move_and_superseded_ones_go_from_a_shell(
    cold_store: ColdStore, cold_engine: RedshiftEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, plain = tmp_path / "defs.yaml", tmp_path / "plain.yaml"
    config.write_text(YAML.format(retain="retain: 400 days by created"))
    plain.write_text(YAML.format(retain=""))
    monkeypatch.setenv(WAREHOUSE, f"{cold_store.server.url}?sslmode=disable&staging=s3://staging/copy")
    monkeypatch.setenv(ICEBERG, cold_store.catalog)
    source = AgedSource(tmp_path / "parquet")
    source.put(1, "a", "900 first", "x", "y")
    source.put(2, "b", "-900 of the future")
    source.put(3, "c", "900 huge")
    load(cold_engine, source.full(10))
    move, compact = (
        ("cold", "move", "orders", "--config", str(config)),
        ("cold", "compact", "Orders", "--config", str(config)),
    )
    said = answer(*move)
    assert (said["moved"], said["rows"], said["kept"]) == (False, {"orders": 1, "orders__lines": 2}, 1)
    assert "nothing was changed: --yes moves the rows" in call(*move).stdout
    assert hot(cold_engine) == set("abc")
    assert "orders has no cold rows" in call(*compact).stdout
    assert "1 items of orders are cold" in call(*move, "--yes").stdout
    assert cold(cold_engine) == {"a"}
    assert answer(*move, "--days", "36500")["rows"] == {}
    source.put(11, "a", "-900 again")
    load(cold_engine, source.window(10, 20))
    assert "1 items in" in call(*compact).stdout
    assert "wait until no query" in call(*compact, "--yes").stdout
    assert cold_store.stored() == [("a", 1)]
    done = answer(*compact, "--yes", "--after-hours", "0")
    assert (done["compacted"], done["rows"], done["superseded"]) == (True, {"orders": 1, "orders__lines": 2}, 0)
    assert cold_store.stored() == []
    source.put(21, "a", "900 old again")
    load(cold_engine, source.window(20, 30))
    call(*move, "--yes")
    with cold_store.table() as table:
        table.delete("order_id = 'a'")
    assert "1 of 1 cold items have no row in the Iceberg table" in call(*move, "--yes", code=1).stderr
    assert "has no `warehouse.retain`" in call("cold", "move", "orders", "--config", str(plain), code=2).stderr
