"""Dagster's side of a Spark job: claims the output folder before it, and publishes what it has written after all was checked.

Spark tasks write parts and quarantine files; only `publish` writes the report, which makes them valid, the schema document
and the profile. A job whose result is missing, does not add up or does not match its files publishes nothing.
"""

from contextlib import suppress
from typing import TYPE_CHECKING

from ddb_assets.aws.owned_folder import normalized, withdraw
from ddb_assets.aws.storage import MissingFileError
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.report import Report
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import Export, read_export
from ddb_assets.flatten import output
from ddb_assets.flatten.flatten import Flattened, finished, sources
from ddb_assets.flatten.inputs import Inputs
from ddb_assets.flatten.rules import Rules
from ddb_assets.flatten.schema_store import SchemaStore, begin
from ddb_assets.spark.code import own_code
from ddb_assets.spark.file_facts import listed
from ddb_assets.spark.job import FlattenJob, JobError, JobResult, read_document
from ddb_assets.spark.written import check_files, expected_files

if TYPE_CHECKING:
    from ddb_assets.aws.storage import Storage


def prepare(
    storage: "Storage",
    export: Export,
    *,
    table: Table,
    key: KeySchema,
    out: str,
    schemas: SchemaStore,
    restart: bool = False,
    secret: str = "",
) -> FlattenJob:
    """Claims the folder `out` for a new job, and writes the job's document (`job.uri`), all that its driver needs to be told.

    `secret` names the secret of Secrets Manager from which the job takes that of `mask: hmac`; this process takes it from the
    environment, and both must be the same. Call `publish` when the job has ended well, otherwise `abandon`.

    Raises FolderError for a folder with files of others, SchemaError for a stored schema that does not match, MaskError for
    a secret that is not set.
    """
    out = normalized(out, sources(export))
    stored, begun = schemas.latest(table.name), begin(table, key, export)
    Inputs.of(export, Rules.of(table, key.attributes), begun=begun, stored=stored, restart=restart)
    folder = output.claimed(storage, out)
    job = FlattenJob(
        id=folder.run,
        code=own_code(),
        export=export.uri,
        export_digest=export.digest,
        table=table,
        key=key,
        out=out,
        stored=stored,
        begun=begun,
        restart=restart,
        secret=secret,
    )
    storage.write(job.uri, job.to_json())
    return job


def publish(storage: "Storage", job: FlattenJob, schemas: SchemaStore) -> Flattened:
    """Checks the result of a job that has ended, and makes it the content of the folder, as `flatten` does.

    Raises JobError when there is no result, when it does not add up or is not of this job, and when a file is missing, too
    short or changed; FolderError when another run has replaced the folder in the meantime; SchemaStoreError when another
    run has stored a version of the schema.
    """
    try:
        result = read_document(storage, job.result_uri, JobResult)
    except MissingFileError:
        raise JobError(
            f"the job {job.id} has ended without a result ({job.result_uri}): its log says why; nothing was published"
        ) from None
    export = read_export(storage, job.export, expected_table=job.table.table)
    check_result(job, result, export)
    folder = output.claimed(storage, job.out, job.id)
    check_files(storage, job.out, expected_files(result))
    folder.check()
    # guard: the schema is still the job's
    if schemas.latest(job.table.name) != job.stored or (
        result.grown != job.stored and not schemas.publish(result.grown)
    ):
        raise JobError(
            f"another run has stored a version of the schema of {job.table.name!r} while the job ran: flatten the export again"
        )
    return finished(folder, schemas, result.report, result.grown, result.seen, files=listed(result.files))


def abandon(storage: "Storage", job: FlattenJob) -> None:
    """Deletes what a job has written that is not to be published. The next run deletes what still comes later.

    Does nothing when the folder's report lists files of the job.
    """
    with suppress(MissingFileError):
        if any(f"-{job.id}." in uri for uri in output.read_report(storage, job.out).files):
            return
    withdraw(storage, job.out, job.id)


def check_result(job: FlattenJob, result: JobResult, export: Export) -> None:
    """Raises JobError unless the result is of this job and this export, and all its numbers add up."""
    report = result.report
    rules = Rules.of(job.table, job.key.attributes)
    inputs = Inputs.of(export, rules, begun=job.begun, stored=job.stored, restart=job.restart)
    parts = [part for relation in report.relations for part in relation.parts]
    uris = [file.uri for file in expected_files(result)]
    wrong = {
        "the result is of another job": result.job != job.id,
        "the export has been replaced since the job was made": export.digest != job.export_digest,
        "the rows were made under another contract, key or mask secret": report.identity != inputs.identity
        or report.digest != inputs.identity.digest(export.digest),
        "the schema is not that of the rows": report.schema_version != result.grown.version
        or result.grown.id != inputs.start.id,
        "its report is of another export": (report.export_arn, report.name) != (export.arn, job.table.name),
        "the parts do not have the rows of their relations": any(
            relation.rows != sum(part.rows for part in relation.parts)
            or relation.rows != report.rows.get(relation.name)
            for relation in report.relations
        ),
        _unequal(report, export): not _adds_up(report, export),
        "the quarantine files do not have the quarantined lines": sorted(report.quarantine)
        != sorted(file.uri for file in result.quarantine)
        or report.quarantined != sum(file.lines for file in result.quarantine),
        "a file is listed twice": len(set(uris)) != len(uris),
        "a file is not one of this job": not all(
            uri.startswith(f"{job.out}/") and f"-{job.id}." in uri.rpartition("/")[2] for uri in uris
        ),
        "the sizes of the parts do not add up": report.bytes_parquet != sum(part.bytes for part in parts),
        "what it says of each file does not add up": not _files_add_up(result, export),
    }
    # guard: a job's result adds up
    if found := [what for what, is_wrong in wrong.items() if is_wrong]:
        raise JobError(
            f"the result of the job {job.id} cannot be published: {'; '.join(found)} ({job.result_uri}): flatten the export "
            "again"
        )


def _adds_up(report: Report, export: Export) -> bool:
    return export.item_count == report.items_in_manifest == report.lines_read == report.root.rows + report.quarantined


def _files_add_up(result: JobResult, export: Export) -> bool:
    """Whether each file of the export was read once, and gave the lines, rows, parts and bytes of the report together."""
    report, files = result.report, result.files
    lines = [(number, file.item_count) for number, file in enumerate(export.files)]
    if [(file.number, file.lines) for file in files] != lines:
        return False
    sums = [
        sum(column) for column in zip(*((f.rows, f.quarantined, f.parts, f.bytes_parquet) for f in files), strict=True)
    ]
    parts = sum(len(relation.parts) for relation in report.relations)
    return not files or sums == [sum(report.rows.values()), report.quarantined, parts, report.bytes_parquet]


def _unequal(report: Report, export: Export) -> str:
    return (
        f"{export.item_count} items in the manifest, {report.lines_read} lines read, {report.root.rows} rows and "
        f"{report.quarantined} quarantined must agree"
    )
