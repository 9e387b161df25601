"""`ddb-assets sandbox` as a process: it prints its address, serves, runs a command against itself, and ends on a signal.

What it refuses is called in this process.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import click.testing
import pytest

from ddb_assets.cli import main
from ddb_assets.cli.sandbox import REAL_ACCOUNT

SANDBOX = [sys.executable, "-m", "ddb_assets.cli", "sandbox"]
STOP_SECONDS = 20


@contextmanager
def started(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen([*SANDBOX, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., click.testing.Result]]:
    """Calls the command in this process. Its handlers of signals and its environment end with the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for name in REAL_ACCOUNT:
        monkeypatch.setenv(name, "of this test")  # so that it comes back
    yield lambda *arguments: click.testing.CliRunner().invoke(main, ["sandbox", *arguments])
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_the_environment_serves_the_tables_and_stops_on_a_signal(number: signal.Signals) -> None:
    with started("--items", "30", "--json") as process:
        assert process.stdout
        variables = json.loads(process.stdout.readline())
        client = boto3.client(
            "dynamodb",
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name=variables["AWS_DEFAULT_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )
        tables = {"Customers", "Events", "Orders", "Orders-copy", "Products"}
        assert set(client.list_tables()["TableNames"]) == tables
        assert variables["DDB_ASSETS_LAKE"].startswith("s3://")
        assert "DDB_ASSETS_AS_OF" not in variables  # else `ddb-assets demo` would not show all items
        process.send_signal(number)
        assert process.wait(STOP_SECONDS) == 0


@pytest.mark.slow
def test_a_command_runs_in_its_environment_and_gives_the_exit_code(
    call: Callable[..., click.testing.Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Once as a process and without a warehouse, and once with each that can run beside the sandbox."""
    script = (
        "import boto3, os, sys\n"
        "from datetime import UTC, datetime, timedelta\n"
        "assert 'AWS_PROFILE' not in os.environ\n"
        "shown = datetime.fromisoformat(os.environ['DDB_ASSETS_AS_OF'])\n"
        "assert timedelta(hours=6) <= datetime.now(UTC) - shown < timedelta(hours=7, minutes=1)\n"
        "assert os.environ['DDB_ASSETS_DEMO_START'] == shown.date().isoformat()\n"
        "s3 = boto3.client('s3')\n"
        "bucket, _, prefix = os.environ['DDB_ASSETS_LAKE'].removeprefix('s3://').partition('/')\n"
        "found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get('Contents', [])\n"
        "s3.put_object(Bucket=bucket, Key=f'{prefix}/runs/{len(found)}', Body=b'here')\n"
        "if 'DDB_ASSETS_WAREHOUSE' in os.environ:\n"
        "    from ddb_assets.warehouse.connect import open_warehouse\n"
        "    with open_warehouse(os.environ['DDB_ASSETS_WAREHOUSE']) as warehouse:\n"
        "        print(os.environ['DDB_ASSETS_WAREHOUSE'].partition(':')[0], warehouse.query('SELECT 1'))\n"
        "sys.exit(40 + len(found))\n"
    )
    theirs = {"DDB_ASSETS_REDSHIFT_PASSWORD": "production", "DDB_ASSETS_CLICKHOUSE_PASSWORD": "production"}
    own = {**theirs, "AWS_PROFILE": "production", "DDB_ASSETS_WAREHOUSE": "redshift://production"}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    lake, command = ["--items", "30", "--lake", str(tmp_path / "lake")], ["--", sys.executable, "-c", script]
    process = subprocess.run([*SANDBOX, *lake, *command], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout) == (40, ""), process.stderr
    for code, warehouse in enumerate(("redshift", "clickhouse", "postgres"), 41):
        for name, value in own.items():
            monkeypatch.setenv(name, value)
        done = call(*lake, f"--{warehouse}", *command)
        said = capfd.readouterr()
        assert (done.exit_code, said.out.partition(" ")[2]) == (code, "[(1,)]\n"), said.err
        assert said.out.startswith(warehouse)
    assert sorted(path.name for path in (tmp_path / "lake" / "runs").iterdir()) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("demo", "--clickhouse", "--redshift"),
        ("demo", "--clickhouse", "--postgres"),
        ("sandbox", "--clickhouse", "--redshift"),
    ],
)
def test_only_one_warehouse_runs(arguments: tuple[str, ...]) -> None:
    done = click.testing.CliRunner().invoke(main, list(arguments))
    assert (done.exit_code, "--clickhouse" in done.stderr) == (2, True)


@pytest.mark.slow
def test_a_signal_ends_the_command_and_keeps_the_lake(tmp_path: Path) -> None:
    script = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "print('up', flush=True)\n"
        "time.sleep(60)\n"
    )
    with started("--items", "30", "--lake", str(tmp_path / "lake"), "--", sys.executable, "-c", script) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        process.terminate()
        assert process.wait(STOP_SECONDS) == 7
    assert (tmp_path / "lake").is_dir()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--lake", "somewhere"], 2, "--lake needs a COMMAND"),
        (["--items", "-1"], 2, "--items"),
        (["--items", "3", "--", "no-such-command"], 1, "cannot run no-such-command"),
    ],
)
def test_what_is_wrong_is_said(
    call: Callable[..., click.testing.Result], arguments: list[str], code: int, said: str
) -> None:
    done = call(*arguments)
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr


def test_a_folder_with_files_of_others_is_no_lake(call: Callable[..., click.testing.Result], tmp_path: Path) -> None:
    lake, ran = tmp_path / "lake", tmp_path / "ran"
    lake.mkdir()
    (lake / "notes.txt").write_text("mine")
    done = call("--items", "3", "--lake", str(lake), "--", "touch", str(ran))
    assert (done.exit_code, ran.exists()) == (1, False), done.stderr
    assert "notes.txt: name an empty or new folder" in done.stderr
    assert [(path.name, path.read_text()) for path in lake.iterdir()] == [("notes.txt", "mine")]
