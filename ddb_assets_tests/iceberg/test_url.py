"""URLs of Iceberg catalogs."""

from pathlib import Path

import pytest

from ddb_assets.iceberg.errors import IcebergError
from ddb_assets.iceberg.url import CatalogUrl

BUCKET = "arn:aws:s3tables:eu-west-1:123456789012:bucket/lake"


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("iceberg:////data/x.sqlite", CatalogUrl("file", "ddb_assets", "/data/x.sqlite", "/data/x.sqlite.tables")),
        (
            "iceberg:////data/x.sqlite?location=s3://b/p/&namespace=cold",
            CatalogUrl("file", "cold", "/data/x.sqlite", "s3://b/p"),
        ),
        ("iceberg://glue/lake?location=s3://b/p", CatalogUrl("glue", "lake", location="s3://b/p")),
        (f"iceberg://s3tables/lake?bucket={BUCKET}", CatalogUrl("s3tables", "lake", bucket=BUCKET)),
        (
            "iceberg://rest/lake?uri=http://127.0.0.1:8181&warehouse=w",
            CatalogUrl("rest", "lake", uri="http://127.0.0.1:8181", warehouse="w"),
        ),
    ],
)
def test_a_url_names_a_catalog_and_a_namespace(url: str, parts: CatalogUrl) -> None:
    assert CatalogUrl.parse(url) == parts


def test_a_relative_path_is_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = CatalogUrl.parse("iceberg:///x.sqlite?location=tables")
    assert (found.file, found.location) == (str(tmp_path / "x.sqlite"), str(tmp_path / "tables"))


def test_the_region_is_that_of_the_table_bucket() -> None:
    assert CatalogUrl.parse(f"iceberg://s3tables/lake?bucket={BUCKET}").region == "eu-west-1"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("duckdb:///x", "is not the URL of an Iceberg catalog: write iceberg:///FILE"),
        ("iceberg:///", "names no file for its catalog"),
        ("iceberg:///folder/", "names no file for its catalog"),
        ("iceberg:///x#y", "names no kind of catalog that is known"),
        ("iceberg:///x?location", "is not a URL"),
        ("iceberg://hive/lake", "names no kind of catalog that is known"),
        ("iceberg:///x?bucket=y", "bucket is not an option of it: it has location, namespace"),
        ("iceberg:///x?namespace=A-b", "the namespace is 'A-b', and it must be small letters"),
        ("iceberg://glue/lake", "lacks location"),
        ("iceberg://glue?location=s3://b/p", "the namespace is ''"),
        ("iceberg://glue/lake?location=/data", "location must be s3://BUCKET/PREFIX"),
        ("iceberg://s3tables/lake?bucket=lake", "must be the ARN of a table bucket"),
        ("iceberg://rest/lake?uri=ftp://x", "must be the http:// or https:// address"),
    ],
)
def test_any_other_url_is_refused(url: str, message: str) -> None:
    with pytest.raises(IcebergError) as caught:
        CatalogUrl.parse(url)
    assert message in str(caught.value)
