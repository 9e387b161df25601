"""What other copying scripts get wrong, one test each; its docstring says how this one behaves instead.

How fast it is and how long it tries is in `test_pace.py`, that writes behind the scan are found in `test_redrive.py`, that the
documentation is true in `test_docs.py`.
"""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.copies.attribute_mapping import CopyRefusedError
from ddb_assets.copies.copy_job import CopyFailedError
from ddb_assets.copies.sides import Side, check_different
from ddb_assets.dynamodb.item import canonical_json
from ddb_assets_tests.copies.commands import copy
from ddb_assets_tests.copies.copying import (
    BOTH_WAYS,
    ID,
    Item,
    KilledError,
    World,
    random_items,
    run,
)
from ddb_assets_tests.support.fault_proxy import Fault, Schedule

pytestmark = pytest.mark.usefixtures("no_faults", "environment")

WRITES, READS = frozenset({"BatchWriteItem"}), frozenset({"Scan"})


def some(count: int = 40, seed: int = 1) -> list[Item]:
    return random_items(random.Random(seed), ID, count)


def named(*names: str, **more: Any) -> list[Item]:
    return [{"id": {"S": name}} | more for name in names]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", [Fault.UNPROCESSED_ALL, Fault.UNPROCESSED_SOME, Fault.THROTTLED, Fault.ERROR_BEFORE])
def test_items_that_are_not_written_in_time_fail_the_copy(world: World, tmp_path: Path, fault: Fault) -> None:
    """Success is never reported at the end of the retries: the copy fails and lists every item that it did not write."""
    items = some(60, 3)
    source, destination = world.table(ID, items), world.table()
    world.proxy.schedule = Schedule(rate=1.0, faults=frozenset({fault}), operations=WRITES, page_limit=10)
    with pytest.raises(CopyFailedError, match=r"could not be written|go on") as failed:
        run(world.plan(source, destination, deadline=0.3), tmp_path)
    there = world.items(destination)
    lines = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()[1:]]
    told = {canonical_json(line["row"]) for line in lines}
    assert failed.value.report.unprocessed == len(lines) > 0
    assert all(line["fate"] == "unprocessed" and line["reason"] for line in lines)
    assert there | told <= world.items(source)
    # an item is reported written only if it is; after an error it may be written without being reported
    assert failed.value.report.written <= len(there)
    world.proxy.schedule = Schedule()
    assert run(world.plan(source, destination, deadline=0.3), tmp_path).read == len(items)
    assert world.items(destination) == world.items(source)


@contextmanager
def defect(world: World, operation: str) -> Iterator[None]:
    """An error that nobody expects, in the thread that sends these requests."""

    def fail(**_: object) -> None:
        raise ZeroDivisionError(operation)

    world.client.meta.events.register(f"before-send.dynamodb.{operation}", fail)
    try:
        yield
    finally:
        world.client.meta.events.unregister(f"before-send.dynamodb.{operation}", fail)


@pytest.mark.parametrize("operation", ["Scan", "BatchWriteItem"])
def test_no_error_is_swallowed(world: World, tmp_path: Path, operation: str) -> None:
    """Whatever is raised, in whichever thread, ends the copy with its cause, and what is left is done by the next run."""
    source, destination = world.table(ID, some()), world.table()
    with defect(world, operation), pytest.raises(ZeroDivisionError, match=operation):
        run(world.plan(source, destination), tmp_path)
    assert world.items(destination) == set()
    run(world.plan(source, destination), tmp_path)
    assert world.items(destination) == world.items(source)


def test_one_table_under_two_names_is_refused(world: World) -> None:
    """By name, by ARN, and by both through two endpoints: nothing is written to it, and nothing deleted from it."""
    table = world.table(ID, some(3))
    arn = world.direct.describe_table(TableName=table)["Table"]["TableArn"]
    for source, destination in ((table, table), (table, arn), (arn, table), (arn, arn)):
        for clean in ("no", "all", "extra"):
            with pytest.raises(CopyRefusedError, match="are the same table"):
                world.plan(source, destination, clean=clean)
    assert world.client.meta.endpoint_url != world.direct.meta.endpoint_url
    with pytest.raises(CopyRefusedError, match="are the same table"):
        check_different(Side.of(world.client, world.client, table), Side.of(world.direct, world.direct, arn))
    assert len(world.items(table)) == 3


@pytest.mark.parametrize("names", [("is", "null"), ("start", "Item"), ("Key", "LastEvaluatedKey")])
def test_key_attributes_may_have_any_name(world: World, tmp_path: Path, names: tuple[str, str]) -> None:
    """None of them is taken for something of the copy's own: every page is read once, to the last."""
    keys = ((names[0], "S"), (names[1], "N"))
    source, destination = world.table(keys, random_items(random.Random(2), keys, 60)), world.table(keys)
    world.proxy.schedule = Schedule(page_limit=7)
    assert run(world.plan(source, destination), tmp_path).read == 60
    assert world.items(destination) == world.items(source)


