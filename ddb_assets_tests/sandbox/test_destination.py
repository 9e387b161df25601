"""Changes of tables in a Kinesis stream: the records, which writes have one, and the states of a destination."""

import base64
import json
import re
from datetime import timedelta
from typing import Any

import pytest

from ddb_assets.dynamodb.item import attribute_sizes
from ddb_assets.sandbox.server import Sandbox, Write
from ddb_assets.streams.record import read_record
from ddb_assets_tests.sandbox.account import Account
from ddb_assets_tests.sandbox.streaming import Stream, refused
from ddb_assets_tests.sandbox.test_tables import ALL_TYPES

MICROS = {"ApproximateCreationDateTimePrecision": "MICROSECOND"}
MILLIS = {"ApproximateCreationDateTimePrecision": "MILLISECOND"}


@pytest.fixture
def stream(sandbox: Sandbox) -> Stream:
    return Stream.created(sandbox.kinesis(), lambda seconds: sandbox.clock.advance(timedelta(seconds=seconds)))


def statuses(account: Account, table: str) -> list[str]:
    found = account.dynamodb.describe_kinesis_streaming_destination(TableName=table)["KinesisDataStreamDestinations"]
    return [one["DestinationStatus"] for one in found]


def enable(account: Account, stream: Stream, table: str, settings: dict[str, str] = MICROS) -> None:
    """Sends the changes of a table to the stream, and waits until it does so."""
    account.dynamodb.enable_kinesis_streaming_destination(
        TableName=table, StreamArn=stream.arn, EnableKinesisStreamingConfiguration=settings
    )
    settle(account, stream, table)


def settle(account: Account, stream: Stream, table: str) -> None:
    while any(status.endswith("ING") for status in statuses(account, table)):
        stream.wait(1)


def streamed(account: Account, stream: Stream, settings: dict[str, str] = MICROS) -> str:
    """A new table whose changes go to the stream."""
    table = account.table()
    enable(account, stream, table, settings)
    return table


def put(account: Account, table: str, key: str, **attributes: Any) -> None:
    account.dynamodb.put_item(TableName=table, Item={"id": {"S": key}, **attributes})


def records(stream: Stream) -> list[dict[str, Any]]:
    """What tables have written to the stream, in its order."""
    return [json.loads(record["Data"]) for record in stream.read(stream.iterator())[0]]


def events(stream: Stream) -> list[tuple[str, str]]:
    return [(record["eventName"], record["dynamodb"]["Keys"]["id"]["S"]) for record in records(stream)]


def test_records_have_the_form_of_awss(account: Account, stream: Stream) -> None:
    table = streamed(account, stream)
    before = account.sandbox.clock.micros()
    put(account, table, "a", v={"N": "1"})
    put(account, table, "a", v={"N": "2.50"})
    account.dynamodb.delete_item(TableName=table, Key={"id": {"S": "a"}})
    insert, modify, remove = records(stream)
    key, first, second = {"id": {"S": "a"}}, {"v": {"N": "1"}}, {"v": {"N": "2.5"}}
    for record in (insert, modify, remove):
        stamp = record["dynamodb"].pop("ApproximateCreationDateTime")
        assert before <= stamp <= account.sandbox.clock.micros()
        assert re.fullmatch(
            "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", record.pop("eventID")
        )
    common = {
        "awsRegion": "us-east-1",
        "userIdentity": None,
        "recordFormat": "application/json",
        "tableName": table,
        "eventSource": "aws:dynamodb",
    }
    assert insert == {
        **common,
        "eventName": "INSERT",
        "dynamodb": {"Keys": key, "NewImage": key | first, "SizeBytes": 3 + 6, **MICROS},
    }
    assert modify == {
        **common,
        "eventName": "MODIFY",
        "dynamodb": {"Keys": key, "NewImage": key | second, "OldImage": key | first, "SizeBytes": 3 + 6 + 6, **MICROS},
    }
    assert remove == {
        **common,
        "eventName": "REMOVE",
        "dynamodb": {"Keys": key, "OldImage": key | second, "SizeBytes": 3 + 6, **MICROS},
    }


