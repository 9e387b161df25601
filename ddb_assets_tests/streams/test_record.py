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
