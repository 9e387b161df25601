"""Copies through everything that AWS and networks do, on random schedules; and copies that are cut off and go on.

DDB_ASSETS_TEST_SCHEDULES says how many schedules; a failure names its seed.
"""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.dynamodb.item import canonical
from ddb_assets.errors import DdbAssetsError
from ddb_assets.imports import delivery
from ddb_assets.imports.copy import raw_call
from ddb_assets.imports.copy.job import CopyFailedError
from ddb_assets_tests.imports.copying import ID, Keys, World, no_faults, random_items, run, world
from ddb_assets_tests.imports.fault_proxy import Fault, Schedule

__all__ = ["no_faults", "world"]

SCHEDULES = int(os.environ.get("DDB_ASSETS_TEST_SCHEDULES", "200"))
PER_TEST = 25
ITEMS = 30
KEY_SCHEMAS: tuple[Keys, ...] = (
    ID,
    (("is", "S"), ("null", "N")),
    (("start", "N"),),
    (("Item", "B"), ("segment", "S")),
)


class KilledError(Exception):
    """Stands for the end of the process: nothing in the code expects it."""


@pytest.fixture(scope="module")
def sources(world: World) -> list[str]:
    """A table of every key schema, with items of all types."""
    rng = random.Random(11)
    return [world.table(keys, random_items(rng, keys, ITEMS)) for keys in KEY_SCHEMAS]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter pauses, or hundreds of schedules take minutes; the deadline stays what counts."""
    for module in (delivery, raw_call):
        monkeypatch.setattr(module, "FIRST_PAUSE", 0.002)
        monkeypatch.setattr(module, "LONGEST_PAUSE", 0.05)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("first", range(0, SCHEDULES, PER_TEST))
def test_whatever_happens_the_copy_is_complete_in_the_end(
    world: World, sources: list[str], tmp_path: Path, first: int
) -> None:
    for seed in range(first, min(first + PER_TEST, SCHEDULES)):
        rng = random.Random(seed)
        number = seed % len(KEY_SCHEMAS)
        left_over = random_items(rng, KEY_SCHEMAS[number], rng.choice([0, 0, 12]))
        destination = world.table(KEY_SCHEMAS[number], left_over)
        clean = rng.choice(["all", "extra"]) if left_over else "no"
        folder = tmp_path / str(seed)
        folder.mkdir()
        kill_at = rng.choice([None, None, rng.randint(1, 12)])
        pages = 0

        def on_page(phase: str, items: int, totals: object) -> None:
            nonlocal pages
            pages += 1
            if pages == kill_at:  # noqa: B023 -- this loop's
                raise KilledError

        world.proxy.schedule = Schedule(
            seed=seed, rate=rng.random() * 0.7, budget=rng.randint(0, 15), page_limit=rng.randint(4, 12), delay=0.005
        )
        try:
            report = None
            for _ in range(3):
                try:
                    plan = world.plan(sources[number], destination, clean=clean, deadline=20.0)
                    report = run(plan, folder, on_page)
                    break
                except KilledError:
                    continue
            assert report is not None
            assert world.items(destination) == world.items(sources[number])
            assert (report.read, report.rejected, report.unprocessed) == (ITEMS, 0, 0)
            assert not world.proxy.refused
            if seed % 5 == 0:  # which reads everything twice more, through what is left of the schedule
                assert plan.verifier.verify("all").passed(exact=True)
        except AssertionError as error:
            raise AssertionError(f"schedule {seed}: {error}") from error


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", [Fault.UNPROCESSED_ALL, Fault.UNPROCESSED_SOME, Fault.THROTTLED, Fault.ERROR_BEFORE])
def test_what_is_never_written_fails_the_copy_and_is_in_the_exceptions_file(
    world: World, tmp_path: Path, fault: Fault
) -> None:
    items = random_items(random.Random(3), ID, 60)
    source, destination = world.table(ID, items), world.table()
    writes_only = frozenset({"BatchWriteItem"})
    world.proxy.schedule = Schedule(
        rate=1.0, spared=3, faults=frozenset({fault}), operations=writes_only, page_limit=10
    )
    with pytest.raises(CopyFailedError, match=r"could not be written|go on") as failed:
        run(world.plan(source, destination, deadline=0.3), tmp_path)
    there = world.items(destination)
    lines = (tmp_path / "exceptions.jsonl").read_text().splitlines()[1:]
    told = {canonical({"M": json.loads(line)["row"]}) for line in lines}
    assert failed.value.report.unprocessed == len(lines) > 0
    assert all(json.loads(line)["fate"] == "unprocessed" for line in lines)
    assert there | told <= world.items(source)
    # an item is reported written only if it is; after an error it may be written without being reported
    assert failed.value.report.written <= len(there)
    assert len(there | told) >= failed.value.report.written + len(told - there)
    world.proxy.schedule = Schedule()
    report = run(world.plan(source, destination, deadline=0.3), tmp_path)
    assert report.read == len(items)
    assert world.items(destination) == world.items(source)


@pytest.mark.usefixtures("impatient")
def test_a_source_that_cannot_be_read_fails_the_copy(world: World, tmp_path: Path) -> None:
    source, destination = world.table(ID, random_items(random.Random(3), ID, 10)), world.table()
    reads_only = frozenset({"Scan"})
    world.proxy.schedule = Schedule(rate=1.0, faults=frozenset({Fault.THROTTLING}), operations=reads_only)
    with pytest.raises(CopyFailedError, match=r"Scan on .* did not succeed in 0.2 s: ThrottlingException") as failed:
        run(world.plan(source, destination, deadline=0.2), tmp_path)
    assert failed.value.report.throttles == {"TableWriteKeyRangeThroughputExceeded": pytest.approx(1, abs=500)}
    assert world.items(destination) == set()


def test_a_refusal_is_not_tried_again(world: World, tmp_path: Path) -> None:
    source, destination = world.table(ID, random_items(random.Random(3), ID, 10)), world.table()
    plan = world.plan(source, destination)
    world.direct.delete_table(TableName=source)
    before = world.proxy.requests["Scan"]
    with pytest.raises(CopyFailedError, match="there is no such table"):
        run(plan, tmp_path)
    assert world.proxy.requests["Scan"] - before <= plan.options.workers


def test_after_a_crash_at_most_a_page_of_each_segment_is_read_again(world: World, tmp_path: Path) -> None:
    items = random_items(random.Random(9), ID, 200)
    source, destination = world.table(ID, items), world.table()
    world.proxy.schedule = Schedule(page_limit=10)
    pages = 0

    def on_page(phase: str, number: int, totals: object) -> None:
        nonlocal pages
        pages += 1
        if pages == 12:  # of some 20: at 60 %
            raise KilledError

    with pytest.raises(KilledError):
        run(world.plan(source, destination), tmp_path, on_page)
    read = 0

    def count(phase: str, number: int, totals: object) -> None:
        nonlocal read
        read += number

    report = run(world.plan(source, destination), tmp_path, count)
    assert report.read == len(items)
    assert read <= len(items) - 12 * 5 + 4 * 10  # the pages that were settled are not read again
    assert world.items(destination) == world.items(source)


def test_a_checkpoint_of_another_copy_is_refused(world: World, tmp_path: Path) -> None:
    source, destination, other = world.table(ID, random_items(random.Random(3), ID, 30)), world.table(), world.table()
    world.proxy.schedule = Schedule(page_limit=3)

    def stop(phase: str, number: int, totals: object) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        run(world.plan(source, destination), tmp_path, stop)
    with pytest.raises(DdbAssetsError, match=r"checkpoint.json is of another job"):
        run(world.plan(source, other), tmp_path)
    assert world.items(other) == set()
    without: Any = {"exclude": frozenset({"a0"})}
    with pytest.raises(DdbAssetsError, match=r"checkpoint.json is of another job"):
        run(world.plan(source, destination, **without), tmp_path)