def test_sizes_are_those_of_keys_and_both_images(account: Account, stream: Stream) -> None:
    table = streamed(account, stream)
    put(account, table, "a", v={"S": "xyz"})
    put(account, table, "a", v={"S": "é"})
    sizes = [record["dynamodb"]["SizeBytes"] for record in records(stream)]
    key, first, second = (
        sum(attribute_sizes(item).values()) for item in ({"id": {"S": "a"}}, {"v": {"S": "xyz"}}, {"v": {"S": "é"}})
    )
    assert sizes == [key + key + first, key + key + first + key + second]


def test_binary_is_encoded_twice_at_any_depth(account: Account, stream: Stream) -> None:
    table = account.table(("id", "B"))
    enable(account, stream, table)
    item = {
        "id": {"B": b"\x00k"},
        "bs": {"BS": [b"a", b"\xff"]},
        "deep": {"L": [{"M": {"B": {"B": b"x"}}}]},
        "plain": {"S": "QQ=="},
    }
    account.dynamodb.put_item(TableName=table, Item=item)
    [record] = records(stream)

    def twice(data: bytes) -> str:
        return base64.b64encode(base64.b64encode(data)).decode()

    assert record["dynamodb"]["Keys"] == {"id": {"B": twice(b"\x00k")}}
    assert record["dynamodb"]["NewImage"] == {
        "id": {"B": twice(b"\x00k")},
        "bs": {"BS": [twice(b"a"), twice(b"\xff")]},
        "deep": {"L": [{"M": {"B": {"B": twice(b"x")}}}]},
        "plain": {"S": "QQ=="},
    }


def test_a_record_is_the_line_of_an_export(account: Account, stream: Stream) -> None:
    table = streamed(account, stream)
    start = account.mark()
    account.dynamodb.put_item(TableName=table, Item=ALL_TYPES)
    end = account.mark()
    account.sandbox.clock.advance(timedelta(minutes=15))
    [exported] = account.window(table, start, end).records
    [record], _ = stream.read(stream.iterator())
    assert json.loads(read_record(record["Data"]).line()) == exported


def test_milliseconds_have_13_digits_and_no_precision(account: Account, stream: Stream) -> None:
    table = streamed(account, stream, {})
    put(account, table, "a")
    [record] = records(stream)
    assert len(str(record["dynamodb"]["ApproximateCreationDateTime"])) == 13
    assert "ApproximateCreationDateTimePrecision" not in record["dynamodb"]


def test_a_write_that_changes_nothing_has_no_record(account: Account, stream: Stream) -> None:
    table = streamed(account, stream)
    for _ in range(2):
        put(account, table, "a", v={"N": "1"})
    account.dynamodb.delete_item(TableName=table, Key={"id": {"S": "absent"}})
    assert events(stream) == [("INSERT", "a")]


def test_a_refused_write_has_no_record(account: Account, stream: Stream) -> None:
    table = streamed(account, stream)
    put(account, table, "a")
    puts = [{"Put": {"TableName": table, "Item": {"id": {"S": "b"}}}}]
    check = {"ConditionCheck": {"TableName": table, "Key": {"id": {"S": "a"}}}}
    check["ConditionCheck"]["ConditionExpression"] = "attribute_not_exists(id)"
    with refused("TransactionCanceledException"):
        account.dynamodb.transact_write_items(TransactItems=[*puts, check])
    assert events(stream) == [("INSERT", "a")]


