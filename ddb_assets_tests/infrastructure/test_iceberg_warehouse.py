"""The rights to a warehouse in Iceberg are those that loads, looks at it and `forget` need."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ddb_assets.cli.infra import wanted
from ddb_assets.iceberg.catalog import open_catalog
from ddb_assets.iceberg.properties import PENDING
from ddb_assets.infrastructure.policies import policies
from ddb_assets.infrastructure.wanted import Options, Wanted
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets_tests.cli.test_commands import call
from ddb_assets_tests.infrastructure.actions import Asked
from ddb_assets_tests.infrastructure.matcher import allows, rights
from ddb_assets_tests.infrastructure.recorder import Recorder, recording

BUCKET = "warehouse-in-iceberg"
URL = f"iceberg://glue/shop?location=s3://{BUCKET}/tables"
TABLE = "s3_export_test"
NOT_CALLED = {
    "s3:AbortMultipartUpload",  # ends an upload in pieces that failed
    "s3:DeleteObject",  # deletes metadata after a hundred commits, and files in the upkeep
    "s3:ListBucket",  # S3 says 403 instead of 404 for a missing file to those who may not list
    "glue:GetDatabase",  # `forget` opens the warehouse with the rights of all who open it,
    "glue:UpdateTable",  # and would finish a load that was broken off
}
"""Rights that are there all the same."""


@pytest.fixture
def recorder(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    sandbox.s3().create_bucket(Bucket=BUCKET)
    with recording() as found:
        yield found


def own(found: Wanted, role: str) -> set[Asked]:
    """The rights of a role that it has because of this warehouse."""
    others = set(rights(policies(replace(found, store=None))[role]))
    return set(rights(policies(found)[role])) - others


def test_a_role_may_do_what_it_does_and_no_more(
    recorder: Recorder, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    root = pytestconfig.rootpath
    (summary,) = (root / "ddb_assets_tests/data/s3exporttest").rglob("manifest-summary.json")
    place = ("--warehouse", URL, "--schemas", str(tmp_path / "schemas"))
    with recorder.acting_as("load"):
        call("load", str(summary.parent), "--key", "id", *place)
    with open_catalog(URL) as catalog:
        catalog.load_table(("shop", f"_ddb_loads__{TABLE}")).transaction().set_properties(
            {PENDING: f'[["shop", "{TABLE}", 1, null]]'}
        ).commit_transaction()
        catalog.drop_table(("shop", TABLE))
    with recorder.acting_as("status"), open_warehouse(URL) as warehouse:
        warehouse.holdings(TABLE)  # finishes what looks like a load that was broken off
    with recorder.acting_as("forget"):
        call("forget", TABLE, *place, "--project", str(root), "--yes")

    found = wanted(root, "s3://my-bucket", URL, None, Options(operators=True))
    for role, done in recorder.by_key.items():
        allowed = own(found, role)
        assert sorted({str(one) for one in done if not any(allows(right, one) for right in allowed)}) == []
        idle = {right.action for right in allowed if not any(allows(right, one) for one in done)}
        assert idle <= NOT_CALLED, role
