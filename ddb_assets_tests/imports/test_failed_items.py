"""The records of failed items, whose form is not known: an item is found wherever it is, and nothing else is taken for one."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddb_assets.dynamodb.item import KeyAttribute, item_key
from ddb_assets.imports.bulk_put.failed_items import NO_REASON, FailedItems
from ddb_assets.imports.bulk_put.obstacles import of_table
from ddb_assets.imports.bulk_put.state import BulkPutState, start_request
from ddb_assets.imports.tables.staged_items import MAX_OBJECTS, part_bytes

KEY = (KeyAttribute("pk", "S", 2048), KeyAttribute("sk", "N", 1024))
ITEM = {"pk": {"S": "a"}, "sk": {"N": "1.0"}, "message": {"S": "private"}, "m": {"M": {"error": {"S": "private"}}}}


def seen(*documents: Any) -> FailedItems:
    found = FailedItems()
    found.see([json.dumps(document).encode() for document in documents], KEY)
    return found


@pytest.mark.parametrize(
    "record",
    [
        {"Item": ITEM, "errorMessages": ["too large"]},
        {"itemS3Pointer": {"bucket": "b", "itemIndex": 3}, "record": {"Item": ITEM}, "ErrorMessage": "too large"},
        {"record": json.dumps({"Item": ITEM}), "reason": {"code": "too large"}},
        {"Keys": {"pk": {"S": "a"}, "sk": {"N": "1"}}, "Item": ITEM, "error": "too large"},
        {"attempted": [ITEM], "cause": "too large"},
    ],
)
def test_the_item_is_found_in_any_form(record: dict[str, Any]) -> None:
    found = seen(record)
    assert list(found.reasons) == [item_key(ITEM, KEY)]
    assert found.reasons[item_key(ITEM, KEY)] == "too large", "and nothing of the item, in which the same names may be"
    assert found.unread == 0


def test_what_gives_no_reason_says_so() -> None:
    bare = {"pk": {"S": "a"}, "sk": {"N": "1"}}
    assert seen(bare).reasons == {item_key(bare, KEY): NO_REASON}


@pytest.mark.parametrize(
    "record",
    [
        {"itemS3Pointer": {"bucket": "b", "key": "k", "itemIndex": 3}, "errorMessages": ["too large"]},
        {"Item": {"pk": {"S": "a"}}, "error": "the sort key is missing"},
        {"Item": {"pk": {"S": "a"}, "sk": {"S": "1"}}},
        {"Item": ITEM, "existing": {**ITEM, "pk": {"S": "b"}}},
        "text",
        17,
        None,
        {"manifest": {"entries": []}},
    ],
)
def test_a_record_without_one_item_is_counted(record: Any) -> None:
    found = seen(record)
    assert (found.reasons, found.unread) == ({}, 1)


def test_lines_and_arrays_are_read_and_damage_is_counted() -> None:
    found = FailedItems()
    other = {**ITEM, "pk": {"S": "b"}}
    found.see([json.dumps([{"Item": ITEM}, {"Item": other}]).encode(), b"\n", b'{"Item": {"pk', b"[" * 100_000], KEY)
    assert (len(found.reasons), found.unread) == (2, 2)


KEYS = st.tuples(st.text(min_size=1, max_size=9), st.integers(-9, 9)).map(
    lambda key: {"pk": {"S": key[0]}, "sk": {"N": str(key[1])}}
)
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=9)
JSON = (
    LEAVES
    | st.lists(LEAVES, max_size=3)
    | st.dictionaries(st.text(max_size=5), LEAVES | st.lists(LEAVES, max_size=2), max_size=3)
)


@settings(max_examples=50)
@given(st.lists(KEYS, max_size=9), st.lists(st.sampled_from(["Item", "record", "x"]), max_size=3), JSON)
def test_every_item_is_found_once_at_any_depth(keys: list[dict[str, Any]], path: list[str], beside: Any) -> None:
    records = []
    for key in keys:
        record: Any = key
        for name in path:
            record = {"beside": beside, name: record}
        records.append(record)
    found = seen(*records)
    assert set(found.reasons) == {item_key(key, KEY) for key in keys}
    assert found.unread == 0


@settings(max_examples=50)
@given(JSON)
def test_no_document_breaks_it(document: Any) -> None:
    count = len(document) if isinstance(document, list) else 1
    found = seen(document)
    assert (found.reasons, found.unread) == ({}, count)


def test_parts_never_exceed_what_aws_takes() -> None:
    assert all(part_bytes(number) + (1 << 20) < 5 << 30 for number in (0, MAX_OBJECTS // 2, MAX_OBJECTS - 1))
    assert sum(map(part_bytes, range(MAX_OBJECTS))) > 100 << 40


def test_the_request_is_that_of_the_job() -> None:
    state = BulkPutState(folder="s3://bucket/staging/T-1", token="1")
    request = start_request(state, "T", "123456789012", 2048)
    assert request["ClientToken"] == "1"
    assert request["InputS3Configuration"]["S3KeyPrefix"] == "staging/T-1/items/"
    assert request["OutputS3Configuration"]["S3KeyPrefix"] == "staging/T-1/failed/"
    assert {request[place]["S3BucketOwner"] for place in request if place.endswith("Configuration")} == {"123456789012"}
    assert request["MaxWriteRequestUnits"] == 2048
    plain = str(start_request(state, "T", "", None))
    assert "S3BucketOwner" not in plain
    assert "MaxWriteRequestUnits" not in plain


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ({"TableStatus": "CREATING"}, ["it is CREATING: wait until it is ACTIVE"]),
        ({"TableStatus": "UPDATING"}, []),
        (
            {"TableStatus": "UPDATING", "GlobalSecondaryIndexes": [{"IndexName": "i", "IndexStatus": "CREATING"}]},
            ["its index i is being created: wait until it is ACTIVE"],
        ),
        ({"TableStatus": "ACTIVE", "GlobalSecondaryIndexes": [{"IndexName": "i", "IndexStatus": "ACTIVE"}]}, []),
    ],
)
def test_what_a_table_must_be(described: dict[str, Any], said: list[str]) -> None:
    assert list(of_table(described)) == said
