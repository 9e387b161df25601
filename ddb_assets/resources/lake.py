"""The lake as a Dagster resource: the URI below which exports, Parquet, schema documents and receipts lie.

`aws/lake.py` has the layout. No file is read or written here; that is `aws/storage.py`.
"""

import os

import dagster as dg
from pydantic import Field

from ddb_assets.aws.lake import FULL, LakePaths
from ddb_assets.aws.storage import join
from ddb_assets.contract.export_target import ExportTarget
from ddb_assets.contract.table import Table
from ddb_assets.settings import EXPORT_EVENTS, LAKE, setting


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
    def paths(self) -> LakePaths:
        """The layout."""
        return LakePaths(
            self.uri or setting(LAKE, "the S3 URI below which exports and Parquet go, such as s3://my-bucket/dynamodb")
        )

    @property
    def root(self) -> str:
        """The S3 URI of the whole."""
        return self.paths.root

    def exports_of(self, table: Table) -> ExportTarget:
        """Where this table's exports are written to, and how they are encrypted."""
        return table.export or self.paths.exports_of(table)

    def exports_uri(self, table: Table) -> str:
        """The folder that has a folder for each of its exports."""
        place = self.exports_of(table)
        return f"s3://{join(place.bucket, place.prefix, 'AWSDynamoDB')}"

    def scans_uri(self, table: Table) -> str:
        """The folder that has a folder for each scan of the table."""
        return self.paths.scans_uri(table)

    def parquet(self, table: Table, export_id: str, partition: str = FULL) -> str:
        """The folder of one flattened export."""
        return self.paths.parquet(table, export_id, partition)

    def parquet_uri(self, table: Table) -> str:
        """The folder of everything that was flattened of the table."""
        return self.paths.parquet_uri(table)

    def messages_uri(self, table: Table, job_id: str) -> str:
        """The folder of the messages of one Spark job."""
        return join(self.root, "jobs", "messages", table.name, job_id)

    @property
    def schemas(self) -> str:
        """The folder of all tables' schema documents."""
        return self.paths.schemas

    @property
    def receipts(self) -> str:
        """The folder of the receipts of all tables' loads."""
        return self.paths.receipts
