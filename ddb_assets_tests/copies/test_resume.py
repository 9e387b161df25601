"""Copies that are cut off, and how they continue. Random schedules are in `test_schedules.py`."""

import json
import random
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from urllib3 import HTTPResponse

from ddb_assets.copies.copy_job import CopyFailedError
from ddb_assets.copies.copy_state import CopyProgress
from ddb_assets.errors import DdbAssetsError
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
