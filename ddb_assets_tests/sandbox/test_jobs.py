"""Job runs of Glue and EMR Serverless in the sandbox: real processes with their arguments, states, logs and ends."""

import gzip
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.sandbox.account import Account
from ddb_assets_tests.support.quick_java import quick_java

pytestmark = pytest.mark.slow

SAYS = """
import json, os, sys
print("arguments", json.dumps(sys.argv[1:]))
print("environment", json.dumps({name: os.environ.get(name) for name in ("ASKED", "AWS_ENDPOINT_URL", "DDB_ASSETS_LAKE")}))
"""
SUMS = """
from pyspark import SparkContext
print("sum", SparkContext.getOrCreate().parallelize(range(10)).map(lambda n: n * n).sum())
"""
FAILS = "raise RuntimeError('no such luck')\n"
WAITS = "import sys, time\nprint('here', flush=True)\ntime.sleep(600)\n"
ROLE = "arn:aws:iam::123456789012:role/job"


class Jobs:
    """A Glue job and an EMR application, with scripts in a bucket."""

    def __init__(self, account: Account) -> None:
        self.account, self.sandbox = account, account.sandbox
        self.glue: Any = self.sandbox.client("glue")
        self.emr: Any = self.sandbox.client("emr-serverless")
        self.application = self.emr.create_application(name="a", releaseLabel="emr-7.11.0", type="SPARK")[
            "applicationId"
        ]

    def script(self, text: str) -> str:
        self.account.s3.put_object(Bucket=self.account.bucket, Key="job/script.py", Body=text.encode())
        return f"s3://{self.account.bucket}/job/script.py"

    def on_glue(self, text: str, name: str, **arguments: str) -> str:
        command = {"Name": "glueetl", "ScriptLocation": self.script(text)}
        defaults = {"--TempDir": "s3://t/"}
        self.glue.create_job(Name=name, Role=ROLE, Command=command, DefaultArguments=defaults, GlueVersion="5.1")
        run: str = self.glue.start_job_run(JobName=name, Arguments=arguments)["JobRunId"]
        return run

    def on_emr(self, text: str, *arguments: str, parameters: str = "--conf spark.a.b=c") -> str:
        submit = {"entryPoint": self.script(text), "entryPointArguments": list(arguments)}
        logs = {"s3MonitoringConfiguration": {"logUri": f"s3://{self.account.bucket}/logs/"}}
        run: str = self.emr.start_job_run(
            applicationId=self.application,
            executionRoleArn=ROLE,
            jobDriver={"sparkSubmit": {**submit, "sparkSubmitParameters": parameters}},
            configurationOverrides={"monitoringConfiguration": logs},
        )["jobRunId"]
        return run

    def glue_run(self, name: str, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.glue.get_job_run(JobName=name, RunId=run)["JobRun"]
        return found

    def emr_run(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.emr.get_job_run(applicationId=self.application, jobRunId=run)["jobRun"]
        return found

    def printed(self, run: str) -> str:
        key = f"logs/applications/{self.application}/jobs/{run}/SPARK_DRIVER/stdout.gz"
        return gzip.decompress(self.account.body(key)).decode()

    def running(self, run: str) -> int:
        """Waits until the driver is there; returns the id of its process group."""
        job = self.sandbox.jobs.runs[run]
        wait_for(lambda: job.pid is not None and b"here" in (job.folder / "stdout").read_bytes())
        assert job.pid
        return job.pid


@pytest.fixture(scope="module", autouse=True)
def java() -> Iterator[None]:
    with quick_java():
        yield


@pytest.fixture(scope="module")
def jobs(account: Account) -> Jobs:
    return Jobs(account)


def wait_for(done: Callable[[], object], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_gone(group: int) -> bool:
    """Whether no process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def said(text: str, word: str) -> Any:
    return next(json.loads(line.removeprefix(word)) for line in text.splitlines() if line.startswith(word))


def test_a_glue_job_runs_with_the_arguments_of_the_job_and_of_the_run(jobs: Jobs) -> None:
    run = jobs.on_glue(SAYS + SUMS, "says", **{"--asked": "a b"})
    wait_for(lambda: jobs.glue_run("says", run)["JobRunState"] not in {"STARTING", "RUNNING"})
    assert jobs.glue_run("says", run)["JobRunState"] == "SUCCEEDED"
    events = jobs.sandbox.client("logs").get_log_events(logGroupName="/aws-glue/jobs/output", logStreamName=run)
    printed = "\n".join(event["message"] for event in events["events"])
    words = said(printed, "arguments")
    given = dict(zip(words[1::2], words[2::2], strict=True))
    assert (
        given.items() >= {"--TempDir": "s3://t/", "--asked": "a b", "--JOB_NAME": "says", "--JOB_RUN_ID": run}.items()
    )
    assert said(printed, "environment")["AWS_ENDPOINT_URL"] == jobs.sandbox.endpoint_url
    assert said(printed, "sum") == 285


def test_an_emr_job_gets_its_parameters_and_sees_nothing_of_this_process(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DDB_ASSETS_LAKE", "s3://dagsters/own")
    run = jobs.on_emr(
        SAYS, "--job", "x", parameters="--conf spark.emr-serverless.driverEnv.ASKED=a=b --conf spark.a.b=c"
    )
    wait_for(lambda: jobs.emr_run(run)["state"] not in {"PENDING", "RUNNING"})
    assert jobs.emr_run(run)["state"] == "SUCCESS"
    printed = jobs.printed(run)
    assert said(printed, "arguments") == ["--job", "x"]
    environment = said(printed, "environment")
    assert environment == {"ASKED": "a=b", "AWS_ENDPOINT_URL": jobs.sandbox.endpoint_url, "DDB_ASSETS_LAKE": None}


def test_a_script_that_fails_and_one_that_is_not_there_have_failed(jobs: Jobs) -> None:
    run = jobs.on_glue(FAILS, "fails")
    other = jobs.emr.start_job_run(
        applicationId=jobs.application,
        executionRoleArn=ROLE,
        jobDriver={"sparkSubmit": {"entryPoint": f"s3://{jobs.account.bucket}/nowhere.py"}},
    )["jobRunId"]
    wait_for(lambda: jobs.emr_run(other)["state"] == "FAILED")
    assert "404" in jobs.emr_run(other)["stateDetails"]
    wait_for(lambda: jobs.glue_run("fails", run)["JobRunState"] == "FAILED")
    assert jobs.glue_run("fails", run)["ErrorMessage"] == "RuntimeError: no such luck"


def test_a_run_that_is_stopped_leaves_no_process(jobs: Jobs) -> None:
    run = jobs.on_glue(WAITS, "waits")
    group = jobs.running(run)
    assert jobs.glue_run("waits", run)["JobRunState"] == "RUNNING"
    with pytest.raises(ClientError, match="Concurrent runs exceeded"):
        jobs.glue.start_job_run(JobName="waits")
    stopped = jobs.glue.batch_stop_job_run(JobName="waits", JobRunIds=[run, "jr_0"])
    assert [one["JobRunId"] for one in stopped["SuccessfulSubmissions"]] == [run]
    assert [one["ErrorDetail"]["ErrorCode"] for one in stopped["Errors"]] == ["EntityNotFoundException"]
    wait_for(lambda: jobs.glue_run("waits", run)["JobRunState"] == "STOPPED")
    wait_for(lambda: is_gone(group), 10)


def test_a_driver_that_is_killed_has_failed_and_a_cancelled_run_is_gone(jobs: Jobs) -> None:
    run = jobs.on_emr(WAITS)
    os.kill(jobs.running(run), signal.SIGKILL)
    wait_for(lambda: jobs.emr_run(run)["state"] == "FAILED")
    assert jobs.emr_run(run)["stateDetails"] == "killed by signal 9"
    run = jobs.on_emr(WAITS)
    group = jobs.running(run)
    jobs.emr.cancel_job_run(applicationId=jobs.application, jobRunId=run)
    wait_for(lambda: jobs.emr_run(run)["state"] == "CANCELLED")
    wait_for(lambda: is_gone(group), 10)


def test_a_run_without_capacity_expires_and_unknown_ones_are_refused(jobs: Jobs) -> None:
    jobs.sandbox.jobs.expires = True
    try:
        run = jobs.on_glue(SAYS, "expires")
    finally:
        jobs.sandbox.jobs.expires = False
    assert jobs.glue_run("expires", run)["JobRunState"] == "EXPIRED"
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        jobs.glue.start_job_run(JobName="nobody's")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        jobs.emr.get_job_run(applicationId=jobs.application, jobRunId="0")


def test_runs_end_with_the_sandbox(jobs: Jobs, sandbox: Sandbox) -> None:
    """The last test of the module: what it stops is the registry that the sandbox stops at its end."""
    group = jobs.running(jobs.on_emr(WAITS))
    sandbox.jobs.stop()
    wait_for(lambda: is_gone(group), 10)
