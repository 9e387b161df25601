"""The bulk operations through boto3: states, AWS's error codes, idempotency, counts, what failed, lists, cancelling."""

import gzip
import json
import time
import uuid
from datetime import timedelta
from typing import Any

import pytest

from ddb_assets.sandbox import bulk_put
from ddb_assets.sandbox.server import _home
from ddb_assets.sandbox.tables import Restored
from ddb_assets_tests.sandbox.account import Account
from ddb_assets_tests.sandbox.test_export_api import refused

ENDED = {"COMPLETED", "COMPLETED_WITH_ERRORS", "CANCELLED", "FAILED"}
GZIP = {"InputFormat": "DYNAMODB_JSON", "InputCompressionType": "GZIP"}


def item(**values: Any) -> dict[str, Any]:
    return {"Item": values}


def staged(account: Account, *objects: list[Any], raw: bytes | None = None) -> dict[str, Any]:
    """The arguments of an operation whose input is these records."""
    prefix = f"in-{uuid.uuid4().hex[:8]}"
    for number, records in enumerate(objects):
        text = "".join(f"{json.dumps(record)}\n" for record in records).encode()
        account.s3.put_object(Bucket=account.bucket, Key=f"{prefix}/items/{number}.gz", Body=raw or gzip.compress(text))
    return {
        "InputS3Configuration": {"S3Bucket": account.bucket, "S3KeyPrefix": f"{prefix}/items/", **GZIP},
        "OutputS3Configuration": {"S3Bucket": account.bucket, "S3KeyPrefix": f"{prefix}/out", "OutputType": ["ERROR"]},
    }


