"""Compares the sandbox's exports with one that AWS wrote: fields, and the form of the bytes."""

import gzip
import hashlib
import json
import re
import zlib
from base64 import b64decode, b64encode
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ddb_assets_tests.sandbox.account import Account, Exported

REAL = Path(__file__).parents[1] / "data" / "s3exporttest"
REAL_FOLDER = "dynamodb-export/AWSDynamoDB/01715685260608-c488b4e1"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
EXPORT_ID = r"\d{14}-[0-9a-f]{8}"
TABLE_ARN = r"arn:aws:dynamodb:[a-z0-9-]+:\d{12}:table/S3ExportTest"
SUMMARY: dict[str, str | type | None] = {
    "version": "2020-06-30",
    "exportArn": TABLE_ARN + "/export/" + EXPORT_ID,
    "startTime": TIME,
    "endTime": TIME,
    "tableArn": TABLE_ARN,
    "tableId": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "exportTime": TIME,
    "s3Bucket": r"[a-z0-9-]+",
    "s3Prefix": "dynamodb-export",
    "s3SseAlgorithm": "AES256",
    "s3SseKmsKeyId": None,
    "manifestFilesS3Key": f"dynamodb-export/AWSDynamoDB/{EXPORT_ID}/manifest-files.json",
    "billedSizeBytes": int,
    "itemCount": int,
    "outputFormat": "DYNAMODB_JSON",
}
FILE: dict[str, str | type | None] = {
    "itemCount": int,
    "md5Checksum": r"[A-Za-z0-9+/]{22}==",
    "etag": r"[0-9a-f]{32}-1",
    "dataFileS3Key": rf"dynamodb-export/AWSDynamoDB/{EXPORT_ID}/data/[a-z2-7]{{26}}\.json\.gz",
}


@pytest.fixture(scope="module")
def real() -> Exported:
    objects = {
        path.relative_to(REAL).as_posix(): path.read_bytes()
        for path in REAL.rglob("*")
        if path.suffix in (".gz", ".json")
    }
    summary = objects[f"{REAL_FOLDER}/manifest-summary.json"].decode()
    return Exported({}, objects, summary, objects[f"{REAL_FOLDER}/manifest-files.json"].decode())


