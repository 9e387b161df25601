"""`ddb-assets import` as a shell sees it, with signals at bad moments; and an export imported into a table and read back."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click.testing
import polars as pl
import pytest

from ddb_assets.cli import main
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.support.fault_proxy import Fault, FaultProxy, Schedule, fault_proxy
from ddb_assets_tests.support.faults import BusyAtFirst
from ddb_assets_tests.support.tables import items_of, new_table

OFTEN = """
from ddb_assets.imports import import_job as job
job.SAVE_SECONDS = 0.01
from ddb_assets.cli import main
main()
"""
ROWS = 3000
FULL = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
{OFTEN}
"""
"""A disk on which no file can have more than 20,000 bytes."""


@pytest.fixture(scope="module")
def proxy(sandbox: Sandbox) -> Iterator[FaultProxy]:
    with fault_proxy(sandbox.endpoint_url) as running:
        yield running


@pytest.fixture
def environment(sandbox: Sandbox, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in ("AWS_PROFILE", "DDB_ASSETS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    found = {
        **sandbox.environment(),
        "AWS_ENDPOINT_URL": proxy.endpoint_url,
        "DDB_ASSETS_STATE": str(tmp_path / "state"),
    }
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **found}


def call(*arguments: str, code: int = 0) -> click.testing.Result:
    result = click.testing.CliRunner().invoke(main, ["import", *arguments])
    assert result.exit_code == code, result.output
    return result


