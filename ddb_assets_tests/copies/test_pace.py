"""How fast a copy reads and writes, how much of it at once, and how long it tries, where other scripts gave up early."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ddb_assets.bulk import scan
from ddb_assets.bulk.scan import ReadRate
from ddb_assets.bulk.writing import delivery
from ddb_assets.copies.plan import CopyPlan
from ddb_assets.costs.capacity import units_usd
from ddb_assets.costs.prices import PricesError, prices
from ddb_assets.settings import PRICES
from ddb_assets_tests.copies.copying import ID, Item, World, random_items, run
from ddb_assets_tests.support.fault_proxy import Fault, Schedule

pytestmark = pytest.mark.usefixtures("no_faults")

WRITES, READS = frozenset({"BatchWriteItem"}), frozenset({"Scan"})


def some(count: int = 40, seed: int = 1) -> list[Item]:
    return random_items(random.Random(seed), ID, count)


@contextmanager
def at_once(plan: CopyPlan, operation: str) -> Iterator[list[int]]:
    """How many requests of this kind are under way, whenever one begins."""
    lock, now, seen = threading.Lock(), 0, [0]

    def begins(**_: object) -> None:
        nonlocal now
        with lock:
            now += 1
            seen.append(now)

    def ends(**_: object) -> None:
        nonlocal now
        with lock:
            now -= 1

    hooks = {f"before-send.dynamodb.{operation}": begins, f"response-received.dynamodb.{operation}": ends}
    for event, hook in hooks.items():
        plan.source.client.meta.events.register(event, hook)
    try:
        yield seen
    finally:
        for event, hook in hooks.items():
            plan.source.client.meta.events.unregister(event, hook)


@pytest.mark.parametrize("operation", ["Scan", "BatchWriteItem"])
def test_segments_are_read_and_batches_written_at_the_same_time(world: World, tmp_path: Path, operation: str) -> None:
    """As many as was said, and no more."""
    source, destination = world.table(ID, some(200, 4)), world.table()
    world.proxy.schedule = Schedule(rate=1.0, faults=frozenset({Fault.SLOW}), page_limit=60, delay=0.05)
    plan = world.plan(source, destination, workers=3, in_flight=3)
    with at_once(plan, operation) as seen:
        run(plan, tmp_path)
    assert 2 <= max(seen) <= 3


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def test_a_wrong_file_of_prices_ends_a_copy_before_it_writes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, destination = world.table(ID, some(3)), world.table()
    (tmp_path / "prices.yaml").write_text("dynamodb: {million_reads: much}")
    monkeypatch.setenv(PRICES, str(tmp_path / "prices.yaml"))
    with pytest.raises(PricesError, match="million_reads"):
        run(world.plan(source, destination), tmp_path)
    assert world.items(destination) == set()


def test_reading_stays_within_its_rate(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the RCUs that DynamoDB says were consumed."""
    source, destination = world.table(ID, some(40)), world.table()
    world.proxy.schedule = Schedule(page_limit=1)  # and every page costs one RCU in the sandbox
    plan = world.plan(source, destination, max_rcu=20.0, workers=1)
    clock = Clock()
    plan.source_reader.rate = ReadRate(plan.source.description, 20.0, clock.monotonic)
    monkeypatch.setattr(plan.stopped, "wait", clock.sleep)
    report = run(plan, tmp_path)
    assert report.rcu >= 40
    at = prices()
    assert report.usd == pytest.approx(units_usd(at, rcu=report.rcu, wcu=report.wcu)), "both tables are on demand"
    assert clock.now == pytest.approx(
        (report.rcu - 20 - 1) / 20, abs=0.1
    )  # a second's worth at once, and the last page
    assert world.items(destination) == world.items(source)


def test_writing_stays_within_its_rate(world: World, tmp_path: Path) -> None:
    """By the WCUs that DynamoDB says were consumed, however small the batches are."""
    source, destination = world.table(ID, some(60, 5)), world.table()
    world.proxy.schedule = Schedule(page_limit=1)  # so that every item is a batch, which costs one WCU in the sandbox
    report = run(world.plan(source, destination, max_wcu=30.0, in_flight=2, workers=1), tmp_path)
    assert report.wcu >= 60
    assert report.seconds >= (report.wcu - 30 - 3 * 2) / 30  # items may be expected to be larger than they turn out
    assert world.items(destination) == world.items(source)


@pytest.mark.parametrize(("operations", "module"), [(WRITES, delivery), (READS, scan)])
def test_throttling_for_minutes_is_outlasted(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operations: frozenset[str], module: Any
) -> None:
    """Pauses are drawn from an interval that doubles up to a cap; as it comes, two minutes of throttling are no failure."""
    source, destination = world.table(ID, some(5)), world.table()
    plan = world.plan(source, destination, segments=1, workers=1, in_flight=1)
    clock = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep))
    if module is scan:
        monkeypatch.setattr(plan.stopped, "wait", clock.sleep)
    random.seed(4)
    throttled = frozenset({Fault.THROTTLED, Fault.THROTTLING, Fault.REQUEST_LIMIT})
    world.proxy.schedule = Schedule(rate=1.0, budget=22, faults=throttled, operations=operations)
    report = run(plan, tmp_path)
    assert report.read == 5
    assert world.items(destination) == world.items(source)
    assert sum(report.throttles.values()) == 22
    assert len(clock.pauses) == 22
    assert sum(clock.pauses) > 120
    assert all(pause <= min(20.0, 0.05 * 2**n) for n, pause in enumerate(clock.pauses, 1))
    assert len({round(pause, 6) for pause in clock.pauses}) == 22
