"""The policies that the pages show: the statements of roles, for one table Orders in eu-west-1. And the templates in `infra/`.

`python -m ddb_assets_tests.infrastructure.documented` writes both again.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from ddb_assets.cli import main as main_command
from ddb_assets.contract.table import Table
from ddb_assets.infrastructure.catalog_rights import unloaded
from ddb_assets.infrastructure.job_rights import JOB
from ddb_assets.infrastructure.policies import COPY, DAGSTER, policies
from ddb_assets.infrastructure.statement import Statement, filled_in, merged
from ddb_assets.infrastructure.wanted import Catalog, Lake, Login, Options, Wanted
from ddb_assets.settings import ICEBERG, KEEP, LAKE, LAKE_FORMAT, METRICS, WAREHOUSE

PLACE = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "123456789012",
    "ExportEvents.Arn": "arn:aws:sqs:eu-west-1:123456789012:ddb-assets-exports",
    "AlarmTopic": "arn:aws:sns:eu-west-1:123456789012:data-alerts",
    "RoleJob.Arn": "arn:aws:iam::123456789012:role/ddb-assets-job",
    "JobApplication": "ID",
    "WorkgroupArn": "arn:aws:redshift-serverless:eu-west-1:123456789012:workgroup/ID",
}
KEY = "arn:aws:kms:eu-west-1:123456789012:key/KEY"
DEMO: dict[str, tuple[Sequence[str], dict[str, str]]] = {
    "stack.yaml": ((), {}),
    "everything.yaml": (
        (
            "--own-table=Orders=orderId:S",
            "--own-streams",
            "--iceberg=iceberg://glue/shop?location=s3://my-bucket/tables",
            "--own-database",
            "--redshift",
            "--operators",
            "--new-tables=dev-*",
            "--budget",
            "--metrics=all",
        ),
        {"DDB_ASSETS_DEMO_STREAM": "orders-cdc", LAKE_FORMAT: "iceberg", KEEP: "90 days"},
    ),
}
"""The files of `infra/`: the options and the environment that they are made with."""
SETTINGS = (ICEBERG, KEEP, LAKE, LAKE_FORMAT, METRICS, WAREHOUSE, "DDB_ASSETS_DEMO_STREAM", "DDB_ASSETS_DEMO_START")
WIDTH = 120
POLICY = re.compile(r'```json\n(\{\n  "Version": "2012-10-17",.*?)```\n', re.DOTALL)


def shown(root: Path) -> dict[Path, Sequence[str]]:
    """The policies of each page, in their order."""
    return {
        root / "README.md": [_document(_of(DAGSTER))],
        root / "docs/redshift.md": [
            _document(_of(COPY, login=Login(secret="redshift/loader"), kms_key=KEY)),
            _document(
                _of("load", "secretsmanager", login=Login(secret="redshift/loader")),
                _of("load", "redshift", login=Login(cluster="main", user="loader", database="dev")),
                _of("load", "redshift-serverless", login=Login(workgroup="main", database="dev")),
                _of("load", "kms", kms_key=KEY, login=Login()),
            ),
        ],
        root / "docs/scale.md": [
            _document(
                _of("flatten", "glue", engine="glue"), _of("flatten", "emr-serverless", "iam", engine="emr_serverless")
            ),
            _document(_of(JOB, kms_key=KEY, engine={"name": "glue", "mask_secret": "masks"})),
        ],
        root / "docs/cold-tier.md": [
            _document([*merged(unloaded(_retaining()))]),
            _document(
                [one for one in policies(_retaining())["cold"] if not one.actions[0].startswith("secretsmanager")]
            ),
        ],
        root / "docs/scan.md": [_document(_of("scan", "dynamodb", source="scan"))],
        root / "docs/streams.md": [
            _document(_of("stream", "kinesis", "dynamodb", stream="orders-cdc")),
            _document(_of("stream", "dynamodb", stream="dynamodb")),
            _document(_of(COPY, "kinesis", login=Login(), stream={"name": "orders-cdc", "tail": "materialized_view"})),
        ],
    }


def _of(
    role: str, *services: str, login: Login | None = None, kms_key: str = "", **contract: object
) -> list[Statement]:
    """The statements of a role about these services, or all of them."""
    orders = Table.model_validate({"table": "Orders", **contract})
    options = Options(existing_bucket=True, kms_key=kms_key)
    found = policies(Wanted(Lake("my-bucket", "prefix"), [orders], login=login, options=options))[role]
    return [one for one in found if not services or one.actions[0].partition(":")[0] in services]


def _retaining() -> Wanted:
    """A project with a cold tier."""
    events = Table.model_validate({"table": "Events", "warehouse": {"retain": "400 days by created_at"}})
    login, catalog = Login(secret="redshift/loader"), Catalog("glue", "lake", "s3://my-bucket/iceberg")
    return Wanted(Lake("my-bucket"), [events], login=login, catalog=catalog, options=Options(existing_bucket=True))


def _document(*parts: list[Statement]) -> str:
    """A policy as JSON, each statement on one line if it is short."""
    statements = ",\n".join(_statement(one) for part in parts for one in part)
    return f'{{\n  "Version": "2012-10-17",\n  "Statement": [\n{statements}\n  ]\n}}\n'


def _statement(statement: Statement) -> str:
    document = json.loads(filled_in(json.dumps(statement.document), PLACE))
    line = f"    {json.dumps(document)}"
    if len(line) <= WIDTH:
        return line
    inner = ",\n".join(f"      {json.dumps(key)}: {_value(value)}" for key, value in document.items())
    return f"    {{\n{inner}\n    }}"


def _value(value: object) -> str:
    line = json.dumps(value)
    if len(line) <= WIDTH - 20 or not isinstance(value, list):
        return line
    inner = ",\n".join(f"        {json.dumps(one)}" for one in value)
    return f"[\n{inner}\n      ]"


def demo_template(root: Path, name: str) -> str:
    """What the command prints for the demo tables with the options of this file."""
    options, environment = DEMO[name]
    with pytest.MonkeyPatch.context() as patch:
        for setting in SETTINGS:
            patch.delenv(setting, raising=False)
        for setting, value in environment.items():
            patch.setenv(setting, value)
        arguments = ["infra", "--project", str(root), "--lake", "s3://my-bucket/dynamodb", *options]
        done = CliRunner().invoke(main_command, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def main() -> None:
    """Writes the policies into the pages, and the templates."""
    root = Path(__file__).parents[2]
    for name in DEMO:
        (root / "infra" / name).write_text(demo_template(root, name))
    for page, documents in shown(root).items():
        left = iter(documents)
        page.write_text(POLICY.sub(lambda _: f"```json\n{next(left)}```\n", page.read_text()))  # noqa: B023


if __name__ == "__main__":
    main()
