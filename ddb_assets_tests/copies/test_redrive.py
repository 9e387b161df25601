"""What a copy could not write, or found missing afterwards, gets into the destination by `ddb-assets import --redrive`."""

import json
import random
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.bulk.options import Verify
from ddb_assets.copies.copy_config import CopyConfig
from ddb_assets.copies.run import open_tables, run_copy
from ddb_assets_tests.copies.commands import copy, redrive
from ddb_assets_tests.copies.copying import BOTH_WAYS, ID, World, random_items
from ddb_assets_tests.support.fault_proxy import Fault, Schedule

pytestmark = pytest.mark.usefixtures("impatient", "no_faults", "environment")

WRITES = frozenset({"BatchWriteItem"})
FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
from ddb_assets.cli import main
main()
"""
"""A disk on which no file can have more than 20,000 bytes."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rejects.jsonl"


def some(count: int, seed: int = 1) -> list[dict[str, Any]]:
    return random_items(random.Random(seed), ID, count)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()[1:]]


def test_items_without_the_new_key_are_redriven_once_they_have_it(world: World, file: Path) -> None:
    items = [{"id": {"S": f"i{n}"}, "secret": {"S": "x"}, "old": {"N": "1"}} for n in range(3)]
    source = world.table(ID, [{**item, "mail": {"S": f"m{n}"}} if n else item for n, item in enumerate(items)])
    destination = world.table((("mail", "S"),))
    how = ("--rekey", "--exclude", "secret", "--rename", "old=new", "--rejects", str(file))
    done = copy(source, destination, *how)
    assert done.exit_code == 1
    assert f"ddb-assets import --redrive {file} --table arn:" in done.output
    [told] = lines(file)
    assert told["row"] == {"id": {"S": "i0"}, "new": {"N": "1"}}  # as the destination gets it
    assert told["fate"] == "rejected"
    assert "mail" in told["reason"]
    assert redrive(file, destination).exit_code == 1  # nobody has mended it
    told["row"]["mail"] = {"S": "mended"}
    file.write_text("\n".join([file.read_text().splitlines()[0], json.dumps(told)]))
    done = redrive(file, destination)
    assert done.exit_code == 0, done.output
    found = {item["mail"]["S"]: item for item in world.direct.scan(TableName=destination)["Items"]}
    assert found.keys() == {"mended", "m1", "m2"}
    assert all(item.keys() == {"id", "mail", "new"} for item in found.values())


def test_an_item_with_a_name_twice_is_not_redriven_before_one_of_them_is_gone(world: World, file: Path) -> None:
    item = {"id": {"S": "both"}, "a": {"B": b"\x01"}, "b": {"L": [{"NS": ["2"]}]}, "out": {"S": "x"}}
    destination = world.table()
    how = ("--rename", "a=b", "--exclude", "out", "--rejects", str(file))
    assert copy(world.table(ID, [item]), destination, *how).exit_code == 1
    done = redrive(file, destination)
    assert done.exit_code == 1
    assert "'b' occurs twice" in done.output
    assert world.items(destination) == set()
    file.write_text(file.read_text().replace(r"\"b\":{\"L\"", r"\"c\":{\"L\""))
    done = redrive(file, destination)
    assert done.exit_code == 0, done.output
    [found] = world.direct.scan(TableName=destination)["Items"]
    assert found == {"id": {"S": "both"}, "b": {"B": b"\x01"}, "c": {"L": [{"NS": ["2"]}]}}


def test_what_was_not_written_in_time_is_redriven_as_it_is(world: World, file: Path) -> None:
    source, destination = world.table(ID, some(50)), world.table()
    world.proxy.schedule = Schedule(rate=1.0, faults=frozenset({Fault.UNPROCESSED_SOME}), operations=WRITES)
    failed = copy(source, destination, "--deadline", "0.05", "--rejects", str(file), "--segments", "1")
    assert failed.exit_code == 1
    assert f"{len(lines(file))} others were not written" in failed.output
    world.proxy.schedule = Schedule()
    done = redrive(file, destination)
    assert done.exit_code == 0, done.output
    assert world.items(destination) == world.items(source)


def test_deletions_that_were_not_done_are_redriven_as_deletions(world: World, file: Path) -> None:
    """Not as items that have nothing but a key."""
    source, destination = world.table(ID, some(5)), world.table(ID, some(60, 2))
    world.proxy.schedule = Schedule(rate=1.0, faults=frozenset({Fault.UNPROCESSED_ALL}), operations=WRITES)
    how = ("--clean", "--yes", "--deadline", "0.05", "--rejects", str(file), "--segments", "1")
    assert copy(source, destination, *how).exit_code == 1
    undone = len(lines(file))
    assert undone > 0
    world.proxy.schedule = Schedule()
    done = redrive(file, destination)
    assert done.exit_code == 0, done.output
    assert len(world.items(destination)) == 60 - undone


