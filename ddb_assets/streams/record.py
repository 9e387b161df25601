"""Reads one change record of a stream as a line of an incremental export.

Facts: DynamoDB Developer Guide, "Using Kinesis Data Streams to capture changes". A record is a JSON object with `eventName`
(INSERT, MODIFY, REMOVE), `tableName` and, in `dynamodb`, Keys, images and `ApproximateCreationDateTime`: milliseconds, or
microseconds where `ApproximateCreationDateTimePrecision` says so. Captures in milliseconds have no such member. Binary values
are base64-encoded twice, while exports encode them once. The record has no sequence number: that is Kinesis' own.

Facts: DynamoDB Streams API, "Record". A record of a table's own stream has the same members, but no `tableName`. Its
`ApproximateCreationDateTime` is in seconds, rounded down, and binary values are encoded once.
"""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import orjson

from ddb_assets.dynamodb.attribute_value import MAX_DEPTH
from ddb_assets.microseconds import to_micros

Image = dict[str, Any]
"""Attributes by name, in DynamoDB JSON."""
EVENTS = ("INSERT", "MODIFY", "REMOVE")
LEAST_MICROS = 10**15
"""The year 2001 in microseconds, 33,658 in milliseconds: the size of a number shows its unit."""
LAST_MICROS = to_micros(datetime(9999, 12, 31, tzinfo=UTC))
_HOLDS_BINARY = frozenset({"B", "BS", "L", "M"})
TTL = "dynamodb.amazonaws.com"
"""The principal of deletes that Time to Live makes."""


class BadRecordError(ValueError):
    """A record is no change of an item; the message says why, without its values."""


class _Change(msgspec.Struct, rename="pascal"):
    """The member `dynamodb` of a record. Nothing is asked of its members' types, so that messages can say what is wrong."""

    approximate_creation_date_time: Any = None
    approximate_creation_date_time_precision: Any = None
    keys: Any = None
    new_image: msgspec.Raw = msgspec.Raw(b"null")


class _Record(msgspec.Struct, rename="camel"):
    """A record, of which an OldImage is read over."""

    dynamodb: _Change | None = None
    table_name: Any = None
    event_name: Any = None
    user_identity: Any = None


_decoder = msgspec.json.Decoder(_Record)


class ChangeRecord(NamedTuple):
    """One change: the table's name, the write's time in microseconds since 1970, its key, and the item after it in DynamoDB
    JSON on one line, None for a delete.

    `exact`: the time has microseconds, not only milliseconds. `expired`: the delete was made by Time to Live. The item before
    the change is not kept: an export's OldImage is the item before its whole window, which one record does not know.
    """

    table: str
    micros: int
    keys: Image
    new: bytes | None
    exact: bool
    expired: bool

    def line(self) -> bytes:
        """The record as a line of an incremental export (DynamoDB Developer Guide, "table export output format")."""
        image = b"" if self.new is None else b',"NewImage":' + self.new
        return b'{"Metadata":{"WriteTimestampMicros":{"N":"%d"}},"Keys":%b%b}' % (
            self.micros,
            orjson.dumps(self.keys),
            image,
        )


def read_record(data: bytes, own: str | None = None) -> ChangeRecord:
    """The change in the data of a record of a Kinesis stream, or of the stream of the table `own`.

    Raises BadRecordError for anything else.
    """
    record = _decoded(data)
    change, table, event = record.dynamodb, own or record.table_name, record.event_name
    if change is None:
        raise BadRecordError("it has no object `dynamodb`, so it is no change of a DynamoDB table")
    if not isinstance(table, str) or not table:
        raise BadRecordError("it has no tableName")
    if event not in EVENTS:
        raise BadRecordError(f"its eventName is none of {', '.join(EVENTS)}")
    new = _image(bytes(change.new_image), twice=own is None)
    if (new is None) != (event == "REMOVE"):
        raise BadRecordError(f"{event} {'without' if new is None else 'with'} a NewImage")
    if not isinstance(change.keys, dict) or not change.keys:
        raise BadRecordError("it has no Keys")
    keys, stamp = change.keys, change.approximate_creation_date_time
    if own is None:
        keys = {name: _once(value, "Keys", 0) for name, value in keys.items()}
        micros, exact = _micros(stamp, change.approximate_creation_date_time_precision)
    else:
        micros, exact = _seconds(stamp), False
    return ChangeRecord(table, micros, keys, new, exact, new is None and _by_ttl(record.user_identity))


