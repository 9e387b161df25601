"""A fault of one table, or a change of it in Dagster, affects that table alone. The ticks of the others continue."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from ddb_assets.contract.export_target import ExportTarget
from ddb_assets.contract.stages import Stage, asset_name
from ddb_assets.contract.table import Table
from ddb_assets.definitions import build_defs
from ddb_assets.orchestration import metadata
from ddb_assets.resources.aws import AWSResource
from ddb_assets.resources.lake import Lake
from ddb_assets.resources.warehouse import WarehouseTarget
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.windows import sensor, tick
from ddb_assets.windows.chain import ChainBrokenError, InitialLoad, find_initial_load
from ddb_assets.windows.table_assets import INITIAL_LOAD
from ddb_assets_tests.support.window_chain import (
    Chain,
    Ticks,
    asset,
    hours_ago,
    key_of,
    materializations,
    own_chain,
    run_keys,
)

pytestmark = pytest.mark.loaded_initially

STEPS: tuple[tuple[Stage, Stage], ...] = (("full_parquet", "full_export"), ("initial_load", "full_parquet"))
WINDOWS: tuple[Stage, ...] = ("window_export", "window_parquet", "warehouse")
TYPE = "type: ddb_assets.components.DynamoDBTable\nattributes:\n"
REGROUPED = """\
post_processing:
  assets:
    - operation: replace
      attributes: {group_name: shop, tags: {team: shop}, kinds: [gold]}
