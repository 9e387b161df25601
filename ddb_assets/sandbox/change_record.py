"""A change of an item as the record that DynamoDB writes to a Kinesis data stream.

Facts (captures of AWS's records; DynamoDB Developer Guide, "Using Kinesis Data Streams to capture changes"): both images always
come. The record has no sequence number. Binary values are base64-encoded twice. ApproximateCreationDateTime is in milliseconds;
a destination that says MICROSECOND has microseconds, and its records say so. `userIdentity` names the service for deletes by
Time to Live, and is null otherwise. The partition key is 32 hexadecimal digits, always the same for an item.
"""

import base64
import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

import orjson

from ddb_assets.dynamodb.item import attribute_sizes
from ddb_assets.sandbox import image
from ddb_assets.sandbox.change_log import Change

TIME_TO_LIVE = {"principalId": "dynamodb.amazonaws.com", "type": "Service"}


@dataclass(frozen=True)
class Source:
    """The table that changes come from."""

    name: str
    id: str
    region: str
    key_names: tuple[str, ...]


def partition_key(source: Source, change: Change) -> str:
    """The partition key of the record: a hash, the same for every change of an item."""
    return hashlib.md5(source.id.encode() + change.key, usedforsecurity=False).hexdigest().upper()


def change_record(source: Source, change: Change, micros: int, *, milliseconds: bool) -> bytes:
    """The data of the record, stamped with a time in microseconds or, rounded down, in milliseconds."""
    found = change.old if change.new is None else change.new
    assert found is not None  # noqa: S101 - there is no change without an image
    attributes = image.decode(found)
    keys = {name: attributes[name] for name in source.key_names}
    change_of_item: dict[str, Any] = {
        "ApproximateCreationDateTime": micros // 1000 if milliseconds else micros,
        "Keys": _twice_all(keys),
    }
    if change.new is not None:
        change_of_item["NewImage"] = _shown(change.new)
    if change.old is not None:
        change_of_item["OldImage"] = _shown(change.old)
    change_of_item["SizeBytes"] = change.size + sum(attribute_sizes(keys).values())
    if not milliseconds:
        change_of_item["ApproximateCreationDateTimePrecision"] = "MICROSECOND"
    event = "INSERT" if change.old is None else "REMOVE" if change.new is None else "MODIFY"
    identity = hashlib.md5(source.id.encode() + change.key + change.micros.to_bytes(8), usedforsecurity=False)
    record = {
        "awsRegion": source.region,
        "eventID": str(uuid.UUID(bytes=identity.digest(), version=4)),
        "eventName": event,
        "userIdentity": TIME_TO_LIVE if change.expired else None,
        "recordFormat": "application/json",
        "tableName": source.name,
        "dynamodb": change_of_item,
        "eventSource": "aws:dynamodb",
    }
    return orjson.dumps(record)


def _shown(stored: bytes) -> Any:
    """An image as the record has it. It is not read where no value can be binary."""
    if b'"B"' in stored or b'"BS"' in stored:
        return _twice_all(image.decode(stored))
    return orjson.Fragment(stored)


def _twice_all(attributes: image.Attributes) -> image.Attributes:
    return {name: _twice(attribute) for name, attribute in attributes.items()}


def _twice(attribute: dict[str, Any]) -> dict[str, Any]:
    """A value whose binary values are encoded once more."""
    ((kind, value),) = attribute.items()
    match kind:
        case "B":
            return {"B": _encoded(value)}
        case "BS":
            return {"BS": list(map(_encoded, value))}
        case "M":
            return {"M": _twice_all(value)}
        case "L":
            return {"L": list(map(_twice, value))}
    return attribute


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
