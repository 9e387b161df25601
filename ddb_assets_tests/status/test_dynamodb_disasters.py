"""What happens to the table in DynamoDB: recovery switched off, and on again; deleted, and created again; out of reach.

The tests wreck one sandbox, one after another.
"""

import pytest

from ddb_assets_tests.cli.test_commands import call
from ddb_assets_tests.recovery.test_recovering import ONE
from ddb_assets_tests.status.standing import Standing
from ddb_assets_tests.support.window_chain import hours_ago

LOAD = "dg launch --assets "


def switch(standing: Standing, *, on: bool) -> None:
    standing.chain.sandbox.dynamodb().update_continuous_backups(
        TableName="Orders", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": on}
    )


def test_recovery_that_is_off_and_on_again(standing: Standing) -> None:
    switch(standing, on=False)
    (found,) = standing.found().values()
    assert found.code == "recovery_off"
    assert found.command.startswith(
        "aws dynamodb update-continuous-backups --table-name Orders --point-in-time-recovery-specification "
        "PointInTimeRecoveryEnabled=true && dg launch --assets "
    )
    switch(standing, on=True)
    (found,) = standing.found().values()
    assert found.code == "history_gone"
    assert found.command.startswith(LOAD)
    said = call("recover", *ONE, "--apply", code=1).output
    assert "are left nowhere, and DynamoDB can export them since" in said.replace("\n", " ")
    assert LOAD in said
    standing.chain.sandbox.enable_recovery("Orders", hours_ago(20).start)
    assert standing.found() == {}


def test_out_of_reach_is_not_lost(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddb_assets.aws.retries.ATTEMPTS", 2)  # else each question takes most of a minute
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
        assert set(standing.found()) == {"dynamodb_unreachable"}
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
        assert set(standing.found()) == {"lake_unreachable"}
    assert set(standing.found(address="redshift://u@127.0.0.1:9/d?sslmode=disable&password=p")) == {
        "warehouse_unreachable"
    }


def test_a_table_that_is_deleted_and_created_again(standing: Standing) -> None:
    client = standing.chain.sandbox.dynamodb()
    client.delete_table(TableName="Orders")
    (found,) = standing.found().values()
    assert found.code == "table_deleted"
    client.create_table(
        TableName="Orders",
        AttributeDefinitions=[{"AttributeName": "orderId", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "orderId", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    standing.chain.sandbox.enable_recovery("Orders", hours_ago(3).start)
    (found,) = standing.found().values()
    assert found.code == "table_recreated"
    assert found.command.startswith(LOAD)
