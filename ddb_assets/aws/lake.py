"""Where the files lie: exports, Parquet, schema documents and receipts of loads below one S3 URI.

    <root>/exports/AWSDynamoDB/<export id>/…            written by DynamoDB, one prefix for all tables
    <root>/parquet/<table>/full/<export id>/<relation>/part-….parquet, report.json
    <root>/parquet/<table>/<window>/<export id>/…       the same of a window, by the key of its partition
    <root>/parquet/<table>/stream/<stream>/…            the newest landing of a stream
    <root>/streams/<stream>/<table>/AWSDynamoDB/…       landings of a stream, in the form of an export
    <root>/scans/<table>/AWSDynamoDB/<scan id>/…        scans, in the form of a full export
    <root>/schemas/<table>/000001.json
    <root>/jobs/bundles/<name>/…                        script and packages of Spark jobs (`ddb-assets job bundle`)
    <root>/jobs/messages/<table>/<job id>/…             what a Spark job tells Dagster, deleted when the run ends
    <root>/receipts/<table>/<ledger id>/<number>-<load id>/receipt.json
    <root>/retention/<table>/…                          what retention has deleted on purpose

No file is read or written here; that is `storage.py`.
"""

from dataclasses import dataclass

from ddb_assets.aws.storage import StorageError, join, split_s3
from ddb_assets.contract.export_target import ExportTarget
from ddb_assets.contract.table import Table

SHORTEST_BUCKET = 3
FULL = "full"
"""Stands in the place of a window's start for the Parquet of a full export."""


@dataclass(frozen=True)
class LakePaths:
    """The layout below `root`, an S3 URI. Raises StorageError when it is not one."""

    root: str

    def __post_init__(self) -> None:
        bucket, _ = split_s3(self.root)
        if len(bucket) < SHORTEST_BUCKET:
            raise StorageError(
                f"{self.root!r} names no bucket, as a bucket's name has at least {SHORTEST_BUCKET} characters"
            )
        object.__setattr__(self, "root", self.root.rstrip("/"))

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

    @property
    def schemas(self) -> str:
        """The folder of all tables' schema documents."""
        return join(self.root, "schemas")

    @property
    def receipts(self) -> str:
        """The folder of the receipts of all tables' loads."""
        return join(self.root, "receipts")

    @property
    def streams(self) -> str:
        """The folder of the landings of all streams."""
        return join(self.root, "streams")

    def retention(self, table: Table) -> str:
        """The folder in which retention notes what it deletes of the table."""
        return join(self.root, "retention", table.name)
