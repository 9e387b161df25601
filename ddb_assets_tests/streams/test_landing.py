"""A landing has the newest record of each key of one table, and every record of a drain is counted once."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

from ddb_assets.contract.table import Table
from ddb_assets.flatten.flatten import flatten
from ddb_assets.streams.landing import land
from ddb_assets.streams.position import least
from ddb_assets_tests.flatten.rebuild import rebuild
from ddb_assets_tests.streams.answered import NOTHING, Kinesis
from ddb_assets_tests.streams.changes import (
    KEY,
    MICROS,
    STORAGE,
    change,
    export_of,
    landed,
    moved,
    put,
    rows_of,
    streamed,
    table_arn,
)


def quarantine(uri: str | None) -> list[dict[str, Any]]:
    assert uri is not None
    return [json.loads(line) for line in STORAGE.read(uri).splitlines()]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_newest_record_of_a_key_wins_in_whatever_order_they_come(tmp_path: Path) -> None:
    """A change that comes after a later delete does not bring the item back."""
    kinesis = Kinesis()
    put(kinesis, change("a", "new", MICROS + 5), change("a", "old", MICROS), change("b", "x"))
    put(kinesis, change("b", None, MICROS + 9), change("b", "late", MICROS + 3))
    landing = landed(kinesis, tmp_path).landings["Orders"]
    assert rows_of(landing) == {"a": (MICROS + 5, "new"), "b": (MICROS + 9, None)}
    assert (landing.records, landing.rows, landing.superseded, landing.duplicates) == (5, 2, 3, 0)
    assert (landing.oldest, landing.newest) == (MICROS + 5, MICROS + 9)


def test_of_equal_times_the_later_sequence_number_wins(tmp_path: Path) -> None:
    kinesis = Kinesis()
    put(kinesis, change("a", "1"), change("a", "2"), change("a", None), change("b", None), change("b", "2"))
    assert rows_of(landed(kinesis, tmp_path).landings["Orders"]) == {"a": (MICROS, None), "b": (MICROS, "2")}


def test_milliseconds_and_microseconds_are_ordered_by_time(tmp_path: Path) -> None:
    """As texts or as plain numbers, microseconds would always be later. A millisecond is taken for its beginning."""
    kinesis = Kinesis()
    put(kinesis, change("a", "us", MICROS + 1500), change("a", "ms", MICROS + 2000, milliseconds=True))
    put(kinesis, change("b", "us", MICROS + 1500), change("b", "ms", MICROS + 1999, milliseconds=True))
    landing = landed(kinesis, tmp_path).landings["Orders"]
    assert rows_of(landing) == {"a": (MICROS + 2000, "ms"), "b": (MICROS + 1500, "us")}
    assert landing.in_milliseconds == 2


def test_a_record_that_comes_twice_is_a_duplicate_and_a_change_in_the_same_microsecond_is_not(tmp_path: Path) -> None:
    kinesis = Kinesis()
    put(kinesis, change("a", eventID="1"), change("a", eventID="2"), change("a", "other"), change("b", None))
    put(kinesis, change("b", None))
    landing = landed(kinesis, tmp_path).landings["Orders"]
    assert (landing.rows, landing.duplicates, landing.superseded) == (2, 2, 1)


def test_numbers_that_are_equal_are_one_key(tmp_path: Path) -> None:
    kinesis = Kinesis()
    for text in ("1", "1.0", "1E0", "10"):
        record = json.loads(change("x"))
        record["dynamodb"]["Keys"] = {"pk": {"N": text}}
        put(kinesis, json.dumps(record).encode())
    put(kinesis, change("1"))
    assert landed(kinesis, tmp_path).landings["Orders"].rows == 3


def test_tables_on_one_stream_keep_their_own_records(tmp_path: Path) -> None:
    """Equal keys and attributes of two tables do not mix, and a table that nobody declared is counted."""
    kinesis = Kinesis(shards=2)
    names = ["MyOrders", "my-orders", "my.orders", "select"]
    for name in [*names, "unknown", "unknown"]:
        put(kinesis, change("same", name, table=name))
    found = landed(kinesis, tmp_path, *map(streamed, names))
    assert {name: rows_of(found.landings[name]) for name in names} == {name: {"same": (MICROS, name)} for name in names}
    assert len({found.landings[name].uri for name in names}) == len(names)
    assert dict(found.undeclared) == {"unknown": 2}
    assert found.quarantine is None


def test_deletes_by_time_to_live_are_told_apart(tmp_path: Path) -> None:
    kinesis = Kinesis()
    service = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    put(kinesis, change("a", None, userIdentity=service), change("b", None), change("c", userIdentity=service))
    assert landed(kinesis, tmp_path).landings["Orders"].ttl_deletes == 1


def test_what_is_no_change_is_kept_in_quarantine_and_blocks_nothing(tmp_path: Path) -> None:
    kinesis = Kinesis()
    bad = [b"\xff\x00", b"{} {}", b'{"dynamodb": {}, "tableName": "Orders"}']
    put(kinesis, *bad, change("a"))
    found = landed(kinesis, tmp_path)
    assert found.unreadable == 3
    assert rows_of(found.landings["Orders"]) == {"a": (MICROS, "v")}
    kept = quarantine(found.quarantine)
    assert [base64.b64decode(line["base64"]) for line in kept] == bad
    arrived = kinesis.stream.shards["shardId-000000000000"].records
    assert [(line["shard"], line["sequence"]) for line in kept] == [
        ("shardId-000000000000", str(record.sequence)) for record in arrived[:3]
    ]
    assert [line["reason"].partition(":")[0] for line in kept[:2]] == ["not JSON", "not JSON"]
    assert kept[2]["reason"] == "its eventName is none of INSERT, MODIFY, REMOVE"


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"id": {"S": "a"}}, "its key is id, not that of the table"),
        ({"pk": {"S": "a"}, "sk": {"S": "a"}}, "its key is pk, sk, not that of the table"),
        ({"pk": {"BOOL": True}}, "neither a string nor a number nor binary"),
        ({"pk": {"SS": ["a"]}}, "neither a string nor a number nor binary"),
        ({"pk": {"N": "one"}}, "is not a number"),
        ({"pk": "a"}, "expected one object with one type descriptor"),
    ],
)
def test_a_record_with_another_key_than_the_tables_is_quarantined(
    tmp_path: Path, keys: dict[str, Any], reason: str
) -> None:
    kinesis = Kinesis()
    record = json.loads(change("a"))
    record["dynamodb"]["Keys"] = keys
    put(kinesis, json.dumps(record).encode(), change("b"))
    found = landed(kinesis, tmp_path)
    landing = found.landings["Orders"]
    assert (landing.records, landing.rows, landing.quarantined, found.unreadable) == (2, 1, 1, 0)
    [line] = quarantine(found.quarantine)
    assert line["table"] == "Orders"
    assert reason in line["reason"]


@pytest.mark.parametrize("key", ["O'Brien", "'; drop table x; --", 'a"}', "}", "x" * 2048, "line\nbreak\t\\"])
def test_any_text_is_a_key_and_a_value(tmp_path: Path, key: str) -> None:
    kinesis = Kinesis()
    put(kinesis, change(key, key * 40))
    assert rows_of(landed(kinesis, tmp_path).landings["Orders"]) == {key: (MICROS, key * 40)}


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_tables_of_every_partition_of_aws_land(tmp_path: Path, partition: str) -> None:
    kinesis = Kinesis()
    put(kinesis, change("a"))
    table = replace(streamed("Orders"), arn=table_arn("Orders", partition))
    assert export_of(landed(kinesis, tmp_path, table).landings["Orders"]).table_arn == table.arn


def test_a_landing_is_an_incremental_export_whose_times_clamp_no_record(tmp_path: Path) -> None:
    kinesis = Kinesis()
    put(
        kinesis,
        change("a", "first", MICROS + 1),
        change("b", "last", MICROS + 7_000_003),
        change("c", None, MICROS + 9),
    )
    landing = landed(kinesis, tmp_path / "lake").landings["Orders"]
    export = export_of(landing)
    assert (export.kind, export.table_arn, export.item_count) == ("incremental", table_arn("Orders"), 3)
    report = flatten(STORAGE, export, table=Table(table="Orders"), key=KEY, out=str(tmp_path / "out"), workers=1).report
    assert (report.lines_read, report.deletes, report.quarantined) == (3, 1, 0)
    found = pl.read_parquet([part.uri for part in report.root.parts])
    assert dict(zip(found["pk"], found["_ddb_version"], strict=True)) == {
        "a": MICROS + 1,
        "b": MICROS + 7_000_003,
        "c": MICROS + 9,
    }
    assert [item.get("value") for item in rebuild(str(tmp_path / "out"))] == ["first", "last", None]


def test_nothing_lands_where_nothing_is_new(tmp_path: Path) -> None:
    kinesis = Kinesis()
    put(kinesis, change("a"))
    table = moved(streamed("Orders"), landed(kinesis, tmp_path / "first").landings["Orders"])
    landing = landed(kinesis, tmp_path / "again", table).landings["Orders"]
    assert (landing.records, landing.known, landing.uri) == (1, 1, None)
    assert landing.start == landing.end
    assert not (tmp_path / "again").exists()


def test_a_repeated_drain_writes_the_same_objects(tmp_path: Path) -> None:
    """Whatever the order in which the shards answered: also with throttles in between."""
    kinesis = Kinesis(shards=4)
    random = Random(7)
    for number in range(200):
        record = b"no change" if number % 50 == 0 else change(f"k{number % 30}", str(number), MICROS + number % 7)
        kinesis.stream.put(str(number), record)
    kinds: list[str | None] = ["ProvisionedThroughputExceededException", "ExpiredIteratorException", *[None] * 3]
    for attempt in range(3):
        kinesis.pass_by(minutes=7)
        landed(kinesis, tmp_path / str(attempt))
        kinesis.fault = lambda operation, _: random.choice(kinds) if operation == "GetRecords" else None
    first, second, third = (files(tmp_path / str(attempt)) for attempt in range(3))
    assert len(first) == 6
    assert [content[4:8] for name, content in first.items() if name.endswith(".gz")] == [bytes(4)]  # no time in it
    assert first == second == third


def test_a_repeated_drain_that_finds_more_takes_the_place_of_the_first(tmp_path: Path) -> None:
    kinesis = Kinesis()
    put(kinesis, change("a"))
    first = landed(kinesis, tmp_path).landings["Orders"]
    put(kinesis, change("b"))
    second = landed(kinesis, tmp_path).landings["Orders"]
    assert first.uri == second.uri
    assert rows_of(second).keys() == {"a", "b"}
    third = landed(kinesis, tmp_path, moved(streamed("Orders"), second)).landings["Orders"]
    assert third.uri is None


def test_tables_with_different_positions_each_get_what_they_lack(tmp_path: Path) -> None:
    kinesis = Kinesis()
    put(kinesis, change("1", table="A"), change("1", table="B"))
    ahead = moved(streamed("A"), landed(kinesis, tmp_path, streamed("A")).landings["A"])
    put(kinesis, change("2", table="A"), change("2", table="B"))
    found = land(
        STORAGE, str(tmp_path), kinesis.drain(least([ahead.position, NOTHING])), [ahead, streamed("B")]
    ).landings
    assert rows_of(found["A"]).keys() == {"2"}
    assert rows_of(found["B"]).keys() == {"1", "2"}
    assert (found["A"].known, found["B"].known) == (1, 0)
    assert found["A"].end == found["B"].end


def test_a_stream_that_was_created_again_is_landed_from_its_beginning(tmp_path: Path) -> None:
    kinesis = Kinesis()
    put(kinesis, *[change(str(number)) for number in range(30)])
    before = landed(kinesis, tmp_path).landings["Orders"]
    table = moved(streamed("Orders"), before)
    future = replace(table.position, shards={"shardId-000000000000": "9" * 60})
    kinesis.stream.delete()
    kinesis.pass_by(seconds=5)
    kinesis.create(1)
    put(kinesis, change("new"))
    landing = landed(kinesis, tmp_path, replace(table, position=future)).landings["Orders"]
    assert rows_of(landing).keys() == {"new"}
    assert landing.end.gap is not None
    assert landed(kinesis, tmp_path).landings["Orders"].uri != before.uri
