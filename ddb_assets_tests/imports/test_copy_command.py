"""`ddb-assets copy` as people call it: what it prints, asks, refuses, and how it goes on after kill -9 and Ctrl-C."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ddb_assets.cli import main
from ddb_assets.cli.copy import command
from ddb_assets.imports.copy.guards import Side
from ddb_assets.imports.copy.restore import temporary_name
from ddb_assets.sandbox.clock import from_micros
from ddb_assets.settings import STATE
from ddb_assets_tests.imports.copying import ID, World, no_faults, random_items, world
from ddb_assets_tests.imports.fault_proxy import Fault, Schedule

__all__ = ["no_faults", "world"]


@pytest.fixture(autouse=True)
def environment(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables that lead to the proxy, set here and given to who starts a process."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "DDB_ASSETS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    variables = {
        **world.sandbox.environment(),
        "AWS_ENDPOINT_URL": world.proxy.endpoint_url,
        STATE: str(tmp_path / "state"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **variables}


def copy(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(main, ["copy", *arguments], input=typed)


def some(count: int = 20, seed: int = 1) -> list[dict[str, Any]]:
    return random_items(random.Random(seed), ID, count)


def test_it_copies_and_says_what_it_did(world: World) -> None:
    source, destination = world.table(ID, some()), world.table()
    done = copy(source, destination, "--verify=all")
    assert done.exit_code == 0, done.output
    assert "agrees: 20 items in the source, 20 in the destination, 20 compared" in done.output
    assert "not copied: auto scaling" in done.output
    assert world.items(destination) == world.items(source)


def test_machines_get_one_document(world: World) -> None:
    source, destination = world.table(ID, some()), world.table()
    done = copy(source, destination, "--verify", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["report"]["read"] == told["report"]["written"] == 20
    assert told["verification"]["missing_count"] == 0
    assert told["succeeded"] is True


@pytest.mark.parametrize("typed", ["", "\n", "yes\n", "source\n"])
def test_nothing_is_deleted_unless_the_name_is_typed(world: World, typed: str) -> None:
    source, destination = world.table(ID, some()), world.table(ID, some(7, 2))
    before = world.items(destination)
    asked = copy(source, destination, "--clean", typed=typed.replace("source", source))
    assert asked.exit_code == 1
    assert "20 items" in asked.output
    assert "all 7 items of the destination" in asked.output
    assert world.items(destination) == before
    done = copy(source, destination, "--clean", typed=f"{destination}\n")
    assert done.exit_code == 0, done.output
    assert world.items(destination) == world.items(source)


def test_yes_is_enough_for_scripts(world: World) -> None:
    source, destination = world.table(ID, some()), world.table(ID, some(7, 2))
    assert copy(source, destination, "--clean=extra", "--yes").exit_code == 0
    assert world.items(destination) == world.items(source)


def test_a_dry_run_asks_nothing_and_changes_nothing(world: World) -> None:
    source, destination = world.table(ID, some()), world.table(ID, some(7, 2))
    before = world.items(destination)
    told = json.loads(copy(source, destination, "--clean", "--dry-run", "--json").stdout)
    assert (told["items"], told["would_delete"], told["rejected"]) == (20, 7, 0)
    assert world.items(destination) == before


def test_filters_and_names_are_given_as_the_aws_cli_takes_them(world: World) -> None:
    items = [{"id": {"S": f"i{n}"}, "status": {"S": "open" if n % 2 else "done"}, "x": {"N": "1"}} for n in range(10)]
    source, destination = world.table(ID, items), world.table((("pk", "S"),))
    done = copy(
        source, destination, "--filter", "#s = :s", "--filter-names", '{"#s": "status"}', "--filter-values",
        '{":s": {"S": "open"}}', "--rename", "id=pk", "--exclude", "x", "--verify=all",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = world.direct.scan(TableName=destination)["Items"]
    assert sorted(item["pk"]["S"] for item in found) == [f"i{n}" for n in range(1, 10, 2)]
    assert all(set(item) == {"pk", "status"} for item in found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--filter-names", "{}"], "are for a --filter"),
        (["--filter", "a", "--filter-values", "{"], "--filter-values"),
        (["--workers", "0"], "greater than or equal to 1"),
        (["--rename", "a"], "never empty"),
        (["--from-point-in-time", "yesterday"], "no ISO 8601 time"),
        (["--verify=some"], "'some' is not one of"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(world: World, arguments: list[str], message: str) -> None:
    done = copy("a", "b", *arguments)
    assert done.exit_code == 2
    assert message in done.output


def test_rejected_items_make_it_fail(world: World, tmp_path: Path) -> None:
    source = world.table(ID, [{"id": {"S": "a"}, "x": {"S": "1"}, "y": {"S": "2"}}, {"id": {"S": "b"}}])
    destination = world.table()
    path = tmp_path / "rejects.jsonl"
    done = copy(source, destination, "--rename", "x=y", "--exceptions", str(path))
    assert done.exit_code == 1
    assert "1 items were rejected" in done.output
    assert json.loads(path.read_text().splitlines()[1])["row"]["id"] == {"S": "a"}


def test_another_account_is_reached_by_its_own_options(world: World) -> None:
    """Each side has its endpoint: the destination's leads past the proxy, whose requests show who used it."""
    source, destination = world.table(ID, some()), world.table()
    before = world.proxy.requests["BatchWriteItem"]
    done = copy(
        source, destination, "--dest-endpoint", world.sandbox.endpoint_url, "--dest-region", "us-east-1",
        "--source-region", "us-east-1",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert world.proxy.requests["BatchWriteItem"] == before
    assert world.items(destination) == world.items(source)


def test_every_option_is_explained() -> None:
    help_text = copy("--help").output
    for parameter in command.params:
        assert all(option in help_text for option in parameter.opts if option.startswith("--")), parameter.name


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


@pytest.mark.parametrize(
    ("time_", "message"),
    [("2020-01-01T00:00:00", "can be restored to a time from"), ("2199-01-01", "can be restored to a time from")],
)
def test_a_time_that_cannot_be_restored_says_which_can(world: World, time_: str, message: str) -> None:
    done = copy(protected(world, some(3)), world.table(), "--from-point-in-time", time_)
    assert done.exit_code == 1
    assert message in done.output


def test_a_table_that_only_has_the_temporary_name_is_neither_copied_nor_deleted(world: World) -> None:
    table = protected(world, some())
    then = moment(world)
    name = temporary_name(Side.of(world.direct, table), datetime.fromisoformat(then))
    world.direct.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    world.put(name, [{"id": {"S": "somebody's"}}])
    done = copy(table, world.table(), "--from-point-in-time", then)
    assert done.exit_code == 1
    assert f"{name} exists and is no restored copy of" in done.output
    assert len(world.items(name)) == 1


def test_without_recovery_there_is_no_earlier_state(world: World) -> None:
    done = copy(world.table(ID, some(3)), world.table(), "--from-point-in-time", "2026-01-01")
    assert done.exit_code == 1
    assert "point-in-time recovery of" in done.output


def start(environment: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
    line = [sys.executable, "-m", "ddb_assets.cli", "copy", *arguments]
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_items(world: World, table: str, count: int) -> None:
    for _ in range(1500):
        if world.direct.scan(TableName=table, Select="COUNT")["Count"] >= count:
            return
        time.sleep(0.02)
    raise TimeoutError(table)


@pytest.mark.slow
@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_killed_or_interrupted_it_goes_on(world: World, environment: dict[str, str], signal_: signal.Signals) -> None:
    source, destination = world.table(ID, some(300)), world.table(ID, [{"id": {"S": "over"}}])
    arguments = (source, destination, "--clean=extra", "--yes", "--segments", "4", "--workers", "2", "--json")
    # so slow that there is time to look and to send a signal before the copy is done, on a busy machine too
    slow = frozenset({Fault.SLOW})
    world.proxy.schedule = Schedule(rate=1.0, budget=10_000, faults=slow, page_limit=15, delay=0.4)
    for reached in (60, 150):
        running = start(environment, *arguments)
        wait_for_items(world, destination, reached)
        running.send_signal(signal_)
        out, _ = running.communicate(timeout=60)
        if signal_ == signal.SIGKILL:
            assert running.returncode == -signal.SIGKILL
        else:
            assert running.returncode == 1
            assert "interrupted" in json.loads(out)["error"]
    world.proxy.schedule = Schedule()
    running = start(environment, *arguments)
    out, said = running.communicate(timeout=60)
    assert running.returncode == 0, said
    report = json.loads(out)["report"]
    assert report["resumed"]
    assert report["read"] == 300
    assert report["written"] < 300  # what was settled is not written again
    assert world.items(destination) == world.items(source)