def _decoded(data: bytes) -> _Record:
    try:
        data.isascii() or data.decode()  # msgspec does not look into what it reads over
        return _decoder.decode(data)
    except msgspec.ValidationError:
        return _Record()  # JSON of another form
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecordError(f"not JSON: {error}") from None


def _micros(stamp: object, precision: object) -> tuple[int, bool]:
    """The time of the write in microseconds, and whether the record has it in microseconds."""
    if type(stamp) is not int or stamp <= 0:
        raise BadRecordError("it has no ApproximateCreationDateTime in milliseconds or microseconds")
    exact = precision == "MICROSECOND" if precision is not None else stamp >= LEAST_MICROS
    if exact != (stamp >= LEAST_MICROS):
        raise BadRecordError(f"its ApproximateCreationDateTime does not fit its precision, {precision}")
    micros = stamp if exact else stamp * 1000
    if micros > LAST_MICROS:
        raise BadRecordError("its ApproximateCreationDateTime is after the year 9999")
    return micros, exact


def _seconds(stamp: object) -> int:
    """The second of the write, in microseconds."""
    if isinstance(stamp, bool) or not isinstance(stamp, int | float) or not 0 < stamp * 1_000_000 <= LAST_MICROS:
        raise BadRecordError("it has no ApproximateCreationDateTime in seconds")
    return int(stamp) * 1_000_000


def _by_ttl(identity: object) -> bool:
    """Whether Time to Live made the change. Lambda writes the members of userIdentity in lower case, the API in upper case."""
    if not isinstance(identity, dict):
        return False
    found = {str(name).lower(): value for name, value in identity.items()}
    return found.get("type") == "Service" and found.get("principalid") == TTL


def _may_have_binary(data: bytes) -> bool:
    """Whether a descriptor of binary is in the text, or an escape that may spell one.

    Most images have none. One byte is found much faster than two, so that is looked for first.
    """
    return (b'"B' in data and (b'"B"' in data or b'"BS"' in data)) or (b"\\" in data and b"\\u" in data)


def _image(written: bytes, *, twice: bool) -> bytes | None:
    """An image as one line, with its binary encoded once; `twice` is how it comes."""
    if written == b"null":
        return None
    if not written.startswith(b"{"):
        raise BadRecordError("NewImage is not an object")
    if not (twice and _may_have_binary(written)) and b"\n" not in written:
        return written
    image = orjson.loads(written)
    return orjson.dumps(image if not twice else {name: _once(value, "NewImage", 0) for name, value in image.items()})


def _once(value: Any, where: str, depth: int) -> Any:
    """A value with its binary encoded once. Anything that is not a value stays as it is: flattening says what is wrong."""
    if depth > MAX_DEPTH or not isinstance(value, dict) or len(value) != 1:
        return value
    ((descriptor, payload),) = value.items()
    if descriptor not in _HOLDS_BINARY:
        return value
    match descriptor, payload:
        case "B", str():
            return {"B": _plain(payload, where)}
        case "BS", list():
            return {"BS": [_plain(one, where) if isinstance(one, str) else one for one in payload]}
        case "M", dict():
            return {"M": {name: _once(below, where, depth + 1) for name, below in payload.items()}}
        case "L", list():
            return {"L": [_once(below, where, depth + 1) for below in payload]}
    return value


def _plain(text: str, where: str) -> str:
    try:
        once = base64.b64decode(text.encode(), validate=True).decode("ascii")
        base64.b64decode(once, validate=True)
    except (binascii.Error, UnicodeError):
        raise BadRecordError(f"{where} has a binary value that is not base64 of base64") from None
    return once
