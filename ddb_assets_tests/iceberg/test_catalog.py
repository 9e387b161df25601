"""Catalogs are opened, and find their tables again, in a folder, on S3 and in Glue."""

import subprocess
import sys
import uuid
from pathlib import Path

import pyarrow as pa
import pytest

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import StorageError
from ddb_assets.cli.sandbox import environment
from ddb_assets.iceberg.catalog import location_of, open_catalog, translated
from ddb_assets.iceberg.errors import IcebergConflictError, IcebergError
from ddb_assets.iceberg.url import CatalogUrl
from ddb_assets.sandbox.server import Sandbox

ROWS = pa.table({"id": pa.array(["a", "b"]), "n": pa.array([1, 2], pa.int64())})


def write_and_read(url: str, aws: AWS | None = None) -> str:
    """The location of a table that was made, filled, and read by another connection."""
    parsed = CatalogUrl.parse(url)
    with open_catalog(parsed, aws) as catalog:
        name = (parsed.namespace, "t")
        catalog.create_table(name, ROWS.schema, location=location_of(parsed, "t")).append(ROWS)
    with open_catalog(url, aws) as catalog:
        table = catalog.load_table(name)
        assert table.scan().to_arrow().sort_by("id").to_pylist() == ROWS.to_pylist()
        return table.location()


def test_a_catalog_in_a_file_needs_no_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "there-is-no-such-profile")
    url = f"iceberg:///{tmp_path}/new/catalog.sqlite"
    location = write_and_read(url)
    assert location.startswith(f"{tmp_path}/new/catalog.sqlite.tables/ddb_assets/t-")
    again = f"iceberg:///{tmp_path}/another.sqlite?location={tmp_path}/new/catalog.sqlite.tables"
    assert write_and_read(again) != location  # else each would delete the other's files as orphans


def test_tables_lie_on_s3(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the endpoint and the credentials of our own clients: the sandbox here."""
    for name, value in environment(sandbox).items():
        monkeypatch.setenv(name, value)
    bucket = f"lake-{uuid.uuid4().hex}"
    sandbox.s3().create_bucket(Bucket=bucket)
    location = write_and_read(f"iceberg:///{tmp_path}/catalog.sqlite?location=s3://{bucket}/tables")
    assert location.startswith(f"s3://{bucket}/tables/ddb_assets/t-")
    assert sandbox.s3().list_objects_v2(Bucket=bucket, Prefix="tables/ddb_assets/t-")["KeyCount"] > 3


def test_tables_are_in_glue(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(sandbox).items():
        monkeypatch.setenv(name, value)
    bucket = f"lake-{uuid.uuid4().hex}"
    sandbox.s3().create_bucket(Bucket=bucket)
    aws = AWS()
    assert write_and_read(f"iceberg://glue/lake?location=s3://{bucket}", aws).startswith(f"s3://{bucket}/lake/t-")
    found = aws.glue().get_table(DatabaseName="lake", Name="t")["Table"]
    assert found["Parameters"]["table_type"] == "ICEBERG"


def test_a_file_that_is_no_catalog_is_named(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database" * 100)
    with pytest.raises(IcebergError, match=f"the catalog {file} cannot be opened"), open_catalog(f"iceberg:///{file}"):
        pass


def test_a_rest_catalog_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    url = "iceberg://rest/lake?uri=http://127.0.0.1:9"
    with pytest.raises(IcebergError, match=r"the catalog http://127.0.0.1:9, namespace lake"), open_catalog(url):
        pass


def test_a_conflict_can_be_tried_again_and_other_errors_pass(tmp_path: Path) -> None:
    with open_catalog(f"iceberg:///{tmp_path}/c") as catalog:
        catalog.create_table("ddb_assets.t", ROWS.schema)
        with pytest.raises(IcebergConflictError, match="made twice: "), translated("made twice"):
            catalog.create_table("ddb_assets.t", ROWS.schema)
        with pytest.raises(IcebergError, match="not there: "), translated("not there"):
            catalog.load_table("ddb_assets.other")
    with pytest.raises(StorageError), translated("x"):
        raise StorageError("ours")
    with pytest.raises(ZeroDivisionError), translated("x"):
        raise ZeroDivisionError


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['pyiceberg'] = None\n"
        "from ddb_assets.iceberg.catalog import open_catalog\n"
        "from ddb_assets.iceberg.errors import IcebergError\n"
        "try:\n"
        f"    with open_catalog({f'iceberg:///{tmp_path}/c'!r}): pass\n"
        "except IcebergError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "Iceberg tables need pyiceberg: pip install 'ddb-assets[iceberg]'"


def test_pyiceberg_is_loaded_when_a_catalog_is_opened() -> None:
    script = "import sys, ddb_assets.definitions, ddb_assets.iceberg.catalog; print('pyiceberg' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "False"
