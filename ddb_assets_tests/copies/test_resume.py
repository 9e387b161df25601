"""Copies that are cut off, and how they continue. Random schedules are in `test_schedules.py`."""

import json
import random
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from click.testing import Result
from urllib3 import HTTPResponse

from ddb_assets.copies.copy_job import CopyFailedError
from ddb_assets.copies.copy_state import CopyProgress
from ddb_assets.errors import DdbAssetsError
from ddb_assets_tests.copies.commands import copy
from ddb_assets_tests.copies.copying import ID, KilledError, World, random_items, run
from ddb_assets_tests.support.fault_proxy import Fault, Schedule

pytestmark = pytest.mark.usefixtures("no_faults")


@pytest.mark.usefixtures("impatient")
def test_a_source_that_cannot_be_read_fails_the_copy(world: World, tmp_path: Path) -> None:
    source, destination = world.table(ID, random_items(random.Random(3), ID, 10)), world.table()
    reads_only = frozenset({"Scan"})
    world.proxy.schedule = Schedule(rate=1.0, faults=frozenset({Fault.THROTTLING}), operations=reads_only)
    with pytest.raises(CopyFailedError, match=r"Scan on .* did not succeed in 0.2 s: ThrottlingException") as failed:
        run(world.plan(source, destination, deadline=0.2), tmp_path)
    assert failed.value.report.throttles == {"TableWriteKeyRangeThroughputExceeded": pytest.approx(1, abs=500)}
    assert world.items(destination) == set()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("operation", ["Scan", "BatchWriteItem"])
def test_credentials_that_expire_stop_the_copy_cleanly(world: World, tmp_path: Path, operation: str) -> None:
    """As botocore may have new ones in a moment it is tried a few times, and not until the deadline."""
    items = random_items(random.Random(3), ID, 60)
    source, destination = world.table(ID, items), world.table()
    world.proxy.schedule = Schedule(page_limit=10)
    plan = world.plan(source, destination, deadline=20.0)
    sent = 0

    def expired(request: Any, **_: object) -> AWSResponse | None:
        nonlocal sent
        sent += 1
        if sent <= 3:
            return None
        said = {"__type": "com.amazon.coral.service#ExpiredTokenException", "message": "The token is expired"}
        raw = HTTPResponse(BytesIO(json.dumps(said).encode()), preload_content=False)
        return AWSResponse(request.url, 400, HTTPHeaders(), raw)

    events = world.client.meta.events
    events.register(f"before-send.dynamodb.{operation}", expired)
    try:
        with pytest.raises(CopyFailedError, match=r"does not accept the credentials .*log in again"):
            run(plan, tmp_path)
    finally:
        events.unregister(f"before-send.dynamodb.{operation}", expired)
    assert sent < 40
    report = run(world.plan(source, destination), tmp_path)
    assert report.read == 60
    assert world.items(destination) == world.items(source)


def test_a_refusal_is_not_tried_again(world: World, tmp_path: Path) -> None:
    source, destination = world.table(ID, random_items(random.Random(3), ID, 10)), world.table()
    plan = world.plan(source, destination)
    world.direct.delete_table(TableName=source)
    before = world.proxy.requests["Scan"]
    with pytest.raises(CopyFailedError, match="there is no such table"):
        run(plan, tmp_path)
    assert world.proxy.requests["Scan"] - before <= plan.options.workers


