"""The accident case: a table as it was at an earlier time is restored, copied from, compared with and dropped."""

import json
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.aws.errors import AwsUnavailableError
from ddb_assets.copies.restoring.point_in_time import PointInTime
from ddb_assets.copies.restoring.restore import KeptTableError, Restore, temporary_name
from ddb_assets.copies.sides import Side
from ddb_assets.copies.verify import Verifier
from ddb_assets.errors import RetryableError
from ddb_assets.microseconds import from_micros
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import state_folder
from ddb_assets_tests.copies.commands import copy, start
from ddb_assets_tests.copies.copying import ID, World, random_items
from ddb_assets_tests.support.fault_proxy import Fault, Schedule, fault_proxy
from ddb_assets_tests.support.faults import BusyAtFirst

pytestmark = pytest.mark.usefixtures("no_faults", "environment")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Its restores last long enough to be looked at."""
    with Sandbox(export_delay=timedelta(seconds=0.3)) as sandbox, fault_proxy(sandbox.endpoint_url) as proxy:
        yield World(sandbox, proxy)


def some(count: int = 20, seed: int = 1) -> list[dict[str, Any]]:
    return random_items(random.Random(seed), ID, count)


def temporary(world: World, table: str) -> list[str]:
    return [name for name in world.direct.list_tables()["TableNames"] if name.startswith(f"{table}-restored-")]


def moment(world: World) -> str:
    """A time between the writes before and after, in whole seconds, that can be restored to."""
    world.sandbox.clock.advance(timedelta(minutes=10))
    found = from_micros(world.sandbox.clock.micros()).replace(microsecond=0)
    world.sandbox.clock.advance(timedelta(minutes=10))
    return found.isoformat()


def protected(world: World, items: list[dict[str, Any]]) -> str:
    table = world.table(ID, items)
    world.sandbox.enable_recovery(table, datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
    return table


def test_an_accident_is_undone_from_a_point_in_time(world: World) -> None:
    table = protected(world, some())
    before, then = world.items(table), moment(world)
    for item in world.direct.scan(TableName=table)["Items"][:9]:
        world.direct.delete_item(TableName=table, Key={"id": item["id"]})
    world.put(table, [{"id": {"S": "new, after the accident"}}])
    done = copy(table, table, "--from-point-in-time", then, "--clean=extra", "--yes", "--verify=all")
    assert done.exit_code == 0, done.output
    assert world.items(table) == before
    assert f"the restored table {table}-restored-" in done.output
    assert not [name for name in world.direct.list_tables()["TableNames"] if name.startswith(f"{table}-restored-")]


def test_without_cleaning_what_is_new_since_stays(world: World) -> None:
    table, other = protected(world, some()), world.table(ID, [{"id": {"S": "here"}}])
    then = moment(world)
    done = copy(table, other, "--from-point-in-time", then)
    assert done.exit_code == 0, done.output
    assert len(world.items(other)) == 21


def test_the_restored_table_is_kept_when_the_copy_fails_and_used_again(world: World) -> None:
    table = protected(world, some())
    before, then = world.items(table), moment(world)
    for item in world.direct.scan(TableName=table)["Items"]:
        world.direct.delete_item(TableName=table, Key={"id": item["id"]})
    world.proxy.schedule = Schedule(
        rate=1.0, faults=frozenset({Fault.THROTTLED}), operations=frozenset({"BatchWriteItem"})
    )
    failed = copy(table, table, "--from-point-in-time", then, "--deadline", "0.2")
    assert failed.exit_code == 1
    assert "is kept: run the same copy again" in failed.output
    world.proxy.schedule = Schedule()
    restores = world.proxy.requests["RestoreTableToPointInTime"]
    done = copy(table, table, "--from-point-in-time", then)
    assert done.exit_code == 0, done.output
    assert world.proxy.requests["RestoreTableToPointInTime"] == restores
    assert world.items(table) == before


def test_a_restored_table_is_only_compared_when_it_was_copied_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody writes to it, so what was copied from it stays right."""
    table, other = protected(world, some()), world.table()
    then = moment(world)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Verifier, "verify", interrupt)
        stopped = copy(table, other, "--from-point-in-time", then)
    assert "is copied, but not compared" in stopped.output
    written_another_way = datetime.fromisoformat(then).astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()
    done = copy(table, other, "--from-point-in-time", written_another_way, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)["report"]
    assert (report["resumed"], report["read"], report["written"]) == (True, 20, 0)
    assert "resumed in phase verify" in done.stderr


