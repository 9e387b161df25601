"""Full exports flattened by jobs on Glue, EMR Serverless and spark-submit: the same tables as in one process, or nothing."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dagster._core.pipes.utils import PipesEnvContextInjector

from ddb_assets.aws.errors import AwsError
from ddb_assets.engines.emr_serverless import EmrServerlessJobs
from ddb_assets.engines.glue import GlueJobs
from ddb_assets.engines.messages import S3Messages
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.engines.world import ITEMS, World, message, opened
from ddb_assets_tests.support.quick_java import quick_java

pytestmark = pytest.mark.slow

COUNTS = {"items_in_manifest", "rows", "quarantined", "extra_values", "misfits", "schema_version", "identity", "digest"}
SILENT = "print('all is well')\n"
WAITS = "import time\ntime.sleep(600)\n"
DRIVER = "import sys\nfrom ddb_assets.jobs.driver import main\n"
CUTS_A_PART = (
    DRIVER
    + """
from ddb_assets.aws.clients import AWS
code = main(sys.argv[1:])
uri = sys.argv[sys.argv.index("--ddb-assets-job") + 1]
storage = AWS().storage()
part = next(one.uri for one in storage.list(uri.partition("/_job/")[0]) if "/orders/part-" in one.uri and RUN in one.uri)
storage.write(part, storage.read(part)[:-1])
sys.exit(code)
""".replace("RUN", 'uri.rpartition("-")[2].partition(".")[0]')
)


@pytest.fixture(scope="module", autouse=True)
def java() -> Iterator[None]:
    with quick_java():
        yield


@pytest.fixture(scope="module")
def world(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with opened(sandbox, tmp_path_factory.mktemp("state")) as made:
        yield made


@pytest.fixture(scope="module")
def expected(world: World) -> Any:
    """The report's counts, and the rows, of one process."""
    assert world.flatten().success
    return world.report.model_dump(include=COUNTS), world.rows()


def wait_for(done: Callable[[], object], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def processes(word: str) -> list[int]:
    """The ids of all processes with this word among their arguments, without those that have ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def check_files(world: World) -> None:
    """The report's files are there, and nothing else: no messages, nothing of jobs that failed."""
    listed = {*world.report.files, *(f"{world.out}/{name}.json" for name in ("report", "schema", "profile"))}
    assert world.files().keys() - {f"{world.out}/files.jsonl"} == listed


def killed(world: World) -> threading.Thread:
    """Kills the next job's process as soon as there is one."""
    known = set(world.sandbox.jobs.runs)

    def kill() -> None:
        (run,) = wait_for(lambda: set(world.sandbox.jobs.runs) - known)
        os.kill(wait_for(lambda: world.sandbox.jobs.runs[run].pid), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    return killer


def check_same(world: World, expected: Any, result: Any, engine: str) -> None:
    assert result.success, message(result)
    assert (world.report.model_dump(include=COUNTS), world.rows()) == expected
    assert {"orders", "orders__lines"} == expected[1].keys()
    root = result.asset_materializations_for_node("parquet__orders_full_parquet")[0].metadata
    assert root["engine"].value == engine
    logged = [entry.user_message for entry in world.instance.all_logs(result.run_id)]
    assert any("application local-" in text for text in logged)  # what the driver says
    assert engine == "spark" or any(text.startswith("Spark's own log of the job is in ") for text in logged)
    check_files(world)
    check_reported_files(world, root)


def check_reported_files(world: World, root: Any) -> None:
    """Dagster shows what each data file gave, and where the list of all files is."""
    files = [json.loads(line) for line in world.storage.read(root["files"].value).splitlines()]
    assert [file["number"] for file in files] == list(range(root["data_files"].value))
    assert sum(file["lines"] for file in files) == ITEMS
    assert sum(file["rows"] for file in files) == sum(world.report.rows.values())
    assert sum(file["parts"] for file in files) == sum(len(one.parts) for one in world.report.relations)
    assert root["task_seconds"].value == pytest.approx(sum(file["seconds"] for file in files), abs=0.1)
    (slowest,) = [file["name"] for file in files if file["seconds"] == max(one["seconds"] for one in files)][:1]
    assert slowest in root["slowest_files"].value
    assert (world.reported[-1].files, world.reported[-1].passes) == (len(files), root["passes"].value)


def kernel_of(world: World, result: Any) -> str:
    """Where the job has its compiled kernel from, as it says itself."""
    logged = [entry.user_message for entry in world.instance.all_logs(result.run_id)]
    (found,) = [said[1] for text in logged if (said := re.match("ddb-assets .*, compiled kernel: (.*)", text))]
    return str(found)


def test_glue_makes_the_same_tables_as_one_process_after_a_driver_was_killed(world: World, expected: Any) -> None:
    """The bundle has all that the job needs: the interpreter that runs it has no package but PySpark."""
    engine: dict[str, object] = {"name": "glue", "job": world.glue_job(SILENT), "worker_type": "G.1X", "workers": 4}
    engine["bundle"] = world.bundle("glue")
    killer = killed(world)
    said = message(world.flatten(engine))
    killer.join()
    assert "has ended as FAILED: killed by signal 9" in said
    check_files(world)
    result = world.flatten(engine)
    check_same(world, expected, result, "glue")
    assert "/ddb-assets-jobs-" in kernel_of(world, result)


def test_emr_serverless_makes_the_same_tables_as_one_process(world: World, expected: Any) -> None:
    engine = world.emr(conf={"spark.executor.cores": 2}, bundle=world.bundle("emr_serverless"))
    result = world.flatten(engine)
    check_same(world, expected, result, "emr_serverless")
    assert "/packages/ddb_assets/flatten/kernel/" in kernel_of(world, result)


def test_spark_makes_the_same_tables_of_a_scan_as_one_process(world: World) -> None:
    scanned = world.scanned()
    assert scanned.flatten(source="scan").success
    expected = scanned.report.model_dump(include=COUNTS), scanned.rows()
    check_same(scanned, expected, scanned.flatten("local[2]", source="scan"), "spark")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (SILENT, "has ended without an error, but it reported no result, so nothing was published"),
        (CUTS_A_PART, "bytes"),
        (
            "raise RuntimeError('no such luck')\n",
            "has ended as FAILED: RuntimeError: no such luck; its log is in the CloudWatch",
        ),
    ],
    ids=["silent", "cut part", "failed"],
)
def test_what_a_job_does_not_prove_is_not_published(world: World, expected: Any, script: str, why: str) -> None:
    before = world.files(), world.report
    said = message(world.flatten({"name": "glue", "job": world.glue_job(script)}))
    assert why in said
    assert (world.files(), world.report) == before


