"""What follows by itself: windows loaded when their Parquet passes, late or mended, and nothing that nobody needs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ddb_assets.definitions import build_defs
from ddb_assets.sandbox.server import Sandbox, Write
from ddb_assets_tests.sandboxed import sandboxed
from ddb_assets_tests.window_chain import ORDERS, Chain, asset, hours_ago, key_of, own_chain

__all__ = ["sandboxed"]

PARQUET = ("parquet/orders", "parquet/orders__items")
TABLE = asset("warehouse/orders")


@pytest.fixture(scope="module")
def definitions(sandboxed: Sandbox) -> dg.Definitions:
    return build_defs()


@pytest.fixture
def chain(sandboxed: Sandbox, definitions: dg.Definitions, tmp_path: Path) -> Iterator[Chain]:
    with own_chain(sandboxed, definitions, tmp_path) as chain:
        yield chain


class Evaluations:
    """The automation sensor's evaluations one after another."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.cursor: Any = None
        self.next()

    def next(self, at: datetime | None = None) -> dg.EvaluateAutomationConditionsResult:
        result = dg.evaluate_automation_conditions(
            defs=self.chain.definitions, instance=self.chain.instance, cursor=self.cursor, evaluation_time=at
        )
        self.cursor = result.cursor
        return result

    def windows(self) -> set[str]:
        return {str(key) for key in self.next().get_requested_partitions(TABLE)}


def test_parquet_made_by_hand_is_loaded_once_and_a_late_window_too(chain: Chain) -> None:
    late, recent = hours_ago(40), hours_ago(5)
    as_of = {"snapshots_orders": {"config": {"as_of": hours_ago(45).start.isoformat()}}}
    whole = ["snapshots/orders", "baseline/orders", "baseline/orders__items"]
    assert chain.run(*whole, "warehouse_baseline/orders", "warehouse_baseline/orders__items", config=as_of).success
    evaluations = Evaluations(chain)
    for window in (recent, late):
        assert chain.run("exports/orders", *PARQUET, partitions=[key_of(window)]).success
        assert evaluations.windows() == {key_of(window)}
        assert evaluations.windows() == set()


def test_a_run_that_goes_on_to_the_warehouse_needs_no_other(chain: Chain) -> None:
    as_of = {"snapshots_orders": {"config": {"as_of": hours_ago(10).start.isoformat()}}}
    whole = ["snapshots/orders", "baseline/orders", "baseline/orders__items"]
    loaded = ["warehouse_baseline/orders", "warehouse_baseline/orders__items"]
    assert chain.run(*whole, *loaded, config=as_of).success
    evaluations = Evaluations(chain)
    partition = [key_of(hours_ago(5))]
    assert chain.run(
        "exports/orders", *PARQUET, "warehouse/orders", "warehouse/orders__items", partitions=partition
    ).success
    assert evaluations.windows() == set()
    assert chain.run(*loaded).success
    assert evaluations.next().total_requested == 0  # a new baseline alone is no news for windows


def test_a_bad_window_is_held_with_its_neighbours_free_and_released_when_it_is_mended(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = hours_ago(5), hours_ago(6)
    chain.baseline(hours_ago(10).start)
    chain.sandbox.seed(
        "Orders", [Write(bad.start + timedelta(minutes=1), {"orderId": {"S": "new"}, "odd": {"S": "x"}})]
    )
    frozen = project(tmp_path, monkeypatch, "frozen", contract="freeze")
    chain.definitions = frozen
    snapshot = {"snapshots_orders": {"config": {"as_of": hours_ago(10).start.isoformat()}}}
    whole = ["snapshots/orders", "baseline/orders", "warehouse_baseline/orders"]
    chain.definitions = project(tmp_path, monkeypatch, "first", contract="evolve")
    assert chain.run(*whole, config=snapshot).success
    chain.definitions = frozen
    evaluations = Evaluations(chain)
    windows = [key_of(good), key_of(bad)]
    assert chain.run("exports/orders", partitions=windows).success
    assert not chain.run("parquet/orders", partitions=windows).success
    assert evaluations.windows() == {key_of(good)}
    assert evaluations.windows() == set()
    chain.definitions = project(tmp_path, monkeypatch, "evolved", contract="evolve")
    evaluations.chain = chain
    assert chain.run("parquet/orders", partitions=[key_of(bad)]).success
    assert evaluations.windows() == {key_of(bad)}


def project(folder: Path, patch: pytest.MonkeyPatch, name: str, *, contract: str) -> dg.Definitions:
    """A dg project with the orders table alone, under this contract."""
    root = folder / name
    path = root / name / "defs" / "orders" / "defs.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        f"type: ddb_assets.components.DynamoDBTable\nattributes:\n  table: Orders\n  contract: {contract}\n"
    )
    (root / "pyproject.toml").write_text(
        f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{name}"\n'
    )
    (root / name / "__init__.py").touch()
    (root / name / "definitions.py").touch()
    patch.syspath_prepend(root)
    return build_defs(root / name)


def test_what_is_missing_is_asked_every_hour(chain: Chain) -> None:
    chain.baseline(hours_ago(10).start)
    evaluations = Evaluations(chain)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    evaluations.next(hour - timedelta(minutes=30))
    assert evaluations.next(hour - timedelta(minutes=1)).total_requested == 0
    assert evaluations.next(hour + timedelta(minutes=1)).total_requested == 6  # two checks for each of three tables
    assert evaluations.next(hour + timedelta(minutes=2)).total_requested == 0


def test_the_hourly_checks_tell_what_is_missing(chain: Chain) -> None:
    chain.baseline(hours_ago(10).start)
    checks = [dg.AssetCheckKey(TABLE, name) for name in ("windows_complete", "fresh")]
    job = dg.define_asset_job("checks", dg.AssetSelection.checks(*checks))
    result = (
        dg.Definitions.merge(chain.definitions, dg.Definitions(jobs=[job]))
        .resolve_job_def("checks")
        .execute_in_process(instance=chain.instance)
    )
    complete, fresh = sorted(result.get_asset_check_evaluations(), key=lambda check: check.check_name, reverse=True)
    assert not complete.passed
    assert not fresh.passed
    assert str(complete.description).endswith(f"the first is {ORDERS.windows.key(hours_ago(10))}")
