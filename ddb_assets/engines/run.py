"""Flattens an export by a job on an engine.

A job writes parts. Nothing of them counts before this side has checked that the job reported its result, that the result is the
one that it wrote, and that every file of it is there as it was written (`spark/publish.py`).
"""

import dagster as dg

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.errors import AwsError
from ddb_assets.aws.storage import MissingFileError, Storage, StorageError
from ddb_assets.contract.engine import InProcess
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.engines.errors import EngineError
from ddb_assets.engines.facts import job_facts
from ddb_assets.engines.launch import launch
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.manifest import Export
from ddb_assets.flatten.assets import FlattenedBy
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.jobs.arguments import Reported
from ddb_assets.resources.lake import Lake
from ddb_assets.spark.job import FlattenJob, JobResult, read_document
from ddb_assets.spark.publish import abandon, prepare, publish


def flatten_by_job(
    context: dg.AssetExecutionContext, aws: AWS, lake: Lake, table: Table, export: Export, key: KeySchema, restart: bool
) -> FlattenedBy:
    """Flattens by a job, and publishes what it wrote.

    Raises EngineError for a job that failed or reported no result, JobError for a result that does not add up. Then nothing is
    published, and what the job wrote is deleted. When the run is interrupted, its job is stopped, and the step fails for good:
    Dagster would try it again otherwise, and start another job. The stopped job may still write for a moment: the next run
    deletes that.
    """
    if isinstance(table.engine, InProcess):
        raise TypeError(f"{table.name} has no engine")
    storage = aws.storage()
    schemas = SchemaStore(storage, lake.schemas)
    job = prepare(
        storage,
        export,
        table=table,
        key=key,
        out=lake.parquet(table, export.id),
        schemas=schemas,
        restart=restart,
        secret=table.engine.mask_secret or "",
    )
    messages = lake.messages_uri(table, job.id)
    try:
        ended = launch(context, table.engine, aws, job, messages)
        result = check_reported(ended.reported, storage, job)
        flattened = publish(storage, job, schemas)
    except dg.DagsterExecutionInterruptedError as error:
        raise dg.Failure(f"the run was interrupted, so its job {job.id} was stopped", allow_retries=False) from error
    except (AwsError, StorageError):  # the job may still write, and the report may be there although S3 has not said so
        raise
    except DdbAssetsError:
        try:
            abandon(storage, job)
        except DdbAssetsError as error:  # why the job failed counts, and the claim stays
            context.log.warning(
                f"what the job has written stays until the next run, because it cannot be deleted: {error}"
            )
        raise
    finally:
        try:
            storage.delete([entry.uri for entry in storage.list(messages)])
        except DdbAssetsError as error:  # they are read, and what the run came to counts
            context.log.warning(f"the messages of the job in {messages} stay, because they cannot be deleted: {error}")
    facts = {"engine": dg.MetadataValue.text(table.engine.name), **ended.facts, **job_facts(result, job.out)}
    return FlattenedBy(flattened, facts)


def check_reported(reported: Reported, storage: Storage, job: FlattenJob) -> JobResult:
    """The result of a job that has ended.

    Raises EngineError unless the job reported exactly what it wrote: Pipes alone takes silence for success.
    """
    # guard: a job reports its result
    if not reported.results:
        raise EngineError(
            f"the job {job.id} has ended without an error, but it reported no result, so nothing was published: read its "
            "log (the script must be that of ddb-assets, and the job's role must be allowed to write below the lake's jobs/)"
        )
    try:
        result = read_document(storage, job.result_uri, JobResult)
    except MissingFileError:
        result = None
    # guard: a job wrote what it reported
    if result is None or reported.results != (result.summary,):
        raise EngineError(
            f"the job {job.id} reported other results than {job.result_uri} has, so nothing was published: run this again "
            f"(reported: {str(reported.results)[:1000]})"
        )
    return result
