"""A step is what `dg.multi_asset` would make of the same function, for all that Dagster shows of it and does with it."""

import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from pydantic import Field

from ddb_assets.orchestration.retries import RETRIES
from ddb_assets.orchestration.step import step

ORDERS, ITEMS = dg.AssetKey(["warehouse", "orders"]), dg.AssetKey(["warehouse", "orders__items"])
SOURCE = dg.AssetKey(["dynamodb", "orders-v2.table"])
DAYS = dg.DailyPartitionsDefinition("2026-11-01")
RIGHT = dg.AssetCheckSpec("right", asset=ORDERS, blocking=True, description="All is well.")


class Options(dg.Config):
    limit: int = Field(default=3, gt=0, description="how many")
    names: list[str] = Field(default=[])


class Shop(dg.ConfigurableResource[Any]):
    name: str


def loaded(
    context: dg.AssetExecutionContext, config: Options, ddb_shop: Shop
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    said: dict[str, Any] = {"limit": config.limit, "names": config.names, "shop": ddb_shop.name}
    yield dg.MaterializeResult(
        asset_key=ORDERS, metadata=said, check_results=[dg.AssetCheckResult(passed=True, check_name="right")]
    )
    yield dg.MaterializeResult(asset_key=ITEMS)


def as_both(partitions: dg.PartitionsDefinition[str] | None = None, **arguments: Any) -> list[dg.AssetsDefinition]:
    specs = [
        dg.AssetSpec(
            ORDERS,
            deps=[SOURCE],
            description="Orders.",
            metadata={"a": 1},
            code_version="1",
            kinds={"duckdb"},
            partitions_def=partitions,
        ),
        dg.AssetSpec(ITEMS, deps=[SOURCE], group_name="orders", owners=["team:data"], partitions_def=partitions),
    ]
    both = {"name": "load__orders", "specs": specs, "check_specs": [RIGHT], "pool": "warehouse", **arguments}
    made: list[Callable[..., Callable[..., dg.AssetsDefinition]]] = [step, dg.multi_asset]
    return [
        decorator(**both, **({"retry_policy": RETRIES} if decorator is dg.multi_asset else {}))(loaded)
        for decorator in made
    ]


def pool_of(made: dg.AssetsDefinition) -> str | None:
    assert isinstance(made.node_def, dg.OpDefinition)
    return made.node_def.pool


@pytest.mark.parametrize(
    "arguments",
    [{}, {"can_subset": True}, {"partitions": DAYS, "backfill_policy": dg.BackfillPolicy.multi_run(24)}],
)
def test_dagster_shows_the_same_as_of_a_multi_asset(arguments: dict[str, Any]) -> None:
    ours, theirs = as_both(**arguments)
    assert list(ours.specs) == list(theirs.specs)
    assert list(ours.check_specs) == list(theirs.check_specs)
    assert ours.backfill_policy == theirs.backfill_policy
    jobs = [
        dg.Definitions([one], resources={"ddb_shop": Shop(name="ours")}).resolve_implicit_global_asset_job_def()
        for one in (ours, theirs)
    ]
    assert jobs[0].get_job_snapshot_id() == jobs[1].get_job_snapshot_id()
    assert (pool_of(ours), pool_of(theirs)) == ("warehouse", "warehouse")


def test_the_function_gets_its_config_and_its_resources() -> None:
    ours, _ = as_both()
    resources = {"ddb_shop": Shop(name="the shop")}
    run = dg.RunConfig({"load__orders": Options(names=["a", "b"])})
    done = dg.materialize([ours], resources=resources, run_config=run)
    said = done.asset_materializations_for_node("load__orders")[0].metadata
    assert {name: said[name].value for name in ("limit", "shop")} == {"limit": 3, "shop": "the shop"}
    assert said["names"].value == ["a", "b"]
    assert [evaluation.passed for evaluation in done.get_asset_check_evaluations()] == [True]
    with pytest.raises(dg.DagsterInvalidConfigError, match="limits"):
        dg.materialize([ours], resources=resources, run_config={"ops": {"load__orders": {"config": {"limits": 1}}}})


def test_a_config_that_is_wrong_is_said_at_once() -> None:
    """It is not tried again: the same config would fail again, minutes later."""
    ours, _ = as_both()
    wrong = {"ops": {"load__orders": {"config": {"limit": 0}}}}
    done = dg.materialize([ours], resources={"ddb_shop": Shop(name="the shop")}, run_config=wrong, raise_on_error=False)
    (failure,) = [event for event in done.all_events if event.is_step_failure]
    assert not [event for event in done.all_events if event.is_step_up_for_retry]
    data = failure.step_failure_data.user_failure_data
    assert data
    assert data.description == (
        "the config of load__orders is wrong: limit: Input should be greater than 0; correct it and start a new run"
    )


def test_only_such_steps_have_configs_that_dagster_does_not_check_itself() -> None:
    """Dagster calls other functions with their config, and tries again what pydantic refuses."""
    importlib.import_module("ddb_assets.components")
    ours = [one for one in dg.Config.__subclasses__() if one.__module__.startswith("ddb_assets.")]
    limited = {one for one in ours if any(field.metadata for field in one.model_fields.values()) or has_validators(one)}
    assert limited
    for config in limited:
        assert getattr(sys.modules[config.__module__], "step", None) is step, config


def has_validators(config: type[dg.Config]) -> bool:
    found = config.__pydantic_decorators__
    return bool(found.field_validators or found.model_validators)


def test_a_step_that_only_checks_checks_what_is_wanted_and_is_not_retried() -> None:
    asked: list[set[str]] = []

    @step(name="checks", check_specs=[RIGHT, dg.AssetCheckSpec("fresh", asset=ORDERS)], can_subset=True)
    def checks(context: dg.AssetCheckExecutionContext, ddb_shop: Shop) -> Iterator[dg.AssetCheckResult]:
        asked.append({key.name for key in context.selected_asset_check_keys})
        for name in asked[-1]:
            yield dg.AssetCheckResult(passed=ddb_shop.name == "open", asset_key=ORDERS, check_name=name)

    resources = {"ddb_shop": Shop(name="open")}
    only_fresh = dg.AssetSelection.checks(dg.AssetCheckKey(ORDERS, "fresh"))
    done = dg.materialize([dg.AssetSpec(ORDERS), checks], selection=only_fresh, resources=resources)
    assert asked == [{"fresh"}]
    assert [evaluation.passed for evaluation in done.get_asset_check_evaluations()] == [True]
    assert isinstance(checks.node_def, dg.OpDefinition)
    assert checks.node_def.retry_policy is None
