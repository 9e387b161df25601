"""Tables of a sandbox that write to one stream, with a warehouse and a lake of their own: what tests of live tables share."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ddb_assets.aws.clients import AWS
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.live.follow import Followed, Places, follow
from ddb_assets.live.refresh import refresh
from ddb_assets.microseconds import from_micros
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.streams.destination import enable
from ddb_assets.streams.own_stream import OWN_STREAM, enable_own
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets.warehouse.protocol import LoadOptions
from ddb_assets.warehouse.results import LoadResult, Refreshed

KEY = KeySchema(partition_key="pk")


@dataclass
class Shop:
    """`stream` is the name of the stream and `arn` its ARN; files are in `folder`, exports in `bucket`.

    The warehouse is a file of DuckDB, the one at the URL `address`, or a schema of its own in the Redshift emulator `server`,
    which reads the sandbox.
    """

    sandbox: Sandbox
    folder: Path
    stream: str
    arn: str
    bucket: str
    server: RedshiftServer | None = None
    address: str = ""
    aws: AWS = field(default_factory=AWS)

    @classmethod
    def opened(cls, sandbox: Sandbox, folder: Path, shards: int = 2) -> "Shop":
        """With a new stream."""
        name = f"s{uuid.uuid4().hex}"
        sandbox.s3().create_bucket(Bucket=name)
        sandbox.kinesis().create_stream(StreamName=name, ShardCount=shards)
        sandbox.clock.advance(timedelta(minutes=1))  # until it is active
        arn = sandbox.kinesis().describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
        return cls(sandbox, folder, name, arn, name)

    def table(self, called: str = "", key: str = "pk", **contract: Any) -> Table:
        """A new DynamoDB table that writes to the stream; its key is a string."""
        client, name = self.sandbox.dynamodb(), f"{called}T{uuid.uuid4().hex}"
        client.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        client.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        if contract.get("stream") == OWN_STREAM:
            enable_own(client, name)
        else:
            enable(client, name, self.arn)
        self.pass_time(minutes=1)
        return Table.model_validate({"table": name, "stream": self.stream, **contract})

    def pass_time(self, **length: float) -> None:
        self.sandbox.clock.advance(timedelta(**length))

    def now(self) -> datetime:
        """The present second, when it is over: exports begin and end with seconds."""
        self.pass_time(seconds=1)
        return from_micros(self.sandbox.clock.tick()).replace(microsecond=0)

    def put(self, table: Table, key: str, **attributes: Any) -> None:
        self.put_item(table, {"pk": {"S": key}, **attributes})

    def put_item(self, table: Table, item: dict[str, Any]) -> None:
        self.sandbox.dynamodb().put_item(TableName=table.table, Item=item)

    def delete(self, table: Table, key: str) -> None:
        self.sandbox.dynamodb().delete_item(TableName=table.table, Key={"pk": {"S": key}})

    @property
    def schema(self) -> str:
        """Where its tables are in the warehouse."""
        if self.address:
            return urlsplit(self.address).path.strip("/")
        return f"t{self.bucket[:12]}" if self.server else "main"

    @property
    def url(self) -> str:
        if self.address:
            return self.address
        if self.server:
            return f"{self.server.url}?sslmode=disable&schema={self.schema}"
        return f"duckdb:///{self.folder / 'w.duckdb'}"

    @property
    def lake(self) -> str:
        return f"s3://{self.bucket}/lake"

    def follow(self, *tables: Table, restart: Sequence[str] = ()) -> Followed:
        """Looks at the stream once. Between its answers the sandbox's clock moves instead of the test waiting."""
        opened = partial(open_warehouse, self.url, storage=self.aws.storage())
        places = Places.below(self.lake)
        stream = OWN_STREAM if tables[0].stream == OWN_STREAM else self.stream
        clock = self.sandbox.clock

        def pause(seconds: float) -> None:
            self.pass_time(seconds=seconds)

        return follow(self.aws, opened, stream, tables, places, restart=restart, now=clock.tick, pause=pause)

    def load(self, table: Table, until: datetime, since: datetime | None = None) -> LoadResult:
        """Exports the table as of this time, or the window of changes from `since` until then, and loads it."""
        client = self.sandbox.dynamodb()
        described = client.describe_table(TableName=table.table)["Table"]
        arguments: dict[str, Any] = {"TableArn": described["TableArn"], "S3Bucket": self.bucket}
        if since:
            arguments["ExportType"] = "INCREMENTAL_EXPORT"
            arguments["IncrementalExportSpecification"] = {
                "ExportFromTime": since,
                "ExportToTime": until,
                "ExportViewType": "NEW_IMAGE",
            }
        else:
            arguments["ExportTime"] = until
        asked = client.export_table_to_point_in_time(**arguments)["ExportDescription"]
        found = asked
        while found["ExportStatus"] == "IN_PROGRESS":
            time.sleep(0.01)
            found = client.describe_export(ExportArn=asked["ExportArn"])["ExportDescription"]
        storage = self.aws.storage()
        export = read_export(storage, f"s3://{self.bucket}/{found['ExportManifest']}")
        out = f"{self.lake}/parquet/{table.name}/{export.id}"
        schemas = SchemaStore(storage, f"{self.lake}/schemas")
        report = flatten(storage, export, table=table, key=KEY, out=out, schemas=schemas).report
        with open_warehouse(self.url, storage=storage) as warehouse:
            return warehouse.load(report, LoadOptions.of(table))

    def refresh(self, *tables: Table) -> Refreshed:
        """Lets the warehouse read the stream itself."""
        opened = partial(open_warehouse, self.url, storage=self.aws.storage())
        places, clock = Places.below(self.lake), self.sandbox.clock
        return refresh(self.aws, opened, self.stream, tables, places, now=clock.tick)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with open_warehouse(self.url) as warehouse:
            return warehouse.query(query)