@pytest.fixture(scope="module")
def ours(account: Account, real: Exported) -> Exported:
    """The same items in a table of the same name, exported under the same prefix."""
    account.dynamodb.create_table(
        TableName="S3ExportTest",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    account.sandbox.enable_recovery("S3ExportTest", account.now())
    for record in real.records:
        account.dynamodb.put_item(TableName="S3ExportTest", Item=with_bytes(record["Item"]))
    return account.export("S3ExportTest", prefix="dynamodb-export")


def with_bytes(value: Any) -> Any:
    """Export JSON in boto3's form: binary as bytes."""
    if isinstance(value, dict):
        if list(value) == ["B"]:
            return {"B": b64decode(value["B"])}
        if list(value) == ["BS"]:
            return {"BS": [b64decode(member) for member in value["BS"]]}
        return {name: with_bytes(member) for name, member in value.items()}
    return [with_bytes(member) for member in value] if isinstance(value, list) else value


def assert_form(fields: dict[str, Any], form: dict[str, str | type | None]) -> None:
    assert list(fields) == list(form)
    for name, expected in form.items():
        value = fields[name]
        if isinstance(expected, str):
            assert re.fullmatch(expected, value), (name, value)
        elif expected is None:
            assert value is None, name
        else:
            assert type(value) is expected, name


def assert_compact(text: str) -> None:
    """Checks that every line is compact JSON in raw UTF-8 and that the last one ends with a newline."""
    assert text.endswith("\n")
    for line in text.splitlines():
        assert json.dumps(json.loads(line), separators=(",", ":"), ensure_ascii=False) == line


def test_the_summary_has_the_real_ones_fields_in_their_order(real: Exported, ours: Exported) -> None:
    assert_form(real.summary, SUMMARY)
    # AWS now adds exportType (page S3DataExport.Output); the real export is older
    assert_form(ours.summary, SUMMARY | {"exportType": "FULL_EXPORT"})
    for text in (real.summary_text, ours.summary_text):
        assert_compact(text)
    assert ours.summary["exportTime"] == ours.summary["startTime"]
    assert real.summary["exportTime"] == real.summary["startTime"]


def test_the_export_id_is_the_start_time_in_milliseconds(real: Exported, ours: Exported) -> None:
    for export in (real, ours):
        export_id = export.summary["exportArn"].rsplit("/", 1)[1]
        started = datetime.fromisoformat(export.summary["startTime"])
        assert int(export_id.split("-")[0]) == round(started.timestamp() * 1000)
        assert export_id in export.summary["manifestFilesS3Key"]


def test_the_files_manifest_has_the_real_ones_form(real: Exported, ours: Exported) -> None:
    for export in (real, ours):
        assert_compact(export.files_text)
        for file in export.files:
            assert_form(file, FILE)
        assert sum(file["itemCount"] for file in export.files) == export.summary["itemCount"] == 3


def test_checksums_and_etags_are_those_of_the_objects(real: Exported, ours: Exported) -> None:
    for export in (real, ours):
        for file in export.files:
            digest = hashlib.md5(export.objects[file["dataFileS3Key"]]).digest()
            assert file["md5Checksum"] == b64encode(digest).decode()
            assert file["etag"] == hashlib.md5(digest).hexdigest() + "-1"


def test_the_etag_in_the_manifest_is_the_one_s3_gives(account: Account, ours: Exported) -> None:
    for file in ours.files:
        assert account.s3.head_object(Bucket=account.bucket, Key=file["dataFileS3Key"])["ETag"] == f'"{file["etag"]}"'


def test_data_lines_are_the_real_ones_byte_for_byte(real: Exported, ours: Exported) -> None:
    assert sorted(ours.lines) == sorted(real.lines)
    assert all(line.endswith(b"\n") for line in ours.lines)


def test_gzip_members_look_like_the_real_one(real: Exported, ours: Exported) -> None:
    [real_file] = real.files
    header = real.objects[real_file["dataFileS3Key"]][:10]
    for file in ours.files:
        data = ours.objects[file["dataFileS3Key"]]
        assert data[:10] == header
        inflate = zlib.decompressobj(wbits=31)
        inflate.decompress(data)
        assert inflate.eof
        assert not inflate.unused_data  # one member, nothing after it


def test_there_are_several_data_files_and_an_empty_one_has_20_bytes(ours: Exported) -> None:
    assert len(ours.files) > 2
    empty = [file for file in ours.files if file["itemCount"] == 0]
    assert empty
    for file in empty:
        assert len(ours.objects[file["dataFileS3Key"]]) == 20
        assert gzip.decompress(ours.objects[file["dataFileS3Key"]]) == b""


def test_the_folder_holds_what_aws_documents(ours: Exported) -> None:
    folder = ours.description["ExportManifest"].removesuffix("manifest-summary.json")
    names = {key.removeprefix(folder) for key in ours.objects}
    data = {name for name in names if name.startswith("data/")}
    assert len(data) == len(ours.files)
    assert names - data == {
        "_started",
        "manifest-summary.json",
        "manifest-summary.md5",
        "manifest-files.json",
        "manifest-files.md5",
    }
    assert ours.objects[folder + "_started"] == b""
    for name, text in (("summary", ours.summary_text), ("files", ours.files_text)):
        checksum = b64encode(hashlib.md5(text.encode()).digest())
        assert ours.objects[f"{folder}manifest-{name}.md5"] == checksum


def test_an_incremental_export_has_its_own_version_fields_and_shared_data_folder(account: Account) -> None:
    table = account.table()
    start = account.mark()
    account.dynamodb.put_item(TableName=table, Item={"id": {"S": "ä"}})
    end = account.mark()
    export = account.window(table, start, end, "NEW_IMAGE")
    assert list(export.summary) == [
        *["version", "exportArn", "startTime", "endTime", "tableArn", "tableId", "exportFromTime", "exportToTime"],
        *[
            "s3Bucket",
            "s3Prefix",
            "s3SseAlgorithm",
            "s3SseKmsKeyId",
            "manifestFilesS3Key",
            "billedSizeBytes",
            "itemCount",
        ],
        *["outputFormat", "outputView", "exportType"],
    ]
    assert export.summary["version"] == "2023-08-01"
    assert export.summary["outputView"] == "NEW_IMAGE"
    assert export.summary["exportType"] == "INCREMENTAL_EXPORT"
    assert export.summary["s3Prefix"] is None
    assert export.summary["exportFromTime"] == start.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert export.summary["exportToTime"] == end.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert_compact(export.summary_text)
    for file in export.files:
        assert re.fullmatch(r"AWSDynamoDB/data/[a-z2-7]{26}\.json\.gz", file["dataFileS3Key"])
    [line] = export.lines
    micros = r'\{"Metadata":\{"WriteTimestampMicros":\{"N":"\d{16}"\}\},'
    images = r'"Keys":\{"id":\{"S":"ä"\}\},"NewImage":\{"id":\{"S":"ä"\}\}\}\n'
    assert re.fullmatch(micros + images, line.decode())
