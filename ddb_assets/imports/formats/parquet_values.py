"""Arrow arrays, as Parquet files are read, as values in DynamoDB JSON. docs/parquet.md has the table of types.

Pure. A function per column is made once, from its Arrow type and from what the file's own schema says of each leaf, which
Arrow forgets: INT96, UUID, ENUM and INTERVAL. It makes a list of cells of an array: None for no value.
"""

import base64
import struct
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ddb_assets.imports.refused import REFUSED, NaN, refused, whole

Cells = list[dict[str, Any] | None]
Make = Callable[[Any], Cells]
Write = Callable[[Any], dict[str, Any]]
NULL = {"NULL": True}
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- a zone is written after it
DAY = 86_400
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
DAYS_OF_400_YEARS = 146_097
_KEYS = {"S", "N", "B", "BOOL"}


def column_maker(type_: Any, leaves: Iterator[Any], nan: NaN) -> Make:
    """The function for a column of this type. `leaves` are the columns of the file's own schema, from this one on.

    Raises ValueError for a type that has no attribute.
    """
    make = _maker(type_, leaves, nan)
    if not pa.types.is_nested(type_):
        return make

    def cells(array: Any) -> Cells:
        made = make(array)
        if REFUSED.encode() not in orjson.dumps(made):  # far faster than looking into each
            return made
        return [cell and whole(cell) for cell in made]

    return cells


def _maker(type_: Any, leaves: Iterator[Any], nan: NaN) -> Make:
    if isinstance(type_, pa.BaseExtensionType) and pa.types.is_nested(type_.storage_type):
        storage = _maker(type_.storage_type, leaves, nan)
        return lambda array: storage(array.storage)
    if pa.types.is_map(type_):
        if pa.types.is_nested(type_.key_type):
            raise ValueError(f"an attribute cannot have {type_.key_type} for a name")
        return _maps(_maker(type_.key_type, leaves, "reject"), _maker(type_.item_type, leaves, nan))
    if pa.types.is_struct(type_):
        names = [field.name for field in type_]
        check_unique(names)
        return _structs(names, [_maker(field.type, leaves, nan) for field in type_])
    if pa.types.is_nested(type_):
        if not hasattr(type_, "value_type"):
            raise ValueError(f"no attribute can hold a {type_}")
        return _lists(_maker(type_.value_type, leaves, nan))
    return _leaf(type_, next(leaves), nan)


def check_unique(names: list[str]) -> None:
    """Raises ValueError when two columns, or two fields of a struct, have one name."""
    if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
        raise ValueError(f"two columns have the name {twice!r}: write the file with different names")


def _leaf(type_: Any, leaf: Any, nan: NaN) -> Make:
    if isinstance(type_, pa.BaseExtensionType):
        stored = _leaf(type_.storage_type, leaf, nan)
        if type_.extension_name == "arrow.bool8":
            return lambda array: _each(array.storage, lambda value: {"BOOL": bool(value)})
        return lambda array: stored(array.storage)
    if pa.types.is_dictionary(type_):
        inner = _leaf(type_.value_type, leaf, nan)
        return lambda array: inner(array.dictionary_decode())
    if annotated := _ANNOTATED.get(leaf.logical_type.type) or _ANNOTATED.get(leaf.converted_type):
        return lambda array: _each(array, annotated)
    if plain := next((write for fits, write in _PLAIN if fits(type_)), None):
        return lambda array: _each(array, plain)
    if pa.types.is_null(type_):
        return lambda array: [None] * len(array)
    if pa.types.is_floating(type_):
        return _floats(type_, nan)
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return _texts
    return _times(type_)


