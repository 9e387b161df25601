"""Tables that an import makes: what is staged, what becomes of it, and what is said when AWS took only a part."""

import json
import uuid
from pathlib import Path
from typing import Any

import boto3
import pytest

from ddb_assets.imports.files import new_table
from ddb_assets.imports.files.config import ImportConfig
from ddb_assets.imports.files.options import JobOptions
from ddb_assets.imports.files.report import ImportReport
from ddb_assets.imports.files.run import NewTable, prepare_import
from ddb_assets.imports.target import TargetError
from ddb_assets.resources.aws import AWS
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.tables import client_of, items_of, sandbox, target_of
from ddb_assets_tests.imports.tables import new_table as existing_table

__all__ = ["sandbox"]

KEY = (("id", "S"), ("n", "N"))


@pytest.fixture
def staging(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {**sandbox.environment(), "DDB_ASSETS_STATE": str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(new_table, "POLL_SECONDS", 0.05)
    bucket = f"b-{uuid.uuid4().hex}"
    sandbox.s3().create_bucket(Bucket=bucket)
    return f"s3://{bucket}/staging"


def run(table: str, path: Path, staging: str, **options: Any) -> ImportReport:
    job = prepare_import(
        AWS(), table, str(path), ImportConfig(), JobOptions(**options), new_table=NewTable(KEY, staging)
    )
    return job.run()


def staged(sandbox: Sandbox, staging: str) -> list[str]:
    found = sandbox.s3().list_objects_v2(Bucket=staging.split("/")[2])
    return [entry["Key"] for entry in found.get("Contents", [])]


def test_the_table_is_made_with_every_type_that_the_mapping_gives(
    sandbox: Sandbox, staging: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_table, "PART_BYTES", 2000)
    path = tmp_path / "rows.csv"
    path.write_text("id,n,paid,zip\n" + "".join(f"k{n},{n},true,0{n}\n" for n in range(100)) + ",7,true,1\n")
    report = run("Made", path, staging, max_rejects=1, verify=10)
    assert (report.problem, report.written, report.rejected, report.consumed_wcu) == (None, 100, 1, 0)
    assert report.verified
    assert (report.verified.read, report.verified.different) == (10, [])
    items = items_of(sandbox, target_of(sandbox, "Made"))
    assert len(items) == 100
    assert {"id": {"S": "k7"}, "n": {"N": "7"}, "paid": {"BOOL": True}, "zip": {"S": "07"}} in items
    assert not staged(sandbox, staging)


def test_a_table_that_is_there_is_not_touched(sandbox: Sandbox, staging: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a", "n": 1}\n')
    with pytest.raises(TargetError, match="exists already"):
        run(existing_table(sandbox).name, path, staging)


def test_two_items_with_one_key_are_found_before_the_table_is_made(
    sandbox: Sandbox, staging: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a", "n": 1, "v": 1}\n{"id": "a", "n": 2}\n{"id": "a", "n": 1.0, "v": 2}\n')
    report = run("Twice", path, staging)
    assert report.problem
    assert "1 items have a key that another one has" in report.problem
    assert "Twice" not in sandbox.dynamodb().list_tables()["TableNames"]
    assert not staged(sandbox, staging)


def test_a_dry_run_makes_nothing(sandbox: Sandbox, staging: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a", "n": 1}\n')
    assert run("Dry", path, staging, dry_run=True).written == 1
    assert "Dry" not in sandbox.dynamodb().list_tables()["TableNames"]


def test_a_failed_import_says_what_is_there(
    sandbox: Sandbox, staging: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sandbox takes whatever was checked here, so AWS's answer is given in its place."""
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/Partly/import/01700000000000-abcdef01"
    ended = {"ImportArn": arn, "ImportStatus": "FAILED", "FailureCode": "ItemValidationError", "ErrorCount": 1}
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a", "n": 1}\n{"id": "b", "n": 1}\n')
    client: Any = boto3.client("dynamodb", config=client_of(sandbox.endpoint_url).meta.config)
    answer = {"ImportTableDescription": {**ended, "ImportedItemCount": 1, "FailureMessage": "Some items failed"}}
    client.meta.events.register("before-call.dynamodb.ImportTable", lambda **_: (Answered(), answer))
    monkeypatch.setattr(AWS, "dynamodb", lambda *_: client)
    report = run("Partly", path, staging)
    assert report.problem
    assert (report.written, report.unprocessed) == (1, 1)
    assert "ended FAILED (ItemValidationError: Some items failed)" in report.problem
    assert "the table exists, with 1 of 2 items" in report.problem
    assert "/aws-dynamodb/imports, stream 01700000000000-abcdef01/error" in report.problem
    assert json.dumps(staged(sandbox, staging)) == "[]"


class Answered:
    """What botocore takes for an HTTP response."""

    status_code = 200