@pytest.mark.parametrize("how", ["--clean", "--clean=extra"])
def test_a_source_that_is_not_there_or_empty_leaves_the_destination_as_it_is(world: World, how: str) -> None:
    """A mistyped name deletes nothing, even if all questions are answered before they are asked."""
    table = world.table(ID, some(5))
    before, writes = world.items(table), world.proxy.requests["BatchWriteItem"]
    mistyped = copy(f"{table}x", table, how, "--yes")
    assert mistyped.exit_code == 1
    assert f"there is no {table}x in this account and Region" in mistyped.output
    empty = copy(world.table(), table, how, "--yes")
    assert empty.exit_code == 1
    assert "has no items: cleaning" in empty.output
    assert copy(table, f"{table}x", how, "--yes").exit_code == 1
    assert (world.items(table), world.proxy.requests["BatchWriteItem"]) == (before, writes)


@pytest.mark.slow
def test_a_copy_killed_at_sixty_percent_reads_at_most_a_page_of_each_segment_again(
    world: World, tmp_path: Path
) -> None:
    """It continues where each segment was, instead of at the beginning."""
    items, segments = some(200, 9), 4
    source = world.table(ID, items)
    world.proxy.schedule = Schedule(page_limit=10)

    def counted(folder: Path, destination: str, kill_at: int | None) -> int:
        """Scans that it took, but for those of the guards."""
        plan = world.plan(source, destination, segments=segments)
        before, pages = world.proxy.requests["Scan"], 0

        def on_page(*_: object) -> None:
            nonlocal pages
            pages += 1
            if pages == kill_at:
                raise KilledError

        try:
            run(plan, folder, on_page)
        except KilledError:
            assert kill_at
        return world.proxy.requests["Scan"] - before

    (tmp_path / "whole").mkdir()
    whole = counted(tmp_path / "whole", world.table(), None)
    destination = world.table()
    scans = [counted(tmp_path, destination, kill_at) for kill_at in (round(whole * 0.6), None)]
    assert whole >= 20
    assert scans[0] < whole
    assert sum(scans) <= whole + segments
    assert world.items(destination) == world.items(source)


def test_the_report_says_what_is_not_copied(world: World, tmp_path: Path) -> None:
    """Indexes, streams, time to live and tags that the source has and the destination has not."""
    index = {
        "IndexName": "by-n",
        "KeySchema": [{"AttributeName": "n", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    source = world.table(
        ID,
        named("a"),
        AttributeDefinitions=[{"AttributeName": "n", "AttributeType": "N"}],
        GlobalSecondaryIndexes=[index],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        Tags=[{"Key": "team", "Value": "data"}],
    )
    world.direct.update_time_to_live(
        TableName=source, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"}
    )
    lines = "\n".join(run(world.plan(source, world.table()), tmp_path).not_copied)
    for told in ("index by-n", "stream (NEW_IMAGE)", "time to live (expires)", "tags (team=data)"):
        assert told in lines


def test_items_that_share_a_new_key_are_no_failure_and_are_counted(world: World, tmp_path: Path) -> None:
    """No batch has a key twice; the report says exactly how many items are not there, and for which keys.

    When the copy is killed and continued, none of them is counted twice.
    """
    items = [{"id": {"S": f"i{n}"}, "mail": {"S": f"m{n % 7 % 5}"}} for n in range(60)]
    source, destination = world.table(ID, [*items, *named("none")]), world.table((("mail", "S"),))
    world.proxy.schedule = Schedule(page_limit=5)
    pages = 0

    def on_page(*_: object) -> None:
        nonlocal pages
        pages += 1
        if pages in (4, 8):
            raise KilledError

    for _ in range(2):
        with pytest.raises(KilledError):
            run(world.plan(source, destination, rekey=True), tmp_path, on_page)
    plan = world.plan(source, destination, rekey=True)
    report = run(plan, tmp_path, on_page)
    assert not world.proxy.refused
    assert (report.read, report.rejected, report.collisions) == (61, 1, 60 - 5)
    keys = [f"m{n % 7 % 5}" for n in range(60)]
    expected = sorted(((keys.count(key), key) for key in set(keys)), key=lambda found: (-found[0], found[1]))
    assert [(shared["items"], shared["key"]["mail"]["S"]) for shared in report.collisions_sample] == expected
    for asked in BOTH_WAYS:
        found = plan.verifier.verify(asked)
        assert found.passed(exact=False)
        assert "by their keys alone" in str(found)
