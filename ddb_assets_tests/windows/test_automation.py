"""What runs by itself: windows are loaded when their Parquet passes, late or repaired, and nothing runs without need."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ddb_assets.definitions import build_defs
from ddb_assets.sandbox.server import Write
from ddb_assets_tests.support.window_chain import ORDERS, Chain, asset, hours_ago, key_of

PARQUET = ("parquet/orders_window_parquet", "parquet/orders__items_window_parquet")
TABLE = asset("warehouse/orders")


class Evaluations:
    """Evaluations of the automation sensor, one after another."""

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
    as_of = {"exports__orders_full_export": {"config": {"as_of": hours_ago(45).start.isoformat()}}}
    whole = ["exports/orders_full_export", "parquet/orders_full_parquet", "parquet/orders__items_full_parquet"]
    assert chain.run(*whole, "loads/orders_initial_load", "loads/orders__items_initial_load", config=as_of).success
    evaluations = Evaluations(chain)
    for window in (recent, late):
        assert chain.run("exports/orders_window_export", *PARQUET, partitions=[key_of(window)]).success
        assert evaluations.windows() == {key_of(window)}
        assert evaluations.windows() == set()


def test_a_window_that_was_overlooked_is_loaded_within_the_hour(chain: Chain) -> None:
    window = key_of(hours_ago(5))
    as_of = {"exports__orders_full_export": {"config": {"as_of": hours_ago(10).start.isoformat()}}}
    whole = ["exports/orders_full_export", "parquet/orders_full_parquet", "parquet/orders__items_full_parquet"]
    assert chain.run(*whole, "loads/orders_initial_load", "loads/orders__items_initial_load", config=as_of).success
    assert chain.run("exports/orders_window_export", *PARQUET, partitions=[window]).success
    evaluations = Evaluations(chain)  # the first evaluation knows nothing of what was before it
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)

    def asked(minutes: int) -> set[str]:
        return set(map(str, evaluations.next(hour + timedelta(minutes=minutes)).get_requested_partitions(TABLE)))

    assert [asked(minutes) for minutes in (-2, -1, 1, 2)] == [set(), set(), {window}, set()]
    assert chain.run("warehouse/orders", "warehouse/orders__items", partitions=[window]).success
    assert [asked(minutes) for minutes in (3, 61)] == [set(), set()]


def test_a_run_that_goes_on_to_the_warehouse_needs_no_other(chain: Chain) -> None:
    as_of = {"exports__orders_full_export": {"config": {"as_of": hours_ago(10).start.isoformat()}}}
    whole = ["exports/orders_full_export", "parquet/orders_full_parquet", "parquet/orders__items_full_parquet"]
    loaded = ["loads/orders_initial_load", "loads/orders__items_initial_load"]
    assert chain.run(*whole, *loaded, config=as_of).success
    evaluations = Evaluations(chain)
    partition = [key_of(hours_ago(5))]
    assert chain.run(
        "exports/orders_window_export", *PARQUET, "warehouse/orders", "warehouse/orders__items", partitions=partition
    ).success
    assert evaluations.windows() == set()
    assert chain.run(*loaded).success
    assert evaluations.next().total_requested == 0  # a new initial load alone starts no windows


def test_a_bad_window_is_held_with_its_neighbours_free_and_released_when_it_is_mended(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = hours_ago(5), hours_ago(6)
    chain.initial_load(hours_ago(10).start)
    chain.sandbox.seed(
        "Orders", [Write(bad.start + timedelta(minutes=1), {"orderId": {"S": "new"}, "odd": {"S": "x"}})]
    )
    frozen = project(tmp_path, monkeypatch, "frozen", contract="freeze")
    chain.definitions = frozen
    full_export = {"exports__orders_full_export": {"config": {"as_of": hours_ago(10).start.isoformat()}}}
    whole = ["exports/orders_full_export", "parquet/orders_full_parquet", "loads/orders_initial_load"]
    chain.definitions = project(tmp_path, monkeypatch, "first", contract="evolve")
    assert chain.run(*whole, config=full_export).success
    chain.definitions = frozen
    evaluations = Evaluations(chain)
    windows = [key_of(good), key_of(bad)]
    assert chain.run("exports/orders_window_export", partitions=windows).success
    assert not chain.run("parquet/orders_window_parquet", partitions=windows).success
    assert evaluations.windows() == {key_of(good)}
    assert evaluations.windows() == set()
    assert not chain.run("warehouse/orders", partitions=[key_of(bad)]).success  # not even by hand
    chain.definitions = project(tmp_path, monkeypatch, "evolved", contract="evolve")
    evaluations.chain = chain
    assert chain.run("parquet/orders_window_parquet", partitions=[key_of(bad)]).success
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


def test_the_page_on_windows_names_what_there_is(chain: Chain, pytestconfig: pytest.Config) -> None:
    """The page's assets, checks, switches, settings and messages exist."""
    page = (pytestconfig.rootpath / "docs" / "windows.md").read_text()
    repository = chain.definitions.get_repository_def()
    graph = repository.asset_graph
    there = {key.to_user_string() for key in graph.get_all_asset_keys()}
    there |= {f"{key.asset_key.to_user_string()}:{key.name}" for key in graph.asset_check_keys}
    named = set(re.findall(r"`((?:dynamodb|exports|parquet|loads|warehouse)/\w+)`", page))
    checks = {f"{of}:{check}" for check, of in re.findall(r"^\| `(\w+)` \| `([\w/]+)` \|", page, re.MULTILINE)}
    assert len(named) > 5
    assert len(checks) == 8
    checks.remove("warehouse/orders:history_unbroken")  # only tables with a history have it
    assert named | checks <= there
    switches = set(re.findall(r"the (?:schedule|sensor) `(\w+)`", page))
    assert switches == {"orders_windows", "ddb_assets_exports", "ddb_assets_automation"}
    states = {made.name: made.default_status.value for made in repository.schedule_defs}
    states |= {made.name: made.default_status.value for made in repository.sensor_defs}
    assert {states[switch] for switch in switches} == {"STOPPED"}
    (messages,) = re.findall(r"^\| message .*\n\|.*\n((?:\|.*\n)+)", page, re.MULTILINE)
    said = [row.split("|")[1].strip() for row in messages.splitlines()]
    source = " ".join(
        re.sub(r'"\s*f?"', "", path.read_text()) for path in (pytestconfig.rootpath / "ddb_assets").rglob("*.py")
    )
    assert len(said) == 10
    for message in said:
        for part in re.split(r"[…:,] ?|\d+ ", message):
            assert part.strip() in source, part


def test_what_is_missing_is_asked_every_hour(chain: Chain) -> None:
    chain.initial_load(hours_ago(10).start)
    evaluations = Evaluations(chain)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    evaluations.next(hour - timedelta(minutes=30))
    assert evaluations.next(hour - timedelta(minutes=1)).total_requested == 0
    assert evaluations.next(hour + timedelta(minutes=1)).total_requested == 3 * (3 + 1)  # each table: checks, status
    assert evaluations.next(hour + timedelta(minutes=2)).total_requested == 0


def test_the_hourly_checks_tell_what_is_missing(chain: Chain) -> None:
    chain.initial_load(hours_ago(10).start)
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