def test_every_kind_of_write_has_its_record(account: Account, stream: Stream) -> None:
    table = streamed(account, stream)
    account.dynamodb.update_item(
        TableName=table,
        Key={"id": {"S": "updated"}},
        UpdateExpression="SET v = :v",
        ExpressionAttributeValues={":v": {"N": "1"}},
    )
    batch = [{"PutRequest": {"Item": {"id": {"S": key}}}} for key in ("batch 1", "batch 2")]
    account.dynamodb.batch_write_item(RequestItems={table: batch})
    puts = [{"Put": {"TableName": table, "Item": {"id": {"S": f"transaction {n}"}}}} for n in (1, 2)]
    account.dynamodb.transact_write_items(TransactItems=puts)
    account.dynamodb.execute_statement(Statement=f"INSERT INTO \"{table}\" value {{'id': 'partiql'}}")
    account.dynamodb.delete_item(TableName=table, Key={"id": {"S": "updated"}})
    inserted = ["updated", "batch 1", "batch 2", "transaction 1", "transaction 2", "partiql"]
    assert events(stream) == [*(("INSERT", key) for key in inserted), ("REMOVE", "updated")]
    stamps = [record["dynamodb"]["ApproximateCreationDateTime"] for record in records(stream)]
    assert stamps[3] == stamps[4]


def test_a_history_and_a_restored_table_have_no_records(account: Account, stream: Stream) -> None:
    table = streamed(account, stream)
    account.sandbox.seed(table, [Write(account.now() - timedelta(days=1), {"id": {"S": "a"}})])
    moment = account.mark()
    account.sandbox.clock.advance(timedelta(minutes=10))
    account.dynamodb.restore_table_to_point_in_time(
        SourceTableName=table, TargetTableName=f"{table}-restored", RestoreDateTime=moment
    )
    put(account, f"{table}-restored", "b")
    assert events(stream) == []


def test_the_partition_key_is_that_of_the_item(account: Account, stream: Stream) -> None:
    table = streamed(account, stream)
    for key, value in (("a", "1"), ("b", "1"), ("a", "2")):
        put(account, table, key, v={"N": value})
    a, b, again = [record["PartitionKey"] for record in stream.read(stream.iterator())[0]]
    assert a == again != b
    assert re.fullmatch("[0-9A-F]{32}", a)


def test_many_tables_write_to_one_stream(account: Account, stream: Stream) -> None:
    tables = [streamed(account, stream) for _ in range(2)]
    for table in tables:
        put(account, table, "a")
    assert [record["tableName"] for record in records(stream)] == tables


def test_a_delete_by_time_to_live_names_the_service(account: Account, stream: Stream) -> None:
    table = streamed(account, stream)
    account.dynamodb.update_time_to_live(
        TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"}
    )
    now = account.sandbox.clock.micros() // 1_000_000
    for key, until in (("gone", now - 60), ("stays", now + 600), ("ancient", now - 6 * 365 * 86_400)):
        put(account, table, key, until={"N": str(until)})
    put(account, table, "text", until={"S": str(now - 60)})
    assert account.sandbox.expire_items(table) == 1
    *inserts, remove = records(stream)
    assert {record["userIdentity"] for record in inserts} == {None}
    assert (remove["eventName"], remove["dynamodb"]["Keys"]) == ("REMOVE", {"id": {"S": "gone"}})
    assert remove["userIdentity"] == {"principalId": "dynamodb.amazonaws.com", "type": "Service"}


def test_a_record_of_more_than_1_mib_is_skipped(account: Account, stream: Stream) -> None:
    table = streamed(account, stream)
    flags = {"L": [{"BOOL": True}] * 60_000}  # 60 KB in the table, 840 KB in JSON
    put(account, table, "a", flags=flags)
    put(account, table, "a", flags=flags, v={"N": "1"})
    put(account, table, "b")
    assert events(stream) == [("INSERT", "a"), ("INSERT", "b")]
    assert account.sandbox.skipped_records(stream.arn) == 1


def test_a_destination_is_enabled_after_a_moment(account: Account, stream: Stream) -> None:
    table = account.table()
    assert statuses(account, table) == []
    answer = account.dynamodb.enable_kinesis_streaming_destination(TableName=table, StreamArn=stream.arn)
    assert (answer["TableName"], answer["DestinationStatus"]) == (table, "ENABLING")
    settle(account, stream, table)
    found = account.dynamodb.describe_kinesis_streaming_destination(TableName=account.arn(table))
    assert found["KinesisDataStreamDestinations"] == [{"StreamArn": stream.arn, "DestinationStatus": "ACTIVE"}]
    assert found["TableName"] == table


