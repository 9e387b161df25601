"""A table in the sandbox with one export in Dagster, a Glue job, and an EMR application: what tests of engines share."""

import io
import json
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner

from ddb_assets.aws.owned_folder import is_claim
from ddb_assets.aws.storage import Storage
from ddb_assets.cli import main
from ddb_assets.cli.sandbox import REAL_ACCOUNT
from ddb_assets.contract.report import Report
from ddb_assets.contract.table import Table
from ddb_assets.engines.flattening import flattening_of
from ddb_assets.engines.requests import SCRIPT
from ddb_assets.engines.run import check_reported
from ddb_assets.exports.assets import full_export_asset
from ddb_assets.flatten.assets import full_parquet_assets
from ddb_assets.flatten.output import read_report
from ddb_assets.jobs.arguments import Reported
from ddb_assets.jobs.bundle import _downloaded
from ddb_assets.jobs.bundle_files import EMR_PACKAGES
from ddb_assets.jobs.bundle_files import SCRIPT as SCRIPT_NAME
from ddb_assets.resources.shared import RESOURCES
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.scans.assets import scan_asset
from ddb_assets.settings import LAKE, STATE
from ddb_assets.spark.job import JobResult

ROLE = "arn:aws:iam::123456789012:role/job"
ITEMS = 400


