"""Steps of windows share the process of their run; those of other runs have processes of their own."""

import os

import dagster as dg
import pytest

from ddb_assets.orchestration.executor import windows_in_process

WINDOWS = dg.StaticPartitionsDefinition(["first", "second"])


@dg.asset(partitions_def=WINDOWS)
def window() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"pid": os.getpid()})


@dg.asset(retry_policy=dg.RetryPolicy(max_retries=2))
def whole(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    if context.retry_number == 0:
        raise OSError("again")
    return dg.MaterializeResult(metadata={"pid": os.getpid()})


def job() -> dg.JobDefinition:
    """Of both assets; Dagster makes it again in the process of a step."""
    chosen = dg.define_asset_job("both", executor_def=windows_in_process)
    return dg.Definitions([window, whole], jobs=[chosen]).resolve_job_def("both")


def process_of(asset: str, *, tags: dict[str, str], configured: dict[str, object] | None = None) -> int:
    """The process that a run with these tags makes the asset in."""
    with dg.instance_for_test() as instance:
        result = dg.execute_job(
            dg.reconstructable(job),
            instance,
            run_config={"execution": {"config": configured}} if configured else None,
            tags=tags,
            asset_selection=[dg.AssetKey(asset)],
        )
        assert result.success
        (event,) = result.get_asset_materialization_events()
        return int(str(event.materialization.metadata["pid"].value))


@pytest.mark.slow
@pytest.mark.parametrize("tag", ["dagster/partition", "dagster/asset_partition_range_start"])
def test_steps_of_windows_share_the_process_of_their_run(tag: str) -> None:
    tags = {tag: "first"} | ({"dagster/asset_partition_range_end": "first"} if "range" in tag else {})
    assert process_of("window", tags=tags) == os.getpid()


@pytest.mark.slow
def test_a_step_of_another_run_has_a_process_of_its_own_and_is_tried_again() -> None:
    assert process_of("whole", tags={}) != os.getpid()


@pytest.mark.slow
def test_what_the_run_configures_goes_first() -> None:
    assert process_of("whole", tags={}, configured={"in_process": {}}) == os.getpid()
