"""Where the steps of a run are executed.

A run of windows, or of a stream, has a few short steps, one after another. A process for each takes longer than the step
does, so they share the process of their run. Other runs wait for exports of whole tables: their steps have processes of
their own.
"""

from collections.abc import Callable, Iterator
from typing import Any, cast

import dagster as dg

STREAM_TAG = "ddb_assets/stream"
"""The tag of a run that follows a stream; its value names the stream."""
_SHORT = ("dagster/partition", "dagster/asset_partition_range_start", STREAM_TAG)
"""Tags of runs with short steps: of one partition, of a range of them, or of a stream."""


class _ByRun(dg.Executor):
    """Chooses by the tags of the run; a choice in the run's configuration goes first."""

    def __init__(self, configured: dg.Executor, in_process: dg.Executor) -> None:
        self._configured, self._in_process = configured, in_process

    @property
    def retries(self) -> Any:
        return self._configured.retries

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        short = any(tag in plan_context.dagster_run.tags for tag in _SHORT)
        yield from (self._in_process if short else self._configured).execute(plan_context, execution_plan)


def _by_run(context: dg.InitExecutorContext) -> dg.Executor:
    in_process: dict[str, object] = {"in_process": {"retries": {"enabled": {}}}}
    alone = dg.InitExecutorContext(context.job, context.executor_def, in_process, context.instance)
    return _ByRun(_default(context), _default(alone))


def _default(context: dg.InitExecutorContext) -> dg.Executor:
    """Dagster's default executor, as this context configures it."""
    create = cast(
        "Callable[[dg.InitExecutorContext], dg.Executor]", dg.multi_or_in_process_executor.executor_creation_fn
    )
    return create(context)


windows_in_process = dg.ExecutorDefinition(
    name="windows_in_process",
    config_schema=cast("Any", dg.multi_or_in_process_executor.config_schema),
    requirements=dg.multi_or_in_process_executor.get_requirements,
    executor_creation_fn=_by_run,
    description="Runs of windows in one process; others as Dagster's default executor, which it is configured as.",
)
"""The executor of our own code location. A project that has no executor of its own can give it to its `Definitions`."""
