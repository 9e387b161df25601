"""Job runs of EMR Serverless in the sandbox: StartJobRun really submits the job to Spark, where moto only says that it did.

moto has the applications. `spark.emr-serverless.driverEnv.*` become the environment of the driver, `spark.archives` are
unpacked into its folder, and other parameters go to spark-submit. Logs go to the S3 folder of the monitoring configuration.
Facts: EMR Serverless User Guide, "Job run states", "Using Python libraries", "Storing logs".
"""

import gzip
import re
import shlex
import shutil
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from moto.backends import get_backend

from ddb_assets.sandbox.api_error import Answer, ApiError
from ddb_assets.sandbox.json_api import Caller
from ddb_assets.sandbox.rest_api import Route
from ddb_assets.sandbox.spark_job import ENDED, Command, SparkJob, State
from ddb_assets.sandbox.spark_jobs import SparkJobs

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SIGNING_NAME = "emr-serverless"
DRIVER_ENV, EXECUTOR_ENV = "spark.emr-serverless.driverEnv.", "spark.executorEnv."
_RUNS = "/applications/(?P<application>[^/]+)/jobruns"
_RUN = f"{_RUNS}/(?P<run>[^/]+)"
_STATES: dict[State, str] = {
    "starting": "PENDING",
    "running": "RUNNING",
    "succeeded": "SUCCESS",
    "failed": "FAILED",
    "stopped": "CANCELLED",
    "expired": "QUEUED",  # what gets no capacity here waits
}
_STARTED = {"CREATED", "STARTED"}


@dataclass
class _Run:
    application: str
    request: Answer
    arn: str
    job: SparkJob
    created: float = field(default_factory=time.time)
    ended: float | None = None
    cancelled: bool = False


class EmrServerlessApi:
    """The operations of job runs, on the applications that moto knows."""

    def __init__(self, jobs: SparkJobs, s3: "S3Client") -> None:
        self._jobs, self._s3 = jobs, s3
        self._runs: dict[str, _Run] = {}

    def routes(self) -> Sequence[Route]:
        """The operations by method and path."""
        return (
            Route("POST", re.compile(_RUNS), self._start),
            Route("GET", re.compile(_RUNS), self._list),
            Route("GET", re.compile(_RUN), self._get),
            Route("DELETE", re.compile(_RUN), self._cancel),
            Route("GET", re.compile(f"{_RUN}/dashboard"), self._dashboard),
        )

    def _start(self, caller: Caller, path: dict[str, str], request: Answer) -> Answer:
        application = _application(caller, path["application"])
        if application.state not in _STARTED:
            raise ApiError("ConflictException", f"Application {application.id} is {application.state}")
        submit = request.get("jobDriver", {}).get("sparkSubmit")
        if not submit:
            raise ApiError("ValidationException", "The sandbox runs sparkSubmit only")
        role = str(request["executionRoleArn"])
        run_id = uuid.uuid4().hex[:16]
        arn = f"{application.arn}/jobruns/{run_id}"

        def prepare(folder: Path) -> Command:
            options, environment, archives = _parameters(submit.get("sparkSubmitParameters", ""))
            bundled = self._unpacked(role, archives, folder)
            script = self._jobs.fetched(role, submit["entryPoint"])
            arguments = [*options, str(script), *submit.get("entryPointArguments", [])]
            return arguments, self._jobs.environment(role, bundled, environment)

        job = self._jobs.start(run_id, prepare, lambda out, err: self._keep(arn, request, out, err))
        self._runs[run_id] = _Run(application.id, request, arn, job)
        return {"applicationId": application.id, "jobRunId": run_id, "arn": arn}

    def _unpacked(self, role: str, archives: Sequence[str], folder: Path) -> Path | None:
        """Unpacks `URI#NAME` into the folder of the job, and returns the last one of them; None without any."""
        bundled = None
        for archive in archives:
            uri, _, name = archive.partition("#")
            found = self._jobs.unpacked(role, uri, lambda file, into: shutil.unpack_archive(file, into))
            bundled = folder / (name or Path(uri).name)
            bundled.symlink_to(found, target_is_directory=True)
        return bundled

    def _keep(self, arn: str, request: Answer, out: bytes, err: bytes) -> None:
        uri = _monitoring(request).get("s3MonitoringConfiguration", {}).get("logUri")
        if not uri:
            return
        place = urlsplit(uri)
        application, _, run = arn.rpartition("/applications/")[2].partition("/jobruns/")
        folder = f"{place.path.strip('/')}/applications/{application}/jobs/{run}/SPARK_DRIVER"
        for name, text in (("stdout", out), ("stderr", err)):
            key = f"{folder}/{name}.gz".lstrip("/")
            self._s3.put_object(Bucket=place.netloc, Key=key, Body=gzip.compress(text))

    def _run(self, path: dict[str, str]) -> _Run:
        run = self._runs.get(path["run"])
        if run is None or run.application != path["application"]:
            raise ApiError("ResourceNotFoundException", f"JobRun {path['run']} does not exist")
        return run

    def _get(self, caller: Caller, path: dict[str, str], request: Answer) -> Answer:  # noqa: ARG002
        return {"jobRun": _described(path["run"], self._run(path))}

    def _list(self, caller: Caller, path: dict[str, str], request: Answer) -> Answer:  # noqa: ARG002
        application = _application(caller, path["application"]).id
        found = [(run_id, run) for run_id, run in self._runs.items() if run.application == application]
        return {"jobRuns": [{**_described(run_id, run), "id": run_id} for run_id, run in found]}

    def _cancel(self, caller: Caller, path: dict[str, str], request: Answer) -> Answer:  # noqa: ARG002
        run = self._run(path)
        if run.job.state in ENDED:
            raise ApiError("ValidationException", f"JobRun {path['run']} has ended")
        run.cancelled = True
        run.job.stop()
        return {"applicationId": run.application, "jobRunId": path["run"]}

    def _dashboard(self, caller: Caller, path: dict[str, str], request: Answer) -> Answer:  # noqa: ARG002
        self._run(path)
        return {"url": f"https://sandbox.invalid/{path['application']}/{path['run']}?authToken=sandbox"}


