"""What a run does when S3 fails while it publishes what a job has written. No Spark is needed: this process does its work."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import BrokenOffError, Storage
from ddb_assets.contract.table import Table
from ddb_assets.engines.errors import EngineError
from ddb_assets.engines.launch import Ended
from ddb_assets.engines.run import flatten_by_job
from ddb_assets.exports.manifest import Export, read_export
from ddb_assets.flatten.flatten import flatten
from ddb_assets.flatten.output import read_report
from ddb_assets.flatten.schema_store import SchemaStore
from ddb_assets.jobs.arguments import Reported
from ddb_assets.resources.lake import Lake
from ddb_assets.settings import MASK_SECRET
from ddb_assets.spark.file_task import FileRow, Pass
from ddb_assets.spark.job import FlattenJob
from ddb_assets.spark.passes import run_passes
from ddb_assets_tests.spark.flattening import CONTRACT, KEY, hard_export
from ddb_assets_tests.support.places import Place

SECRET = "the secret of the masks"


class Unreliable(Storage):
    """Loses the answer to the write, or to the listing, of what has `place` in its URI: it was done all the same."""

    place = ""

    def write(self, uri: str, data: bytes) -> None:
        super().write(uri, data)
        if self.place and self.place in uri:
            raise BrokenOffError(f"{uri}: the connection broke off")

    def delete(self, uris: Any) -> None:
        super().delete(uris)
        if self.place and any(self.place in uri for uri in uris):
            raise BrokenOffError("the connection broke off")


@pytest.fixture
def run(bucket: Place, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Flattens by a job; `storage.place` says what fails."""
    monkeypatch.setenv(MASK_SECRET, SECRET)
    storage, lake = Unreliable(bucket.storage.s3), Lake(uri=f"{bucket.root}/lake")
    table = Table.model_validate({**CONTRACT, "engine": "local[1]"})
    export = hard_export(bucket.root, bucket.storage)
    said: list[str] = []

    def launch(context: object, engine: object, aws: object, job: FlattenJob, messages: str) -> Ended:
        bucket.storage.write(f"{messages}/1.json", b"{}")

        def run_pass(one: Pass, export: Export) -> Iterator[FileRow]:
            return (one.row(bucket.storage, numbered, SECRET.encode()) for numbered in enumerate(export.files))

        result = run_passes(bucket.storage, job, SECRET.encode(), run_pass)
        return Ended(Reported((result.summary,)), {})

    monkeypatch.setattr("ddb_assets.engines.run.launch", launch)
    context: Any = SimpleNamespace(log=SimpleNamespace(warning=said.append))
    aws = AWS()
    monkeypatch.setattr(AWS, "storage", lambda _: storage)
    return SimpleNamespace(
        storage=storage,
        said=said,
        out=lake.parquet(table, export.id),
        again=lambda: flatten_by_job(context, aws, lake, table, export, KEY, False),
        in_process=lambda: flatten(
            bucket.storage,
            read_export(bucket.storage, export.uri),
            table=table,
            key=KEY,
            out=lake.parquet(table, export.id),
            schemas=SchemaStore(bucket.storage, lake.schemas),
        ),
    )


def test_a_report_that_was_written_although_s3_did_not_say_so_keeps_its_files(run: Any) -> None:
    run.storage.place = "/report.json"
    with pytest.raises(BrokenOffError):
        run.again()
    report = read_report(Storage(run.storage.s3), run.out)
    assert report.root.rows == 155
    assert all(Storage(run.storage.s3).exists(uri) for uri in report.files)
    run.storage.place = ""
    assert run.again().flattened.report.rows == report.rows
    assert run.in_process().report.rows == report.rows


def test_files_that_cannot_be_deleted_do_not_hide_why_a_job_failed(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise EngineError("the reason")

    monkeypatch.setattr("ddb_assets.engines.run.check_reported", refused)
    run.storage.place = "/_quarantine/"
    with pytest.raises(EngineError, match="the reason"):
        run.again()
    assert "stays until the next run, because it cannot be deleted: the connection broke off" in run.said[0]


def test_messages_that_cannot_be_deleted_do_not_fail_what_was_published(run: Any) -> None:
    run.storage.place = "/jobs/messages/"
    by = run.again()
    assert by.flattened.report.root.rows == 155
    assert isinstance(by.facts["files"], dg.PathMetadataValue)
    assert "stay, because they cannot be deleted: the connection broke off" in run.said[0]
