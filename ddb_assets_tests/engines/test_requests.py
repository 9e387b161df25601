"""What engines are asked, what jobs tell, and that a silent or inconsistent job is not believed. No Spark is needed."""

import json
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ddb_assets.contract.engine import EmrServerlessEngine, GlueEngine, SparkEngine
from ddb_assets.engines.errors import EngineError
from ddb_assets.engines.requests import SCRIPT, emr_request, glue_request, spark_command
from ddb_assets.engines.run import check_reported
from ddb_assets.errors import DdbAssetsError, RetryableError
from ddb_assets.jobs.arguments import (
    MOST_CHARACTERS,
    Reported,
    failure_message,
    files_message,
    reported,
    result_message,
)
from ddb_assets.jobs.file_messages import FileMessages
from ddb_assets.settings import EMR_APPLICATION, EMR_ROLE, GLUE_JOB, JOB_BUNDLE, MASK_SECRET, SettingError
from ddb_assets.spark.file_facts import FileFacts
from ddb_assets_tests.spark.flattening import STORAGE, Jobs, hard_export

JOB, REGION, BUNDLE, ROLE = (
    "s3://bkt/p/job.json",
    "eu-west-1",
    "s3://bkt/bundles/x",
    "arn:aws:iam::123456789012:role/job",
)
LOADED = """
import sys
import ddb_assets.engines.flattening
print(sorted({"dagster_aws", "pyspark", "pyarrow"} & set(sys.modules)))
"""


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (EMR_APPLICATION, EMR_ROLE, GLUE_JOB, JOB_BUNDLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(MASK_SECRET, "the secret of the masks")


def test_glue_is_asked_for_what_the_contract_says_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GLUE_JOB, "usual")
    arguments = {"--ddb-assets-job": JOB, "--ddb-assets-region": REGION}
    plain = GlueEngine(name="glue")
    assert glue_request(plain, JOB, REGION) == {"JobName": "usual", "Arguments": arguments}
    glue_request(plain, JOB, REGION)["Arguments"]["--x"] = "what the Pipes client adds"
    assert glue_request(plain, JOB, REGION)["Arguments"] == arguments
    monkeypatch.setenv(JOB_BUNDLE, f"{BUNDLE}/")
    asked = glue_request(GlueEngine(name="glue", job="own", worker_type="G.2X", workers=5, timeout=60), JOB, REGION)
    assert asked == {
        "JobName": "own",
        "WorkerType": "G.2X",
        "NumberOfWorkers": 5,
        "Timeout": 60,
        "Arguments": {
            **arguments,
            "--scriptLocation": f"{BUNDLE}/ddb_assets_job.py",
            "--additional-python-modules": f"{BUNDLE}/ddb_assets.gluewheels.zip",
            "--python-modules-installer-option": "--no-index",
        },
    }


def test_emr_gets_packages_interpreter_and_arguments() -> None:
    engine = EmrServerlessEngine(
        name="emr_serverless", application="a1", role=ROLE, bundle=BUNDLE, timeout=30, logs="s3://bkt/logs"
    )
    engine = engine.model_copy(update={"conf": {"spark.executor.cores": "4"}})
    asked = emr_request(engine, JOB, REGION, "orders")
    assert asked["executionTimeoutMinutes"] == 30
    assert asked["configurationOverrides"]["monitoringConfiguration"]["s3MonitoringConfiguration"] == {
        "logUri": "s3://bkt/logs"
    }
    submit = asked["jobDriver"]["sparkSubmit"]
    assert submit["entryPoint"] == f"{BUNDLE}/ddb_assets_job.py"
    assert submit["entryPointArguments"] == ["--ddb-assets-job", JOB, "--ddb-assets-region", REGION]
    words = submit["sparkSubmitParameters"].split(" ")
    assert set(words[::2]) == {"--conf"}
    conf = dict(word.split("=", 1) for word in words[1::2])
    assert conf == {
        "spark.archives": f"{BUNDLE}/ddb_assets_packages.zip#packages",
        "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": "/usr/bin/python3.11",
        "spark.emr-serverless.driverEnv.PYSPARK_PYTHON": "/usr/bin/python3.11",
        "spark.emr-serverless.driverEnv.PYTHONPATH": "./packages",
        "spark.executorEnv.PYSPARK_PYTHON": "/usr/bin/python3.11",
        "spark.executorEnv.PYTHONPATH": "./packages",
        "spark.executor.cores": "4",
    }


@pytest.mark.parametrize("missing", [GLUE_JOB, JOB_BUNDLE, EMR_APPLICATION, EMR_ROLE])
def test_what_is_not_set_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {JOB_BUNDLE: BUNDLE, EMR_APPLICATION: "a1", EMR_ROLE: ROLE, GLUE_JOB: "job"}
    for name, value in values.items():
        if name != missing:
            monkeypatch.setenv(name, value)
    asked = {
        "glue": lambda: glue_request(GlueEngine(name="glue"), JOB, REGION),
        "emr_serverless": lambda: emr_request(EmrServerlessEngine(name="emr_serverless"), JOB, REGION, "orders"),
    }
    with pytest.raises(SettingError, match=f"{missing} is not set"):
        asked["glue" if missing == GLUE_JOB else "emr_serverless"]()