def started(environment: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", OFTEN, "import", *arguments, "--json"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rows_file(path: Path) -> dict[str, str]:
    """Each key is written many times, so that a lost or late write shows. Every 100th row is invalid."""
    chance = random.Random(1)
    expected: dict[str, str] = {}
    with path.open("w") as file:
        for number in range(ROWS):
            key = f"k{chance.randrange(ROWS // 2)}"
            file.write("broken\n" if number % 100 == 50 else json.dumps({"pk": key, "n": number}) + "\n")
            if number % 100 != 50:
                expected[key] = str(number)
    return expected


def until_written(proxy: FaultProxy, requests: int, process: "subprocess.Popen[str]") -> None:
    """Waits until this many more batches have arrived, or the process has ended."""
    goal = proxy.requests["BatchWriteItem"] + requests
    end = time.monotonic() + 30
    while proxy.requests["BatchWriteItem"] < goal and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_and_loses_nothing(
    sandbox: Sandbox, proxy: FaultProxy, environment: dict[str, str], tmp_path: Path
) -> None:
    target = new_table(sandbox)
    path = tmp_path / "rows.jsonl"
    expected = rows_file(path)
    chance = random.Random(7)
    resumed = rounds = 0
    while rounds < 2 or (
        rounds < 8 and not resumed
    ):  # on a busy machine a process may be killed before it has saved anything
        proxy.schedule = Schedule(
            seed=rounds, rate=0.9, faults=frozenset({Fault.SLOW, Fault.UNPROCESSED_SOME}), delay=0.2
        )
        process = started(environment, str(path), "--table", target.name, "--max-rejects", "100")
        until_written(proxy, chance.randint(1, 40), process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        checkpoints = list((tmp_path / "state" / "imports").glob("*-????????????.json"))
        rounds += 1
        resumed += any(sum(json.loads(c.read_text())["state"]["settled"].values()) for c in checkpoints)
    assert resumed
    proxy.schedule = Schedule()
    process = started(environment, str(path), "--table", target.name, "--max-rejects", "100")
    said, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint
    report = json.loads(said)
    assert report["rows_before"] > 0
    assert report["rows_before"] + report["rows"] == ROWS
    assert {item["pk"]["S"]: item["n"]["N"] for item in items_of(sandbox, target)} == expected
    _, *kept = [json.loads(line) for line in Path(report["reject_file"]).read_text().splitlines()]
    assert sorted(line["line"] for line in kept) == list(range(51, ROWS + 1, 100))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_it_finish_what_is_in_flight_and_says_how_to_go_on(
    sandbox: Sandbox, proxy: FaultProxy, environment: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    target = new_table(sandbox)
    path = tmp_path / "rows.jsonl"
    expected = rows_file(path)
    arguments = (str(path), "--table", target.name, "--max-rejects", "100")
    proxy.schedule = Schedule(rate=1.0, faults=frozenset({Fault.SLOW}), delay=0.3)
    process = started(environment, *arguments)
    until_written(proxy, 12, process)
    process.send_signal(number)
    said, complaint = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"ended by {number.name}; run the same command again to continue" in complaint
    assert "Traceback" not in complaint
    assert 0 < json.loads(said)["rows"] < ROWS
    proxy.schedule = Schedule()
    report = json.loads(call(*arguments, "--json").stdout)
    assert report["rows_before"] > 0
    assert {item["pk"]["S"]: item["n"]["N"] for item in items_of(sandbox, target)} == expected


def test_the_command_prints_what_happened_and_fails_on_rejects(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    target = new_table(sandbox)
    path = tmp_path / "a.csv"
    path.write_text("pk,n\na,1\n,2\n")
    dry = call(str(path), "--table", target.name, "--dry-run", "--price", "1000000", code=1)
    assert "cost $1.00 at $1000000.0 per million WCUs" in dry.stdout
    assert "1 rows would be rejected" in dry.stderr
    done = call(str(path), "--table", target.name, "--verify", "5", code=1)
    assert f"rejected {path}:3: key attribute 'pk' is missing" in done.stdout
    assert "types: pk S, n N" in done.stdout
    assert "1 items read back, 0 differ" in done.stdout
    assert "redrive" in done.stderr
    (kept,) = (tmp_path / "state" / "imports").glob("*.jsonl")
    repaired = tmp_path / "repaired.jsonl"
    repaired.write_text(kept.read_text().replace('"pk":null', '"pk":"b"'))
    assert json.loads(call("--redrive", str(repaired), "--table", target.name, "--json").stdout)["written"] == 1
    assert {item["pk"]["S"]: item["n"]["N"] for item in items_of(sandbox, target)} == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--table", "T"], 2, "give either SOURCE or --redrive FILE"),
        (
            ["a.csv", "--table", "T", "--staging", "s3://b/x"],
            2,
            "--staging is for --new-table",
        ),
        (["a.csv", "--table", "T", "--price", "1"], 2, "--price is for what --dry-run says"),
        (["--redrive", "CONFIG", "--table", "T", "--format", "csv"], 2, "--format does nothing with --redrive"),
        (["--redrive", "CONFIG", "--table", "T", "--items-at", "a"], 2, "--items-at does nothing with --redrive"),
        (["a.json", "--table", "T", "--items-at", "a..b"], 2, "'a..b' is not the place of the items"),
        *(
            (
                ["a.csv", "--table", "T", "--new-table", "pk:S", "--method", "import-table", *words],
                2,
                f"{words[0]} does nothing with",
            )
            for words in (["--restart"], ["--max-wcu", "8"], ["--share", "1"], ["--in-flight", "8"])
        ),
        (
            [
                "a.csv",
                "--table",
                "arn:aws:dynamodb:us-east-1:123456789012:table/T",
                "--new-table",
                "pk:S",
                "--staging",
                "s3://b",
            ],
            1,
            "is an ARN: name a new table by its name",
        ),
        (["nothing.csv", "--table", "NoSuchTable"], 1, "there is no NoSuchTable"),
        (["nothing.csv", "--table", "TABLE"], 1, "no file with content at nothing.csv"),
        (["nothing.csv", "--table", "TABLE", "--config", "CONFIG"], 1, "import.yaml:3: attributes.a"),
        (["--redrive", "CONFIG", "--table", "TABLE"], 1, "import.yaml:1: this is not a reject file"),
    ],
)
def test_what_a_user_can_mend_is_one_message(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    config = tmp_path / "import.yaml"
    config.write_text("mode: put\nattributes:\n  a: {column: x, constant: y}\n")
    words = {"CONFIG": str(config), "TABLE": new_table(sandbox).name if "TABLE" in arguments else ""}
    result = call(*(words.get(word, word) for word in arguments), code=code)
    assert said in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("text", ["mine\n", "mine\nand more\n"])
def test_a_file_of_others_is_not_replaced_by_rejects(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path, text: str
) -> None:
    """And nothing is written: the file is looked at first."""
    target, notes = new_table(sandbox), tmp_path / "notes.txt"
    notes.write_text(text)
    (tmp_path / "rows.jsonl").write_text('{"pk": "a"}\n')
    done = call(str(tmp_path / "rows.jsonl"), "--table", target.name, "--rejects", str(notes), code=1)
    assert f"{notes}:1: this is not a reject file" in done.stderr
    assert notes.read_text() == text
    assert not items_of(sandbox, target)
    assert not list(tmp_path.glob("*.new*"))


def test_rows_that_one_table_rejected_are_not_redriven_into_another(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    target, other = new_table(sandbox), new_table(sandbox)
    rows, rejects = tmp_path / "rows.jsonl", tmp_path / "rejects.jsonl"
    rows.write_text('{"n": 1}\n')
    call(str(rows), "--table", target.name, "--rejects", str(rejects), code=1)
    rejects.write_text(rejects.read_text().replace(r"{\"n", r"{\"pk\": \"a\", \"n"))
    done = call("--redrive", str(rejects), "--table", other.name, code=1)
    assert f"{rejects}:1: these rows were rejected by table {target.arn}, not {other.arn}" in done.stderr
    assert not items_of(sandbox, other)
    call("--redrive", str(rejects), "--table", target.name)
    assert len(items_of(sandbox, target)) == 1


@pytest.mark.slow
def test_an_export_by_aws_imported_exported_again_and_flattened_is_the_same(
    sandbox: Sandbox,
    environment: dict[str, str],
    tmp_path: Path,
    pytestconfig: pytest.Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", sandbox.endpoint_url)
    (summary,) = (pytestconfig.rootpath / "ddb_assets_tests/data/s3exporttest").rglob("manifest-summary.json")
    target = new_table(sandbox, ("id", "S"))
    report = json.loads(call(str(summary.parent), "--table", target.name, "--verify", "all", "--json").stdout)
    assert (report["written"], report["verified"]["read"], report["verified"]["different"]) == (3, 3, [])
    sandbox.enable_recovery(target.name, datetime.now(UTC) - timedelta(days=1))
    client: Any = sandbox.dynamodb()
    s3 = sandbox.s3()
    s3.create_bucket(Bucket="again")
    asked = client.export_table_to_point_in_time(TableArn=target.arn, S3Bucket="again")
    arn = asked["ExportDescription"]["ExportArn"]
    end = time.monotonic() + 30
    while (export := client.describe_export(ExportArn=arn)["ExportDescription"])["ExportStatus"] == "IN_PROGRESS":
        assert time.monotonic() < end
        time.sleep(0.1)
    assert export["ExportStatus"] == "COMPLETED", export
    again = f"s3://again/AWSDynamoDB/{arn.rpartition('/')[2]}"
    config = tmp_path / "defs.yaml"
    frames = []
    for name, source, table in (("one", str(summary.parent), "S3ExportTest"), ("two", again, target.name)):
        config.write_text(
            "type: ddb_assets.components.DynamoDBTable\n"
            f"attributes: {{table: {table}, name: things, key: id, nested: {{e: child}}}}\n"
        )
        out = tmp_path / name
        result = click.testing.CliRunner().invoke(main, ["flatten", source, "--config", str(config), "--out", str(out)])
        assert result.exit_code == 0, result.output
        frames.append(
            [
                pl.read_parquet(out / relation / "part-*.parquet").drop("_ddb_version", strict=False).sort("id")
                for relation in ("things", "things__e")
            ]
        )
    for before, after in zip(*frames, strict=True):
        assert before.rows(named=True) == after.rows(named=True)


def test_a_throttled_description_of_the_table_is_asked_for_again(
    sandbox: Sandbox, proxy: FaultProxy, environment: dict[str, str], tmp_path: Path
) -> None:
    target = new_table(sandbox)
    path = tmp_path / "rows.jsonl"
    path.write_text('{"pk": "a"}\n')
    proxy.schedule = busy = BusyAtFirst()
    assert json.loads(call(str(path), "--table", target.name, "--json").stdout)["written"] == 1
    assert "DescribeTable" in busy.seen


def test_a_new_table_that_aws_makes_costs_no_writes(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"pk": "a"}\n')
    words = [str(path), "--table", "New", "--new-table", "pk:S", "--staging", "s3://bucket/staging", "--dry-run"]
    words += ["--method", "import-table"]
    assert "$" not in call(*words).stdout
    assert not {"price", "expected_cost"} & json.loads(call(*words, "--json").stdout).keys()


def test_compressed_standard_files_need_no_option(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    target = new_table(sandbox)
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b'{"Item":{"pk":{"S":"a"},"n":{"N":"1"}}}\n'))
    report = json.loads(call(str(path), "--table", target.arn, "--json").stdout)
    assert (report["format"], report["written"]) == ("dynamodb-json", 1)


@pytest.mark.slow
@pytest.mark.parametrize("throttled", [False, True])
def test_a_full_disk_is_told_and_loses_no_row(
    proxy: FaultProxy, sandbox: Sandbox, environment: dict[str, str], tmp_path: Path, *, throttled: bool
) -> None:
    """Whether rows are rejected or the table takes none of them."""
    target = new_table(sandbox)
    (path := tmp_path / "rows.jsonl").write_text("".join(f'{{"pk": "k{n}"}}\n{{"n": {n}}}\n' for n in range(400)))
    if throttled:
        path.write_text("".join(f'{{"pk": "k{n}"}}\n' for n in range(400)))
        proxy.schedule = Schedule(rate=1.0, faults=frozenset({Fault.THROTTLED}))
    rejects = tmp_path / "rejects.jsonl"
    arguments = [str(path), "--table", target.name, "--rejects", str(rejects), "--max-rejects", "400", "--json"]
    full = subprocess.run(
        [sys.executable, "-c", FULL, "import", *arguments, "--deadline", "0.5"],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert full.returncode == 1
    assert f"{rejects} cannot be written (File too large)" in full.stderr
    assert "Traceback" not in full.stderr
    report = json.loads(full.stdout)
    assert report["rows"] <= report["written"] + report["rejected"] + report["unprocessed"] < 800
    assert rejects.stat().st_size == 20_000
    proxy.schedule = Schedule()
    call(*arguments)
    assert len(items_of(sandbox, target)) == 400
    if not throttled:
        lines = [json.loads(line) for line in rejects.read_text().splitlines()[1:]]
        assert sorted(json.loads(line["text"])["n"] for line in lines) == list(range(400))
