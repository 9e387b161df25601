"""Flattens an export by a Spark job and in this process, and compares what came out."""

import base64
import hashlib
import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.key_schema import KeySchema
from ddb_assets.contract.report import Relation
from ddb_assets.contract.table import Table
from ddb_assets.exports.manifest import Export, read_export
from ddb_assets.flatten.flatten import Flattened, flatten
from ddb_assets.flatten.profile import path_rows
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.settings import MASK_SECRET
from ddb_assets.spark.file_task import FileRow, Pass
from ddb_assets.spark.job import FlattenJob, JobResult
from ddb_assets.spark.passes import run_passes
from ddb_assets.spark.publish import prepare, publish
from ddb_assets.spark.run import run_job
from ddb_assets_tests.support.written_export import write_export

STORAGE = Storage()
KEY = KeySchema(partition_key="pk")
CONTRACT: dict[str, Any] = {
    "table": "Orders",
    "nested": {"lines": "child", "lines[].tags": "child"},
    "columns": {
        "email": {"mask": "hmac"},
        "ssn": {"exclude": True},
        "note": {"type": "VARCHAR(20)", "oversize": "spill"},
    },
    "max_quarantined": 1000,
}
"""A contract with all that is hard to do in several places at once."""


def here(one: Pass, export: Export) -> Iterator[FileRow]:
    """What Spark does for a pass, by this process: each file once, with all that the way to another process would change."""
    secret = os.environ[MASK_SECRET].encode()
    sent = pickle.loads(pickle.dumps(one))
    return (FileRow.unpacked(sent.row(STORAGE, numbered, secret).packed()) for numbered in enumerate(export.files))


class Jobs:
    """A table that jobs flatten, in a folder with its schema documents. `passes` is of the newest job.

    Without a SparkContext this process does what Spark would do.
    """

    def __init__(self, spark: Any, folder: Path | str, storage: Storage = STORAGE, **contract: Any) -> None:
        self.spark, self.folder, self.storage = spark, str(folder), storage
        self.table = Table.model_validate(contract or CONTRACT)
        self.schemas = SchemaStore(storage, f"{folder}/schemas")
        self.passes = 0

    def prepared(self, export: Export, key: KeySchema = KEY, *, restart: bool = False) -> FlattenJob:
        return prepare(
            self.storage,
            export,
            table=self.table,
            key=key,
            out=f"{self.folder}/out",
            schemas=self.schemas,
            restart=restart,
        )

    def run(self, job: FlattenJob, connect: Callable[[], Storage] = Storage) -> JobResult:
        if self.spark is None:
            result = run_passes(self.storage, job, os.environ[MASK_SECRET].encode(), here)
        else:
            result = run_job(self.spark, job, connect)
        self.passes = result.passes
        return result

    def __call__(self, export: Export, key: KeySchema = KEY, connect: Callable[[], Storage] = Storage) -> Flattened:
        job = self.prepared(export, key)
        self.run(job, connect)
        return publish(self.storage, job, self.schemas)


def in_process(export: Export, folder: Path | str, table: Table, key: KeySchema = KEY) -> Flattened:
    """The same by one thread of this process."""
    schemas = SchemaStore(STORAGE, f"{folder}/plain-schemas")
    return flatten(STORAGE, export, table=table, key=key, out=f"{folder}/pln", schemas=schemas, workers=1)


def items(first: int, count: int, **more: Any) -> list[bytes]:
    """Lines of a full export; a callable gets the item's number."""
    found = []
    for number in range(first, first + count):
        attributes = {name: value(number) if callable(value) else value for name, value in more.items()}
        item = {"pk": {"S": f"k{number:06d}"}, "n": {"N": str(number)}, **attributes}
        found.append(json.dumps({"Item": item}, separators=(",", ":")).encode())
    return found


def hard_lines() -> list[list[bytes]]:
    """Files with children, masks, long texts, bad lines, an empty file, types that differ from file to file, and attributes
    that only the last file has, one of them with numbers of 38 digits."""
    child = {
        "L": [{"M": {"sku": {"S": "x"}, "tags": {"SS": ["a", "b"]}}}, {"M": {"sku": {"S": "y"}, "n": {"N": "1.5"}}}]
    }
    personal = {
        "email": lambda n: {"S": f"{n}@example.com"},
        "ssn": {"S": "000-00-0000"},
        "note": lambda n: {"S": "long" * (n % 9)},
    }
    return [
        items(0, 60, a={"N": "7"}, lines=child, **personal),
        [*items(100, 20, a={"S": "seven"}, **personal), b'{"Item":', b"\xff\xfe", *items(130, 5, a={"N": "0.25"})],
        [],
        [
            *items(200, 40, a={"N": "8"}, m={"M": {"deep": {"BOOL": True}}}, lines={"L": []}),
            b'{"Item":{"pk":{"S":"bad"},"n":{"N":"x"}}}',
        ],
        items(300, 30, late={"S": "2026-01-01"}, lines=child, a={"N": "9"}, big={"N": "9" * 38}),
    ]


def hard_export(folder: Path | str, storage: Storage = STORAGE) -> Export:
    return read_export(storage, write_export(storage, f"{folder}/bucket", lines=hard_lines()))


def assert_same(one: Flattened, other: Flattened) -> None:
    """Checks that two results of one export say and hold the same, row by row; the parts may be cut in other places."""
    varying = {"digest", "identity", "seconds", "bytes_parquet", "relations", "quarantine", "unread"}
    assert one.report.model_dump(exclude=varying) == other.report.model_dump(exclude=varying)
    for a, b in zip(one.report.relations, other.report.relations, strict=True):
        assert (a.name, a.path, a.rows, a.measures) == (b.name, b.path, b.rows, b.measures)
        assert sorted(map(repr, a.columns)) == sorted(
            map(repr, b.columns)
        )  # in one process by when they were first seen
        assert rows(a) == rows(b)
    assert (one.report.unread is None) == (other.report.unread is None)
    if one.report.unread and other.report.unread:
        assert rows(one.report.unread) == rows(other.report.unread)
    assert quarantined(one) == quarantined(other)
    assert list(path_rows(one.profile)) == list(path_rows(other.profile))


def rows(relation: Relation) -> list[str]:
    """The rows of a relation with their values, sorted."""
    return sorted(
        repr(sorted(row.items())).replace("/pln/", "/out/")
        for part in relation.parts
        for row in pl.read_parquet(part.uri).to_dicts()
    )


def quarantined(flattened: Flattened) -> list[bytes]:
    return sorted(line for uri in flattened.report.quarantine for line in STORAGE.read(uri).splitlines())


def contents(storage: Storage, job: FlattenJob) -> dict[str, str]:
    """The MD5 of every file of a job, by its name without the job's id; documents of the job itself are left out."""
    found = {}
    for entry in storage.list(job.out):
        name = entry.uri.removeprefix(f"{job.out}/").replace(f"-{job.id}.", ".")
        if "/" in name and not name.startswith("_job/"):
            digest = hashlib.md5(storage.read(entry.uri), usedforsecurity=False).digest()
            found[name] = base64.b64encode(digest).decode()
    return found
