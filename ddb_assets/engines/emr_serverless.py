"""The Pipes client of EMR Serverless, without its traps (dagster-aws 0.29).

It warns that messages on S3 do not work, and they do; it asks for the application's type only to find the logs of CloudWatch,
and fails for any that it does not know. It writes the dashboard's address into the log of the run, and that address lets
whoever has it in.
Facts: EMR Serverless User Guide, "Job run states".
"""

import time
from typing import TYPE_CHECKING, Any

from dagster_aws.pipes import PipesEMRServerlessClient

from ddb_assets.aws.errors import AwsError, explained
from ddb_assets.engines.errors import EngineError

if TYPE_CHECKING:
    from dagster import PipesMessageReader

POLL_SECONDS = 5.0
ENDED_BADLY = frozenset({"FAILED", "CANCELLED", "CANCELLING"})


class EmrServerlessJobs(PipesEMRServerlessClient):
    """Runs a job on EMR Serverless and waits for its end. Raises EngineError when that is not a good one."""

    def __init__(self, client: Any, reader: "PipesMessageReader", logs: str) -> None:
        super().__init__(client=client, message_reader=reader, poll_interval=POLL_SECONDS)
        self._logs = logs

    def _wait_for_completion(self, context: Any, start_response: Any) -> Any:
        try:
            return self._wait(context, start_response)
        except AwsError:  # nobody knows any more how the job does
            self._terminate(context, start_response)
            raise

    def _wait(self, context: Any, start_response: Any) -> Any:
        application, run_id = start_response["applicationId"], start_response["jobRunId"]
        where = (
            f"{self._logs.rstrip('/')}/applications/{application}/jobs/{run_id}/"
            if self._logs
            else "what this opens: aws emr-serverless get-dashboard-for-job-run "
            f"--application-id {application} --job-run-id {run_id}"
        )
        context.log.info(f"Spark's own log of the job is in {where}")
        while True:
            with explained("emr-serverless:GetJobRun", f"job run {run_id} of application {application}"):
                answer = self.client.get_job_run(applicationId=application, jobRunId=run_id)
                run = answer["jobRun"]
                state = str(run["state"])
            if state == "SUCCESS":
                return answer
            if state in ENDED_BADLY:
                raise EngineError(
                    f"job run {run_id} of EMR Serverless application {application} has ended as {state}: "
                    f"{run.get('stateDetails') or 'EMR says no reason'}; its log is in {where}"
                )
            time.sleep(self.poll_interval)

    def _read_messages(self, context: Any, session: Any, response: Any) -> None:
        """Nothing: the reader reads them from S3 while the job runs."""

    def _terminate(self, context: Any, start_response: Any) -> None:
        application, run_id = start_response["applicationId"], start_response["jobRunId"]
        context.log.warning(
            f"the run does not go on: cancelling job run {run_id} of EMR Serverless application {application}"
        )
        try:
            with explained("emr-serverless:CancelJobRun", f"job run {run_id} of application {application}"):
                self.client.cancel_job_run(applicationId=application, jobRunId=run_id)
        except AwsError as error:
            context.log.error(f"EMR Serverless did not cancel job run {run_id}, so cancel it yourself: {error}")
