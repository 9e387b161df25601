"""Tables on the change log, through the API: moto's answers must not depend on where the items are stored."""

import random
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from ddb_assets_tests.sandbox.account import Account

ALL_TYPES: dict[str, Any] = {
    "id": {"S": "a"},
    "s": {"S": 'é\n"\\\u0000😀'},
    "blank": {"S": ""},
    "n": {"N": "-12345678901234567890123456789.123456789"},
    "b": {"B": b"\x00\xff"},
    "t": {"BOOL": False},
    "null": {"NULL": True},
    "ss": {"SS": ["a", "b"]},
    "ns": {"NS": ["1", "2.5"]},
    "bs": {"BS": [b"a", b"\x00"]},
    "l": {"L": [{"B": b"x"}, {"L": []}, {"M": {}}, {"NULL": True}]},
    "m": {"M": {"deep": {"M": {"bs": {"BS": [b"y"]}, "S": {"S": "M"}}}}},
}


def test_every_type_survives_write_read_update_and_scan(account: Account) -> None:
    table = account.table()
    key = {"id": {"S": "a"}}
    account.dynamodb.put_item(TableName=table, Item=ALL_TYPES)
    assert account.dynamodb.get_item(TableName=table, Key=key)["Item"] == ALL_TYPES
    answer = account.dynamodb.update_item(
        TableName=table,
        Key=key,
        UpdateExpression="SET m.deep.added = :b, l[1] = :n REMOVE blank ADD ns :ns DELETE ss :ss",
        ExpressionAttributeValues={":b": {"B": b"z"}, ":n": {"N": "1.0"}, ":ns": {"NS": ["3"]}, ":ss": {"SS": ["a"]}},
        ReturnValues="ALL_NEW",
    )["Attributes"]
    expected = {name: value for name, value in ALL_TYPES.items() if name != "blank"} | {
        "l": {"L": [{"B": b"x"}, {"N": "1"}, {"M": {}}, {"NULL": True}]},
        "m": {"M": {"deep": {"M": {"bs": {"BS": [b"y"]}, "S": {"S": "M"}, "added": {"B": b"z"}}}}},
        "ns": {"NS": ["1", "2.5", "3"]},
        "ss": {"SS": ["b"]},
    }
    [scanned] = account.scan(table)
    for found in (answer, scanned):
        found["ns"]["NS"].sort()
        assert found == expected


def test_scans_come_in_pages_and_segments(account: Account) -> None:
    table = account.table(("id", "S"), ("n", "N"))
    items = [{"id": {"S": f"p{n % 40}"}, "n": {"N": str(n)}, "pad": {"S": "x" * 12_000}} for n in range(200)]
    for start in range(0, 200, 25):
        batch = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        account.dynamodb.batch_write_item(RequestItems={table: batch})

    def numbers(found: list[dict[str, Any]]) -> list[int]:
        return sorted(int(item["n"]["N"]) for item in found)

    first = account.dynamodb.scan(TableName=table)
    assert 70 < first["Count"] < 90  # a page ends before 1 MB
    assert numbers(account.scan(table)) == list(range(200))
    assert numbers(account.scan(table, Limit=30)) == list(range(200))
    segments = [account.scan(table, Segment=segment, TotalSegments=3) for segment in range(3)]
    assert all(segments)
    assert numbers([item for segment in segments for item in segment]) == list(range(200))
    partitions = [{item["id"]["S"] for item in segment} for segment in segments]
    assert sum(map(len, partitions)) == 40  # a partition key is in one segment
    filtered = account.dynamodb.scan(
        TableName=table,
        Limit=50,
        FilterExpression="n < :n",
        ExpressionAttributeValues={":n": {"N": "20"}},
        ProjectionExpression="n",
    )
    assert filtered["ScannedCount"] == 50  # the limit counts items before the filter
    assert filtered["Count"] < 20
    assert all(list(item) == ["n"] for item in filtered["Items"])


def test_a_scan_continues_after_keys_of_every_type(account: Account) -> None:
    for kind, values in (("S", ["a", "é", "c"]), ("N", ["1", "2.5", "-3"]), ("B", [b"28", b"\xff", b"abc"])):
        table = account.table(("id", kind), ("sort", kind))
        for value in values:
            for sort in values:
                account.dynamodb.put_item(TableName=table, Item={"id": {kind: value}, "sort": {kind: sort}})
        assert len({str(item) for item in account.scan(table, PaginationConfig={"PageSize": 1})}) == 9