"""
YAML = {
    "orders": f"{TYPE}  table: Orders\n{REGROUPED}",
    "masked": f"{TYPE}  table: Orders\n  name: orders_masked\n  columns: {{status: {{exclude: true}}}}\n",
    "customers": f"{TYPE}  table: Customers\n",
    "whole": f"{TYPE}  table: Events\n  load: replace\n{REGROUPED}",
}


@pytest.fixture(scope="module")
def shared(sandboxed: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.Definitions]:
    """A project in which a table is regrouped, two contracts are of one table, and one is replaced as a whole."""
    root = tmp_path_factory.mktemp("isolation")
    for folder, text in YAML.items():
        path = root / "isolated" / "defs" / folder / "defs.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (root / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "isolated"\n'
    )
    (root / "isolated" / "__init__.py").touch()
    (root / "isolated" / "definitions.py").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        yield build_defs(root / "isolated")


@pytest.fixture
def project(sandboxed: Sandbox, shared: dg.Definitions, tmp_path: Path) -> Iterator[Chain]:
    with own_chain(sandboxed, shared, tmp_path) as chain:
        for name in ("orders", "orders_masked"):
            based(chain, name, "Orders")
        based(chain, "customers", "Customers")
        yield chain


def based(chain: Chain, name: str, table: str) -> None:
    """Records in the instance that an initial load of this table is loaded under that name."""
    exports = chain.exports(table)
    facts = {"export_id": "b", "table_arn": exports.arn, "table_id": exports.table_id}
    time = dg.MetadataValue.timestamp(hours_ago(20).start)
    chain.instance.report_runless_asset_event(
        dg.AssetMaterialization(asset(f"loads/{name}_initial_load"), metadata={**facts, "initial_load_time": time})
    )


def started(result: dg.SensorResult) -> set[frozenset[str]]:
    """The assets of each run of a tick."""
    return {frozenset(key.to_user_string() for key in run.asset_selection or ()) for run in result.run_requests or []}


def observed(result: dg.SensorResult) -> list[tuple[str, str]]:
    """Asset and reason of each observation of a tick."""
    return [
        (event.asset_key.to_user_string(), str(event.metadata["reason"].value))
        for event in result.asset_events
        if isinstance(event, dg.AssetObservation)
    ]


def test_a_regrouped_table_and_a_second_contract_are_served_like_any_other(project: Chain) -> None:
    project.export(hours_ago(5))
    project.export(hours_ago(5), table="Customers")
    expected = {
        frozenset({f"parquet/{name}_window_parquet", f"warehouse/{name}"})
        for name in ("orders", "orders_masked", "customers")
    }
    ticks = Ticks(project)
    assert started(ticks.tick()) == expected
    again = ticks.tick()
    assert not again.asset_events
    assert not again.run_requests


def test_schedules_and_the_initial_load_job_choose_by_key(project: Chain) -> None:
    repository = project.definitions.get_repository_def()
    graph = repository.asset_graph
    chosen = {
        job.name: {key.to_user_string() for key in job.asset_layer.selected_asset_keys}
        for job in repository.get_all_jobs()
    }
    assert "warehouse/events" in chosen[INITIAL_LOAD]
    assert {f"loads/{name}_initial_load" for name in ("orders", "orders_masked", "customers")} < chosen[INITIAL_LOAD]
    assert not {key for key in chosen[INITIAL_LOAD] if "_window_" in key or key.startswith("dynamodb/")}
    for name in ("orders", "orders_masked", "customers"):
        job = repository.get_schedule_def(f"{name}_windows").job_name
        assert chosen[job] == {asset_name(stage, name) for stage in WINDOWS}
    assert graph.get(asset("warehouse/orders")).group_name == "shop"


@pytest.mark.parametrize("name", ["orders", "customers"])
def test_every_schedule_has_its_tick(project: Chain, name: str) -> None:
    with dg.build_schedule_context(
        instance=project.instance,
        scheduled_execution_time=datetime.now(UTC),
        resources={"ddb_aws": AWSResource(), "ddb_lake": Lake(), "ddb_warehouse": WarehouseTarget()},
        repository_def=project.definitions.get_repository_def(),
    ) as context:
        tick = project.definitions.resolve_schedule_def(f"{name}_windows").evaluate_tick(context)
    assert f"{name} has no initial load yet: the warehouse has none" in str(tick.skip_message)  # no exception


@pytest.mark.parametrize("stage", ["initial_load", "window_export", "window_parquet", "full_export"])
def test_what_somebody_reported_as_materialized_changes_nothing(chain: Chain, ticks: Ticks, stage: Stage) -> None:
    window = hours_ago(5)
    before = find_initial_load(chain.instance, Table(table="Orders"))
    partition = key_of(window) if stage in {"window_export", "window_parquet"} else None
    chain.instance.report_runless_asset_event(
        dg.AssetMaterialization(
            metadata.asset_key(stage, "orders"), partition=partition, description="reported by hand"
        )
    )
    export = chain.export(window)
    assert materializations(ticks.tick()) == [(key_of(window), export.id)]
    assert find_initial_load(chain.instance, Table(table="Orders")) == before
    assert not ticks.tick().asset_events


def test_a_run_upstream_of_which_something_was_reported_says_what_to_do(chain: Chain) -> None:
    for key in ("exports/orders_full_export", "parquet/orders_full_parquet"):
        chain.instance.report_runless_asset_event(dg.AssetMaterialization(asset(key)))
    for stage, missing in STEPS:
        result = chain.run(asset_name(stage, "orders"), asset_name(stage, "orders__items"))
        (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
        assert (
            f"{asset_name(missing, 'orders')} has never been materialized: materialize it first"
            in failure.user_failure_data.description
        )


def test_an_initial_load_that_somebody_reported_holds_up_its_own_table_only(
    sandboxed: Sandbox, shared: dg.Definitions, tmp_path: Path
) -> None:
    with own_chain(sandboxed, shared, tmp_path) as chain:
        based(chain, "customers", "Customers")
        chain.instance.report_runless_asset_event(dg.AssetMaterialization(asset("loads/orders_initial_load")))
        chain.export(hours_ago(5))
        chain.export(hours_ago(5), table="Customers")
        ticks = Ticks(chain)
        assert started(ticks.tick()) == {frozenset({"parquet/customers_window_parquet", "warehouse/customers"})}
        assert "orders has no initial load yet: materialize exports/orders_full_export" in str(ticks.tick().skip_reason)


@pytest.mark.parametrize("error", [ChainBrokenError("its log is damaged"), KeyError("surprise")])
def test_the_error_of_one_table_is_told_on_its_page_once_and_the_others_go_on(
    project: Chain, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def found(instance: dg.DagsterInstance, table: Table) -> InitialLoad | None:
        if table.name == "orders":
            raise error
        return find_initial_load(instance, table)

    project.export(hours_ago(5))
    project.export(hours_ago(5), table="Customers")
    ticks = Ticks(project)
    with monkeypatch.context() as patch:
        patch.setattr(tick, "find_initial_load", found)
        first = ticks.tick()
        assert {name for run in started(first) for name in run} == {
            asset_name(stage, name) for stage in WINDOWS[1:] for name in ("orders_masked", "customers")
        }
        ((named, reason),) = observed(first)
        assert named == "exports/orders_window_export"
        assert str(error.args[0]) in reason
        second = ticks.tick()
        assert not second.asset_events
        assert str(error.args[0]) in ticks.cursor  # it is still pending
    assert frozenset({"parquet/orders_window_parquet", "warehouse/orders"}) in started(ticks.tick())


def test_what_is_not_a_window_of_one_contract_is_told_once_while_another_waits(
    sandboxed: Sandbox, shared: dg.Definitions, tmp_path: Path
) -> None:
    with own_chain(sandboxed, shared, tmp_path) as chain:
        chain.initial_load(hours_ago(20).start, table_id="of a table that was dropped")
        chain.export(hours_ago(5))  # orders_masked has no initial load yet
        ticks = Ticks(chain)
        assert [named for named, _ in observed(ticks.tick())] == ["exports/orders_window_export"]
        waiting = ticks.tick()
        assert not waiting.asset_events
        assert "orders_masked has no initial load" in str(waiting.skip_reason)
        based(chain, "orders_masked", "Orders")
        assert len(run_keys(ticks.tick())) == 1


def test_places_that_differ_in_punctuation_only_have_a_sensor_each() -> None:
    places = [ExportTarget(bucket="team-a", prefix="b"), ExportTarget(bucket="team", prefix="a-b")]
    made = sensor.manifest_sensors([Table(table=f"T{i}able", export=place) for i, place in enumerate(places)])
    assert len({found.name for found in made}) == 2
