"""Reads one line of a data file: JSON, key, images and write time. `exact.py` flattens the values.

Facts: DynamoDB Developer Guide, "DynamoDB table export output format". A line of a full export is `{"Item": {...}}`. A line
of an incremental one has Metadata, Keys and, by view and kind of change, NewImage and OldImage; without a NewImage it is a
delete. The guide shows `WriteTimestampMicros` as a plain string, AWS's own loader reads `{"N": "..."}`: both are accepted.
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
"""The most levels of JSON in a line: record, image, a descriptor and its M or L at each depth, the members of a set."""
TOO_DEEP = f"nested deeper than the {MAX_DEPTH} levels that DynamoDB has"


@dataclass(frozen=True)
class ItemChange:
    """An item after a change (`image`), or its deletion if there is no image.

    `version` is in microseconds since 1970. Only incremental exports have `keys`, and `old`, the item before the window, if
    they show it. `unknown` has the members of the line, or
    of its Metadata, that AWS's guide does not list; they are not part of the item.
    """

    image: Image | None
    keys: Image | None
    version: int
    unknown: tuple[str, ...] = ()
    old: Image | None = None


def times(export: Export) -> tuple[int, int]:
    """The first and the last version of the export's rows, in microseconds since 1970; both are the time of a full export.

    The versions of a window begin a microsecond after its start: a write at the exact time of a full export is not in that
    export. It belongs to the window that starts there, and must be newer than the item in the full export.
    """
    if export.kind == "full":
        return (_micros(export.export_time),) * 2
    return _micros(export.from_time) + 1, _micros(export.to_time) - 1


def _micros(time: datetime | None) -> int:
    return to_micros(cast("datetime", time))  # `read_export` refuses a manifest without the time


def load_line(line: str) -> dict[str, Any]:
    """A line as a JSON object. Raises AttributeValueError for invalid JSON, too deep nesting, or a duplicate name."""
    try:
        loaded = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise AttributeValueError(TOO_DEEP if "limit" in error.msg else f"not JSON: {error}") from None
    if not isinstance(loaded, dict):
        raise AttributeValueError(f"expected an object, found {type(loaded).__name__}")
    _refuse_duplicates(line, count_names(loaded))
    return loaded


def _refuse_duplicates(line: str, names: int) -> None:
    """Raises AttributeValueError for a duplicate name; orjson silently keeps the last one.

    Counting the keys is cheap; only lines with doubtful counts are parsed again. The count is exact if there is no blank
    before a colon and no name ends with a backslash (`parse.count_keys`).
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
    except RecursionError:  # in the first of two members with the same name, which orjson dropped
        raise AttributeValueError(TOO_DEEP) from None


def count_names(value: Any) -> int:
    """The number of names in all objects of a JSON value. Raises AttributeValueError when it is nested too deep.

    It works level by level: the later steps are recursive, so this check must not be.
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


def full_change(record: Image, version: int) -> ItemChange:
    """The item of a full export's line. Raises AttributeValueError when the line has no object `Item`."""
    if not isinstance(record.get("Item"), dict):
        raise AttributeValueError("expected one object 'Item', found {value}", value=sorted(record))
    return ItemChange(record["Item"], None, version, tuple(name for name in record if name != "Item"))


def incremental_change(record: Image) -> ItemChange:
    """The change of an incremental export's line. Raises AttributeValueError when the line is not such a record.

    A line without a NewImage is a delete. If it has an unknown member that may be an image, it is refused instead.
    """
    unknown = [name for name in record if name not in {"Metadata", *IMAGES}]
    doubtful = "NewImage" not in record and any(_may_be_image(record[name]) for name in unknown)
    if not {"Metadata", "Keys"} <= set(record) or doubtful:
        raise AttributeValueError("expected Metadata, Keys and images, found {value}", value=sorted(record))
    for name in IMAGES:
        if name in record and not isinstance(record[name], dict):
            raise AttributeValueError(f"{name} is not an object")
    version = write_time(record["Metadata"])
    unknown += [f"Metadata.{name}" for name in record["Metadata"] if name != "WriteTimestampMicros"]
    return ItemChange(record.get("NewImage"), record["Keys"], version, tuple(unknown), record.get("OldImage"))


def _may_be_image(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(held, dict) and len(held) == 1 for held in value.values())


def write_time(metadata: object) -> int:
    """The write time in a record's Metadata, in microseconds since 1970. Raises AttributeValueError if it has none."""
    stamp = metadata.get("WriteTimestampMicros") if isinstance(metadata, dict) else None
    if isinstance(stamp, dict):
        stamp = stamp.get("N") if set(stamp) == {"N"} else None
    if isinstance(stamp, str) and stamp.isascii() and stamp.isdigit():
        stamp = int(stamp)
    if not isinstance(stamp, int) or isinstance(stamp, bool) or not 0 < stamp < 1 << 63:
        raise AttributeValueError("Metadata has no WriteTimestampMicros in microseconds")
    return stamp


def check_key(keys: Image, names: tuple[str, ...], masked: Collection[str] = ()) -> None:
    """Raises AttributeValueError for a key attribute that is missing, empty, or that Redshift could take for another key.

    Redshift gets a digest of `masked` attributes, so those are always distinct.
    """
    for name in names:
        if name not in keys:
            raise AttributeValueError(f"key attribute {name!r} is missing")
        descriptor, payload = split(keys[name], (name,))
        if descriptor not in {"S", "N", "B"} or payload == "":
            raise AttributeValueError(f"key attribute {name!r} must be a non-empty string, number or binary")
        if descriptor == "S" and name not in masked and (why := ambiguous(str(payload))):
            raise AttributeValueError(f"key attribute {name!r} {why}")
        if descriptor == "N":
            number(str(payload), (name,))


def ambiguous(text: str) -> str:
    """Why Redshift could take this key text for another one, so that no row can have it; empty for most texts."""
    if text.endswith(" "):
        return "ends with a space: Redshift treats it as equal to the key without the space"
    if NUL in text:
        return "contains U+0000: Redshift refuses such a text or cuts it there, so two keys could become one"
    return ""


def key_text(keys: Image | None, names: tuple[str, ...]) -> str:
    """The key as text, to name an item in messages: `o-17` or `device-3, 2024-05-14`."""
    values = [(keys or {}).get(name) for name in names]
    return ", ".join(str(next(iter(value.values()))) for value in values if isinstance(value, dict) and value)