def test_a_projection_shows_attributes_as_they_are(account: Account) -> None:
    table = account.table()
    big = {"N": "1" + "0" * 100}
    account.dynamodb.put_item(TableName=table, Item={"id": {"S": "a"}, "big": big, "m": {"M": {"x": {"S": "y"}}}})
    names = {"#b": "big"}
    shown: dict[str, Any] = {"ProjectionExpression": "id, #b, absent", "ExpressionAttributeNames": names}
    assert account.scan(table, **shown) == [{"id": {"S": "a"}, "big": big}]
    keys = {"Keys": [{"id": {"S": "a"}}], **shown}
    assert account.dynamodb.batch_get_item(RequestItems={table: keys})["Responses"][table] == [
        {"id": {"S": "a"}, "big": big}
    ]


def test_a_query_reads_its_partition_in_key_order(account: Account) -> None:
    table = account.table(("id", "S"), ("n", "N"))
    shuffled = random.Random(5).sample(range(-20, 20), 40)
    for start in (0, 20):
        batch = [{"PutRequest": {"Item": {"id": {"S": "a"}, "n": {"N": str(n)}}}} for n in shuffled[start : start + 20]]
        account.dynamodb.batch_write_item(RequestItems={table: batch})
    account.dynamodb.put_item(TableName=table, Item={"id": {"S": "b"}, "n": {"N": "1"}})
    query = {
        "TableName": table,
        "KeyConditionExpression": "id = :i AND n BETWEEN :low AND :high",
        "ExpressionAttributeValues": {":i": {"S": "a"}, ":low": {"N": "-5"}, ":high": {"N": "5.0"}},
    }
    pages = account.dynamodb.get_paginator("query").paginate(**query, PaginationConfig={"PageSize": 4})
    assert [int(item["n"]["N"]) for page in pages for item in page["Items"]] == list(range(-5, 6))
    backwards = account.dynamodb.query(**query, ScanIndexForward=False, Limit=3)["Items"]
    assert [item["n"]["N"] for item in backwards] == ["5", "4", "3"]


def test_secondary_indexes_answer(account: Account) -> None:
    table = account.table()
    for number in range(5):
        item = {"id": {"S": str(number)}} | ({"group": {"S": "odd"}} if number % 2 else {})
        account.dynamodb.put_item(TableName=table, Item=item)
    account.dynamodb.update_table(
        TableName=table,
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "group", "AttributeType": "S"},
        ],
        GlobalSecondaryIndexUpdates=[
            {
                "Create": {
                    "IndexName": "by-group",
                    "KeySchema": [{"AttributeName": "group", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
            }
        ],
    )
    found = account.dynamodb.query(
        TableName=table,
        IndexName="by-group",
        KeyConditionExpression="#g = :g",
        ExpressionAttributeNames={"#g": "group"},
        ExpressionAttributeValues={":g": {"S": "odd"}},
    )["Items"]
    assert {item["id"]["S"] for item in found} == {"1", "3"}
    assert {item["id"]["S"] for item in account.scan(table, IndexName="by-group")} == {"1", "3"}


def test_numbers_are_the_same_key_however_they_are_written(account: Account) -> None:
    table = account.table(("id", "N"))
    account.dynamodb.put_item(TableName=table, Item={"id": {"N": "1.0"}})
    account.dynamodb.put_item(TableName=table, Item={"id": {"N": "1"}, "v": {"N": "1E+3"}})
    assert account.scan(table) == [{"id": {"N": "1"}, "v": {"N": "1000"}}]


def test_what_dynamodb_refuses_is_refused(account: Account) -> None:
    with pytest.raises(ClientError, match="38 significant digits") as error:
        account.dynamodb.put_item(TableName=account.table(), Item={"id": {"S": "a"}, "n": {"N": "1" * 39}})
    assert error.value.response["Error"]["Code"] == "ValidationException"


def test_the_table_counts_its_items_and_bytes(account: Account) -> None:
    table = account.table()
    for number in range(3):
        account.dynamodb.put_item(TableName=table, Item={"id": {"S": str(number)}, "v": {"S": "1234"}})
    account.dynamodb.put_item(TableName=table, Item={"id": {"S": "0"}})
    account.dynamodb.delete_item(TableName=table, Key={"id": {"S": "1"}})
    described = account.dynamodb.describe_table(TableName=table)["Table"]
    assert (described["ItemCount"], described["TableSizeBytes"]) == (2, 3 + 8)


def test_conditions_see_the_stored_item(account: Account) -> None:
    table = account.table()
    item = {name: TypeSerializer().serialize(value) for name, value in {"id": "a", "tags": ["x"], "n": 5}.items()}
    account.dynamodb.put_item(TableName=table, Item=item)
    values = {":five": {"N": "5.00"}, ":x": {"S": "x"}}
    condition = {"ConditionExpression": "n = :five AND contains(tags, :x)", "ExpressionAttributeValues": values}
    account.dynamodb.delete_item(TableName=table, Key={"id": {"S": "a"}}, **condition)
    assert account.scan(table) == []
