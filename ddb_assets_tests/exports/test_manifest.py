"""Reading the manifests of exports: the forms that AWS writes, copies, damage and forgeries."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.aws.storage import Storage, join
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports import manifest
from ddb_assets.exports.data_file import read_blocks, verify
from ddb_assets.exports.manifest import Export, ManifestError, read_export
from ddb_assets_tests.support.places import Place
from ddb_assets_tests.support.written_export import (
    ID,
    LINES,
    TABLE_ARN,
    alter,
    alter_entry,
    alter_summary,
    write_export,
)

REAL = Path(__file__).parents[1] / "data" / "s3exporttest"
REAL_ID = "01715685260608-c488b4e1"


def content(storage: Storage, export: Export) -> list[bytes]:
    verify(storage, export)
    return [line for file in export.files for block, _ in read_blocks(storage, file) for line in block.splitlines()]


ALL_LINES = [line for lines in LINES for line in lines]


def test_the_export_that_aws_wrote() -> None:
    storage = Storage()
    export = read_export(storage, str(REAL), expected_table="S3ExportTest")
    folder = REAL / "dynamodb-export" / "AWSDynamoDB" / REAL_ID
    assert (export.id, export.kind, export.table_name) == (REAL_ID, "full", "S3ExportTest")
    assert export.arn == f"arn:aws:dynamodb:eu-central-1:164221962816:table/S3ExportTest/export/{REAL_ID}"
    assert export.table_arn == "arn:aws:dynamodb:eu-central-1:164221962816:table/S3ExportTest"
    assert export.table_id == "11991185-e7ab-4da5-8bab-03f0db0b7bfd"
    assert export.export_time == datetime(2024, 5, 14, 11, 14, 20, 608000, tzinfo=UTC)
    assert (export.from_time, export.to_time, export.view) == (None, None, None)
    assert (export.item_count, export.billed_bytes) == (3, 19)
    assert export.uri == str(folder / "manifest-summary.json")
    (file,) = export.files
    assert file.uri == str(folder / "data" / "uimbi7eofu2b5kzkxe63gsvb6i.json.gz")
    assert (file.item_count, file.md5) == (3, "rzAeIrtALbOlNdK5Hh8tgA==")
    assert content(storage, export)[0] == b'{"Item":{"id":{"S":"bar"},"baz":{"N":"0"}}}'


@pytest.mark.parametrize("incremental", [False, True])
@pytest.mark.parametrize("prefix", [None, "", "a", "a/b"])
@pytest.mark.parametrize("prefix_in_keys", [False, True])
@pytest.mark.parametrize("checksums", [".md5", ".checksum", None])
def test_every_form_that_aws_writes(
    folder: Place, incremental: bool, prefix: str | None, prefix_in_keys: bool, checksums: str | None
) -> None:
    home = write_export(
        folder.storage,
        folder.root,
        incremental=incremental,
        prefix=prefix,
        prefix_in_keys=prefix_in_keys,
        checksums=checksums,
    )
    assert content(folder.storage, read_export(folder.storage, home)) == ALL_LINES


def test_full_and_incremental(place: Place) -> None:
    full = read_export(place.storage, write_export(place.storage, place.root, prefix="full"))
    window = read_export(place.storage, write_export(place.storage, place.root, prefix="window", incremental=True))
    assert (full.kind, full.export_time) == ("full", datetime(2023, 9, 19, 4, 20, 18, tzinfo=UTC))
    assert (window.kind, window.export_time, window.view) == ("incremental", None, "NEW_AND_OLD_IMAGES")
    assert window.from_time == datetime(2023, 9, 18, 17, tzinfo=UTC)
    assert window.to_time == datetime(2023, 9, 19, 4, tzinfo=UTC)
    for export in (full, window):
        assert content(place.storage, export) == ALL_LINES


def test_keys_without_prefix_lie_under_it_or_at_the_root_of_the_bucket(bucket: Place) -> None:
    home = write_export(bucket.storage, bucket.root, prefix="2020-Nov", prefix_in_keys=False)
    under = read_export(bucket.storage, home)
    assert under.files[0].uri == f"{home}/data/file0.json.gz"
    for number in range(3):
        data = bucket.storage.read(f"{home}/data/file{number}.json.gz")
        bucket.storage.write(f"{bucket.root}/AWSDynamoDB/{ID}/data/file{number}.json.gz", data)
        bucket.storage.delete([f"{home}/data/file{number}.json.gz"])
    at_root = read_export(bucket.storage, home)
    assert at_root.files[0].uri == f"{bucket.root}/AWSDynamoDB/{ID}/data/file0.json.gz"
    assert content(bucket.storage, at_root) == ALL_LINES


def test_an_old_full_export_does_not_say_its_type(place: Place) -> None:
    home = write_export(place.storage, place.root)
    alter_summary(place.storage, home, exportType=...)
    assert read_export(place.storage, home).kind == "full"


def test_any_version_with_the_fields_we_need_is_read(folder: Place) -> None:
    home = write_export(folder.storage, folder.root, version="2031-01-01", somethingNew={"a": [1]})
    assert read_export(folder.storage, home).item_count == 3


def test_times_are_utc_whatever_zone_they_were_written_in(folder: Place) -> None:
    home = write_export(folder.storage, folder.root, exportTime="2023-09-19T06:20:18+02:00")
    time = read_export(folder.storage, home).export_time
    assert time is not None
    assert time.isoformat() == "2023-09-19T04:20:18+00:00"


@pytest.mark.parametrize("source", ["", "/", "/AWSDynamoDB", f"/AWSDynamoDB/{ID}/", f"/AWSDynamoDB/{ID}"])
@pytest.mark.parametrize("summary", ["", "/manifest-summary.json"])
def test_an_export_is_named_by_summary_folder_or_prefix(place: Place, source: str, summary: str) -> None:
    write_export(place.storage, place.root)
    if summary and ID not in source:
        with pytest.raises(ManifestError, match="no export"):
            read_export(place.storage, f"{place.root}/exports{source}{summary}")
    else:
        assert read_export(place.storage, f"{place.root}/exports{source}{summary}").id == ID


def test_a_relative_path(folder: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    home = write_export(folder.storage, folder.root, incremental=True)
    monkeypatch.chdir(home)
    for source in (".", "manifest-summary.json", "..", f"../{ID}"):
        assert content(folder.storage, read_export(folder.storage, source)) == ALL_LINES


@pytest.mark.parametrize("incremental", [False, True])
@pytest.mark.parametrize("layout", ["export", "renamed", "AWSDynamoDB", "flat"])
def test_a_downloaded_folder_is_read_where_it_lies_now(
    folder: Place, tmp_path: Path, incremental: bool, layout: str
) -> None:
    home = Path(write_export(folder.storage, folder.root, incremental=incremental))
    original = read_export(folder.storage, str(home))
    new = tmp_path / "elsewhere"
    if layout == "AWSDynamoDB":
        shutil.copytree(home.parent, new)
    else:
        new /= ID if layout == "export" else "orders"
        shutil.copytree(home, new)
        if incremental:
            shutil.copytree(home.parent / "data", (new if layout == "flat" else new.parent) / "data")
    shutil.rmtree(folder.root)
    moved = read_export(folder.storage, str(new))
    assert all(file.uri.startswith(str(tmp_path / "elsewhere")) for file in moved.files)
    assert content(folder.storage, moved) == ALL_LINES
    assert moved.digest == original.digest


def test_a_copy_in_the_same_bucket_is_read_itself(bucket: Place) -> None:
    home = write_export(bucket.storage, bucket.root)
    for entry in list(bucket.storage.list(f"{bucket.root}/exports")):
        bucket.storage.write(entry.uri.replace("/exports/", "/copy/"), bucket.storage.read(entry.uri))
    copy = read_export(bucket.storage, join(bucket.root, "copy"))
    assert {file.uri.split("/")[3] for file in copy.files} == {"copy"}
    assert copy.digest == read_export(bucket.storage, home).digest


def test_the_digest_tells_contents_apart(folder: Place) -> None:
    one = read_export(folder.storage, write_export(folder.storage, folder.root, prefix="1"))
    other_items = write_export(folder.storage, folder.root, prefix="2", lines=([b'{"Item":{}}'], [b"{}"], [b"x"]))
    other_export = write_export(folder.storage, folder.root, prefix="3", export_id="01695097218001-d6299cbd")
    digests = {one.digest, *(read_export(folder.storage, home).digest for home in (other_items, other_export))}
    assert len(digests) == 3


def test_several_exports_are_listed(place: Place) -> None:
    homes = [write_export(place.storage, place.root, export_id=f"016950972180{n:02}-d6299cbd") for n in range(12)]
    with pytest.raises(ManifestError) as caught:
        read_export(place.storage, place.root)
    assert "12 exports" in str(caught.value)
    assert all(home in str(caught.value) for home in homes[:10])
    assert str(caught.value).endswith("and 2 more")


@pytest.mark.parametrize("named", ["", "/manifest-summary.json"])
def test_an_unfinished_export(place: Place, named: str) -> None:
    home = write_export(place.storage, place.root)
    place.storage.delete([f"{home}/manifest-summary.json", f"{home}/manifest-summary.md5"])
    with pytest.raises(ManifestError, match="not finished"):
        read_export(place.storage, home + named)


@pytest.mark.parametrize("named", ["", "/nothing", "/nothing/manifest-summary.json"])
def test_no_export(place: Place, named: str) -> None:
    place.storage.write(f"{place.root}/other.txt", b"")
    with pytest.raises(ManifestError, match="no export in"):
        read_export(place.storage, place.root + named)


@pytest.mark.parametrize("table", ["Orders", TABLE_ARN])
def test_the_expected_table(folder: Place, table: str) -> None:
    home = write_export(folder.storage, folder.root)
    assert read_export(folder.storage, home, expected_table=table).table_name == "Orders"


@pytest.mark.parametrize("table", ["orders", "Order", TABLE_ARN.replace("us-east-1", "eu-west-1")])
def test_an_export_of_another_table(folder: Place, table: str) -> None:
    home = write_export(folder.storage, folder.root)
    with pytest.raises(ManifestError, match=f"not of table {table}"):
        read_export(folder.storage, home, expected_table=table)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"outputFormat": "ION"}, "format is ION"),
        ({"itemCount": 4}, "counts 4 items.*have 3"),
        ({"itemCount": "3"}, "itemCount: .*integer"),
        ({"itemCount": -1}, "itemCount"),
        ({"itemCount": 3.5}, "itemCount"),
        ({"itemCount": True}, "itemCount"),
        ({"exportTime": ...}, "FULL_EXPORT needs exportTime"),
        ({"exportTime": "2023-09-19T04:20:18"}, "exportTime: .*timezone"),
        ({"exportTime": "yesterday"}, "exportTime"),
        ({"exportType": "PARTIAL"}, "exportType"),
        ({"exportType": "INCREMENTAL_EXPORT"}, "needs exportFromTime before exportToTime"),
        (
            {"exportType": "INCREMENTAL_EXPORT", "version": "2031-01-01"},
            "version is 2031-01-01, supported are 2020-06-30",
        ),
        ({"outputView": "OLD_IMAGE"}, "outputView"),
        ({"tableId": ...}, "tableId: Field required"),
        ({"tableArn": "arn:aws:dynamodb:us-east-1:123456789012:table/Other"}, "is not an export of tableArn"),
        ({"tableArn": "Orders"}, "tableArn"),
        ({"exportArn": f"{TABLE_ARN}/export/../../x"}, "exportArn"),
        ({"manifestFilesS3Key": "elsewhere/AWSDynamoDB/x/manifest-files.json"}, "points outside"),
        ({"manifestFilesS3Key": "../AWSDynamoDB/x/manifest-files.json"}, "points outside"),
    ],
)
def test_a_summary_that_is_not_right(folder: Place, changes: dict[str, Any], said: str) -> None:
    home = write_export(folder.storage, folder.root)
    alter_summary(folder.storage, home, **changes)
    with pytest.raises(ManifestError, match=f"(?s)manifest-summary.json.*{said}"):
        read_export(folder.storage, home)


def test_a_window_that_ends_before_it_starts(folder: Place) -> None:
    home = write_export(folder.storage, folder.root, incremental=True, exportToTime="2023-09-18T16:00:00.000Z")
    with pytest.raises(ManifestError, match="exportFromTime before exportToTime"):
        read_export(folder.storage, home)


@pytest.mark.parametrize(
    "key",
    [
        "../secret/data/x.json.gz",
        f"exports/AWSDynamoDB/{ID}/data/../../../../etc/passwd",
        f"exports/../AWSDynamoDB/{ID}/data/x.json.gz",
        f"/exports/AWSDynamoDB/{ID}/data/file0.json.gz",
        "/etc/passwd",
        f"s3://other-bucket/exports/AWSDynamoDB/{ID}/data/x.json.gz",
        f"other/AWSDynamoDB/{ID}/data/x.json.gz",
        f"exportsAWSDynamoDB/{ID}/data/x.json.gz",
        "exports/AWSDynamoDB/01695097218000-0badf00d/data/x.json.gz",
        f"exports/AWSDynamoDB/{ID}/data/sub/x.json.gz",
        f"exports/AWSDynamoDB/{ID}/data/..",
        f"exports/AWSDynamoDB/{ID}/data/a\\..\\b",
        f"exports/AWSDynamoDB/{ID}/data/x\x00.gz",
        f"exports/AWSDynamoDB/{ID}/data/",
        "",
    ],
)
def test_a_key_that_leads_out_of_the_export(place: Place, key: str) -> None:
    home = write_export(place.storage, place.root)
    alter_entry(place.storage, home, 1, dataFileS3Key=key)
    with pytest.raises(ManifestError, match=r"manifest-files.json line 2: dataFileS3Key .* points outside"):
        read_export(place.storage, home)


def test_a_prefix_that_leads_out_of_the_export(bucket: Place) -> None:
    up = "../other-bucket"
    home = write_export(bucket.storage, bucket.root)
    for number in range(3):
        alter_entry(bucket.storage, home, number, dataFileS3Key=f"{up}/AWSDynamoDB/{ID}/data/file{number}.json.gz")
    alter_summary(bucket.storage, home, s3Prefix=up, manifestFilesS3Key=f"{up}/AWSDynamoDB/{ID}/manifest-files.json")
    with pytest.raises(ManifestError, match="points outside"):
        read_export(bucket.storage, home)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"md5Checksum": "d41d8cd98f00b204e9800998ecf8427e"}, "md5Checksum: .*base64 MD5"),
        ({"md5Checksum": None}, "md5Checksum"),
        ({"itemCount": None}, "itemCount"),
        ({"dataFileS3Key": f"exports/AWSDynamoDB/{ID}/data/file0.json.gz"}, "a second time"),
    ],
)
def test_a_file_entry_that_is_not_right(folder: Place, changes: dict[str, Any], said: str) -> None:
    home = write_export(folder.storage, folder.root)
    alter_entry(folder.storage, home, 1, **changes)
    with pytest.raises(ManifestError, match=f"(?s)manifest-files.json line 2.*{said}"):
        read_export(folder.storage, home)


@pytest.mark.parametrize("junk", [b"{", b"[]", b"null", b"\xff\xfe", b'{"itemCount":1}{'])
def test_malformed_json_names_file_and_line(folder: Place, junk: bytes) -> None:
    home = write_export(folder.storage, folder.root)
    alter(folder.storage, f"{home}/manifest-files.json", lambda data: data + junk + b"\n")
    with pytest.raises(ManifestError, match=r"manifest-files\.json line 4: "):
        read_export(folder.storage, home)
    alter(folder.storage, f"{home}/manifest-summary.json", lambda _: junk)
    with pytest.raises(ManifestError, match=r"manifest-summary\.json: "):
        read_export(folder.storage, home)


@pytest.mark.parametrize("name", ["manifest-summary", "manifest-files"])
@pytest.mark.parametrize("checksums", [".md5", ".checksum"])
def test_a_damaged_manifest(place: Place, name: str, checksums: str) -> None:
    home = write_export(place.storage, place.root, checksums=checksums)
    uri = f"{home}/{name}.json"
    place.storage.write(uri, place.storage.read(uri) + b"\n")
    with pytest.raises(ManifestError, match=f"{name}.json is damaged: its MD5 is .* says"):
        read_export(place.storage, home)


def test_a_missing_files_manifest(place: Place) -> None:
    home = write_export(place.storage, place.root)
    place.storage.delete([f"{home}/manifest-files.json"])
    with pytest.raises(ManifestError, match=r"has no .*manifest-files\.json"):
        read_export(place.storage, home)


def test_missing_data(place: Place) -> None:
    home = write_export(place.storage, place.root)
    export = read_export(place.storage, home)
    place.storage.delete([export.files[2].uri])
    with pytest.raises(ManifestError, match=r"file2.json.gz .*cannot be read: there is no file"):
        content(place.storage, read_export(place.storage, home))
    place.storage.delete([file.uri for file in export.files])
    with pytest.raises(ManifestError, match=r"has no data file exports/AWSDynamoDB/.*file0.json.gz"):
        read_export(place.storage, home)


@pytest.mark.parametrize(
    ("bound", "name"),
    [("MAX_SUMMARY_BYTES", "manifest-summary.json"), ("MAX_FILES_BYTES", "manifest-files.json")],
)
def test_a_manifest_that_is_too_large_is_not_read_whole(
    place: Place, monkeypatch: pytest.MonkeyPatch, bound: str, name: str
) -> None:
    home = write_export(place.storage, place.root)
    size = place.storage.size(f"{home}/{name}")
    monkeypatch.setattr(manifest, bound, size)
    read_export(place.storage, home)
    monkeypatch.setattr(manifest, bound, size - 1)
    with pytest.raises(ManifestError, match=rf"{name} has more than {size - 1} bytes"):
        read_export(place.storage, home)


def test_a_line_of_a_manifest_that_is_too_long(place: Place) -> None:
    home = write_export(place.storage, place.root)
    alter_entry(place.storage, home, 1, dataFileS3Key="x" * manifest.MAX_LINE_BYTES)
    with pytest.raises(ManifestError, match=r"line 2 has \d+ bytes, more than AWS writes") as refused:
        read_export(place.storage, home)
    assert len(str(refused.value)) < 1000


def test_an_export_of_nothing(place: Place) -> None:
    home = write_export(place.storage, place.root, incremental=True, lines=([], []))
    export = read_export(place.storage, home)
    assert (export.item_count, content(place.storage, export)) == (0, [])


def test_the_user_can_fix_the_cause_of_every_refusal() -> None:
    assert issubclass(ManifestError, DdbAssetsError)
