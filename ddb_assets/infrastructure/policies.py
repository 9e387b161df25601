"""Which role may do what: for each stage the statements that its calls need, and no more.

`ddb_assets_tests/infrastructure/` records the calls of each stage and compares them with these statements, both ways.
"""

from collections.abc import Callable, Iterator, Mapping

from ddb_assets.contract.metrics import NAMESPACE
from ddb_assets.infrastructure.arns import (
    bucket_arn,
    objects_arn,
    objects_at,
    redshift_arn,
    secret_arn,
    stream_arn,
    table_arn,
)
from ddb_assets.infrastructure.catalog_rights import appended, dropped, loaded, looked_up, moved, opened, unloaded
from ddb_assets.infrastructure.job_rights import JOB, runs_jobs, works
from ddb_assets.infrastructure.lake_rights import creates, key_arn, reads, reads_exports, uses_key, writes, writes_at
from ddb_assets.infrastructure.statement import ANY, Statement, allow, merged
from ddb_assets.infrastructure.table_rights import cloned, copied, enabled, followed, imported, made, restored, scanned
from ddb_assets.infrastructure.wanted import OWN_STREAM, Wanted

DAGSTER = "dagster"
"""The role with the rights of all stages, for a process that runs them all."""
COPY = "redshift-copy"
"""The role with which Redshift reads the lake and the streams."""
WORKGROUP = "${Warehouse.Workgroup.WorkgroupArn}"
WORKGROUP_PARAMETER = "WorkgroupArn"
"""The parameter for the ARN of a workgroup that exists; it contains an id that the name does not tell."""
QUEUE = "${ExportEvents.Arn}"
TOPIC = "${AlarmTopic}"
CHECK = "_ddb_check"
"""The folder of the lake in which `ddb-assets check-warehouse` works."""


def policies(wanted: Wanted) -> dict[str, tuple[Statement, ...]]:
    """The statements of each role that the project needs, by the role's name."""
    found = {name: merged(rights(wanted)) for name, rights in _STAGES.items()}
    stages = {name: statements for name, statements in found.items() if statements}
    process = merged(statement for name in stages for statement in stages[name])
    others = {name: merged(rights(wanted)) for name, rights in _OTHERS.items()}
    return {DAGSTER: process} | stages | {name: statements for name, statements in others.items() if statements}


def _export(wanted: Wanted) -> Iterator[Statement]:
    """Asking for exports, following them, and finding those that others asked for."""
    if not wanted.exported:
        return
    for table in wanted.exported:
        arn, place = table_arn(table.table), wanted.place(table)
        prefix = "/".join(filter(None, (place.prefix.strip("/"), "AWSDynamoDB/")))
        objects = objects_arn(place.bucket, prefix)
        yield allow("dynamodb: DescribeTable DescribeContinuousBackups ExportTableToPointInTime", arn)
        yield allow("dynamodb: DescribeExport", f"{arn}/export/*")
        yield allow("s3: GetObject PutObject PutObjectAcl AbortMultipartUpload", objects)
        yield allow("s3: ListBucket", bucket_arn(place.bucket))
        if place.kms_key:
            yield allow("kms: GenerateDataKey Decrypt", key_arn(place.kms_key))
        if place.bucket == wanted.lake.bucket:
            yield from uses_key(wanted, "GenerateDataKey Decrypt")
    yield allow("dynamodb: ListExports", ANY)
    yield allow("sqs: ReceiveMessage DeleteMessage", QUEUE)
    yield from _warehouse(wanted)


def _flatten(wanted: Wanted) -> Iterator[Statement]:
    """Reading exports and scans, asking DynamoDB whether it made an export, and writing Parquet and schema documents."""
    if not wanted.exported and not wanted.scanned:
        return
    for table in wanted.exported:
        yield from reads_exports(wanted, table)
        if table.trust == "dynamodb":
            yield allow("dynamodb: DescribeExport", f"{table_arn(table.table)}/export/*")
    if wanted.scanned:
        yield from reads(wanted, "scans")
    yield from writes(wanted, "parquet")
    yield from writes(wanted, "schemas", deletes=False)
    yield from runs_jobs(wanted)