def test_a_run_that_expires_fails_and_can_be_tried_again(world: World, expected: Any) -> None:
    world.sandbox.jobs.expires = True
    try:
        said = message(world.flatten({"name": "glue", "job": world.glue_job()}))
    finally:
        world.sandbox.jobs.expires = False
    assert "has ended as EXPIRED: it waited too long for free capacity" in said
    check_files(world)


def test_what_is_wrong_with_the_export_is_said_by_the_job(world: World, expected: Any) -> None:
    before = world.files()
    (file,) = [one.uri for one in world.storage.list(world.lake + "/exports") if one.uri.endswith(".json.gz")][:1]
    whole = world.storage.read(file)
    world.storage.write(file, whole[: len(whole) // 2])
    try:
        said = message(world.flatten(world.emr()))
    finally:
        world.storage.write(file, whole)
    assert file.rpartition("/")[2] in said
    assert "has ended as FAILED" in said
    assert world.files() == before


def test_runs_that_are_interrupted_stop_their_jobs(world: World) -> None:
    """One on each engine, side by side."""
    known, all_jobs = set(world.sandbox.jobs.runs), f"{world.lake}/parquet/orders/full"
    engines = [{"name": "glue", "job": world.glue_job(WAITS)}, world.emr(WAITS), "local[1]"]
    tables = [world.contract(engine).model_dump(mode="json") for engine in engines]
    command = [sys.executable, "-m", "ddb_assets_tests.engines.materializing", json.dumps(tables)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert running.stdout
        children = json.loads(running.stdout.readline())
        wait_for(lambda: len(set(world.sandbox.jobs.runs) - known) == 2)
        runs = {run: world.sandbox.jobs.runs[run] for run in set(world.sandbox.jobs.runs) - known}
        wait_for(lambda: all(run.state == "running" for run in runs.values()))
        wait_for(lambda: processes(all_jobs))  # that of spark-submit
        time.sleep(1)
        for child in children:
            os.kill(child, signal.SIGINT)
        said = running.communicate(timeout=120)[1]
    finally:
        running.kill()
    assert running.returncode == len(engines)
    assert len(set(re.findall("the run was interrupted, so its job ([0-9a-f-]+) was stopped", said))) == len(engines)
    wait_for(lambda: not processes(all_jobs), 30)
    wait_for(lambda: all(run.state == "stopped" for run in runs.values()), 30)
    assert set(world.sandbox.jobs.runs) - known == runs.keys()  # Dagster tries interrupted steps again


def test_what_cannot_be_started_is_said_at_once(world: World) -> None:
    assert "glue:StartJobRun" in message(world.flatten({"name": "glue", "job": "nobody's"}))
    assert "DDB_ASSETS_GLUE_JOB is not set" in message(world.flatten("glue"))
    assert "DDB_ASSETS_JOB_BUNDLE is not set" in message(world.flatten("emr_serverless"))
    assert "DDB_ASSETS_EMR_ROLE is not set" in message(world.flatten({**world.emr(), "role": None}))


def test_a_job_that_cannot_be_followed_or_stopped_is_said(world: World, expected: Any) -> None:
    """The Pipes client of Glue fails with a KeyError when a run cannot be stopped, and nobody would know of the run."""
    said: list[str] = []
    log = SimpleNamespace(warning=said.append, error=said.append, info=said.append)
    injector, reader = PipesEnvContextInjector(), S3Messages(world.sandbox.s3(), f"{world.lake}/jobs/x")
    client = GlueJobs(world.sandbox.client("glue"), injector, reader, log)
    with pytest.raises(AwsError, match="glue:GetJobRun"):
        client._wait_for_job_run_completion("nobody's", "jr_0")
    assert said[0] == "the run does not go on: stopping run jr_0 of Glue job nobody's"
    assert said[1].startswith(
        "Glue did not stop run jr_0, so stop it yourself: {'ErrorCode': 'EntityNotFoundException'"
    )
    said.clear()
    emr = EmrServerlessJobs(world.sandbox.client("emr-serverless"), reader, "")
    with pytest.raises(AwsError, match="emr-serverless:GetJobRun"):
        emr._wait_for_completion(SimpleNamespace(log=log), {"applicationId": world.application, "jobRunId": "0"})
    assert said[-1].startswith("EMR Serverless did not cancel job run 0, so cancel it yourself: ")
