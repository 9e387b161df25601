"""Common actions of tests with the sandbox: create a table, mark a moment, export, read the export back."""

import gzip
import json
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ddb_assets.microseconds import from_micros
from ddb_assets.sandbox.server import Sandbox

Item = dict[str, Any]


@dataclass(frozen=True)
class Exported:
    """A finished export: its description, its objects, and both manifests as text."""

    description: dict[str, Any]
    objects: dict[str, bytes]
    summary_text: str
    files_text: str

    @property
    def summary(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.summary_text)
        return parsed

    @property
    def files(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.files_text.splitlines()]

    @property
    def lines(self) -> list[bytes]:
        """The data lines of all files in the manifest, each with its newline."""
        return [line for file in self.files for line in self.data(file).splitlines(keepends=True)]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    def data(self, file: dict[str, Any]) -> bytes:
        return gzip.decompress(self.objects[file["dataFileS3Key"]])


class Account:
    """An account in the sandbox, with ordinary boto3 clients."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.dynamodb: Any = sandbox.dynamodb()
        self.s3 = sandbox.s3()
        self.bucket = f"exports-{uuid.uuid4().hex[:8]}"
        self.s3.create_bucket(Bucket=self.bucket)

    def table(self, *keys: tuple[str, str], recovery: bool = True) -> str:
        """Creates a table with these (name, type) keys, by default `id` S; recovery reaches back 30 days."""
        name = f"T-{uuid.uuid4().hex[:8]}"
        keys = keys or (("id", "S"),)
        self.dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in keys],
            KeySchema=[
                {"AttributeName": key, "KeyType": role} for (key, _), role in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
        )
        if recovery:
            self.sandbox.enable_recovery(name, self.now() - timedelta(days=30))
        return name

    def arn(self, table: str) -> str:
        arn: str = self.dynamodb.describe_table(TableName=table)["Table"]["TableArn"]
        return arn

    def now(self) -> datetime:
        return from_micros(self.sandbox.clock.micros())

    def mark(self) -> datetime:
        """A time between the writes before and after this call, in whole seconds, because boto3 sends no fractions."""
        self.sandbox.clock.advance(timedelta(minutes=10))
        moment = self.now().replace(microsecond=0)
        self.sandbox.clock.advance(timedelta(minutes=10))
        return moment

    def scan(self, table: str, **options: Any) -> list[Item]:
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=table, **options)
        return [item for page in pages for item in page["Items"]]

    def export(self, table: str, *, prefix: str | None = None, **options: Any) -> Exported:
        """Exports to this account's bucket (in full by default), waits, and reads the files."""
        options |= {"S3Prefix": prefix} if prefix is not None else {}
        started = self.dynamodb.export_table_to_point_in_time(
            TableArn=self.arn(table), S3Bucket=self.bucket, **options
        )["ExportDescription"]
        description = self.wait(started["ExportArn"])
        assert description["ExportStatus"] == "COMPLETED", description
        return self.read(description)

    def window(self, table: str, start: datetime, end: datetime, view: str = "NEW_AND_OLD_IMAGES") -> Exported:
        """Makes an incremental export of `[start, end)`."""
        specification = {"ExportFromTime": start, "ExportToTime": end, "ExportViewType": view}
        return self.export(table, ExportType="INCREMENTAL_EXPORT", IncrementalExportSpecification=specification)

    def wait(self, arn: str) -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            description: dict[str, Any] = self.dynamodb.describe_export(ExportArn=arn)["ExportDescription"]
            if description["ExportStatus"] != "IN_PROGRESS":
                return description
            time.sleep(0.02)
        raise TimeoutError(arn)

    def read(self, description: dict[str, Any]) -> Exported:
        summary = self.body(description["ExportManifest"])
        files = self.body(json.loads(summary)["manifestFilesS3Key"])
        keys = [json.loads(line)["dataFileS3Key"] for line in files.splitlines()]
        folder = description["ExportManifest"].removesuffix("manifest-summary.json")
        keys += [entry["Key"] for entry in self.s3.list_objects_v2(Bucket=self.bucket, Prefix=folder)["Contents"]]
        return Exported(description, {key: self.body(key) for key in keys}, summary.decode(), files.decode())

    def body(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
