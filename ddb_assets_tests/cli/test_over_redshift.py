"""Commands that use Redshift reach S3 through the environment, as usual."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ddb_assets.aws.storage import Storage
from ddb_assets.cli.sandbox import REAL_ACCOUNT
from ddb_assets.sandbox.redshift.server import RedshiftServer
from ddb_assets.settings import LAKE, STATE
from ddb_assets.warehouse.redshift.connection import RedshiftEngine
from ddb_assets.warehouse.redshift.settings import PASSWORD
from ddb_assets.warehouse.sql.statements import Statement
from ddb_assets_tests.cli.test_commands import call
from ddb_assets_tests.support.engines import select
from ddb_assets_tests.support.written_export import write_export
from ddb_assets_tests.warehouse.test_self_test import SCHEMAS, bystanders

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(autouse=True)
def environment(redshift: RedshiftServer, s3: "S3Client", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*REAL_ACCOUNT, LAKE):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        PASSWORD: redshift.password,
        STATE: str(tmp_path / "state"),
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3.meta.endpoint_url,
    }.items():
        monkeypatch.setenv(name, value)


def test_check_warehouse_fails_when_something_differs(redshift: RedshiftServer, over_redshift: RedshiftEngine) -> None:
    bystanders(over_redshift)
    redshift.faults.deviations.add("milliseconds")
    warehouse = ("--warehouse", f"{redshift.url}?sslmode=disable")
    try:
        result = call("check-warehouse", *warehouse, "--lake", "s3://staging/lake", "--json", code=1)
        assert '"differs":true' in result.output
        assert "was not read as it was written" in result.output
        assert select(over_redshift, SCHEMAS) == [("ddb_check_",)]
        assert select(over_redshift, "SELECT a FROM ddb_check_.kept") == [(1,)]
        assert not list(redshift.storage.list("s3://staging/lake"))
    finally:
        over_redshift.execute(Statement("DROP TABLE ddb_check_.kept"))
        over_redshift.execute(Statement("DROP SCHEMA ddb_check_"))


def test_a_local_export_is_loaded_through_the_staging_folder(
    redshift: RedshiftServer, over_redshift: RedshiftEngine, tmp_path: Path
) -> None:
    source = write_export(Storage(), str(tmp_path / "bucket"))
    warehouse = ("--warehouse", f"{redshift.url}?sslmode=disable&staging=s3://staging/copy")
    call("load", source, "--key", "id", *warehouse, "--schemas", str(tmp_path / "schemas"))
    assert select(over_redshift, "SELECT COUNT(*) FROM orders") == [(3,)]
    assert not list(redshift.storage.list("s3://staging/copy"))