@dataclass
class World:
    """`table` is the name of a table whose export `instance` knows. Files are below `lake`."""

    sandbox: Sandbox
    instance: dg.DagsterInstance
    table: str
    lake: str
    application: str
    export: str = ""
    reported: list[Reported] = field(default_factory=list)
    """What the jobs reported that ended well."""
    wheels: dict[str, bytes] = field(default_factory=dict)
    """The packages that pip downloaded for bundles."""

    @property
    def bucket(self) -> str:
        return self.lake.split("/")[2]

    @property
    def storage(self) -> Storage:
        return Storage(self.sandbox.s3())

    def contract(self, engine: object = "in_process", **more: Any) -> Table:
        return Table.model_validate(
            {"table": self.table, "name": "orders", "nested": {"lines": "child"}, "engine": engine} | more
        )

    def flatten(self, engine: object = "in_process", **more: Any) -> dg.ExecuteInProcessResult:
        """Materializes the Parquet by this engine."""
        table = self.contract(engine, **more)

        def check(reported: Reported, *arguments: Any) -> JobResult:
            self.reported.append(reported)
            return check_reported(reported, *arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("ddb_assets.engines.run.check_reported", check)
            return self._flatten(table)

    def _flatten(self, table: Table) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            [full_parquet_assets(table, flattening_of(table))],
            instance=self.instance,
            resources=dict(RESOURCES),
            raise_on_error=False,
        )

    def scanned(self) -> "World":
        """The same table with a scan of it in the place of the export."""
        asset = scan_asset(self.contract(source="scan"))
        made = dg.materialize([asset], instance=self.instance, resources=dict(RESOURCES))
        return replace(self, export=_export_id(made))

    @property
    def out(self) -> str:
        return f"{self.lake}/parquet/orders/full/{self.export}"

    @property
    def report(self) -> Report:
        return read_report(self.storage, self.out)

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of all relations, by name, in the order of their keys."""
        found = {}
        for relation in self.report.relations:
            parts = [pl.read_parquet(io.BytesIO(self.storage.read(part.uri))) for part in relation.parts]
            rows = pl.concat(parts).to_dicts() if parts else []
            found[relation.name] = sorted(rows, key=repr)
        return found

    def files(self) -> dict[str, int]:
        """All files of the output and of messages, by URI, with their sizes, without the claims of jobs that failed."""
        return {
            entry.uri: entry.size
            for folder in (self.out, f"{self.lake}/jobs")
            for entry in self.storage.list(folder)
            if not is_claim(folder, entry.uri)
        }

    def bundle(self, target: str) -> str:
        """The bundle that `ddb-assets job bundle` makes for an engine. Nothing is uploaded twice.

        The packages are downloaded once for all bundles of this world.
        """
        command = ["job", "bundle", target, "--to", f"s3://{self.bucket}/bundles", "--json"]
        printed = []
        for _ in range(2 if target == "glue" else 1):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("ddb_assets.jobs.bundle._downloaded", self._downloaded)
                done = CliRunner().invoke(main, command)
            assert done.exit_code == 0, done.output
            printed.append(json.loads(done.stdout))
        assert [one["new"] for one in printed] == [True, False][: len(printed)]
        assert {one["bundle"] for one in printed} == {printed[0]["bundle"]}
        return str(printed[0]["bundle"])

    def _downloaded(self, requirements: list[str], folder: Path, say: Callable[[str], object]) -> dict[str, bytes]:
        if not self.wheels:
            self.wheels |= _downloaded(requirements, folder, say)
        return dict(self.wheels)

    def glue_job(self, script: str = "") -> str:
        """A Glue job with the script of this project, or with another one."""
        name = f"job-{uuid.uuid4().hex[:8]}"
        text = script or SCRIPT.read_text()
        self.sandbox.s3().put_object(Bucket=self.bucket, Key=f"{name}.py", Body=text.encode())
        command = {"Name": "glueetl", "ScriptLocation": f"s3://{self.bucket}/{name}.py"}
        self.sandbox.client("glue").create_job(Name=name, Role=ROLE, Command=command, GlueVersion="5.1")
        return name

    def emr(self, script: str = "", **more: Any) -> dict[str, Any]:
        """An engine on EMR, with a bundle that leads to the packages of this environment."""
        folder = f"bundles/{uuid.uuid4().hex[:8]}"
        s3 = self.sandbox.s3()
        s3.put_object(Bucket=self.bucket, Key=f"{folder}/{SCRIPT_NAME}", Body=(script or SCRIPT.read_text()).encode())
        s3.put_object(Bucket=self.bucket, Key=f"{folder}/{EMR_PACKAGES}", Body=own_packages())
        engine = {"name": "emr_serverless", "application": self.application, "role": ROLE}
        return {**engine, "bundle": f"s3://{self.bucket}/{folder}", **more}


def quicken(patch: pytest.MonkeyPatch) -> None:
    """Looks after jobs more often than AWS would like."""
    patch.setattr("ddb_assets.engines.glue.POLL_SECONDS", 0.5)
    patch.setattr("ddb_assets.engines.emr_serverless.POLL_SECONDS", 0.5)
    patch.setattr("dagster._core.pipes.utils.WAIT_FOR_LOGS_AFTER_EXECUTION_INTERVAL", 2)


def own_packages() -> bytes:
    """An archive that leads to the packages of this environment, which is quicker than one with the packages in it."""
    packages = str(Path(pl.__file__).parents[1])
    project = str(Path(__file__).parents[2])
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("sitecustomize.py", f"import sys\nsys.path += {[project, packages]!r}\n")
    return data.getvalue()


def _export_id(made: dg.ExecuteInProcessResult) -> str:
    (event,) = made.get_asset_materialization_events()
    return str(event.materialization.metadata["export_id"].value)


def message(result: dg.ExecuteInProcessResult) -> str:
    """Why the step failed."""
    assert not result.success
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    failure: Any = failed.event_specific_data
    return str(failure.user_failure_data.description if failure.user_failure_data else failure.error)


def items() -> Iterator[dict[str, Any]]:
    for number in range(ITEMS):
        lines = [{"M": {"sku": {"S": f"s{at}"}, "n": {"N": str(at)}}} for at in range(number % 3)]
        item = {
            "pk": {"S": f"o{number:04d}"},
            "total": {"N": f"{number}.{number % 100:02d}"},
            "address": {"M": {"city": {"S": "Zürich" if number % 2 else "\N{SNOWMAN}"}}},
            "lines": {"L": lines},
        }
        yield item | ({"late": {"BOOL": True}} if number == ITEMS - 1 else {})


@contextmanager
def opened(sandbox: Sandbox, state: Path) -> Iterator[World]:
    """The environment leads to the sandbox, and the export is made."""
    bucket = f"lake-{uuid.uuid4().hex[:8]}"
    name = f"Orders-{uuid.uuid4().hex[:8]}"
    client, s3 = sandbox.dynamodb(), sandbox.s3()
    s3.create_bucket(Bucket=bucket)
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    for item in items():
        client.put_item(TableName=name, Item=item)
    sandbox.clock.advance(timedelta(minutes=10))
    emr = sandbox.client("emr-serverless")
    application = emr.create_application(name="a", releaseLabel="emr-7.11.0", type="SPARK")["applicationId"]
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        for setting in REAL_ACCOUNT:
            patch.delenv(setting, raising=False)
        variables = {**sandbox.environment(), LAKE: f"s3://{bucket}/lake", STATE: str(state)}
        for setting, value in variables.items():
            patch.setenv(setting, value)
        quicken(patch)
        patch.setattr("ddb_assets.orchestration.step.RETRIES", None)  # a step that fails is not tried again
        world = World(sandbox, instance, name, f"s3://{bucket}/lake", application)
        made = dg.materialize([full_export_asset(world.contract())], instance=instance, resources=dict(RESOURCES))
        world.export = _export_id(made)
        yield world