@pytest.mark.parametrize("name", [f"glue-0.0.7-{'0' * 16}", f"emr_serverless-{version('ddb-assets')}-{'0' * 16}"])
def test_the_bundle_of_another_version_or_engine_is_refused(name: str) -> None:
    bundle = f"s3://bkt/bundles/{name}"
    with pytest.raises(SettingError, match="call `ddb-assets job bundle glue`, and set DDB_ASSETS_JOB_BUNDLE"):
        glue_request(GlueEngine(name="glue", job="job", bundle=bundle), JOB, REGION)
    right = f"s3://bkt/bundles/glue-{version('ddb-assets')}-{'0' * 16}"
    asked = glue_request(GlueEngine(name="glue", job="job", bundle=right), JOB, REGION)
    assert asked["Arguments"]["--scriptLocation"].startswith(right)


def test_spark_submit_gets_the_script_of_this_installation() -> None:
    engine = SparkEngine(name="spark", master="yarn", conf={"spark.executor.cores": "4"})
    assert SCRIPT.is_file()
    assert spark_command(engine, "/s", JOB, REGION) == [
        *("/s", "--master", "yarn", "--deploy-mode", "client", "--conf", "spark.executor.cores=4", str(SCRIPT)),
        *("--ddb-assets-job", JOB, "--ddb-assets-region", REGION),
    ]


def test_messages_come_back_and_those_of_others_are_left_out() -> None:
    messages: list[Any] = ["text", {"other": 1}, result_message({"items": 3}), failure_message(DdbAssetsError("why"))]
    sent = json.loads(json.dumps(messages))
    assert reported(sent) == Reported(({"items": 3},), "why", retryable=False)
    assert reported([failure_message(RetryableError("later"))]) == Reported((), "later", retryable=True)
    assert reported([]) == Reported()


@pytest.mark.parametrize(
    "damaged",
    [
        {"ddb_assets": "files"},
        {"ddb_assets": "files", "pass": "last", "files": [{"number": 1}]},
        {"ddb_assets": "files", "pass": 2, "files": [{"name": "x"}]},
        {"ddb_assets": "files", "pass": 2, "files": None},
        {"ddb_assets": "failure", "error": "JobError"},
        {"ddb_assets": "failure", "message": ["why"], "retryable": False},
        {"ddb_assets": ["files"]},
        {"ddb_assets": None},
    ],
)
def test_messages_that_cannot_be_read_are_left_out(damaged: dict[str, object]) -> None:
    sent = [files_message(1, [{"number": 0}, {"number": 3}]), failure_message(EngineError("why")), damaged]
    assert reported(sent) == Reported((), "why", retryable=False, passes=1, files=2)


def test_a_result_that_cannot_be_read_counts_as_another_one() -> None:
    assert reported([{"ddb_assets": "result"}, result_message({"items": 3})]).results == (None, {"items": 3})


def test_the_reason_of_a_failure_is_cut() -> None:
    assert len(reported([failure_message(EngineError("x" * 1_000_000))]).failure) == MOST_CHARACTERS


def test_ten_thousand_files_are_reported_in_few_messages_and_fewer_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two passes of twenty seconds; some files arrive twice, because their tasks ran twice."""
    said: list[str] = []
    messages: list[dict[str, Any]] = []
    now = 0.0
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now)
        reporter = FileMessages(said.append, messages.append)
        for number in (1, 2):
            one: Any = SimpleNamespace(number=number, files=10_000)
            for first in range(0, 10_000, 10):
                again = range(10 if first % 100 == 90 else 0)
                reporter(one, [facts(file) for file in (*range(first, first + 10), *again)])
                now += 0.02
        reporter.flush()
    assert len(messages) < 25
    assert {len(message["files"]) <= 1000 for message in messages} == {True}
    assert len(json.dumps(messages)) < 4e6
    assert said == ["pass 2: 5,020 of 10,000 files, 50,200 items read, 5,010 a second"]
    assert (reported(messages).passes, reported(messages).files) == (2, 10_000)
    assert reported(messages[:5]) == Reported(passes=1, files=5000)


def facts(number: int) -> FileFacts:
    """A file of ten items."""
    return FileFacts(
        number=number,
        name=f"{number:026}.json.gz",
        lines=10,
        rows=10,
        quarantined=0,
        bytes_raw=10_000,
        bytes_parquet=1000,
        parts=1,
        seconds=0.001,
    )


def test_a_job_that_reported_nothing_or_something_else_is_not_believed(tmp_path: Path) -> None:
    jobs = Jobs(None, tmp_path / "work")
    job = jobs.prepared(hard_export(tmp_path / "work"))
    summary = json.loads(json.dumps(jobs.run(job).summary))
    check_reported(Reported((summary,)), STORAGE, job)
    with pytest.raises(EngineError, match="without an error, but it reported no result, so nothing was published"):
        check_reported(Reported(), STORAGE, job)
    for results in (({**summary, "items": 1},), (summary, summary)):
        with pytest.raises(EngineError, match="reported other results than"):
            check_reported(Reported(results), STORAGE, job)
    STORAGE.delete([job.result_uri])
    with pytest.raises(EngineError, match="reported other results than"):
        check_reported(Reported((summary,)), STORAGE, job)


def test_definitions_load_without_the_packages_of_engines() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
