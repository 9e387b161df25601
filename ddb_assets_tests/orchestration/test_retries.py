"""Which failures of a step are retried automatically."""

import errno
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from ddb_assets.aws.errors import AwsError, AwsUnavailableError
from ddb_assets.aws.storage import BrokenOffError, MissingFileError
from ddb_assets.contract.table import Table
from ddb_assets.contract.windows import Window
from ddb_assets.definitions import build_defs
from ddb_assets.errors import DdbAssetsError
from ddb_assets.orchestration.retries import RETRIES, explained_failure
from ddb_assets.warehouse.errors import InterruptedLoadError, LoadError
from ddb_assets.windows.chain import ChainBrokenError
from ddb_assets.windows.partitions import Event, Result, each_window, window_partitions, window_policy
from ddb_assets_tests.support.instances import in_memory

MIDNIGHT, HOUR = datetime(2026, 11, 1, tzinfo=UTC), timedelta(hours=1)
PASSING = (AwsUnavailableError, BrokenOffError, InterruptedLoadError)
LASTING = (AwsError, MissingFileError, LoadError, ChainBrokenError)


def attempts(fails: Callable[[int], DdbAssetsError | None]) -> tuple[int, bool]:
    """How often a step ran that fails in this way, and whether it succeeded in the end."""
    tried = [0]

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=RETRIES.max_retries, delay=0))
    def step() -> None:
        tried[0] += 1
        with explained_failure():
            if error := fails(tried[0]):
                raise error

    right = dg.materialize([step], raise_on_error=False).success
    return tried[0], right


@pytest.mark.parametrize("error", PASSING)
def test_what_passes_is_tried_again(error: type[DdbAssetsError]) -> None:
    assert attempts(lambda number: error("busy") if number < 3 else None) == (3, True)
    assert attempts(lambda _: error("busy")) == (1 + RETRIES.max_retries, False)


@pytest.mark.parametrize("error", LASTING)
def test_what_a_person_must_mend_fails_at_once(error: type[DdbAssetsError]) -> None:
    assert attempts(lambda _: error("repair me")) == (1, False)


def test_a_full_disk_in_one_of_several_windows_is_explained_and_not_tried_again() -> None:
    table = Table(table="Orders")
    spec = dg.AssetSpec("orders", partitions_def=window_partitions(table))
    windows = [table.windows.key(Window(start, start + HOUR)) for start in (MIDNIGHT, MIDNIGHT + HOUR)]
    tried = []

    def made(key: str) -> Iterator[Result]:
        tried.append(key)
        if key == windows[1]:
            raise OSError(errno.ENOSPC, "No space left on device", "/lake/part")
        yield dg.MaterializeResult(asset_key=spec.key)

    @dg.multi_asset(
        specs=[spec],
        backfill_policy=window_policy(),
        retry_policy=dg.RetryPolicy(max_retries=RETRIES.max_retries, delay=0),
    )
    def orders(context: dg.AssetExecutionContext) -> Iterator[Event]:
        yield from each_window(context, made, [])

    bounds = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
    with in_memory() as instance:
        tags = dict(zip(bounds, windows, strict=True))
        result = dg.materialize([orders], instance=instance, tags=tags, raise_on_error=False)
        assert instance.get_materialized_partitions(spec.key) == {windows[0]}
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data
    assert "/lake/part: No space left on device: free space there" in str(failure.user_failure_data.description)
    assert tried == windows


def test_every_step_that_makes_something_is_tried_again() -> None:
    graph = build_defs().resolve_asset_graph()
    steps = {node.assets_def.op for node in graph.asset_nodes if node.is_executable}
    assert len(steps) > 10
    assert {step.name for step in steps if step.retry_policy != RETRIES} == set()
