"""`ddb-assets copy` as a user calls it: what it prints, asks, refuses, and how it continues after kill -9 and Ctrl-C."""

import errno
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.bulk.checkpoint import Checkpoint
from ddb_assets.bulk.lock import only_run
from ddb_assets.cli.commands.copy import command
from ddb_assets.copies.verify import Verifier
from ddb_assets.settings import STATE
from ddb_assets_tests.copies.commands import copy, start
from ddb_assets_tests.copies.copying import ID, World, random_items
from ddb_assets_tests.support.fault_proxy import Fault, Schedule

pytestmark = pytest.mark.usefixtures("no_faults", "environment")


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
    done = copy(source, destination, "--verify", "1000", "--json")
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
    assert "DELETES      all 7 items, from the destination" in asked.output
    assert "nothing was deleted or written" in asked.output
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
        (["--workers", "0"], "'--workers': 0 is not in the range 1<=x<=64"),
        (["--rename", "a"], "never empty"),
        (["--rename", "a=b", "--rename", "a=c"], "renamed twice"),
        (["--filter", "a", "--filter-values", '{":s": "x"}'], "--filter-values :s: Input should be a valid dictionary"),
        (["--filter", "a", "--filter-names", "[]"], "--filter-names: Input should be a valid dictionary"),
        (["--max-wcu", "0"], "'--max-wcu': 0.0 is not in the range x>0"),
        (["--from-point-in-time", "yesterday"], "not an ISO 8601 time"),
        (["--from-point-in-time", "2026-01-31T12:00"], "write 2026-01-31T12:00:00Z for UTC"),
        (["--verify=sample"], "'sample' is neither a number of items, such as 1000, nor all"),
        (["--verify", "-1"], "neither a number of items"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(world: World, arguments: list[str], message: str) -> None:
    done = copy("a", "b", *arguments)
    assert done.exit_code == 2
    assert message in done.output


@pytest.mark.parametrize("tables", [("arn:aws:nonsense", "Orders"), ("Orders", "arn:aws:s3:::bucket/table")])
def test_what_is_no_tables_arn_is_a_wrong_call(tables: tuple[str, str]) -> None:
    done = copy(*tables)
    assert done.exit_code == 2
    assert "is not the ARN of a table" in done.output
    assert ("SOURCE_TABLE" if tables[0].startswith("arn:") else "DEST_TABLE") in done.output


@pytest.mark.parametrize("side", ["source", "dest"])
def test_a_region_that_the_arn_contradicts_is_a_wrong_call(side: str) -> None:
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/Orders"
    done = copy(*((arn, "Orders") if side == "source" else ("Orders", arn)), f"--{side}-region", "us-east-1")
    assert done.exit_code == 2
    assert f"--{side}-region: the Region is us-east-1, but the ARN says eu-west-1: leave the Region out" in done.output


def test_folders_that_cannot_be_written_are_told_before_anything_is(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, destination = world.table(ID, some()), world.table()
    (tmp_path / "file").touch()
    done = copy(source, destination, "--rejects", str(tmp_path / "file" / "rejects.jsonl"))
    assert done.exit_code == 1
    assert "name another reject file" in done.output
    monkeypatch.setenv(STATE, str(tmp_path / "file"))
    done = copy(source, destination)
    assert done.exit_code == 1
    assert f"set {STATE} to a folder to write to" in done.output
    assert world.items(destination) == set()


def test_a_full_disk_fails_the_copy_which_can_be_gone_on_with(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    source, destination = world.table(ID, some()), world.table()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", full)
        failed = copy(source, destination)
    assert failed.exit_code == 1
    assert "No space left on device" in failed.output
    assert "run the same copy again to continue" in failed.output
    assert copy(source, destination).exit_code == 0
    assert world.items(destination) == world.items(source)


def test_rejected_items_make_it_fail(world: World, tmp_path: Path) -> None:
    source = world.table(ID, [{"id": {"S": "a"}, "x": {"S": "1"}, "y": {"S": "2"}}, {"id": {"S": "b"}}])
    destination = world.table()
    path = tmp_path / "rejects.jsonl"
    done = copy(source, destination, "--rename", "x=y", "--rejects", str(path))
    assert done.exit_code == 1
    assert "two attributes of the item would be called 'y'" in done.output
    assert f"ddb-assets import --redrive {path}" in done.output


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


def test_an_option_that_may_stand_alone_may_stand_before_the_tables(world: World) -> None:
    source, destination = world.table(ID, some()), world.table(ID, some(7, 2))
    done = copy("--clean", source, destination, "--verify", "5", "--yes", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["report"]["deleted"] == 7
    assert json.loads(done.stdout)["verification"]["compared"] == 5
    assert copy("--clean", "extra", source, destination, "--yes", "--verify", "all").exit_code == 0


def test_a_filter_that_is_none_is_told_before_anything_is_begun(world: World, tmp_path: Path) -> None:
    done = copy(world.table(ID, some()), world.table(), "--filter", "status = :s")
    assert done.exit_code == 1
    assert "ValidationException" in done.output
    assert "to continue" not in done.output
    assert not list(tmp_path.rglob("*.checkpoint.json"))


def test_a_copy_runs_once_at_a_time(world: World, tmp_path: Path) -> None:
    """Two runs of one copy would clean what the other one has written."""
    source, destination = world.table(ID, some()), world.table(ID, some(7, 2))
    plan = world.plan(source, destination, clean="all")
    before = world.items(destination)
    with only_run(tmp_path / "state" / "copies" / f"{plan.job}.lock", "copy"):
        second = copy(source, destination, "--clean", "--yes")
        assert second.exit_code == 1
        assert "another run of this copy is under way" in second.output
        assert world.items(destination) == before
    assert copy(source, destination, "--clean", "--yes").exit_code == 0


def test_a_comparison_that_fails_says_that_the_copy_is_done(world: World) -> None:
    source, destination = world.table(ID, some()), world.table()
    get_only = frozenset({"BatchGetItem"})
    world.proxy.schedule = Schedule(rate=1.0, faults=frozenset({Fault.THROTTLED}), operations=get_only)
    failed = copy(source, destination, "--verify", "1000", "--deadline", "0.3", "--json")
    assert failed.exit_code == 1
    assert "is copied, but not compared" in failed.output
    assert json.loads(failed.stdout)["report"]["written"] == 20
    world.proxy.schedule = Schedule()
    again = json.loads(copy(source, destination, "--verify", "1000", "--json").stdout)
    assert (again["report"]["read"], again["report"]["written"], again["report"]["resumed"]) == (20, 20, False)
    assert again["succeeded"]


def test_ctrl_c_while_it_compares_says_that_the_copy_is_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    source, destination = world.table(ID, some()), world.table()

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Verifier, "verify", interrupt)
        stopped = copy(source, destination, "--verify", "1000")
    assert stopped.exit_code == 1
    assert f"interrupted; {source} is copied, but not compared" in stopped.output
    world.put(source, [{"id": {"S": "new"}}])
    done = copy(source, destination, "--json")
    assert "its source may have changed since: this one begins at the beginning" in done.stderr
    assert json.loads(done.stdout)["report"]["written"] == 21
    assert world.items(destination) == world.items(source)


def test_every_option_is_explained() -> None:
    help_text = copy("--help").output
    for parameter in command.params:
        assert all(option in help_text for option in parameter.opts if option.startswith("--")), parameter.name


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
    # the answers to all writes but the first few are late, so that the copy cannot be done before the signal comes
    slow, writes = frozenset({Fault.SLOW}), frozenset({"BatchWriteItem"})
    world.proxy.schedule = Schedule(rate=1.0, spared=3, faults=slow, operations=writes, page_limit=15, delay=3.0)
    running = start(environment, *arguments)
    wait_for_items(world, destination, 60)
    running.send_signal(signal_)
    world.proxy.schedule = Schedule(rate=1.0, faults=slow, operations=writes, page_limit=15, delay=0.4)
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
