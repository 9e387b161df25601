"""How the assets of one step are defined: what `dg.multi_asset` does for a step of ours, at a quarter of the cost.

The decorator reads the function's signature two dozen times, converts its config and looks for inputs and outputs in it.
A project makes several steps for each table, so that was a fifth of what it takes to load a project. `dg.OpDefinition` is
meant for definitions made by a program (Dagster API reference, "OpDefinition").
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import dagster as dg
from pydantic import ValidationError

from ddb_assets.contract.model import first_problem
from ddb_assets.orchestration.retries import RETRIES

Compute = Callable[..., Iterator[Any]]
"""A generator of results. Its arguments: `context`, a `config` if it has one, and resources by their names."""

_INPUT = dg.In(dg.Nothing)
_ASSET = {required: dg.Out(dg.Nothing, is_required=required) for required in (True, False)}
_CHECK = {required: dg.Out(dg.Any, is_required=required) for required in (True, False)}


def step(
    *,
    name: str,
    specs: Sequence[dg.AssetSpec] = (),
    check_specs: Sequence[dg.AssetCheckSpec] = (),
    backfill_policy: dg.BackfillPolicy | None = None,
    pool: str | None = None,
    can_subset: bool = False,
) -> Callable[[Compute], dg.AssetsDefinition]:
    """Makes a function the step of these assets and checks. The arguments mean what they mean for `dg.multi_asset`.

    The function must annotate each argument: the annotation of `config` is its class. A step without assets checks those of
    other steps, and is not retried.
    """
    made = {spec.key: spec for spec in specs}
    outputs = {key.to_python_identifier(): key for key in made}
    upstream = [dep.asset_key for spec in specs for dep in spec.deps] + [spec.asset_key for spec in check_specs]
    needed = {_input_name(key): key for key in upstream if key not in made}
    checks = {spec.get_python_identifier(): spec for spec in check_specs}

    def assets(function: Compute) -> dg.AssetsDefinition:
        annotations = function.__annotations__
        config: type[dg.Config] | None = annotations.get("config")
        resources = frozenset(annotations.keys() - {"context", "config", "return"})

        def compute(context: Any, _inputs: object) -> Iterator[Any]:
            given = {resource: getattr(context.resources, resource) for resource in resources}
            if config:
                given["config"] = _validated(config, name, context.op_execution_context.op_config)
            yield from function(context, **given)

        compute.__annotations__["context"] = annotations["context"]  # steps that only check have another one
        op = dg.OpDefinition(
            compute,
            name,
            ins=dict.fromkeys(needed, _INPUT),
            outs=dict.fromkeys(outputs, _ASSET[not can_subset]) | dict.fromkeys(checks, _CHECK[not can_subset]),
            config_schema=_fields(config) if config else {},
            required_resource_keys=resources,
            retry_policy=RETRIES if specs else None,
            pool=pool,
        )
        return dg.AssetsDefinition(
            keys_by_input_name=needed,
            keys_by_output_name=outputs,
            node_def=op,
            specs=specs,
            check_specs_by_output_name=checks,
            backfill_policy=backfill_policy,
            can_subset=can_subset,
        )

    return assets


def _input_name(key: dg.AssetKey) -> str:
    """As `dg.multi_asset` names the input."""
    return "_".join(key.path).replace("-", "_").replace(".", "_")


def _validated(config: type[dg.Config], name: str, given: Any) -> dg.Config:
    """The config of a run.

    Dagster checks its types before the run, and nobody checks its limits. A value out of bounds fails at once, because only a
    person can repair it.
    """
    try:
        return config.model_validate(given)
    except ValidationError as error:
        raise dg.Failure(
            f"the config of {name} is wrong: {first_problem(error)}; correct it and start a new run",
            allow_retries=False,
        ) from error


@cache
def _fields(config: type[dg.Config]) -> Any:
    """The schema of a config, once for all tables."""
    return config.to_config_schema()