def _times(type_: Any) -> Make:
    t = pa.types
    if t.is_date32(type_):
        return lambda array: _each(array.cast(pa.int32()), _day)
    if t.is_date64(type_):
        return lambda array: _each(array.cast(pa.int64()), lambda value: _day(value // (DAY * 1000)))
    if not (t.is_timestamp(type_) or t.is_time(type_) or t.is_duration(type_)):
        raise ValueError(f"no attribute can hold a {type_}")
    per_second = PER_SECOND[type_.unit]
    integer = pa.int32() if t.is_time32(type_) else pa.int64()
    if t.is_timestamp(type_):
        offset = "+00:00" if type_.tz else ""
        return lambda array: _each(array.cast(integer), lambda value: _moment(value, per_second, offset))
    write = _time if t.is_time(type_) else _duration
    return lambda array: _each(array.cast(integer), lambda value: write(value, per_second))


def _each(array: Any, write: Write) -> Cells:
    return [None if value is None else write(value) for value in array.to_pylist()]


def _texts(array: Any) -> Cells:
    try:
        return _each(array, lambda value: {"S": value})
    except UnicodeDecodeError:
        return _each(array.cast(pa.large_binary()), _text)


def _text(value: bytes) -> dict[str, Any]:
    try:
        return {"S": value.decode()}
    except UnicodeDecodeError:
        return refused("the text is not UTF-8", base64.b64encode(value).decode())


def _floats(type_: Any, nan: NaN) -> Make:
    shortest = {"halffloat": _half, "float": _single}.get(str(type_), _double)

    def write(value: str) -> dict[str, Any] | None:
        if "n" not in value:  # nan, inf and -inf have one
            return {"N": value}
        text = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[value]
        if nan == "null":
            return None
        if nan == "string":
            return {"S": text}
        return refused(f"{text} is no number of DynamoDB: say `nan: null` or `nan: string`", text)

    return lambda array: [None if value is None else write(value) for value in shortest(array)]


def _double(array: Any) -> list[str | None]:
    return [None if value is None else repr(value) for value in array.to_pylist()]


def _single(array: Any) -> list[str | None]:
    """The shortest text that is the same float32: `0.1`, not `0.10000000149011612`."""
    texts: list[str | None] = array.cast(pa.string()).to_pylist()
    return texts


def _half(array: Any) -> list[str | None]:
    return [None if value is None else _half_text(float(value)) for value in array.to_pylist()]


def _half_text(value: float) -> str:
    if value != value or value in {float("inf"), float("-inf")}:
        return repr(value)
    texts = (f"{value:.{digits}g}" for digits in range(1, 6))
    return next(
        text for text in texts if abs(float(text)) < 65520 and struct.pack("e", float(text)) == struct.pack("e", value)
    )


def _day(days: int) -> dict[str, Any]:
    try:
        return {"S": (EPOCH + timedelta(days)).date().isoformat()}
    except OverflowError:
        return _out_of_reach(days, "")


def _moment(value: int, per_second: int, offset: str) -> dict[str, Any]:
    seconds, rest = divmod(value, per_second)
    fraction = _fraction(rest, per_second)
    try:
        return {"S": (EPOCH + timedelta(seconds=seconds)).isoformat() + fraction + offset}
    except OverflowError:
        days, second = divmod(seconds, DAY)
        return _out_of_reach(days, f"T{EPOCH + timedelta(seconds=second):%H:%M:%S}{fraction}{offset}")


def _out_of_reach(days: int, time: str) -> dict[str, Any]:
    """The calendar repeats itself every 400 years."""
    cycles, rest = divmod(days, DAYS_OF_400_YEARS)
    day = EPOCH + timedelta(rest)
    text = f"{day.year + 400 * cycles}-{day:%m-%d}{time}"
    return refused(f"{text} is not in the years 0001 to 9999, which are all that ISO 8601 has", text)


def _time(value: int, per_second: int) -> dict[str, Any]:
    seconds, rest = divmod(value, per_second)
    if not 0 <= seconds <= DAY:
        return refused(f"{seconds} seconds are no time of a day", f"{value}/{per_second}")
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return {"S": text + _fraction(rest, per_second)}


def _fraction(rest: int, per_second: int) -> str:
    """Of a second: none, six digits or nine, so that the unit of a column does not show."""
    nanos = rest * (10**9 // per_second)
    if not nanos:
        return ""
    return f".{nanos:09}" if nanos % 1000 else f".{nanos // 1000:06}"


def _duration(value: int, per_second: int) -> dict[str, Any]:
    return {"S": f"{'-' if value < 0 else ''}PT{_seconds(abs(value), per_second)}S"}


def _interval(value: bytes) -> dict[str, Any]:
    months, days, millis = struct.unpack("<III", value)
    return {"S": f"P{months}M{days}DT{_seconds(millis, 1000)}S"}


def _seconds(value: int, per_second: int) -> str:
    seconds, rest = divmod(value, per_second)
    return f"{seconds}.{rest * (10**9 // per_second):09}".rstrip("0").rstrip(".")


def _uuid(value: bytes) -> dict[str, Any]:
    found = value.hex()
    return {"S": "-".join((found[:8], found[8:12], found[12:16], found[16:20], found[20:]))}


def _binary(value: bytes) -> dict[str, Any]:
    return {"B": base64.b64encode(value).decode()}


_ANNOTATED: dict[str, Write] = {"UUID": _uuid, "INTERVAL": _interval, "ENUM": _text}
"""By the logical or converted type of the file's own schema. All are bytes in Arrow."""
_PLAIN: list[tuple[Callable[[Any], bool], Write]] = [
    (pa.types.is_boolean, lambda value: {"BOOL": value}),
    (pa.types.is_integer, lambda value: {"N": str(value)}),
    (pa.types.is_decimal, lambda value: {"N": format(value, "f")}),
    (pa.types.is_binary, _binary),
    (pa.types.is_large_binary, _binary),
    (pa.types.is_binary_view, _binary),
    (pa.types.is_fixed_size_binary, _binary),
]


def _lists(make: Make) -> Make:
    def lists(array: Any) -> Cells:
        members = iter(_members(make(array.flatten())))
        return [
            None if length is None else {"L": list(islice(members, length))}
            for length in pc.list_value_length(array).to_pylist()
        ]

    return lists


def _structs(names: list[str], makes: list[Make]) -> Make:
    def structs(array: Any) -> Cells:
        fields = [_members(make(child)) for make, child in zip(makes, array.flatten(), strict=True)]
        return [
            {"M": dict(zip(names, members, strict=True))} if valid else None
            for valid, *members in zip(array.is_valid().to_pylist(), *fields, strict=True)
        ]

    return structs


def _maps(key: Make, item: Make) -> Make:
    def maps(array: Any) -> Cells:
        entries = array.cast(pa.list_(pa.struct([array.type.key_field, array.type.item_field])))
        keys, items = entries.flatten().flatten()
        pairs = iter(zip(key(keys), _members(item(items)), strict=True))
        lengths = pc.list_value_length(entries).to_pylist()
        return [None if length is None else _map(list(islice(pairs, length))) for length in lengths]

    return maps


def _map(pairs: list[tuple[Any, dict[str, Any]]]) -> dict[str, Any]:
    names = [_key(key) for key, _ in pairs]
    found = {name: value for name, (_, value) in zip(names, pairs, strict=True) if name is not None}
    if len(found) == len(pairs):
        return {"M": found}
    shown = [[name, value] for name, (_, value) in zip(names, pairs, strict=True)]
    bad = next(name for i, name in enumerate(names) if name is None or name in names[:i])
    if bad is None:
        return refused("a key of a map has no value, or none that is a text", shown)
    return refused(f"the key {bad!r} stands twice in one map: an attribute has it once", shown)


def _key(key: dict[str, Any] | None) -> str | None:
    """The name of a member: the key's text, `true` or `false`, the base64 text of bytes."""
    ((kind, payload),) = (key or NULL).items()
    if kind not in _KEYS:
        return None
    return payload if isinstance(payload, str) else str(payload).lower()


def _members(cells: Cells) -> list[dict[str, Any]]:
    return [NULL if cell is None else cell for cell in cells]
