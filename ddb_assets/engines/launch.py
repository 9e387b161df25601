"""Has a job run on its engine through Dagster Pipes, and waits for its end. A run that is interrupted stops its job."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg
from botocore.exceptions import ClientError
from dagster._core.errors import DagsterPipesExecutionError
from dagster_aws.pipes import PipesS3ContextInjector

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.errors import AwsError, AwsUnavailableError, explained
from ddb_assets.aws.storage import split_s3
from ddb_assets.contract.engine import EmrServerlessEngine, GlueEngine, Remote, SparkEngine
from ddb_assets.engines.emr_serverless import EmrServerlessJobs
from ddb_assets.engines.errors import EngineBusyError, EngineError
from ddb_assets.engines.glue import GlueJobs
from ddb_assets.engines.messages import LocalMessages, S3Messages
from ddb_assets.engines.requests import emr_request, glue_request, spark_command
from ddb_assets.jobs.arguments import Reported
from ddb_assets.settings import ROLE
from ddb_assets.spark.job import FlattenJob
from ddb_assets.spark_home import python_of, spark_submit

_ADVICE = {
    "ConcurrentRunsExceededException": ": wait until the others have ended, or raise the maximum concurrency of the Glue job",
}


@dataclass(frozen=True)
class Ended:
    """A job that has ended well: what it reported, and what Dagster shows of it."""

    reported: Reported
    facts: Mapping[str, Any]


def launch(context: dg.AssetExecutionContext, engine: Remote, aws: AWS, job: FlattenJob, messages: str) -> Ended:
    """Runs the job; it tells what it does by files below the S3 URI `messages`, or by a local file.

    Raises EngineError when the job has ended badly, with what it said about the reason; SettingError and NoSparkError when it
    cannot be started; AwsError when AWS refuses a call.
    """
    reader = LocalMessages() if isinstance(engine, SparkEngine) else S3Messages(aws.s3(), messages)
    try:
        if isinstance(engine, GlueEngine):
            facts = _on_glue(context, engine, aws, job, reader)
        elif isinstance(engine, EmrServerlessEngine):
            facts = _on_emr_serverless(context, engine, aws, job, reader)
        else:
            facts = _on_spark(context, engine, aws, job, reader)
    except EngineError as error:
        reported = reader.reported
        if not (reported.failure or reported.files):
            raise
        retryable = reported.retryable if reported.failure else isinstance(error, EngineBusyError)
        kind = EngineBusyError if retryable else EngineError
        read = f"; it had read {reported.files:,} files in pass {reported.passes}" if reported.files else ""
        raise kind(f"{reported.failure} ({error}{read})" if reported.failure else f"{error}{read}") from error
    return Ended(reader.reported, facts)


def _on_glue(
    context: dg.AssetExecutionContext, engine: GlueEngine, aws: AWS, job: FlattenJob, reader: Any
) -> Mapping[str, Any]:
    bucket, prefix = split_s3(reader.folder)
    injector = PipesS3ContextInjector(bucket=bucket, client=aws.s3(), key_prefix=f"{prefix}/context-")
    request = glue_request(engine, job.uri, aws.job_region)
    client = GlueJobs(aws.glue(), injector, reader, context.log)
    with _explained("glue:StartJobRun", f"Glue job {request['JobName']}"):
        return dict(client.run(context=context, start_job_run_params=request).metadata)


def _on_emr_serverless(
    context: dg.AssetExecutionContext, engine: EmrServerlessEngine, aws: AWS, job: FlattenJob, reader: Any
) -> Mapping[str, Any]:
    request = emr_request(engine, job.uri, aws.job_region, job.table.name)
    client = EmrServerlessJobs(aws.emr_serverless(), reader, engine.logs or "")
    with _explained("emr-serverless:StartJobRun", f"EMR Serverless application {request['applicationId']}"):
        return dict(client.run(context=context, start_job_run_params=request).metadata)


def _on_spark(
    context: dg.AssetExecutionContext, engine: SparkEngine, aws: AWS, job: FlattenJob, reader: Any
) -> Mapping[str, Any]:
    command = spark_command(engine, spark_submit(), job.uri, aws.job_region)
    given = {"AWS_PROFILE": aws.profile, "AWS_ENDPOINT_URL": aws.endpoint, ROLE: aws.role_arn}
    environment = {**python_of(os.environ), **{name: value for name, value in given.items() if value}}
    client = dg.PipesSubprocessClient(env=environment, message_reader=reader)
    try:
        client.run(context=context, command=command)
    except DagsterPipesExecutionError as error:
        raise EngineError(
            f"spark-submit to {engine.master} has ended badly ({error}); its log is in the step's standard error"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"the run was interrupted, and spark-submit did not end within {error.timeout:.0f} s of that: end it yourself"
        ) from error
    return {"Spark master": engine.master}


@contextmanager
def _explained(action: str, subject: str) -> Iterator[None]:
    """Raises EngineError when AWS refuses to start a job. Other errors are the job's own, and explained already."""
    try:
        yield
    except ClientError as error:
        try:
            with explained(action, subject):
                raise error from None
        except AwsUnavailableError:
            raise  # the job may run
        except AwsError as refused:
            raise EngineError(f"{refused}{_ADVICE.get(refused.code or '', '')}") from None
