"""The rights to DynamoDB tables and streams that imports, copies and their like need. `policies.py` makes roles of them.

Facts: Amazon DynamoDB Developer Guide, "Using IAM with DynamoDB backup and restore" and "DynamoDB data import from Amazon S3".
"""

from collections.abc import Iterator

from ddb_assets.contract.table import Table
from ddb_assets.infrastructure.arns import ARN, HERE, literal, stream_arn, table_arn
from ddb_assets.infrastructure.lake_rights import reads_at, writes, writes_at
from ddb_assets.infrastructure.statement import ANY, Statement, allow
from ddb_assets.infrastructure.wanted import OWN_STREAM, DeclaredCopy, DeclaredImport, Side, Wanted

KINESIS = "kinesis: DescribeStreamSummary ListShards GetShardIterator GetRecords"
OWN = "dynamodb: DescribeStream GetShardIterator GetRecords"
RESTORED = "dynamodb: BatchWriteItem DeleteItem GetItem PutItem Query Scan UpdateItem"
"""What DynamoDB itself does in a table that it restores, with the rights of whoever asked for it."""
COMPARED = "dynamodb: DescribeTable Scan BatchGetItem DescribeContinuousBackups"
SETTINGS = "dynamodb: DescribeTimeToLive ListTagsOfResource"
IMPORT_LOGS = "logs: CreateLogGroup CreateLogStream DescribeLogStreams PutLogEvents PutRetentionPolicy"


def own_stream_arn(table: str, region: str = "") -> str:
    """The ARNs of the streams that a table has had."""
    return f"{table_arn(table, region)}/stream/*"


def followed(table: Table) -> Iterator[Statement]:
    """Reading the stream that a table writes its changes to."""
    if table.stream == OWN_STREAM:
        yield allow("dynamodb: DescribeTable", table_arn(table.table))
        yield allow(OWN, own_stream_arn(table.table))
        return
    yield allow("dynamodb: DescribeTable DescribeKinesisStreamingDestination", table_arn(table.table))
    yield allow(KINESIS, stream_arn(table.stream))


def scanned(table: Table) -> Iterator[Statement]:
    """Scanning a table, after a look whether it writes to its stream."""
    yield allow("dynamodb: DescribeTable Scan", table_arn(table.table))
    if table.stream == OWN_STREAM:
        yield allow("dynamodb: DescribeStream", own_stream_arn(table.table))
    elif table.stream:
        yield allow("dynamodb: DescribeKinesisStreamingDestination", table_arn(table.table))
        yield allow("kinesis: DescribeStreamSummary", stream_arn(table.stream))


def imported(wanted: Wanted, declared: DeclaredImport) -> Iterator[Statement]:
    """Writing files into a table, reading items back, and undoing it where items are kept before."""
    table = table_arn(declared.table)
    yield allow("dynamodb: DescribeTable BatchWriteItem BatchGetItem", table)
    if declared.if_not_exists:
        yield allow("dynamodb: PutItem", table)
    if declared.report_extra:
        yield allow("dynamodb: Scan", table)
    if declared.require_pitr:
        yield allow("dynamodb: DescribeContinuousBackups", table)
    if declared.keep_before:
        yield allow("dynamodb: PutItem DeleteItem", table)
    if declared.bulk_put is not None:
        yield allow("dynamodb: StartBulkPutItems", table)
        yield allow("dynamodb: DescribeBulkOperation", f"{table}/bulk-operation/*")
        yield allow("dynamodb: ListBulkOperations", ANY)
        staging = declared.bulk_put or f"{wanted.lake.uri}/imports"
        yield from writes_at(wanted, f"{staging}/", "PutObject AbortMultipartUpload DeleteObject")
    yield from reads_at(wanted, declared.source)
    yield from writes_at(wanted, declared.rejects)
    yield from writes_at(wanted, declared.keep_before)


