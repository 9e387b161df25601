"""Job runs of AWS Glue in the sandbox: StartJobRun really starts the job's script on Spark, where moto only says that it did.

moto has the definitions of jobs. The script gets its arguments as Glue gives them: `--NAME VALUE` for each argument of the
job and of the run, and Glue's own. Packages come from a zip of wheels, which pip installs without an index.
Facts: AWS Glue Developer Guide, "Using job parameters", "Job run statuses", "Using Python libraries".
"""

import subprocess
import sys
import time
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moto.backends import get_backend

from ddb_assets.sandbox.api_error import Answer, ApiError
from ddb_assets.sandbox.json_api import Caller, Operation
from ddb_assets.sandbox.logs import write_log
from ddb_assets.sandbox.spark_job import ENDED, Command, SparkJob, State
from ddb_assets.sandbox.spark_jobs import SparkJobs

TARGET = "AWSGlue"
LOG_GROUP = "/aws-glue/jobs"
WHEELS = ".gluewheels.zip"
_STATES: dict[State, str] = {
    "starting": "STARTING",
    "running": "RUNNING",
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
    "stopped": "STOPPED",
    "expired": "EXPIRED",
}


@dataclass
class _Run:
    job_name: str
    arguments: dict[str, str]
    request: Answer
    job: SparkJob
    started: float = field(default_factory=time.time)
    ended: float | None = None


class GlueApi:
    """The operations of job runs, on the jobs that moto knows. `logs` is a client of the sandbox's CloudWatch Logs."""

    def __init__(self, jobs: SparkJobs, logs: Any) -> None:
        self._jobs, self._logs = jobs, logs
        self._runs: dict[str, _Run] = {}

    def operations(self) -> Mapping[str, Operation]:
        """By their names in the API."""
        return {
            "StartJobRun": self._start,
            "GetJobRun": self._get,
            "GetJobRuns": self._list,
            "BatchStopJobRun": self._stop,
        }

    def _start(self, caller: Caller, request: Answer) -> Answer:
        job = _job(caller, str(request["JobName"]))
        arguments = {
            **job.default_arguments,
            **(request.get("Arguments") or {}),
            **(job.non_overridable_arguments or {}),
        }
        script = arguments.get("--scriptLocation") or job.command.get("ScriptLocation")
        if not script:
            raise ApiError("InvalidInputException", f"Job {job.name} has no script location")
        limit = int((job.execution_property or {}).get("MaxConcurrentRuns") or 1)
        if sum(run.job_name == job.name and run.job.state not in ENDED for run in self._runs.values()) >= limit:
            raise ApiError("ConcurrentRunsExceededException", f"Concurrent runs exceeded for {job.name}")
        run_id = f"jr_{uuid.uuid4().hex}{uuid.uuid4().hex}"

        def prepare(_: Path) -> Command:
            path = self._jobs.fetched(job.role, script)
            bundled = self._installed(job.role, arguments)
            own = {"--JOB_ID": f"j_{uuid.uuid4().hex}", "--JOB_RUN_ID": run_id, "--JOB_NAME": job.name}
            given = [word for name, value in {**arguments, **own}.items() for word in (name, value)]
            return [str(path), "true", *given], self._jobs.environment(
                job.role, bundled
            )  # a stray "true" is there on AWS, too

        def keep_logs(out: bytes, err: bytes) -> None:
            write_log(self._logs, f"{LOG_GROUP}/output", run_id, out)
            write_log(self._logs, f"{LOG_GROUP}/error", run_id, err)

        started = self._jobs.start(run_id, prepare, keep_logs)
        self._runs[run_id] = _Run(job.name, arguments, request, started)
        return {"JobRunId": run_id}

    def _installed(self, role: str, arguments: Mapping[str, str]) -> Path | None:
        """The folder with the packages of `--additional-python-modules`; None without them."""
        uri = arguments.get("--additional-python-modules", "")
        if not uri:
            return None
        if not uri.endswith(WHEELS) or arguments.get("--python-modules-installer-option") != "--no-index":
            raise ValueError(f"{uri}: the sandbox installs zips of wheels ({WHEELS}) with --no-index only")
        return self._jobs.unpacked(role, uri, _install)

    def _get(self, caller: Caller, request: Answer) -> Answer:  # noqa: ARG002 -- the signature of operations
        run = self._runs.get(str(request["RunId"]))
        if run is None or run.job_name != request["JobName"]:
            raise ApiError("EntityNotFoundException", f"Job Run not found: {request['RunId']}")
        return {"JobRun": _described(str(request["RunId"]), run)}

    def _list(self, caller: Caller, request: Answer) -> Answer:
        name = _job(caller, str(request["JobName"])).name
        return {"JobRuns": [_described(run_id, run) for run_id, run in self._runs.items() if run.job_name == name]}

    def _stop(self, caller: Caller, request: Answer) -> Answer:  # noqa: ARG002 -- the signature of operations
        stopped, refused = [], []
        for run_id in request["JobRunIds"]:
            at = {"JobName": request["JobName"], "JobRunId": run_id}
            run = self._runs.get(run_id)
            if run is None or run.job_name != request["JobName"] or run.job.state in ENDED:
                code, said = (
                    ("InvalidInputException", "has ended") if run else ("EntityNotFoundException", "is unknown")
                )
                error = {"ErrorCode": code, "ErrorMessage": f"Job run {run_id} {said}"}
                refused.append({**at, "ErrorDetail": error})
            else:
                run.job.stop()
                stopped.append(at)
        return {"SuccessfulSubmissions": stopped, "Errors": refused}


def _job(caller: Caller, name: str) -> Any:
    job = get_backend("glue")[caller.account][caller.region].jobs.get(name)
    if job is None:
        raise ApiError("EntityNotFoundException", f"Failed to start job run due to missing metadata: {name}")
    return job


def _described(run_id: str, run: _Run) -> Answer:
    state = run.job.state
    if state in ENDED and run.ended is None:
        run.ended = time.time()
    described: Answer = {
        "Id": run_id,
        "Attempt": 0,
        "JobName": run.job_name,
        "StartedOn": run.started,
        "LastModifiedOn": run.ended or time.time(),
        "JobRunState": _STATES[state],
        "Arguments": run.arguments,
        "ExecutionTime": int((run.ended or time.time()) - run.started),
        "LogGroupName": LOG_GROUP,
        "GlueVersion": "5.1",
        **{name: run.request[name] for name in ("WorkerType", "NumberOfWorkers", "Timeout") if name in run.request},
    }
    if run.ended:
        described["CompletedOn"] = run.ended
    if run.job.message:
        described["ErrorMessage"] = run.job.message
    return described


def _install(wheels: Path, folder: Path) -> None:
    """As Glue does it: pip reads wheels/requirements.txt and takes wheels from the zip alone."""
    unzipped = folder.with_name("wheels-unzipped")
    with zipfile.ZipFile(wheels) as archive:
        archive.extractall(unzipped)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check"]
    places = ["--find-links", "wheels", "--requirement", "wheels/requirements.txt", "--target", str(folder.resolve())]
    done = subprocess.run([*command, *places], cwd=unzipped, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise ValueError(f"pip could not install {wheels.name}: {done.stderr.strip()[-1000:]}")