def _load(wanted: Wanted) -> Iterator[Statement]:
    """Loading Parquet: the process reads reports and footers, and writes COPY's manifests beside the parts, and receipts."""
    if wanted.tables:
        yield from writes(wanted, "parquet", CHECK) if wanted.in_redshift else reads(wanted, "parquet")
        yield from creates(wanted, "receipts")
        yield from loaded(wanted)
        yield from _warehouse(wanted)


def _changes(wanted: Wanted) -> Iterator[Statement]:
    if wanted.changes:
        yield from appended(wanted)
        yield from opened(wanted)  # the upkeep of a table is that of all its Iceberg tables


def _cold(wanted: Wanted) -> Iterator[Statement]:
    """Moving old rows to Iceberg tables, and the upkeep of these."""
    if wanted.tiered and wanted.in_redshift:
        yield from moved(wanted)
        yield from _warehouse(wanted)


def _stream(wanted: Wanted) -> Iterator[Statement]:
    """Following streams into the warehouse."""
    for table in wanted.streamed:
        yield from followed(table)
    if wanted.streamed:
        yield from writes(wanted, "parquet")
        yield from writes(wanted, "streams", "schemas", deletes=False)
        yield from _warehouse(wanted)


def _status(wanted: Wanted) -> Iterator[Statement]:
    """Looking at tables, what can be exported of them, streams, and what the lake and the warehouse have of them."""
    for table in wanted.tables:
        arn = table_arn(table.table)
        yield allow("dynamodb: DescribeTable", arn)
        if table.source == "exports":
            yield allow("dynamodb: DescribeContinuousBackups", arn)
            yield allow("dynamodb: DescribeExport", f"{arn}/export/*")
            yield from reads_exports(wanted, table)
        if table.stream and table.stream != OWN_STREAM and not table.reads_in_warehouse:
            yield allow("kinesis: DescribeStreamSummary", stream_arn(table.stream))
    if wanted.exported:
        yield allow("dynamodb: ListExports", ANY)
    if wanted.tables:
        scans = ["scans"] if wanted.scanned else []
        yield from reads(wanted, "parquet", "schemas", "receipts", *scans)
        yield from _warehouse(wanted)


def _retention(wanted: Wanted) -> Iterator[Statement]:
    """Looking at tables as `status` does, and deleting files, which is noted before, for Parquet in its own folder."""
    if not wanted.retained:
        return
    yield from _status(wanted)
    yield from writes(wanted, "retention")
    folders = ["parquet", "schemas", "receipts"]
    folders += ["scans"] if any(table.source == "scan" for table in wanted.retained) else []
    if any(table.stream for table in wanted.retained):
        folders.append("streams")
        yield from reads(wanted, "streams")
    yield allow("s3: DeleteObject", *(objects_arn(wanted.lake.bucket, wanted.lake.key(folder)) for folder in folders))
    yield allow("s3: PutObject", objects_arn(wanted.lake.bucket, wanted.lake.key("parquet")))
    for table in wanted.retained:
        if table.source == "exports":
            place = wanted.place(table)
            prefix = "/".join(filter(None, (place.prefix.strip("/"), "AWSDynamoDB/")))
            yield allow("s3: DeleteObject", objects_arn(place.bucket, prefix))
    if any(table in wanted.changes for table in wanted.retained):
        yield from looked_up(wanted)


def _scan(wanted: Wanted) -> Iterator[Statement]:
    for table in wanted.scanned:
        yield from scanned(table)
        yield from writes(wanted, "scans", deletes=False)


def _import(wanted: Wanted) -> Iterator[Statement]:
    for declared in wanted.imports:
        yield from imported(wanted, declared)


def _copy(wanted: Wanted) -> Iterator[Statement]:
    for declared in wanted.copies:
        yield from copied(wanted, declared)