def made(wanted: Wanted) -> Iterator[Statement]:
    """Making a table from the files of a declared import, by writes or by ImportTable, which stages items in the lake."""
    for name in wanted.options.new_tables:
        table = _new(name)
        yield allow("dynamodb: CreateTable DescribeTable ImportTable BatchWriteItem BatchGetItem", table)
        yield allow("dynamodb: DescribeImport", f"{table}/import/*")
    for declared in wanted.imports:
        yield from reads_at(wanted, declared.source)
    yield from writes(wanted, "imports")
    group = f"{ARN}:logs:{HERE}:log-group:/aws-dynamodb/imports"
    yield allow("logs: DescribeLogGroups", ANY)
    yield allow(IMPORT_LOGS, group, f"{group}:*")
    yield allow("logs: GetLogEvents", f"{group}:log-stream:*")


def copied(wanted: Wanted, copy: DeclaredCopy) -> Iterator[Statement]:
    """Copying one table into another, also as it was earlier, and comparing the two."""
    for side in (copy.source, copy.destination):
        if side.role:
            yield Statement(("sts:AssumeRole",), (literal(side.role),))
    source, destination = copy.source, copy.destination
    if _ours(source):
        table = table_arn(source.table, source.region)
        restored = f"{table}-restored-*"
        yield allow(COMPARED, table)
        yield allow(SETTINGS, table)
        yield allow("dynamodb: RestoreTableToPointInTime", table)
        yield allow(f"{COMPARED} DeleteTable", restored)
        yield allow(SETTINGS, restored)
        yield allow(RESTORED, restored)
        yield from _stream_of(wanted, source)
    if _ours(destination):
        yield allow(f"{COMPARED} BatchWriteItem", table_arn(destination.table, destination.region))
    yield from writes_at(wanted, copy.rejects)


def cloned(wanted: Wanted) -> Iterator[Statement]:
    """Making tables like the declared ones, with their items and settings."""
    yield allow("dynamodb: ListTables", ANY)
    for table in wanted.tables:
        arn = table_arn(table.table)
        yield allow(COMPARED, arn)
        yield allow(SETTINGS, arn)
        yield allow("dynamodb: DescribeKinesisStreamingDestination", arn)
    for name in wanted.options.new_tables:
        yield allow(f"{COMPARED} BatchWriteItem CreateTable TagResource UpdateTable", _new(name))
        yield allow("dynamodb: UpdateTimeToLive UpdateContinuousBackups", _new(name))
        yield allow(SETTINGS, _new(name))


def restored(wanted: Wanted) -> Iterator[Statement]:
    """Bringing back declared tables that were deleted, each under its name or as a temporary table beside it."""
    yield allow("dynamodb: ListBackups", ANY)
    for table in wanted.tables:
        arn = table_arn(table.table)
        yield allow("dynamodb: DescribeBackup RestoreTableFromBackup", f"{arn}/backup/*")
        yield allow("dynamodb: RestoreTableFromBackup DescribeTable BatchGetItem", arn, f"{arn}-restored-*")
        yield allow(RESTORED, arn, f"{arn}-restored-*")
        yield allow("dynamodb: DeleteTable DescribeContinuousBackups", f"{arn}-restored-*")
        yield allow(SETTINGS, f"{arn}-restored-*")


def enabled(wanted: Wanted) -> Iterator[Statement]:
    """Having declared tables write to their streams."""
    for table in wanted.streamed:
        arn = table_arn(table.table)
        if table.stream == OWN_STREAM:
            yield allow("dynamodb: DescribeTable UpdateTable", arn)
            continue
        yield allow("dynamodb: DescribeKinesisStreamingDestination EnableKinesisStreamingDestination", arn)
        yield allow("dynamodb: UpdateKinesisStreamingDestination", arn)
        yield allow("kinesis: DescribeStreamSummary", stream_arn(table.stream))


def _stream_of(wanted: Wanted, side: Side) -> Iterator[Statement]:
    """Following the stream that the contract of this table names."""
    for table in wanted.streamed:
        if table.table == side.table:
            yield from followed(table)


def _ours(side: Side) -> bool:
    """Whether the process reaches the table with its own rights."""
    return not side.role and not side.elsewhere


def _new(name: str) -> str:
    """The ARN of tables that may be made; the name may have a `*`."""
    return f"{ARN}:dynamodb:{HERE}:table/{name}"
