"""Change records of a Kinesis stream become lines of an incremental export, exactly."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddb_assets.flatten.record import incremental_change, load_line
from ddb_assets.streams.record import BadRecordError, read_record
from ddb_assets_tests.flatten.items import attributes

CAPTURED = {
    "awsRegion": "us-east-2",
    "eventID": "f89436e0-627d-4d37-9879-42f86249aa83",
    "eventName": "INSERT",
    "userIdentity": None,
    "recordFormat": "application/json",
    "tableName": "flight",
    "dynamodb": {
        "ApproximateCreationDateTime": 1721011165891550,
        "Keys": {"flight_date": {"S": "2024-01-23 04:01:53"}},
        "NewImage": {"status": {"S": "CANCELLED"}},
        "SizeBytes": 137,
        "ApproximateCreationDateTimePrecision": "MICROSECOND",
    },
    "eventSource": "aws:dynamodb",
}
"""A record as DynamoDB wrote it, from a published capture."""


def with_change(event: str = "INSERT", **change: Any) -> bytes:
    made = {**CAPTURED["dynamodb"], **change}  # type: ignore[dict-item]
    kept = {name: value for name, value in made.items() if value is not None}
    return json.dumps({**CAPTURED, "eventName": event, "dynamodb": kept}).encode()


def twice(value: Any) -> Any:
    """The value with its binary encoded once more, as Kinesis has it."""
    ((descriptor, payload),) = value.items()
    match descriptor:
        case "B":
            return {"B": base64.b64encode(payload.encode()).decode()}
        case "BS":
            return {"BS": [base64.b64encode(one.encode()).decode() for one in payload]}
        case "L":
            return {"L": [twice(one) for one in payload]}
        case "M":
            return {"M": {name: twice(one) for name, one in payload.items()}}
    return value


def test_a_captured_record_is_the_line_of_an_export() -> None:
    record = read_record(json.dumps(CAPTURED).encode())
    assert (record.table, record.micros, record.exact, record.expired) == ("flight", 1721011165891550, True, False)
    assert json.loads(record.line()) == {
        "Metadata": {"WriteTimestampMicros": {"N": "1721011165891550"}},
        "Keys": {"flight_date": {"S": "2024-01-23 04:01:53"}},
        "NewImage": {"status": {"S": "CANCELLED"}},
    }


def test_milliseconds_are_told_from_microseconds() -> None:
    stamp: dict[str, Any] = {"ApproximateCreationDateTime": 1651495525900}
    for precision in (None, "MILLISECOND"):
        record = read_record(with_change(**stamp, ApproximateCreationDateTimePrecision=precision))
        assert (record.micros, record.exact) == (1651495525900000, False)
    record = read_record(with_change(ApproximateCreationDateTimePrecision=None))
    assert (record.micros, record.exact) == (1721011165891550, True)


@given(attributes, st.booleans())
def test_every_value_arrives_as_it_was(new: dict[str, Any], ascii_only: bool) -> None:
    """Binary is encoded twice in the stream, also within lists and maps; everything else is as in an export."""
    image = {name: twice(value) for name, value in new.items()}
    written = json.loads(with_change("MODIFY", NewImage=image, OldImage=image))
    record = read_record(json.dumps(written, ensure_ascii=ascii_only).encode())
    change = incremental_change(load_line(record.line().decode()))
    assert (change.image, change.keys, change.version) == (new, record.keys, record.micros)
    assert record.new is not None
    assert json.loads(record.new) == new


def test_binary_is_decoded_however_its_descriptor_is_spelt() -> None:
    escaped = with_change(NewImage={"b": twice({"B": "aGk="})}).replace(b'"B"', b'"\\u0042"')
    record = read_record(escaped)
    assert record.new is not None
    assert json.loads(record.new) == {"b": {"B": "aGk="}}


def test_a_record_that_was_written_over_several_lines_is_one_line() -> None:
    record = read_record(json.dumps(CAPTURED, indent=1).encode())
    assert b"\n" not in record.line()
    assert json.loads(record.line())["NewImage"] == {"status": {"S": "CANCELLED"}}


@pytest.mark.parametrize(
    "identity",
    [
        {"principalId": "dynamodb.amazonaws.com", "type": "Service"},
        {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"},
    ],
)
def test_a_delete_by_time_to_live_is_known(identity: dict[str, str]) -> None:
    removed = json.loads(with_change("REMOVE", NewImage=None, OldImage={"status": {"S": "x"}}))
    assert not read_record(json.dumps(removed).encode()).expired
    record = read_record(json.dumps({**removed, "userIdentity": identity}).encode())
    assert record.expired
    assert record.new is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff", "not JSON"),
        (b"{} {}", "not JSON"),
        (with_change().replace(b"CANCELLED", b"\xff"), "not JSON"),
        (with_change().replace(b"CANCELLED", b"\\ud800"), "not JSON"),
        (with_change(NewImage=1).replace(b'"NewImage": 1', b'"NewImage": ' + b"[" * 20_000), "not JSON"),
        (b"[]", "no object `dynamodb`"),
        (json.dumps({**CAPTURED, "tableName": ""}).encode(), "no tableName"),
        (with_change("UPSERT"), "none of INSERT, MODIFY, REMOVE"),
        (with_change("REMOVE"), "REMOVE with a NewImage"),
        (with_change("MODIFY", NewImage=None), "MODIFY without a NewImage"),
        (with_change(Keys={}), "no Keys"),
        (with_change(NewImage=[]), "NewImage is not an object"),
        (with_change(ApproximateCreationDateTime=1721011165), "does not fit its precision, MICROSECOND"),
        (with_change(ApproximateCreationDateTime="1721011165891550"), "no ApproximateCreationDateTime"),
        (with_change(ApproximateCreationDateTime=1 << 61), "after the year 9999"),
        (with_change(NewImage={"b": {"B": "MTIz"}}), "not base64 of base64"),
    ],
)
def test_what_is_no_change_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(BadRecordError, match=reason):
        read_record(data)


OWN = {
    "eventID": "c81e728d9d4c2f636f067f89cc14862c",
    "eventName": "MODIFY",
    "eventVersion": "1.1",
    "eventSource": "aws:dynamodb",
    "awsRegion": "us-east-1",
    "dynamodb": {
        "ApproximateCreationDateTime": 1.4806e9,
        "Keys": {"Id": {"N": "101"}},
        "NewImage": {"Id": {"N": "101"}, "Data": {"B": "AQI="}},
        "SequenceNumber": "4421584500000000017450439092",
        "SizeBytes": 59,
        "StreamViewType": "NEW_IMAGE",
    },
}
"""A record of a table's own stream, as the API answers it: a time in seconds, binary encoded once."""


def test_a_record_of_a_tables_own_stream_is_the_same_change() -> None:
    change = read_record(json.dumps(OWN).encode(), "Orders")
    assert (change.table, change.micros, change.exact) == ("Orders", 1_480_600_000_000_000, False)
    assert change.keys == {"Id": {"N": "101"}}
    assert json.loads(change.new or b"") == {"Id": {"N": "101"}, "Data": {"B": "AQI="}}
    deleted = {name: value for name, value in OWN["dynamodb"].items() if name != "NewImage"}  # type: ignore[attr-defined]
    identity = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    expired = OWN | {"eventName": "REMOVE", "dynamodb": deleted, "userIdentity": identity}
    change = read_record(json.dumps(expired).encode(), "Orders")
    assert (change.new, change.expired) == (None, True)


@pytest.mark.parametrize("stamp", [None, True, 0, "1480600000", 1.5e12])
def test_a_record_of_a_tables_own_stream_needs_a_time_in_seconds(stamp: object) -> None:
    change = {**OWN["dynamodb"], "ApproximateCreationDateTime": stamp}  # type: ignore[dict-item]
    with pytest.raises(BadRecordError, match="in seconds"):
        read_record(json.dumps({**OWN, "dynamodb": change}).encode(), "Orders")