def _alerts(wanted: Wanted) -> Iterator[Statement]:
    """Telling the topic of the alarms what Dagster's runs and checks say, and CloudWatch what loads report."""
    if wanted.tables or wanted.imports or wanted.copies:
        yield allow("sns: Publish", TOPIC)
    if wanted.tables and wanted.options.metrics:
        here = (("StringEquals", "cloudwatch:namespace", (NAMESPACE,)),)
        yield allow("cloudwatch: PutMetricData", ANY, condition=here)


def _redshift_copy(wanted: Wanted) -> Iterator[Statement]:
    """COPY from the lake, the streams that Redshift reads itself, and the cold tier."""
    if not wanted.in_redshift:
        return
    yield from reads(wanted, "parquet", CHECK)
    yield allow("s3: GetBucketLocation", bucket_arn(wanted.lake.bucket))
    if wanted.login and (staging := objects_at(wanted.login.staging)):
        yield allow("s3: GetObject", staging)
    for table in wanted.tables:
        if table.reads_in_warehouse:
            yield allow(
                "kinesis: DescribeStream DescribeStreamSummary GetShardIterator GetRecords ListShards",
                stream_arn(table.stream),
            )
            yield allow("kinesis: ListStreams", ANY)
    if wanted.tiered:
        yield from unloaded(wanted)


def _new_table(wanted: Wanted) -> Iterator[Statement]:
    if wanted.options.new_tables and wanted.imports:
        yield from made(wanted)


def _clone(wanted: Wanted) -> Iterator[Statement]:
    if wanted.options.new_tables and wanted.tables:
        yield from cloned(wanted)


def _restore(wanted: Wanted) -> Iterator[Statement]:
    if wanted.options.operators and wanted.tables:
        yield from restored(wanted)


def _enable(wanted: Wanted) -> Iterator[Statement]:
    if wanted.options.operators:
        yield from enabled(wanted)


def _forget(wanted: Wanted) -> Iterator[Statement]:
    """Deleting what is left of a table that is no longer declared, so of any table."""
    if wanted.options.operators and wanted.tables:
        yield from reads(wanted, "parquet", "schemas")
        folders = ("parquet", "schemas", "receipts")
        places = [objects_arn(wanted.lake.bucket, wanted.lake.key(folder)) for folder in folders]
        yield allow("s3: DeleteObject", *places)
        yield from dropped(wanted)
        yield from _warehouse(wanted)


def _warehouse(wanted: Wanted) -> Iterator[Statement]:
    """Logging in to the warehouse, or opening its catalog."""
    yield from opened(wanted)
    login = wanted.login
    if wanted.options.redshift:
        yield allow("redshift-serverless: GetCredentials GetWorkgroup", WORKGROUP)
    elif login and login.workgroup:
        yield allow("redshift-serverless: GetCredentials GetWorkgroup", f"${{{WORKGROUP_PARAMETER}}}")
    elif login and login.cluster:
        who = (f"dbuser:{login.cluster}/{login.user}", f"dbname:{login.cluster}/{login.database}")
        yield allow("redshift: GetClusterCredentials", *map(redshift_arn, who))
        yield allow("redshift: DescribeClusters", redshift_arn(f"cluster:{login.cluster}"))
    elif login and login.secret:
        yield allow("secretsmanager: GetSecretValue", secret_arn(login.secret))
    if login and login.staging:
        yield from writes_at(wanted, login.staging, "PutObject AbortMultipartUpload DeleteObject")


Rights = Callable[[Wanted], Iterator[Statement]]
_STAGES: Mapping[str, Rights] = {
    "export": _export,
    "flatten": _flatten,
    "load": _load,
    "changes": _changes,
    "cold": _cold,
    "stream": _stream,
    "scan": _scan,
    "status": _status,
    "retention": _retention,
    "import": _import,
    "copy": _copy,
    "alerts": _alerts,
}
_OTHERS: Mapping[str, Rights] = {
    "new-table": _new_table,
    "clone": _clone,
    "restore": _restore,
    "enable-streams": _enable,
    "forget": _forget,
    JOB: works,
    COPY: _redshift_copy,
}
STAGES = tuple(_STAGES)