@pytest.mark.parametrize("hours", [-11, 5.5, 14])
def test_the_name_of_a_restored_table_does_not_depend_on_how_its_time_is_written(world: World, hours: float) -> None:
    side = Side.of(world.client, world.client, world.table())
    then = datetime(2026, 1, 31, 12, tzinfo=UTC)
    elsewhere = PointInTime(side, then.astimezone(timezone(timedelta(hours=hours))))
    assert temporary_name(elsewhere) == temporary_name(PointInTime(side, then))


@pytest.mark.parametrize(
    ("time_", "message"),
    [
        ("2020-01-01T00:00:00Z", "can be restored to a time from"),
        ("2199-01-01T00:00Z", "can be restored to a time from"),
    ],
)
def test_a_time_that_cannot_be_restored_says_which_can(world: World, time_: str, message: str) -> None:
    done = copy(protected(world, some(3)), world.table(), "--from-point-in-time", time_)
    assert done.exit_code == 1
    assert message in done.output


def test_a_request_about_a_table_that_is_throttled_is_made_again(world: World) -> None:
    table = protected(world, some())
    before, then = world.items(table), moment(world)
    other = world.table()
    world.proxy.schedule = busy = BusyAtFirst()
    done = copy(table, other, "--from-point-in-time", then)
    assert done.exit_code == 0, done.output
    assert {"DescribeTable", "DescribeContinuousBackups", "RestoreTableToPointInTime", "DeleteTable"} <= busy.seen
    assert "not known" not in done.output
    assert world.items(other) == before
    assert not temporary(world, table)


def test_a_table_that_only_has_the_temporary_name_is_neither_copied_nor_deleted(world: World) -> None:
    table = protected(world, some())
    then = moment(world)
    name = temporary_name(PointInTime(Side.of(world.direct, world.direct, table), datetime.fromisoformat(then)))
    world.direct.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    world.put(name, [{"id": {"S": "somebody's"}}])
    done = copy(table, world.table(), "--from-point-in-time", then)
    assert done.exit_code == 1
    assert f"{name} exists and is not known to be a restored copy of" in done.output
    assert len(world.items(name)) == 1


def test_without_recovery_there_is_no_earlier_state(world: World) -> None:
    done = copy(world.table(ID, some(3)), world.table(), "--from-point-in-time", "2026-01-01T00:00Z")
    assert done.exit_code == 1
    assert "point-in-time recovery of" in done.output


def test_a_dry_run_restores_nothing_unless_it_is_restored_already(world: World) -> None:
    table, other = protected(world, some()), world.table()
    then = moment(world)
    done = copy(table, other, "--from-point-in-time", then, "--dry-run")
    assert done.exit_code == 0, done.output
    assert f"would first be restored as {table}-restored-" in done.output
    assert not temporary(world, table)
    early = copy(table, other, "--from-point-in-time", "2020-01-01T00:00Z", "--dry-run")
    assert early.exit_code == 1
    assert "can be restored to a time from" in early.output
    declined = copy(table, table, "--from-point-in-time", then, "--clean=extra", typed="no\n")
    assert declined.exit_code == 1
    [name] = temporary(world, table)
    told = json.loads(copy(table, other, "--from-point-in-time", then, "--dry-run", "--json").stdout)
    assert (told["source"].rpartition("/")[2], told["items"], told["restores"]) == (name, 20, "")


@pytest.mark.parametrize("typed", ["no\n", ""])
def test_who_does_not_confirm_is_told_of_the_restored_table(world: World, typed: str) -> None:
    table = protected(world, some())
    before, then = world.items(table), moment(world)
    declined = copy(table, table, "--from-point-in-time", then, "--clean", typed=typed)
    assert declined.exit_code == 1
    assert "nothing was deleted or written" in declined.output
    [name] = temporary(world, table)
    assert f"The restored table {name} is kept" in declined.output
    assert world.items(table) == before