@pytest.mark.parametrize("verify", BOTH_WAYS)
def test_what_is_written_behind_the_scan_is_found_and_copied_again(world: World, file: Path, verify: Verify) -> None:
    """An item that was added and one that was changed after the scan had passed; and one that the destination lost."""
    source, destination = world.table(ID, some(40)), world.table()
    config = CopyConfig.model_validate(
        {"source": source, "destination": destination, "segments": 1, "verify": verify, "rejects": str(file)}
    )

    def meanwhile(*_: object) -> None:
        lost, changed, *_rest = world.direct.scan(TableName=source)["Items"]
        world.direct.delete_item(TableName=destination, Key={"id": lost["id"]})
        world.put(source, [{"id": {"S": "added"}}, {"id": changed["id"], "changed": {"BOOL": True}}])

    opened = open_tables(config, None, file.parent, print)
    outcome = run_copy(opened, config, "no", file.parent, confirm=print, on_resumed=print, on_page=meanwhile)
    assert not outcome.succeeded
    assert outcome.verification
    assert (outcome.verification.missing_count, outcome.verification.different_count) == (2, 1)
    keys = [*outcome.verification.missing, *outcome.verification.different]
    assert sorted(line["row"]["id"]["S"] for line in lines(file)) == sorted(key["id"]["S"] for key in keys)
    done = redrive(file, destination)
    assert done.exit_code == 0, done.output
    assert world.items(destination) == world.items(source)


def test_a_file_that_is_something_else_is_not_replaced(world: World, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("mine\n")
    done = copy(world.table(ID, some(3)), world.table(), "--rejects", str(notes))
    assert done.exit_code == 1
    assert f"{notes}:1: this is not a reject file" in done.output
    assert notes.read_text() == "mine\n"


def test_the_items_that_a_copy_rejects_may_be_on_s3(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no later copy replaces them."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", world.sandbox.endpoint_url)  # the proxy is for DynamoDB
    bucket = f"b-{uuid.uuid4().hex}"
    world.sandbox.s3().create_bucket(Bucket=bucket)
    uri = f"s3://{bucket}/rejects.jsonl"
    source, destination = world.table(ID, [{"id": {"S": "a"}, "n": {"N": "1"}}]), world.table((("mail", "S"),))
    done = copy(source, destination, "--rekey", "--rejects", uri)
    assert done.exit_code == 1, done.output
    assert f"ddb-assets import --redrive {uri} --table arn:" in done.output
    done = copy(source, destination, "--rekey", "--rejects", uri)
    assert f"{uri} has rows that an earlier run could not write" in done.output
    body = world.sandbox.s3().get_object(Bucket=bucket, Key="rejects.jsonl")["Body"].read()
    told = json.loads(body.splitlines()[1])
    told["row"]["mail"] = {"S": "mended"}
    mended = tmp_path / "mended.jsonl"
    mended.write_bytes(body.splitlines()[0] + b"\n" + json.dumps(told).encode())
    assert redrive(mended, destination).exit_code == 0
    assert len(world.items(destination)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("fault", [None, Fault.THROTTLED])
def test_a_full_disk_is_told_and_loses_no_item(
    world: World, environment: dict[str, str], file: Path, fault: Fault | None
) -> None:
    items = [{"id": {"S": f"i{n}"}, "a": {"N": "1"}, "b" if not fault else "c": {"S": "x" * 2000}} for n in range(300)]
    source, destination = world.table(ID, items), world.table()
    world.proxy.schedule = Schedule(page_limit=20)
    if fault:
        world.proxy.schedule = Schedule(page_limit=200, rate=1.0, faults=frozenset({fault}), operations=WRITES)
    arguments = (source, destination, "--rename", "a=b", "--rejects", str(file), "--json")
    full = subprocess.run(
        [sys.executable, "-c", FULL, "copy", *arguments, "--deadline", "0.5"],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert full.returncode == 1
    assert f"{file} cannot be written (File too large)" in full.stderr
    assert "Traceback" not in full.stderr
    assert "run the same copy again" in json.loads(full.stdout)["error"]
    world.proxy.schedule = Schedule()
    done = copy(*arguments)
    report = json.loads(done.stdout)["report"]
    assert (done.exit_code, report["read"], report["rejected"]) == ((0, 300, 0) if fault else (1, 300, 300))
    assert len(world.items(destination)) == (300 if fault else 0)
    if not fault:
        assert len({line["text"] for line in lines(file)}) == len(lines(file)) == 300
