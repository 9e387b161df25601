"""The Pipes client of Glue, without its traps (dagster-aws 0.29).

Its loop waits for ever when a run expires. When a run cannot be stopped, it looks for `errors` in an answer that has `Errors`.
It writes into the parameters that it is given (`requests.py` makes new ones for each call).
Facts: AWS Glue Developer Guide, "Job run statuses".
"""

import time
from typing import TYPE_CHECKING, Any

from dagster_aws.pipes import PipesGlueClient

from ddb_assets.aws.errors import AwsError, explained
from ddb_assets.engines.errors import EngineBusyError, EngineError

if TYPE_CHECKING:
    from dagster import PipesContextInjector, PipesMessageReader

POLL_SECONDS = 5.0
LOG_GROUP = "/aws-glue/jobs"
ENDED_BADLY = frozenset({"FAILED", "STOPPED", "TIMEOUT", "ERROR", "EXPIRED"})
_NO_CAPACITY = {"EXPIRED", "ERROR"}


class GlueJobs(PipesGlueClient):
    """Runs a Glue job and waits for its end. Raises EngineError when that is not a good one."""

    def __init__(self, client: Any, injector: "PipesContextInjector", reader: "PipesMessageReader", log: Any) -> None:
        super().__init__(context_injector=injector, message_reader=reader, client=client)
        self._log = log

    def _wait_for_job_run_completion(self, job_name: str, run_id: str) -> Any:
        try:
            return self._wait(job_name, run_id)
        except AwsError:  # nobody knows any more how the job does
            self._stop(job_name, run_id)
            raise

    def _wait(self, job_name: str, run_id: str) -> Any:
        where = ""
        while True:
            with explained("glue:GetJobRun", f"run {run_id} of Glue job {job_name}"):
                answer = self._client.get_job_run(JobName=job_name, RunId=run_id)
                run = answer["JobRun"]
                state, group = str(run["JobRunState"]), run.get("LogGroupName") or LOG_GROUP
            if not where:
                where = f"the CloudWatch log groups {group}/output and {group}/error, stream {run_id}"
                self._log.info(f"Spark's own log of the job is in {where}")
            if state == "SUCCEEDED":
                return answer
            if state in ENDED_BADLY:
                kind = EngineBusyError if state in _NO_CAPACITY else EngineError
                raise kind(
                    f"run {run_id} of Glue job {job_name} has ended as {state}: "
                    f"{run.get('ErrorMessage') or _MEANINGS.get(state, 'Glue says no reason')}; its log is in {where}"
                )
            time.sleep(POLL_SECONDS)

    def _terminate_job_run(self, context: Any, job_name: str, run_id: str) -> None:  # noqa: ARG002 -- the base's
        self._stop(job_name, run_id)

    def _stop(self, job_name: str, run_id: str) -> None:
        self._log.warning(f"the run does not go on: stopping run {run_id} of Glue job {job_name}")
        try:
            with explained("glue:BatchStopJobRun", f"Glue job {job_name}"):
                refused = self._client.batch_stop_job_run(JobName=job_name, JobRunIds=[run_id]).get("Errors", [])
            reasons = [one.get("ErrorDetail") for one in refused]
        except AwsError as error:
            reasons = [error]
        for reason in reasons:
            self._log.error(f"Glue did not stop run {run_id}, so stop it yourself: {reason}")


_MEANINGS = {
    "EXPIRED": "it waited too long for free capacity; run this again, or raise the limits of the account",
    "TIMEOUT": "it ran longer than its timeout; raise `timeout` or `workers` under `engine`",
    "STOPPED": "somebody stopped it",
}
