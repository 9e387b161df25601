"""Restoring a table to a point in time, as AWS does."""

import time
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ddb_assets_tests.sandbox.account import Account


def restored(account: Account, source: str, target: str, **options: Any) -> list[dict[str, Any]]:
    """The items of the restored table, once it is ACTIVE."""
    account.dynamodb.restore_table_to_point_in_time(SourceTableName=source, TargetTableName=target, **options)
    for _ in range(200):
        if account.dynamodb.describe_table(TableName=target)["Table"]["TableStatus"] == "ACTIVE":
            return account.scan(target)
        time.sleep(0.01)
    raise TimeoutError(target)


def test_the_items_of_that_time_come_back_and_the_source_stays(account: Account) -> None:
    table = account.table(("id", "S"), ("n", "N"))
    for n in range(5):
        account.dynamodb.put_item(TableName=table, Item={"id": {"S": "a"}, "n": {"N": str(n)}, "v": {"S": "old"}})
    moment = account.mark()
    account.dynamodb.put_item(TableName=table, Item={"id": {"S": "a"}, "n": {"N": "0"}, "v": {"S": "new"}})
    account.dynamodb.put_item(TableName=table, Item={"id": {"S": "b"}, "n": {"N": "1"}})
    account.dynamodb.delete_item(TableName=table, Key={"id": {"S": "a"}, "n": {"N": "4"}})
    now = account.scan(table)
    items = restored(account, table, f"{table}-then", RestoreDateTime=moment)
    assert sorted(item["n"]["N"] for item in items) == ["0", "1", "2", "3", "4"]
    assert {item["v"]["S"] for item in items} == {"old"}
    assert account.scan(table) == now


def test_it_is_creating_first_and_then_a_separate_table(account: Account) -> None:
    table = account.table()
    account.dynamodb.put_item(TableName=table, Item={"id": {"S": "a"}})
    account.mark()
    answer = account.dynamodb.restore_table_to_point_in_time(
        SourceTableArn=account.arn(table), TargetTableName=f"{table}-copy", UseLatestRestorableTime=True
    )["TableDescription"]
    assert answer["TableStatus"] == "CREATING"
    summary = answer["RestoreSummary"]
    assert summary == {
        "SourceTableArn": account.arn(table),
        "RestoreDateTime": summary["RestoreDateTime"],
        "RestoreInProgress": True,
    }
    backups = account.dynamodb.describe_continuous_backups(TableName=f"{table}-copy")["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "DISABLED"
    account.dynamodb.put_item(TableName=f"{table}-copy", Item={"id": {"S": "b"}})
    assert {item["id"]["S"] for item in account.scan(f"{table}-copy")} == {"a", "b"}
    assert len(account.scan(table)) == 1


def test_indexes_are_restored_unless_overridden(account: Account) -> None:
    table = account.table()
    key = [{"AttributeName": "id", "KeyType": "HASH"}]
    definitions = [{"AttributeName": "id", "AttributeType": "S"}]
    index = {"IndexName": "again", "KeySchema": key, "Projection": {"ProjectionType": "ALL"}}
    account.dynamodb.update_table(
        TableName=table, AttributeDefinitions=definitions, GlobalSecondaryIndexUpdates=[{"Create": index}]
    )
    account.mark()
    without: dict[str, Any] = {"GlobalSecondaryIndexOverride": []}
    for target, options in (("with", {}), ("without", without)):
        restored(account, table, f"{table}-{target}", UseLatestRestorableTime=True, **options)
        found = account.dynamodb.describe_table(TableName=f"{table}-{target}")["Table"]
        assert [i["IndexName"] for i in found.get("GlobalSecondaryIndexes", [])] == ([] if options else ["again"])


def test_what_aws_refuses_is_refused(account: Account) -> None:
    table, unprotected = account.table(), account.table(recovery=False)
    moment = account.mark()
    refusals: dict[str, dict[str, Any]] = {
        "SourceTableNotFoundException": {"SourceTableName": "not-there", "RestoreDateTime": moment},
        "PointInTimeRecoveryUnavailableException": {"SourceTableName": unprotected, "RestoreDateTime": moment},
        "InvalidRestoreTimeException": {"SourceTableName": table, "RestoreDateTime": moment - timedelta(days=36)},
        "ValidationException": {"SourceTableName": table},
    }
    for code, options in refusals.items():
        with pytest.raises(ClientError) as refused:
            account.dynamodb.restore_table_to_point_in_time(TargetTableName=f"{table}-new", **options)
        assert refused.value.response["Error"]["Code"] == code
    with pytest.raises(ClientError, match="TableAlreadyExists"):
        account.dynamodb.restore_table_to_point_in_time(
            SourceTableName=table, TargetTableName=unprotected, RestoreDateTime=moment
        )
