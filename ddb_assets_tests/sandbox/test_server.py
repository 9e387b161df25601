"""Starting and stopping a sandbox. It leaves nothing behind in its process."""

import os
import resource
import socket
from datetime import timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends

from ddb_assets.sandbox.server import Sandbox, SandboxError
from ddb_assets_tests.sandbox.account import Account


def test_it_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    environment, files = dict(os.environ), resource.getrlimit(resource.RLIMIT_NOFILE)
    for _ in range(2):
        with Sandbox(tmp_path / "made") as sandbox:
            sandbox.s3().create_bucket(Bucket="same-name")
            assert sandbox.dynamodb().list_tables()["TableNames"] == []
            sandbox.dynamodb().create_table(
                TableName="SameName",
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            )
            port = int(sandbox.endpoint_url.rsplit(":", 1)[1])
        with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
            probe.connect(("127.0.0.1", port))
    assert dict(os.environ) == environment
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == files
    assert dynamodb_backends.backend is DynamoDBBackend


def test_a_second_one_in_the_process_is_refused() -> None:
    with Sandbox(), pytest.raises(SandboxError, match="already running in this process"):
        Sandbox().__enter__()
    with Sandbox():
        pass


def test_a_taken_port_is_named_and_the_next_start_works() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SandboxError, match=f"Port {port} "):
            Sandbox(port=port).__enter__()
    with Sandbox(port=port) as sandbox:
        assert sandbox.endpoint_url.endswith(f":{port}")


def test_an_export_that_has_not_begun_does_not_delay_the_end() -> None:
    with Sandbox(export_delay=timedelta(hours=1)) as sandbox:
        dynamodb = sandbox.dynamodb()
        table = dynamodb.create_table(
            TableName="T-1",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )["TableDescription"]
        dynamodb.update_continuous_backups(
            TableName="T-1", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        export = dynamodb.export_table_to_point_in_time(TableArn=table["TableArn"], S3Bucket="none")
        assert export["ExportDescription"]["ExportStatus"] == "IN_PROGRESS"


def test_the_clock_only_moves_forward() -> None:
    clock = Sandbox().clock
    before = clock.tick()
    clock.advance(timedelta(days=1))
    assert clock.tick() - before >= 86_400_000_000
    with pytest.raises(ValueError, match="only moves forward"):
        clock.advance(timedelta(seconds=-1))


def test_the_next_sandbox_of_a_folder_knows_its_exports_and_no_others(tmp_path: Path) -> None:
    with Sandbox(tmp_path, latest_lag=timedelta(0), export_delay=timedelta(0)) as sandbox:
        account = Account(sandbox)
        made = account.export(account.table(("id", "S"))).description
    with Sandbox(tmp_path) as sandbox:
        arn = str(made["ExportArn"])
        assert sandbox.dynamodb().describe_export(ExportArn=arn)["ExportDescription"] == made
        with pytest.raises(ClientError, match="ExportNotFound"):
            sandbox.dynamodb().describe_export(ExportArn=f"{arn}0")