def test_a_table_has_one_destination(sandbox: Sandbox, account: Account, stream: Stream) -> None:
    table = streamed(account, stream)
    other = Stream.created(sandbox.kinesis(), stream.wait)
    for arn in (stream.arn, other.arn):
        with refused("ValidationException"):
            account.dynamodb.enable_kinesis_streaming_destination(TableName=table, StreamArn=arn)


@pytest.mark.parametrize(
    ("arn", "why"),
    [
        ("arn:aws:kinesis:us-east-1:123456789012:stream/none", "does not have a permission"),
        ("arn:aws:kinesis:eu-west-1:123456789012:stream/none", "not in the current region"),
        ("arn:aws:kinesis:us-east-1:111122223333:stream/none", "not in Active state"),
    ],
)
def test_a_wrong_stream_fails_later(account: Account, stream: Stream, arn: str, why: str) -> None:
    table = account.table()
    account.dynamodb.enable_kinesis_streaming_destination(TableName=table, StreamArn=arn)
    settle(account, stream, table)
    [failed] = account.dynamodb.describe_kinesis_streaming_destination(TableName=table)["KinesisDataStreamDestinations"]
    assert failed["DestinationStatus"] == "ENABLE_FAILED"
    assert why in failed["DestinationStatusDescription"]
    enable(account, stream, table)
    assert statuses(account, table) == ["ENABLE_FAILED", "ACTIVE"]


def test_a_disabled_destination_gets_nothing_until_it_is_enabled_again(account: Account, stream: Stream) -> None:
    table, to = account.table(), {"StreamArn": stream.arn}
    put(account, table, "before")
    enable(account, stream, table)
    put(account, table, "while enabled")
    account.dynamodb.disable_kinesis_streaming_destination(TableName=table, **to)
    put(account, table, "while disabled")
    settle(account, stream, table)
    assert statuses(account, table) == ["DISABLED"]
    with refused("ValidationException"):
        account.dynamodb.disable_kinesis_streaming_destination(TableName=table, **to)
    enable(account, stream, table, {})
    assert statuses(account, table) == ["ACTIVE"]
    put(account, table, "while enabled again")
    assert [key for _, key in events(stream)] == ["while enabled", "while enabled again"]
    assert len(str(records(stream)[1]["dynamodb"]["ApproximateCreationDateTime"])) == 13


def test_the_precision_changes_three_times_a_day(account: Account, stream: Stream) -> None:
    table, to = streamed(account, stream, {}), {"StreamArn": stream.arn}
    update = account.dynamodb.update_kinesis_streaming_destination
    with refused("ValidationException"):  # absent means milliseconds
        update(TableName=table, **to, UpdateKinesisStreamingConfiguration=MILLIS)
    with refused("ValidationException"):
        update(TableName=table, **to)
    for number, settings in enumerate((MICROS, MILLIS, MICROS)):
        put(account, table, f"before {number}")
        update(TableName=table, **to, UpdateKinesisStreamingConfiguration=settings)
        settle(account, stream, table)
    put(account, table, "last")
    digits = [len(str(record["dynamodb"]["ApproximateCreationDateTime"])) for record in records(stream)]
    assert digits == [13, 16, 13, 16]
    with refused("LimitExceededException"):
        update(TableName=table, **to, UpdateKinesisStreamingConfiguration=MILLIS)
    account.sandbox.clock.advance(timedelta(days=1))
    update(TableName=table, **to, UpdateKinesisStreamingConfiguration=MILLIS)


def test_an_absent_table_has_no_destinations(account: Account, stream: Stream) -> None:
    with refused("ResourceNotFoundException"):
        account.dynamodb.describe_kinesis_streaming_destination(TableName="absent")
    with refused("ResourceNotFoundException"):
        account.dynamodb.enable_kinesis_streaming_destination(TableName="absent", StreamArn=stream.arn)


def test_a_deleted_stream_leaves_its_destination_active_and_writes_go_on(account: Account, stream: Stream) -> None:
    table = streamed(account, stream)
    stream.client.delete_stream(StreamName=stream.name)
    stream.wait(60)
    put(account, table, "a")
    assert statuses(account, table) == ["ACTIVE"]
