"""Backups of tables, as AWS makes them: by itself when a table is deleted, and when it is asked for."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.sandbox.account import Account, Item

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Backups and restores take an hour of its clock, which the tests move."""
    with Sandbox(export_delay=HOUR) as running:
        yield running


def put(account: Account, table: str, *names: str) -> None:
    for name in names:
        account.dynamodb.put_item(TableName=table, Item={"id": {"S": name}})


def deleted(account: Account, table: str) -> dict[str, Any]:
    """Deletes the table, and returns the backup that appears an hour later."""
    before = backups(account, table)
    account.dynamodb.delete_table(TableName=table)
    assert backups(account, table) == before
    account.sandbox.clock.advance(HOUR)
    *others, found = backups(account, table)
    assert others == before
    return found


def backups(account: Account, table: str, kind: str = "SYSTEM") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = account.dynamodb.list_backups(TableName=table, BackupType=kind)["BackupSummaries"]
    return found


def restored(account: Account, arn: str, target: str, **options: Any) -> list[Item]:
    """The items of the restored table, once it is ACTIVE."""
    account.dynamodb.restore_table_from_backup(BackupArn=arn, TargetTableName=target, **options)
    assert account.dynamodb.describe_table(TableName=target)["Table"]["TableStatus"] == "CREATING"
    account.sandbox.clock.advance(HOUR)
    assert account.dynamodb.describe_table(TableName=target)["Table"]["TableStatus"] == "ACTIVE"
    return account.scan(target)


