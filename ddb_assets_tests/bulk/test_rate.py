"""Token buckets on a clock that stands still until it is moved."""

import threading
from typing import Any

import pytest

from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.rate import WriteRate, consumed_units


class Clock:
    """Seconds that pass when somebody waits."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Waiting(threading.Event):
    """An event that is never set; waiting for it moves the clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.now += timeout or 0.0
        return False


def table(*, wcu: int | None = None, index_wcu: int | None = None, local: bool = False) -> TableDescription:
    """Provisioned when it has WCUs, else on demand."""
    throughput = {"ProvisionedThroughput": {"WriteCapacityUnits": wcu}} if wcu else {}
    index: dict[str, Any] = {
        "IndexName": "by_b",
        "KeySchema": [{"AttributeName": "b", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
        "ProvisionedThroughput": {"WriteCapacityUnits": index_wcu or 0},
    }
    indexes = {"LocalSecondaryIndexes" if local else "GlobalSecondaryIndexes": [index]} if local or index_wcu else {}
    return TableDescription.of(
        {
            "TableName": "T",
            "TableArn": "arn",
            "TableStatus": "ACTIVE",
            "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n in "ab"],
            "BillingModeSummary": {"BillingMode": "PROVISIONED" if wcu else "PAY_PER_REQUEST"},
            **throughput,
            **indexes,
        }
    )


def seconds(target: TableDescription, units: list[float], times: int, **limits: Any) -> float:
    """How long so many writes of these units have to wait."""
    clock = Clock()
    rate = WriteRate(target, clock=clock, **limits)
    for _ in range(times):
        rate.acquire(units, Waiting(clock))
    return clock.now


def test_an_on_demand_table_is_not_held_back() -> None:
    assert seconds(table(), [25.0], 1000) == 0
    assert WriteRate(table()).units_per_second is None


def test_of_a_provisioned_table_half_is_left_to_others() -> None:
    assert seconds(table(wcu=100), [10.0], 101) == pytest.approx(1000 / 50 - 1, abs=0.3)


def test_a_share_holds_for_each_resource_by_its_own_capacity() -> None:
    both = table(wcu=1000, index_wcu=10)
    assert seconds(both, [1.0, 1.0], 101, share=1.0) == pytest.approx(100 / 10 - 1, abs=0.2)
    assert seconds(both, [1.0, 0.0], 101, share=1.0) == 0


def test_a_local_index_spends_the_tables_capacity() -> None:
    assert seconds(table(wcu=10, local=True), [1.0, 1.0], 51, share=1.0) == pytest.approx(100 / 10 - 1, abs=0.3)


def test_a_maximum_counts_table_and_indexes_together() -> None:
    assert seconds(table(wcu=1000, index_wcu=1000), [1.0, 1.0], 101, max_wcu=20) == pytest.approx(200 / 20 - 1, abs=0.2)


def test_what_was_consumed_counts_and_not_what_was_expected() -> None:
    clock = Clock()
    target = table()
    rate = WriteRate(target, max_wcu=10, clock=clock)
    rate.acquire([1.0], Waiting(clock))
    rate.correct([1.0], [50.0])
    rate.acquire([1.0], Waiting(clock))
    assert clock.now == pytest.approx(4.0)
    rate.correct([1.0], [0.0])
    assert rate.seconds_for([100]) == 10


def test_a_stopped_job_waits_no_more() -> None:
    rate = WriteRate(table(), max_wcu=1)
    stopped = threading.Event()
    stopped.set()
    for _ in range(5):
        rate.acquire([1000.0], stopped)


def test_consumed_capacity_is_read_by_resource() -> None:
    answer = {
        "CapacityUnits": 7.0,
        "Table": {"CapacityUnits": 5.0},
        "GlobalSecondaryIndexes": {"by_b": {"CapacityUnits": 2.0}},
    }
    assert consumed_units(table(wcu=10, index_wcu=10), answer) == [5.0, 2.0]
    assert consumed_units(table(), {"CapacityUnits": 3.0}) == [3.0]
