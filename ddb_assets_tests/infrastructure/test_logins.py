"""The rights to log in to Redshift are those that its driver needs, which asks IAM by itself."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from ddb_assets.aws.clients import AWS
from ddb_assets.cli.sandbox import REAL_ACCOUNT
from ddb_assets.contract.table import Table
from ddb_assets.infrastructure.policies import policies
from ddb_assets.infrastructure.statement import filled_in
from ddb_assets.infrastructure.wanted import Lake, Wanted
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.warehouse.connect import login, open_warehouse
from ddb_assets.warehouse.errors import WarehouseError
from ddb_assets_tests.infrastructure.actions import ACCOUNT, REGION, Asked
from ddb_assets_tests.infrastructure.matcher import STACK
from ddb_assets_tests.infrastructure.recorder import Recorder, recording
from ddb_assets_tests.support.http_answers import answering

ANSWERS: dict[str, dict[str, Any]] = {
    "GetWorkgroup": {"workgroup": {"endpoint": {"address": "127.0.0.1", "port": 1}}},
    "GetCredentials": {"dbUser": "IAM:loader", "dbPassword": "p", "expiration": 1.0},
}


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    for name in REAL_ACCOUNT:
        monkeypatch.delenv(name, raising=False)
    with recording() as found:
        yield found


def asked(recorder: Recorder, url: str, endpoint: str) -> set[Asked]:
    """What opening the warehouse of this URL asks AWS for; nothing listens where the answers lead to."""
    place = {"AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": endpoint}
    with recorder.acting_as("load", **place), pytest.raises(WarehouseError), open_warehouse(url, aws=AWS()):
        pass
    return recorder.by_key["load"]


def allowed(url: str) -> set[Asked]:
    """The rights of a load about logging in; the ARN of the workgroup is a parameter."""
    place = {**STACK, "WorkgroupArn": f"arn:aws:redshift-serverless:{REGION}:{ACCOUNT}:workgroup/main"}
    wanted = Wanted(Lake("lake-bucket"), [Table(table="Orders")], login=login(url))
    return {
        Asked(action, filled_in(resource, place))
        for statement in policies(wanted)["load"]
        for action in statement.actions
        for resource in statement.resources
        if action.startswith("redshift")
    }


def test_to_a_workgroup(recorder: Recorder) -> None:
    url = f"redshift:///dev?workgroup=main&region={REGION}"
    with answering(lambda name: (200, json.dumps(ANSWERS[name]).encode(), {})) as endpoint:
        assert asked(recorder, url, endpoint) == allowed(url)


def test_to_a_cluster(recorder: Recorder, sandbox: Sandbox) -> None:
    client = boto3.client(
        "redshift",
        endpoint_url=sandbox.endpoint_url,
        region_name=REGION,
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
    )
    client.create_cluster(
        ClusterIdentifier="main", NodeType="ra3.large", MasterUsername="admin", MasterUserPassword="Passw0rd"
    )
    url = f"redshift://loader@/dev?cluster=main&region={REGION}"
    assert asked(recorder, url, sandbox.endpoint_url) == allowed(url)
