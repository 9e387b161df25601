"""The driver of a Spark job: reads the job's document, has it done on Spark, and tells Dagster how far it is and what came out.

`spark/` does the work. Nothing counts before Dagster's side has checked the result (`spark/publish.py`).
"""

import argparse
import os
import platform
from collections.abc import Sequence
from functools import partial

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import Storage
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten import fast_path
from ddb_assets.jobs.arguments import JOB, REGION, failure_message, result_message
from ddb_assets.jobs.dagster_side import DagsterSide, dagster_side
from ddb_assets.jobs.file_messages import FileMessages
from ddb_assets.settings import ROLE
from ddb_assets.spark.code import own_code
from ddb_assets.spark.job import FlattenJob, read_document


def main(words: Sequence[str]) -> int:
    """Runs the job that the arguments name, and returns the exit code of the process."""
    parser = argparse.ArgumentParser(
        prog="ddb_assets_job.py",
        description="Flattens one DynamoDB export on Spark. Dagster starts it; other arguments are left alone.",
        allow_abbrev=False,  # Glue has arguments of its own
    )
    parser.add_argument(JOB, required=True, metavar="URI", dest="job", help="the document of the job")
    parser.add_argument(REGION, default="", metavar="REGION", dest="region", help="the AWS Region; else boto3's own")
    arguments, _ = parser.parse_known_args(words)
    if arguments.region:
        os.environ["AWS_DEFAULT_REGION"] = arguments.region
    # workers do not see the environment of this process
    connect = partial(
        _storage, arguments.region, os.environ.get("AWS_ENDPOINT_URL", ""), os.environ.get(ROLE, "").strip()
    )
    aws = AWS()
    with dagster_side(aws.s3()) as dagster:
        try:
            _run(arguments.job, aws, connect, dagster)
        except DdbAssetsError as error:
            dagster.say(str(error))
            dagster.send(failure_message(error))
            return 1
    return 0


def _run(uri: str, aws: AWS, connect: "partial[Storage]", dagster: DagsterSide) -> None:
    from pyspark import SparkContext

    from ddb_assets.spark.run import run_job

    # which packages an engine really takes is the first question about a job that fails
    kernel = getattr(fast_path.kernel, "__file__", "") or "none, so it is slow"
    dagster.say(f"ddb-assets {own_code()}, Python {platform.python_version()}, compiled kernel: {kernel}")
    job = read_document(aws.storage(), uri, FlattenJob)
    context = SparkContext.getOrCreate()
    dagster.say(f"Spark {context.version}, application {context.applicationId}, {context.defaultParallelism} cores")
    files = FileMessages(dagster.say, dagster.send)
    try:
        result = run_job(context, job, connect, files)
    finally:
        files.flush()
    dagster.send(result_message(result.summary))
    context.stop()


def _storage(region: str, endpoint: str, role: str) -> Storage:
    return AWS(region=region, endpoint=endpoint, role_arn=role).storage()