def refusal(call: Any, **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**request)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_deleted_table_comes_back_from_the_backup_that_aws_makes(account: Account) -> None:
    table = account.table()
    put(account, table, "a", "b")
    account.dynamodb.delete_item(TableName=table, Key={"id": {"S": "b"}})
    described = account.dynamodb.describe_table(TableName=table)["Table"]
    backup = deleted(account, table)
    assert (backup["BackupName"], backup["BackupType"]) == (f"{table}$DeletedTableBackup", "SYSTEM")
    assert backup["BackupExpiryDateTime"] - backup["BackupCreationDateTime"] == timedelta(days=35)
    assert (backup["TableId"], backup["TableArn"]) == (described["TableId"], described["TableArn"])
    assert backup["BackupArn"].endswith("-00000000")
    found = account.dynamodb.describe_backup(BackupArn=backup["BackupArn"])["BackupDescription"]
    assert found["SourceTableDetails"]["TableCreationDateTime"] == described["CreationDateTime"]
    assert found["SourceTableDetails"]["KeySchema"] == described["KeySchema"]
    assert found["SourceTableFeatureDetails"] == {}
    assert restored(account, backup["BackupArn"], table) == [{"id": {"S": "a"}}]
    again = account.dynamodb.describe_table(TableName=table)["Table"]
    assert again["TableId"] != described["TableId"]
    assert "RestoreSummary" not in again
    recovery = account.dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    assert recovery["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "DISABLED"


def test_it_appears_a_moment_after_the_deletion_and_is_hidden_unless_asked_for(account: Account) -> None:
    table = account.table()
    deleted(account, table)
    assert [len(backups(account, table, kind)) for kind in ("SYSTEM", "ALL", "USER", "AWS_BACKUP")] == [1, 1, 0, 0]
    assert account.dynamodb.list_backups(TableName=table)["BackupSummaries"] == []


def test_a_table_without_recovery_leaves_none(account: Account) -> None:
    table = account.table(recovery=False)
    account.dynamodb.delete_table(TableName=table)
    account.sandbox.clock.advance(HOUR)
    assert backups(account, table, "ALL") == []


def test_each_deletion_of_a_name_has_its_own_backup(account: Account) -> None:
    table = account.table()
    put(account, table, "first")
    first = deleted(account, table)
    account.dynamodb.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    account.sandbox.enable_recovery(table, account.now())
    put(account, table, "second")
    second = deleted(account, table)
    assert first["TableArn"] == second["TableArn"]
    assert first["TableId"] != second["TableId"]
    assert restored(account, first["BackupArn"], f"{table}-1") == [{"id": {"S": "first"}}]
    assert restored(account, second["BackupArn"], f"{table}-2") == [{"id": {"S": "second"}}]
    page = account.dynamodb.list_backups(TableName=table, BackupType="SYSTEM", Limit=1)
    assert page["LastEvaluatedBackupArn"] == first["BackupArn"]
    rest = account.dynamodb.list_backups(
        TableName=first["TableArn"], BackupType="SYSTEM", ExclusiveStartBackupArn=page["LastEvaluatedBackupArn"]
    )
    assert [backup["BackupArn"] for backup in rest["BackupSummaries"]] == [second["BackupArn"]]
    assert "LastEvaluatedBackupArn" not in rest
    between = {"TimeRangeLowerBound": second["BackupCreationDateTime"]}
    assert len(account.dynamodb.list_backups(TableName=table, BackupType="ALL", **between)["BackupSummaries"]) == 1


def test_what_aws_refuses_is_refused(account: Account) -> None:
    table, dynamodb = account.table(), account.dynamodb
    arn = deleted(account, table)["BackupArn"]
    assert refusal(dynamodb.delete_backup, BackupArn=arn)[0] == "ValidationException"
    assert refusal(dynamodb.describe_backup, BackupArn=arn[:-1] + "1")[0] == "BackupNotFoundException"
    assert refusal(dynamodb.describe_backup, BackupArn=arn.partition("/backup")[0])[0] == "ValidationException"
    assert refusal(dynamodb.create_backup, TableName=table, BackupName="b-1")[0] == "TableNotFoundException"
    dynamodb.restore_table_from_backup(BackupArn=arn, TargetTableName=table)
    assert refusal(dynamodb.restore_table_from_backup, BackupArn=arn, TargetTableName=f"{table}-2")[0] == (
        "BackupInUseException"
    )
    assert refusal(dynamodb.delete_table, TableName=table)[0] == "ResourceInUseException"
    account.sandbox.clock.advance(HOUR)
    assert refusal(dynamodb.restore_table_from_backup, BackupArn=arn, TargetTableName=table)[0] == (
        "TableAlreadyExistsException"
    )


def test_a_backup_that_is_asked_for_keeps_what_was_there_and_how_it_was_indexed(account: Account) -> None:
    table, dynamodb = account.table(), account.dynamodb
    key = [{"AttributeName": "id", "KeyType": "HASH"}]
    index = {"IndexName": "again", "KeySchema": key, "Projection": {"ProjectionType": "ALL"}}
    definitions = [{"AttributeName": "id", "AttributeType": "S"}]
    dynamodb.update_table(
        TableName=table, AttributeDefinitions=definitions, GlobalSecondaryIndexUpdates=[{"Create": index}]
    )
    dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"})
    put(account, table, "a")
    made = dynamodb.create_backup(TableName=table, BackupName="before")["BackupDetails"]
    assert (made["BackupStatus"], made["BackupType"]) == ("CREATING", "USER")
    put(account, table, "b")
    dynamodb.update_table(TableName=table, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "again"}}])
    features = dynamodb.describe_backup(BackupArn=made["BackupArn"])["BackupDescription"]["SourceTableFeatureDetails"]
    assert [found["IndexName"] for found in features["GlobalSecondaryIndexes"]] == ["again"]
    assert features["TimeToLiveDescription"] == {"TimeToLiveStatus": "ENABLED", "AttributeName": "until"}
    assert restored(account, made["BackupArn"], f"{table}-1") == [{"id": {"S": "a"}}]
    indexes = dynamodb.describe_table(TableName=f"{table}-1")["Table"]["GlobalSecondaryIndexes"]
    assert [found["IndexName"] for found in indexes] == ["again"]
    assert dynamodb.describe_time_to_live(TableName=f"{table}-1")["TimeToLiveDescription"]["TimeToLiveStatus"] == (
        "DISABLED"
    )
    without: dict[str, Any] = {"GlobalSecondaryIndexOverride": [], "LocalSecondaryIndexOverride": []}
    restored(account, made["BackupArn"], f"{table}-2", **without)
    assert not dynamodb.describe_table(TableName=f"{table}-2")["Table"].get("GlobalSecondaryIndexes")
    assert dynamodb.delete_backup(BackupArn=made["BackupArn"])["BackupDescription"]["BackupDetails"][
        "BackupStatus"
    ] == ("DELETED")
    assert backups(account, table, "ALL") == []


def test_it_is_gone_after_35_days(account: Account) -> None:
    table = account.table()
    arn = deleted(account, table)["BackupArn"]
    account.sandbox.clock.advance(timedelta(days=34, hours=22))
    assert len(backups(account, table)) == 1
    account.sandbox.clock.advance(timedelta(hours=1))
    assert backups(account, table) == []
    assert refusal(account.dynamodb.describe_backup, BackupArn=arn)[0] == "BackupNotFoundException"