def _application(caller: Caller, application_id: str) -> Any:
    found = get_backend("emr-serverless")[caller.account][caller.region].applications.get(application_id)
    if found is None:
        raise ApiError("ResourceNotFoundException", f"Application {application_id} does not exist")
    return found


def _monitoring(request: Answer) -> Answer:
    found: Answer = (request.get("configurationOverrides") or {}).get("monitoringConfiguration") or {}
    return found


def _parameters(text: str) -> tuple[list[str], dict[str, str], list[str]]:
    """What sparkSubmitParameters say: options for spark-submit, the environment of the driver, and archives."""
    options: list[str] = []
    environment: dict[str, str] = {}
    archives: list[str] = []
    words = iter(shlex.split(text))
    for word in words:
        name, _, value = next(words).partition("=") if word == "--conf" else ("", "", "")
        if name.startswith((DRIVER_ENV, EXECUTOR_ENV)):  # in local mode the driver's process is the executor, too
            environment[name.removeprefix(DRIVER_ENV).removeprefix(EXECUTOR_ENV)] = value
        elif name == "spark.archives":
            archives += value.split(",")
        elif name:
            options += ["--conf", f"{name}={value}"]
        else:
            options.append(word)
    return options, environment, archives


def _described(run_id: str, run: _Run) -> Answer:
    state = run.job.state
    if state in ENDED and run.ended is None:
        run.ended = time.time()
    request = run.request
    return {
        "applicationId": run.application,
        "jobRunId": run_id,
        "arn": run.arn,
        "name": request.get("name"),
        "createdBy": run.arn,
        "createdAt": run.created,
        "updatedAt": run.ended or time.time(),
        "executionRole": request["executionRoleArn"],
        "state": "CANCELLING" if run.cancelled and state not in ENDED else _STATES[state],
        "stateDetails": run.job.message,
        "releaseLabel": "emr-7.11.0",
        "configurationOverrides": request.get("configurationOverrides") or {},
        "jobDriver": request["jobDriver"],
        "tags": request.get("tags") or {},
        "attempt": 1,
    }