def test_what_was_rejected_before_a_crash_stands_in_the_file_once(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the end comes after the line is written and before the checkpoint is."""
    both = [{"id": {"S": f"i{n}"}, "a": {"N": "1"}, "b": {"N": "2"}} for n in range(40)]
    source, destination = world.table(ID, both), world.table()
    world.proxy.schedule = Schedule(page_limit=5)
    advance = CopyProgress.advance
    for seed in (1, 2, 3):
        chance = random.Random(seed)

        def die(progress: CopyProgress, *told: Any, **counts: Any) -> None:
            if chance.random() < 0.4:  # noqa: B023 -- this loop's
                raise KilledError
            advance(progress, *told, **counts)

        with monkeypatch.context() as patch:
            patch.setattr(CopyProgress, "advance", die)
            with pytest.raises(KilledError):
                run(world.plan(source, destination, rename={"a": "b"}), tmp_path)
    report = run(world.plan(source, destination, rename={"a": "b"}), tmp_path)
    assert (report.read, report.rejected) == (40, 40)
    lines = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()[1:]]
    assert sorted(line["text"] for line in lines) == sorted({line["text"] for line in lines})
    assert len(lines) == 40


class Begun:
    """A copy by the command that was ended in the middle, and the tables of it."""

    def __init__(self, world: World, *arguments: str, more: dict[str, Any] | None = None) -> None:
        self.world = world
        items = [{**item, **(more or {})} for item in random_items(random.Random(3), ID, 30)]
        self.source, self.destination = world.table(ID, items), world.table()
        self.arguments: tuple[str, ...] = ("--segments", "1", *arguments)
        world.proxy.schedule = Schedule(
            page_limit=3, rate=1.0, spared=4, faults=frozenset({Fault.THROTTLED}), operations=frozenset({"Scan"})
        )
        failed = copy(self.source, self.destination, *self.arguments, "--deadline", "0.1")
        assert failed.exit_code == 1, failed.output
        world.proxy.schedule = Schedule()
        assert more or 0 < len(world.items(self.destination)) < 30

    def again(self, *more: str) -> Result:
        return copy(self.source, self.destination, *self.arguments, *more)


def create_again(table: str, world: World) -> None:
    items = world.direct.scan(TableName=table)["Items"]
    world.direct.delete_table(TableName=table)
    world.direct.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    world.put(table, items)


@pytest.mark.usefixtures("environment", "impatient")
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda begun: create_again(begun.source, begun.world), r"source id: \S+ before, \S+ now"),
        (lambda begun: create_again(begun.destination, begun.world), r"destination id: \S+ before, \S+ now"),
        (lambda _: ("--exclude", "a0"), r'exclude: \[\] before, \["a0"\] now'),
        (lambda _: ("--rename", "a0=b"), r'rename a0: nothing before, "b" now'),
        (lambda _: ("--clean=extra", "--yes"), r'clean: "no" before, "extra" now'),
        (lambda _: ("--filter", "attribute_exists(id)"), r"filter: nothing before, .*FilterExpression"),
    ],
)
def test_in_another_world_it_is_refused_by_name_or_begun_again(
    world: World, change: Callable[[Begun], tuple[str, ...] | None], named: str
) -> None:
    begun = Begun(world)
    more = change(begun) or ()
    there = world.items(begun.destination)
    refused = begun.again(*more)
    assert refused.exit_code == 1
    assert re.search(named, refused.output), refused.output
    assert "--restart" in refused.output
    assert world.items(begun.destination) == there
    done = begun.again(*more, "--restart", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)["report"]
    assert (report["resumed"], report["read"], report["written"]) == (False, 30, 30)


@pytest.mark.usefixtures("environment", "impatient")
def test_in_the_same_world_it_is_resumed_and_says_so(world: World) -> None:
    begun = Begun(world)
    done = begun.again("--json")
    report = json.loads(done.stdout)["report"]
    assert (report["resumed"], report["read"]) == (True, 30)
    assert report["written"] < 30
    assert re.search(r"resumed in phase copy of the copy begun at \S+Z: \d+ items were read before", done.stderr)
    assert world.items(begun.destination) == world.items(begun.source)


@pytest.mark.usefixtures("environment", "impatient")
def test_what_was_copied_days_ago_is_copied_again(world: World, tmp_path: Path) -> None:
    begun = Begun(world)
    (path,) = tmp_path.rglob("*.checkpoint.json")
    saved = json.loads(path.read_text())
    saved["state"] |= {"begun": "2020-01-01T00:00:00Z", "saved": "2020-01-01T01:00:00Z"}
    path.write_text(json.dumps(saved))
    world.put(
        begun.source,
        [item | {"changed": {"BOOL": True}} for item in world.direct.scan(TableName=begun.source)["Items"]],
    )
    done = begun.again("--json")
    assert json.loads(done.stdout)["report"]["written"] == 30
    assert "a copy begun at 2020-01-01T00:00:00Z stopped at 2020-01-01T01:00:00Z" in done.stderr
    assert world.items(begun.destination) == world.items(begun.source)


@pytest.mark.usefixtures("environment", "impatient")
@pytest.mark.parametrize("age", [False, True])
def test_a_copy_that_begins_again_keeps_the_reject_file_of_the_one_before(
    world: World, tmp_path: Path, *, age: bool
) -> None:
    """With --restart, and when what was copied before is too old."""
    rejects = tmp_path / "left-over.jsonl"
    begun = Begun(world, "--rename", "x=y", "--rejects", str(rejects), more={"x": {"N": "1"}, "y": {"N": "2"}})
    before = rejects.read_bytes()
    (path,) = tmp_path.rglob("*.checkpoint.json")
    if age:
        saved = json.loads(path.read_text())
        saved["state"] |= {"begun": "2020-01-01T00:00:00Z", "saved": "2020-01-01T01:00:00Z"}
        path.write_text(json.dumps(saved))
    done = begun.again(*(() if age else ("--restart",)), "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["report"]["rejected"] == 30
    [kept] = tmp_path.glob("left-over-*-superseded.jsonl")
    assert str(kept) in done.stderr
    assert kept.read_bytes() == before
    assert len(rejects.read_bytes().splitlines()) == 31


def test_a_checkpoint_of_another_copy_is_refused(world: World, tmp_path: Path) -> None:
    source, destination, other = world.table(ID, random_items(random.Random(3), ID, 30)), world.table(), world.table()
    world.proxy.schedule = Schedule(page_limit=3)

    def stop(phase: str, number: int, totals: object) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        run(world.plan(source, destination), tmp_path, stop)
    with pytest.raises(DdbAssetsError, match=r"destination ARN: \S+ before, \S+ now"):
        run(world.plan(source, other), tmp_path)
    assert world.items(other) == set()
    without: Any = {"exclude": frozenset({"a0"})}
    with pytest.raises(DdbAssetsError, match=r'exclude: \[\] before, \["a0"\] now'):
        run(world.plan(source, destination, **without), tmp_path)
