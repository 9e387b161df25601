"""The own streams of tables in the sandbox, through boto3, against what AWS documents of DynamoDB Streams."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ddb_assets.sandbox.server import Sandbox


class Streamed:
    """A table with a stream."""

    def __init__(self, sandbox: Sandbox, view: str = "NEW_AND_OLD_IMAGES") -> None:
        self.sandbox, self.name = sandbox, f"T{uuid.uuid4().hex}"
        self.client, self.streams = sandbox.dynamodb(), sandbox.dynamodb_streams()
        specification: Any = {"StreamEnabled": True, "StreamViewType": view}
        made = self.client.create_table(
            TableName=self.name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification=specification,
        )
        self.arn = made["TableDescription"]["LatestStreamArn"]

    def put(self, key: str, **attributes: Any) -> None:
        self.client.put_item(TableName=self.name, Item={"pk": {"S": key}, **attributes})

    def described(self, **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.streams.describe_stream(StreamArn=self.arn, **more)["StreamDescription"]
        return found

    def iterator(self, shard: str, **place: Any) -> str:
        where = {"ShardIteratorType": "TRIM_HORIZON"} | place
        return str(self.streams.get_shard_iterator(StreamArn=self.arn, ShardId=shard, **where)["ShardIterator"])

    def records(self) -> list[dict[str, Any]]:
        """Of all shards, one after another, to where each one ends now."""
        found = []
        for shard in self.described()["Shards"]:
            found += self.streams.get_records(ShardIterator=self.iterator(shard["ShardId"]))["Records"]
        return found

    def busy(self) -> str:
        """The first shard with records."""
        shards = [str(shard["ShardId"]) for shard in self.described()["Shards"]]
        return next(s for s in shards if self.streams.get_records(ShardIterator=self.iterator(s))["Records"])


@pytest.fixture
def table(sandbox: Sandbox) -> Streamed:
    return Streamed(sandbox)


def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


def test_a_record_is_like_aws(table: Streamed) -> None:
    table.put("a", b={"B": b"\x01\xff"}, n={"N": "1.50"})
    (record,) = table.records()
    change = record["dynamodb"]
    assert record["eventName"] == "INSERT"
    assert (record["eventVersion"], record["eventSource"]) == ("1.1", "aws:dynamodb")
    assert change["Keys"] == {"pk": {"S": "a"}}
    assert change["NewImage"] == {"pk": {"S": "a"}, "b": {"B": b"\x01\xff"}, "n": {"N": "1.5"}}
    assert "OldImage" not in change
    assert change["ApproximateCreationDateTime"].microsecond == 0
    assert 21 <= len(change["SequenceNumber"]) <= 40
    assert change["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    assert "userIdentity" not in record


def test_what_changes_nothing_has_no_record_and_a_new_item_has_one(table: Streamed) -> None:
    table.client.update_item(
        TableName=table.name,
        Key={"pk": {"S": "a"}},
        UpdateExpression="SET v = :v",
        ExpressionAttributeValues={":v": {"S": "x"}},
    )
    table.put("a", v={"S": "x"})
    table.client.delete_item(TableName=table.name, Key={"pk": {"S": "never"}})
    table.client.delete_item(TableName=table.name, Key={"pk": {"S": "a"}})
    assert [record["eventName"] for record in table.records()] == ["INSERT", "REMOVE"]
    assert "NewImage" not in table.records()[1]["dynamodb"]


def test_time_to_live_is_named(table: Streamed) -> None:
    until: Any = {"Enabled": True, "AttributeName": "until"}
    table.client.update_time_to_live(TableName=table.name, TimeToLiveSpecification=until)
    table.put("a", until={"N": str(table.sandbox.clock.micros() // 1_000_000 - 60)})
    table.sandbox.expire_items(table.name)
    assert table.records()[-1]["userIdentity"] == {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}


@pytest.mark.parametrize(
    ("view", "images"), [("KEYS_ONLY", set()), ("NEW_IMAGE", {"NewImage"}), ("OLD_IMAGE", {"OldImage"})]
)
def test_the_view_says_which_images_there_are(sandbox: Sandbox, view: str, images: set[str]) -> None:
    table = Streamed(sandbox, view)
    table.put("a", v={"S": "x"})
    table.put("a", v={"S": "y"})
    assert {"NewImage", "OldImage"} & table.records()[1]["dynamodb"].keys() == images


def test_a_shard_closes_after_four_hours_and_has_a_child(table: Streamed) -> None:
    before = table.described()["Shards"]
    assert all("EndingSequenceNumber" not in shard["SequenceNumberRange"] for shard in before)
    table.put("a", v={"S": "x"})
    table.sandbox.clock.advance(timedelta(hours=4))
    table.put("a", v={"S": "y"})
    after = {shard["ShardId"]: shard for shard in table.described()["Shards"]}
    children = [shard for shard in after.values() if "ParentShardId" in shard]
    assert {shard["ParentShardId"] for shard in children} == {shard["ShardId"] for shard in before}
    for shard in before:
        last = after[shard["ShardId"]]["SequenceNumberRange"]["EndingSequenceNumber"]
        (child,) = [one for one in children if one["ParentShardId"] == shard["ShardId"]]
        assert int(child["SequenceNumberRange"]["StartingSequenceNumber"]) > int(last)
        answer = table.streams.get_records(ShardIterator=table.iterator(shard["ShardId"]))
        assert "NextShardIterator" not in answer, "its end is reached"
    assert sorted(record["dynamodb"]["NewImage"]["v"]["S"] for record in table.records()) == ["x", "y"]


def test_pages_of_shards_and_of_records(table: Streamed) -> None:
    first = table.described(Limit=1)
    assert len(first["Shards"]) == 1
    rest = table.described(ExclusiveStartShardId=first["LastEvaluatedShardId"])
    assert "LastEvaluatedShardId" not in rest
    assert len(rest["Shards"]) == 1
    for number in range(5):
        table.put("a", v={"N": str(number)})
    shard = table.busy()
    page = table.streams.get_records(ShardIterator=table.iterator(shard), Limit=2)
    more = table.streams.get_records(ShardIterator=page["NextShardIterator"])
    numbers = [record["dynamodb"]["NewImage"]["v"]["N"] for record in (*page["Records"], *more["Records"])]
    assert numbers == ["0", "1", "2", "3", "4"]
    last = page["Records"][1]["dynamodb"]["SequenceNumber"]
    after = table.iterator(shard, ShardIteratorType="AFTER_SEQUENCE_NUMBER", SequenceNumber=last)
    assert table.streams.get_records(ShardIterator=after)["Records"] == more["Records"]
    latest = table.iterator(shard, ShardIteratorType="LATEST")
    assert table.streams.get_records(ShardIterator=latest)["Records"] == []
    assert refused(table.streams.get_records, ShardIterator=after, Limit=1001) == "ValidationException"


def test_an_iterator_expires_after_fifteen_minutes(table: Streamed) -> None:
    iterator = table.iterator(table.described()["Shards"][0]["ShardId"])
    table.sandbox.clock.advance(timedelta(minutes=15))
    assert refused(table.streams.get_records, ShardIterator=iterator) == "ExpiredIteratorException"


def test_records_are_trimmed_after_a_day(table: Streamed) -> None:
    table.put("a", v={"S": "x"})
    (record,) = table.records()
    sequence = record["dynamodb"]["SequenceNumber"]
    table.sandbox.clock.advance(timedelta(hours=3, minutes=59))
    table.put("a", v={"S": "y"})
    shard = table.busy()
    table.sandbox.clock.advance(timedelta(hours=20, minutes=2))
    found = table.streams.get_records(ShardIterator=table.iterator(shard))["Records"]
    assert [one["dynamodb"]["NewImage"]["v"]["S"] for one in found] == ["y"]
    place = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": sequence}
    arguments = {"StreamArn": table.arn, "ShardId": shard, **place}
    assert refused(table.streams.get_shard_iterator, **arguments) == "TrimmedDataAccessException"
    table.sandbox.clock.advance(timedelta(hours=24))
    gone = {"StreamArn": table.arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    assert refused(table.streams.get_shard_iterator, **gone) == "ResourceNotFoundException"


def test_a_disabled_stream_is_there_for_a_day_and_another_one_takes_its_place(table: Streamed) -> None:
    table.put("a", v={"S": "x"})
    off: Any = {"StreamEnabled": False}
    on: Any = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    update = table.client.update_table
    assert refused(update, TableName=table.name, StreamSpecification=on) == "ValidationException"
    update(TableName=table.name, StreamSpecification=off)
    described = table.client.describe_table(TableName=table.name)["Table"]
    assert (described["LatestStreamArn"], "StreamSpecification" in described) == (table.arn, False)
    table.put("a", v={"S": "unseen"})
    assert [record["eventName"] for record in table.records()] == ["INSERT"]
    assert table.described()["StreamStatus"] == "DISABLED"
    assert refused(update, TableName=table.name, StreamSpecification=off) == "ValidationException"
    table.sandbox.clock.advance(timedelta(seconds=1))
    answer = update(TableName=table.name, StreamSpecification=on)
    assert answer["TableDescription"]["LatestStreamArn"] != table.arn
    listed = table.streams.list_streams(TableName=table.name)["Streams"]
    assert {one["StreamArn"] for one in listed} == {table.arn, answer["TableDescription"]["LatestStreamArn"]}
    table.sandbox.clock.advance(timedelta(hours=25))
    assert refused(table.streams.describe_stream, StreamArn=table.arn) == "ResourceNotFoundException"
