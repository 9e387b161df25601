"""One line of a data file as a record: JSON, key, images and write time. What its values become is `exact.py`.

Facts: DynamoDB Developer Guide, "DynamoDB table export output format". A full export's line is `{"Item": {...}}`; an
incremental one's is Metadata, Keys and, by view and kind of change, NewImage and OldImage. Without a NewImage it is a
delete. The guide shows `WriteTimestampMicros` as a bare string, AWS's own loader reads `{"N": "..."}`: both are taken.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import orjson

from ddb_assets.dynamodb.attribute_value import MAX_DEPTH, NUL, AttributeValueError, number, split
from ddb_assets.exports.manifest import Export
from ddb_assets.microseconds import to_micros

Image = dict[str, Any]
"""Attributes by name, in DynamoDB JSON."""
IMAGES = ("Keys", "NewImage", "OldImage")
MAX_LEVELS = 2 + 2 * MAX_DEPTH + 3
"""The levels of JSON in a line: record, image, a descriptor and its M or L at each depth, and the members of a set."""
TOO_DEEP = f"nested deeper than the {MAX_DEPTH} levels that DynamoDB has"


@dataclass(frozen=True)
class Change:
    """An item as it stands (`image`) or, without one, its deletion; `version` is microseconds, `keys` only incremental.

    `unknown` are members of the line, or of its Metadata, that the guide does not list: they are no part of the item.
    """

    image: Image | None
    keys: Image | None
    version: int
    unknown: tuple[str, ...] = ()


def times(export: Export) -> tuple[int, int]:
    """The first and the last microsecond since 1970 that its versions can have; of a full export both are its time.

    A window's versions begin a microsecond after the window: a write at the exact time of a full export is not in that
    export, so it belongs to the window that starts there, and must be newer than the item in the export.
    """
    if export.kind == "full":
        return (_micros(export.export_time),) * 2
    return _micros(export.from_time) + 1, _micros(export.to_time) - 1


def _micros(time: datetime | None) -> int:
    return to_micros(cast("datetime", time))  # a manifest without it is refused


def load_line(line: str) -> dict[str, Any]:
    """A line as JSON. Raises AttributeValueError when it is not JSON, is nested too deep, or has a name twice in one object."""
    try:
        loaded = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise AttributeValueError(TOO_DEEP if "limit" in error.msg else f"not JSON: {error}") from None
    if not isinstance(loaded, dict):
        raise AttributeValueError(f"expected an object, found {type(loaded).__name__}")
    _refuse_duplicates(line, count_names(loaded))
    return loaded


def _refuse_duplicates(line: str, names: int) -> None:
    """orjson silently keeps the last of two equal names. Counting keys is cheap; only odd lines are parsed again.

    The count is exact where no blank stands before a colon and no name ends in a backslash (`parse.count_keys`).
    """
    odd = any(doubt in line for doubt in ('\\\\":', " :", "\t:", "\r:", "\n:"))
    if not odd and line.count('":') - line.count('\\":') == names:
        return

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise AttributeValueError("the name {value} occurs twice in one object", value=repr(name))
            found[name] = value
        return found

    try:
        json.loads(line, object_pairs_hook=unique)
    except RecursionError:  # below the first of two equal names, which orjson dropped
        raise AttributeValueError(TOO_DEEP) from None


def count_names(value: Any) -> int:
    """How many names the objects in a JSON value have. Raises AttributeValueError when it is nested too deep.

    It works level by level, not by recursion as all later steps do, so any line can be counted.
    """
    names = 0
    level = [value]
    for _ in range(MAX_LEVELS):
        below: list[Any] = []
        for found in level:
            if isinstance(found, dict):
                names += len(found)
                below += found.values()
            elif isinstance(found, list):
                below += found
        if not below:
            return names
        level = below
    raise AttributeValueError(TOO_DEEP)


def full_change(record: Image, version: int) -> Change:
    """A line of a full export. Raises AttributeValueError when it is none."""
    if not isinstance(record.get("Item"), dict):
        raise AttributeValueError("expected one object 'Item', found {value}", value=sorted(record))
    return Change(record["Item"], None, version, tuple(name for name in record if name != "Item"))


def incremental_change(record: Image) -> Change:
    """A line of an incremental export. Raises AttributeValueError when it is none.

    Without a NewImage it is a delete, unless it has an unknown member that may be an image: then it is rejected.
    """
    unknown = [name for name in record if name not in {"Metadata", *IMAGES}]
    doubtful = "NewImage" not in record and any(_may_be_image(record[name]) for name in unknown)
    if not {"Metadata", "Keys"} <= set(record) or doubtful:
        raise AttributeValueError("expected Metadata, Keys and images, found {value}", value=sorted(record))
    for name in IMAGES:
        if name in record and not isinstance(record[name], dict):
            raise AttributeValueError(f"{name} is no object")
    version = write_time(record["Metadata"])
    unknown += [f"Metadata.{name}" for name in record["Metadata"] if name != "WriteTimestampMicros"]
    return Change(record.get("NewImage"), record["Keys"], version, tuple(unknown))


def _may_be_image(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(held, dict) and len(held) == 1 for held in value.values())


def write_time(metadata: object) -> int:
    """The microseconds of a record's Metadata. Raises AttributeValueError when it has none."""
    stamp = metadata.get("WriteTimestampMicros") if isinstance(metadata, dict) else None
    if isinstance(stamp, dict):
        stamp = stamp.get("N") if set(stamp) == {"N"} else None
    if isinstance(stamp, str) and stamp.isascii() and stamp.isdigit():
        stamp = int(stamp)
    if not isinstance(stamp, int) or isinstance(stamp, bool) or not 0 < stamp < 1 << 63:
        raise AttributeValueError("Metadata has no WriteTimestampMicros in microseconds")
    return stamp


def check_key(keys: Image, names: tuple[str, ...], masked: Collection[str] = ()) -> None:
    """Raises AttributeValueError unless every key attribute is there, not empty, and distinct from all others in Redshift.

    Of `masked` attributes Redshift gets a digest, which is distinct for every text.
    """
    for name in names:
        if name not in keys:
            raise AttributeValueError(f"key attribute {name!r} is missing")
        descriptor, payload = split(keys[name], (name,))
        if descriptor not in {"S", "N", "B"} or payload == "":
            raise AttributeValueError(f"key attribute {name!r} must be a string, number or binary that is not empty")
        if descriptor == "S" and name not in masked and (why := ambiguous(str(payload))):
            raise AttributeValueError(f"key attribute {name!r} {why}")
        if descriptor == "N":
            number(str(payload), (name,))


def ambiguous(text: str) -> str:
    """Why Redshift could take this text of a key for another one, so that no row gets it; empty for most."""
    if text.endswith(" "):
        return "ends in a blank: Redshift takes it for equal to the key without"
    if NUL in text:
        return "holds U+0000: Redshift refuses such a text or cuts it there, so that two keys would be one"
    return ""


def key_text(keys: Image | None, names: tuple[str, ...]) -> str:
    """The key as people read it, to name an item in a message: `o-17` or `device-3, 2024-05-14`."""
    values = [(keys or {}).get(name) for name in names]
    return ", ".join(str(next(iter(value.values()))) for value in values if isinstance(value, dict) and value)
