"""Where the files lie: exports, Parquet and schema documents below one S3 URI.

    <root>/exports/AWSDynamoDB/<export id>/…            written by DynamoDB, one prefix for all tables
    <root>/parquet/<table>/full/<export id>/<relation>/part-….parquet, report.json
    <root>/parquet/<table>/stream/<stream>/…            the newest landing of a stream
    <root>/streams/<stream>/<table>/AWSDynamoDB/…       landings of a stream, in the form of an export
    <root>/scans/<table>/AWSDynamoDB/<scan id>/…        scans, in the form of a full export
    <root>/schemas/<table>/000001.json
    <root>/jobs/bundles/<name>/…                        script and packages of Spark jobs (`ddb-assets job bundle`)
    <root>/jobs/messages/<table>/<job id>/…             what a Spark job tells Dagster, deleted when the run ends

No file is read or written here; that is `aws/storage.py`.
"""

import os

import dagster as dg
from pydantic import Field

from ddb_assets.aws.storage import StorageError, join, split_s3
from ddb_assets.contract.table import ExportTarget, Table
from ddb_assets.settings import EXPORT_EVENTS, LAKE, setting

SHORTEST_BUCKET = 3
FULL = "full"
"""Stands in the place of a window's start for the Parquet of a full export."""


class Lake(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The layout below `uri`. Raises SettingError when there is none, StorageError when it is not an S3 URI."""

    uri: str = Field(default="", description=f"s3://bucket/prefix for exports, Parquet and schemas; else {LAKE}")

    export_events: str = Field(
        default="",
        description="URL of an SQS queue with the S3 event notifications of the exports' manifest-summary.json, to be "
        f"read instead of listing the bucket; else {EXPORT_EVENTS}, else the bucket is listed",
    )

    @property
    def events_queue(self) -> str:
        """The queue's URL, empty when the bucket is listed."""
        return self.export_events or os.environ.get(EXPORT_EVENTS, "").strip()

    @property
    def root(self) -> str:
        """The S3 URI of the whole."""
        uri = self.uri or setting(
            LAKE, "the S3 URI below which exports and Parquet go, such as s3://my-bucket/dynamodb"
        )
        bucket, _ = split_s3(uri)
        if len(bucket) < SHORTEST_BUCKET:
            raise StorageError(f"{uri!r} names no bucket, as a bucket's name has at least {SHORTEST_BUCKET} characters")
        return uri.rstrip("/")

    def exports_of(self, table: Table) -> ExportTarget:
        """Where this table's exports are written to, and how they are encrypted."""
        if table.export is not None:
            return table.export
        bucket, prefix = split_s3(join(self.root, "exports"))
        return ExportTarget(bucket=bucket, prefix=prefix)

    def exports_uri(self, table: Table) -> str:
        """The folder that has a folder for each of its exports."""
        place = self.exports_of(table)
        return f"s3://{join(place.bucket, place.prefix, 'AWSDynamoDB')}"

    def scans_uri(self, table: Table) -> str:
        """The folder that has a folder for each scan of the table."""
        return join(self.root, "scans", table.name)

    def parquet(self, table: Table, export_id: str, partition: str = FULL) -> str:
        """The folder of one flattened export."""
        return join(self.parquet_uri(table), partition, export_id)

    def parquet_uri(self, table: Table) -> str:
        """The folder of everything that was flattened of the table."""
        return join(self.root, "parquet", table.name)

    def messages_uri(self, table: Table, job_id: str) -> str:
        """The folder of the messages of one Spark job."""
        return join(self.root, "jobs", "messages", table.name, job_id)

    @property
    def schemas(self) -> str:
        """The folder of all tables' schema documents."""
        return join(self.root, "schemas")