def test_a_key_that_does_not_fit_is_told_before_anything_is_restored(world: World) -> None:
    table = protected(world, some())
    refused = copy(table, world.table((("pk", "S"),)), "--from-point-in-time", moment(world))
    assert refused.exit_code == 1
    assert "--rename OLD=NEW" in refused.output
    assert not temporary(world, table)


def test_machines_get_the_report_of_what_failed(world: World) -> None:
    """A destination that differs afterwards keeps the restored table."""
    table = protected(world, [*some(), {"id": {"S": "both"}, "x": {"N": "1"}, "y": {"N": "2"}}])
    other, then = world.table(), moment(world)
    failed = copy(table, other, "--from-point-in-time", then, "--rename", "x=y", "--json")
    assert failed.exit_code == 1
    told = json.loads(failed.stdout)
    assert told["report"]["rejected"] == 1
    assert "1 rejected" in told["error"]
    assert "ddb-assets import --redrive" in told["error"]
    assert len(temporary(world, table)) == 1


def test_a_restore_that_aws_does_not_answer_for_may_be_tried_again(world: World, tmp_path: Path) -> None:
    table = protected(world, some())
    then = moment(world)

    def unanswered(_: float) -> None:
        raise AwsUnavailableError("AWS is busy")

    origin = PointInTime(Side.of(world.client, world.client, table), datetime.fromisoformat(then))
    with pytest.raises(KeptTableError, match=r"AWS is busy.*run the same copy again, which waits for it") as caught:
        Restore.to_copy_from(origin, tmp_path).table(unanswered, on_wait=print)
    assert isinstance(caught.value, RetryableError)


def test_a_restored_table_that_cannot_be_deleted_is_named_and_the_copy_has_succeeded(world: World) -> None:
    table, other = protected(world, some()), world.table()
    before, then = world.items(table), moment(world)

    class Protecting(Schedule):
        """Somebody protects the restored table while it is copied."""

        def draw(self, operation: str) -> Fault | None:
            if operation == "BatchWriteItem":
                [name] = temporary(world, table)
                world.direct.update_table(TableName=name, DeletionProtectionEnabled=True)
            return None

    world.proxy.schedule = Protecting()
    done = copy(table, other, "--from-point-in-time", then, "--json")
    assert done.exit_code == 0, done.output
    [name] = temporary(world, table)
    told = json.loads(done.stdout)
    assert (told["succeeded"], told["dropped"], told["report"]["written"]) == (True, None, 20)
    assert f"the restored table {name} could not be deleted (dynamodb:DeleteTable on {name}" in told["not_dropped"]
    assert world.items(other) == before
    world.proxy.schedule = Schedule()
    assert f"the restored table {name} could not be deleted" in copy(table, other, "--from-point-in-time", then).stderr


@pytest.mark.slow
def test_sigterm_while_it_is_restored_says_how_to_continue(world: World, environment: dict[str, str]) -> None:
    table, other = protected(world, some()), world.table()
    then = moment(world)
    waits = threading.Event()

    class Slow(Schedule):
        """What is asked about the restored table is answered late."""

        def draw(self, operation: str) -> Fault | None:
            if operation == "DescribeTable" and temporary(world, table):
                waits.set()
                return Fault.SLOW
            return None

    world.proxy.schedule = Slow(delay=20.0)
    running = start(environment, table, other, "--from-point-in-time", then)
    assert waits.wait(60)
    running.terminate()
    _, said = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "interrupted" in said
    assert "run the same copy again, which waits for it" in said


def test_ctrl_c_while_it_is_restored_says_how_to_go_on(world: World) -> None:
    table, other = protected(world, some()), world.table()
    before, then = world.items(table), moment(world)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    origin = PointInTime(Side.of(world.client, world.client, table), datetime.fromisoformat(then))
    with pytest.raises(KeptTableError, match=r"interrupted.*run the same copy again, which waits for it"):
        Restore.to_copy_from(origin, state_folder() / "copies").table(interrupt, on_wait=print)
    assert len(temporary(world, table)) == 1
    done = copy(table, other, "--from-point-in-time", then)
    assert done.exit_code == 0, done.output
    assert world.items(other) == before
    assert not temporary(world, table)