def begun(account: Account, table: str, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = account.dynamodb.start_bulk_put_items(TableName=table, **arguments, **more)
    found: dict[str, Any] = answer["BulkOperationDescription"]
    return found


def ended(account: Account, arn: str) -> dict[str, Any]:
    for _ in range(400):
        answer = account.dynamodb.describe_bulk_operation(BulkOperationArn=arn)
        found: dict[str, Any] = answer["BulkOperationDescription"]
        if found["BulkOperationStatus"] in ENDED:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not end")


def put(account: Account, table: str, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
    return ended(account, begun(account, table, arguments, **more)["BulkOperationArn"])


def test_items_of_all_objects_are_put_and_replace_others(account: Account) -> None:
    table = account.table()
    account.dynamodb.put_item(TableName=table, Item={"id": {"S": "a"}, "old": {"N": "1"}})
    arguments = staged(account, [item(id={"S": "a"}, b={"B": "AQ=="})], [item(id={"S": "b"})])
    first = begun(account, table, arguments, ClientToken="mine", MaxWriteRequestUnits=5000)
    assert first["BulkOperationStatus"] == "IN_PROGRESS"
    assert "TotalInputBytes" not in first
    done = ended(account, first["BulkOperationArn"])
    assert done["BulkOperationStatus"] == "COMPLETED"
    assert (done["ProcessedItemCount"], done["FailedItemCount"]) == (2, 0)
    assert done["ProcessedInputBytes"] == done["TotalInputBytes"] > 0
    assert (done["ClientToken"], done["MaxWriteRequestUnits"], done["PerformanceTier"]) == ("mine", 5000, "STANDARD")
    assert done["TableDetails"][0]["TableName"] == account.arn(table)
    assert done["BulkOperationUsage"][0]["BulkPutBytes"] == 3 + 2 + 3  # "id" "a" "b" 0x01, "id" "b"
    assert done["EndTime"] >= done["StartTime"]
    found = account.dynamodb.scan(TableName=table)["Items"]
    assert sorted(found, key=lambda i: i["id"]["S"]) == [{"id": {"S": "a"}, "b": {"B": b"\x01"}}, {"id": {"S": "b"}}]


def test_what_fails_is_counted_and_reported(account: Account) -> None:
    table = account.table()
    records = [
        item(id={"S": "a"}),
        item(id={"N": "1"}),
        item(n={"N": "1"}),
        ["no"],
        item(id={"S": "b"}, x={"S": "x" * 409_600}),
    ]
    arguments = staged(account, records)
    done = put(account, table, arguments)
    assert done["BulkOperationStatus"] == "COMPLETED_WITH_ERRORS"
    assert (done["ProcessedItemCount"], done["FailedItemCount"]) == (5, 4)
    place = arguments["OutputS3Configuration"]
    (key,) = [
        o["Key"] for o in account.s3.list_objects_v2(Bucket=account.bucket, Prefix=place["S3KeyPrefix"])["Contents"]
    ]
    body = account.s3.get_object(Bucket=account.bucket, Key=key)["Body"].read()
    problems = [json.loads(line) for line in gzip.decompress(body).splitlines()]
    assert [problem["itemS3Pointer"]["itemIndex"] for problem in problems] == [1, 2, 3, 4]
    assert problems[0]["Item"] == {"id": {"N": "1"}}


def test_a_damaged_object_is_reported_and_the_others_are_put(account: Account) -> None:
    table = account.table()
    arguments = staged(account, [item(id={"S": "a"})])
    prefix = arguments["InputS3Configuration"]["S3KeyPrefix"]
    account.s3.put_object(Bucket=account.bucket, Key=f"{prefix}x.gz", Body=b"no gzip")
    assert put(account, table, arguments)["BulkOperationStatus"] == "COMPLETED_WITH_ERRORS"
    assert account.dynamodb.scan(TableName=table)["Count"] == 1


def test_the_token_gives_the_same_operation_for_eight_hours(account: Account) -> None:
    table, arguments = account.table(), staged(account, [item(id={"S": "a"})])
    first = begun(account, table, arguments, ClientToken="t1")["BulkOperationArn"]
    assert begun(account, table, arguments, ClientToken="t1")["BulkOperationArn"] == first
    start = account.dynamodb.start_bulk_put_items
    code, _ = refused(start, TableName=table, ClientToken="t1", MaxWriteRequestUnits=2000, **arguments)
    assert code == "IdempotentParameterMismatchException"
    ended(account, first)
    account.sandbox.clock.advance(timedelta(hours=7.9))
    assert begun(account, table, arguments, ClientToken="t1")["BulkOperationArn"] == first
    account.sandbox.clock.advance(timedelta(hours=0.2))
    assert begun(account, table, arguments, ClientToken="t1")["BulkOperationArn"] != first


def test_requests_that_aws_refuses(account: Account) -> None:
    table, arguments = account.table(), staged(account, [item(id={"S": "a"})])
    start = account.dynamodb.start_bulk_put_items
    assert refused(start, TableName="None-there", **arguments)[0] == "ResourceNotFoundException"
    assert (
        refused(
            start,
            TableName=table,
            MaxWriteRequestUnits=1024,
            **arguments | {"OutputS3Configuration": {"OutputType": ["ERROR"]}},
        )[0]
        == "ValidationException"
    )
    account.sandbox.replicate(table, "eu-west-1")
    code, message = refused(start, TableName=table, **arguments)
    assert (code, "global tables" in message) == ("ValidationException", True)
    account.sandbox.replicate(table)
    assert put(account, table, arguments)["BulkOperationStatus"] == "COMPLETED"
    unknown = f"{account.arn(table)}/bulk-operation/none"
    for call in (account.dynamodb.describe_bulk_operation, account.dynamodb.cancel_bulk_operation):
        assert refused(call, BulkOperationArn=unknown)[0] == "ResourceNotFoundException"


def test_a_table_that_is_restoring_is_in_use(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    table = account.table()
    arguments = staged(account, [item(id={"S": "a"})])
    with monkeypatch.context() as patch:
        patch.setattr(_home().sandbox_table(table), "restored", Restored(account.arn(table), 0, 1 << 62))
        start = account.dynamodb.start_bulk_put_items
        assert refused(start, TableName=table, **arguments)[0] == "ResourceInUseException"
    assert put(account, table, arguments)["BulkOperationStatus"] == "COMPLETED"


@pytest.mark.parametrize(("limit", "value"), [("MAX_OBJECTS", 1), ("MAX_OBJECT_BYTES", 10)])
def test_too_many_or_too_large_objects_fail(
    account: Account, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(bulk_put, limit, value)
    done = put(account, account.table(), staged(account, [item(id={"S": "a"})], [item(id={"S": "b"})]))
    assert done["BulkOperationStatus"] == "FAILED"
    assert "limit" in done["FailureMessage"]


def test_an_input_that_is_not_there_fails(account: Account) -> None:
    done = put(account, account.table(), staged(account))
    assert (done["BulkOperationStatus"], done["FailureCode"]) == ("FAILED", "InvalidInput")


def test_a_cancelled_operation_keeps_what_it_has_put(account: Account) -> None:
    table = account.table()
    large = {"S": "x" * 200_000}
    arguments = staged(account, [item(id={"S": str(n)}, x=large) for n in range(200)])
    arn = begun(account, table, arguments, MaxWriteRequestUnits=1024)["BulkOperationArn"]
    while not account.dynamodb.describe_bulk_operation(BulkOperationArn=arn)["BulkOperationDescription"][
        "ProcessedItemCount"
    ]:
        time.sleep(0.02)
    start = account.dynamodb.start_bulk_put_items
    assert refused(start, TableName=table, **arguments)[0] == "LimitExceededException"
    answer = account.dynamodb.cancel_bulk_operation(BulkOperationArn=arn)
    assert (answer["BulkOperationArn"], answer["BulkOperationStatus"]) == (arn, "CANCELLING")
    done = ended(account, arn)
    assert done["BulkOperationStatus"] == "CANCELLED"
    assert done["FailureCode"]
    kept = account.dynamodb.scan(TableName=table, Select="COUNT")["Count"]
    assert 0 < kept == done["ProcessedItemCount"] < 200


def test_the_list_has_pages_and_the_most_recent_first(account: Account) -> None:
    table, arguments = account.table(), staged(account, [item(id={"S": "a"})])
    arns = [put(account, table, arguments)["BulkOperationArn"] for _ in range(3)]
    found: list[str] = []
    request: dict[str, Any] = {"MaxResults": 2}
    while len(found) < 3:
        page = account.dynamodb.list_bulk_operations(**request)
        assert {"BulkOperationArn", "BulkOperationStatus", "StartTime", "EndTime"} <= page["BulkOperationsSummaryList"][
            0
        ].keys()
        found += [one["BulkOperationArn"] for one in page["BulkOperationsSummaryList"]]
        request["NextToken"] = page["NextToken"] if len(found) < 3 else ""
    assert found[:3] == arns[::-1]
