"""The fast path: whole columns of DynamoDB JSON become the columns of the relations, or rows are handed back.

Nothing is decided here that `exact.py` would decide otherwise: a row in which anything is out of the ordinary (a key the
schema does not know, a type it does not accept, a number that does not fit) is marked and left to the exact path.

The proof that nothing was lost is a count, row by row. Every key that was decoded is counted: the attribute's name and
its descriptor for each value, the descriptor alone for a list's element. A line's text tells how many keys it has
(`parse.count_keys`). What is decoded is always a part of what is there, so equal counts mean all of it.
"""

from dataclasses import dataclass, field
from typing import cast

import orjson
import polars as pl

from ddb_assets.dynamodb.attribute_value import MAX_DIGITS, Step, format_path
from ddb_assets.parquet import json_text
from ddb_assets.parquet.profile import Seen
from ddb_assets.parquet.schema import Node, index_name
from ddb_assets.parquet.types import MAX_VARCHAR, SqlType

JSON_NUMBER = (
    r"^-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|[1-9](?:\.[0-9]+)?[eE][+-]?(?:[0-9]|[1-9][0-9]|1[01][0-9]|12[0-5]))$"
)
"""Numbers that stand in JSON as they are and are surely in DynamoDB's range; others take the exact path."""


class Level:
    """The rows of one relation, or the elements of one JSON list: what was decoded of each and whether it may stay.

    `row` is each element's row in `parent`, `lengths` how many elements each row of `parent` has (null: no list).
    """

    def __init__(self, height: int, parent: "Level | None" = None, lengths: pl.Series | None = None) -> None:
        self.height, self.parent = height, parent
        self.lengths = pl.Series(dtype=pl.Int64) if lengths is None else lengths.fill_null(0).cast(pl.Int64)
        self.keys = pl.repeat(0, height, dtype=pl.Int64, eager=True)
        self.bad = pl.repeat(False, height, dtype=pl.Boolean, eager=True)
        self.columns: dict[str, pl.Series] = {}
        self.markers: list[tuple[str, pl.Series]] = []
        self.children: dict[str, Level] = {}

    def refuse(self, rows: pl.Series) -> None:
        """Marks rows for the exact path; null is no mark."""
        self.bad = self.bad | rows.fill_null(False)

    def mark(self, path: tuple[Step, ...], literal: str, rows: pl.Series) -> None:
        """Notes in `_ddb_extra` what a NULL in a column cannot tell: NULL, an empty map, an empty list."""
        if rows.any():
            self.markers.append((f"{orjson.dumps(extra_path(path)).decode()}:{literal}", rows))

    @property
    def row(self) -> pl.Series:
        """The parent's row of each element."""
        rows = pl.int_range(len(self.lengths), dtype=pl.UInt32, eager=True)
        return rows.repeat_by(self.lengths).explode(empty_as_null=False, keep_nulls=False)

    @property
    def index(self) -> pl.Series:
        """The place of each element in its list, from 0."""
        starts = (self.lengths.cum_sum() - self.lengths).gather(self.row)
        return pl.int_range(self.height, eager=True) - starts

    def give_to_parent(self) -> None:
        """Adds the elements' key counts to their rows', and refuses the rows of refused elements."""
        if self.parent is None:
            raise ValueError("a root level has no parent")
        self.parent.keys = self.parent.keys + self._per_row(self.keys)
        if self.bad.any():
            self.parent.refuse(self._per_row(self.bad.cast(pl.Int64)) > 0)

    def _per_row(self, counts: pl.Series) -> pl.Series:
        sums = pl.concat([pl.Series([0], dtype=pl.Int64), counts.cum_sum()])
        ends = self.lengths.cum_sum()
        return sums.gather(ends) - sums.gather(ends - self.lengths)


def extra_path(path: tuple[Step | int, ...]) -> str:
    """A value's key in `_ddb_extra`: its path in the item or element, `$value` for the element itself."""
    return format_path(path) if path else "$value"


def decode_image(root: Node, image: pl.Series, level: Level, seen: Seen) -> None:
    """Decodes one column of whole items (structs of attributes) into the level's columns; null images give nulls."""
    present = image.is_not_null()
    seen.counts["M"] += int(present.sum())
    level.keys = level.keys + present.cast(pl.Int64)
    attributes = image.struct.unnest()  # not `struct.field`, which takes an attribute called `*` for a pattern
    for name, node in root.columnar.items():
        _node(node, attributes.get_column(name), _At(level, (name,), seen.at(name)))


@dataclass
class _At:
    """Where the walk is: the level, the path in its rows, what was seen there; `named` unless it is an element."""

    level: Level
    path: tuple[Step, ...]
    seen: Seen
    named: bool = True

    def below(self, name: str) -> "_At":
        return _At(self.level, (*self.path, name), self.seen.at(name))


@dataclass
class _Payloads:
    """The descriptors of one column of values, each a Series, with a mask of where it is."""

    series: dict[str, pl.Series] = field(default_factory=dict)
    there: dict[str, pl.Series] = field(default_factory=dict)


def _node(node: Node, values: pl.Series, at: _At) -> tuple[pl.Series, pl.Series]:
    """Walks one path; gives (where there is a value, its JSON text if the node is JSON)."""
    payloads = _count(node, values, at)
    present = pl.repeat(False, at.level.height, dtype=pl.Boolean, eager=True)
    for there in payloads.there.values():
        present = present | there
    if "NULL" in payloads.series:
        at.level.refuse(~payloads.series["NULL"])  # {"NULL": false} is nothing DynamoDB has
    if node.kind == "json":
        text = _json(node, payloads, at)
        if node.name:
            at.level.columns[node.name] = text
        return present, text
    if "NULL" in payloads.there:
        at.level.mark(at.path, "null", payloads.there["NULL"])
    match node.kind:
        case "value":
            _value(node, payloads, at)
        case "map":
            _map(node, payloads, at)
        case "list":
            _list(node, payloads, at)
    return present, present


def _count(node: Node, values: pl.Series, at: _At) -> _Payloads:
    """Counts the keys at this path and refuses what has not one descriptor where it must have one."""
    payloads = _Payloads()
    total = pl.repeat(0, at.level.height, dtype=pl.Int64, eager=True)
    by_descriptor = values.struct.unnest()
    for descriptor in node.accepts:
        series = by_descriptor.get_column(descriptor)
        there = series.is_not_null()
        payloads.series[descriptor], payloads.there[descriptor] = series, there
        at.seen.counts[descriptor] += int(there.sum())
        total = total + there.cast(pl.Int64)
    if not at.named:
        at.level.refuse(total != 1)
    elif len(node.accepts) > 1:
        at.level.refuse(total > 1)
    at.level.keys = at.level.keys + (total + (total > 0).cast(pl.Int64) if at.named else total)
    return payloads


def _value(node: Node, payloads: _Payloads, at: _At) -> None:
    type_ = SqlType.parse(node.type or "")
    descriptor = next((d for d in node.accepts if d != "NULL"), None)
    if descriptor is None:
        at.level.columns[node.name or ""] = pl.repeat(None, at.level.height, dtype=type_.polars, eager=True)
        return
    at.level.columns[node.name or ""] = scalar(descriptor, payloads.series[descriptor], type_, at.level, at.seen)


def scalar(descriptor: str, payload: pl.Series, type_: SqlType, level: Level, seen: Seen) -> pl.Series:
    """One column of S, N, B or BOOL payloads in its type; rows that do not fit are refused, sizes go to `seen`."""
    match descriptor:
        case "S":
            size = payload.str.len_bytes()
            level.refuse(size > MAX_VARCHAR)
            seen.max_bytes = max(seen.max_bytes, _largest(size))
            return payload
        case "N":
            return _number(payload, type_, level, seen)
        case "B":
            decoded = payload.str.decode("base64", strict=False)
            level.refuse(decoded.is_null() & payload.is_not_null())
            seen.max_bytes = max(seen.max_bytes, _largest(decoded.bin.size()))
            return decoded
        case _:
            return payload


def _number(payload: pl.Series, type_: SqlType, level: Level, seen: Seen) -> pl.Series:
    seen.max_bytes = max(seen.max_bytes, _largest(payload.str.len_bytes()))
    if type_.name == "BIGINT":
        column = payload.cast(pl.Int64, strict=False)
        for bound in (column.min(), column.max()):
            seen.integer_digits = max(seen.integer_digits, len(str(abs(cast("int", bound or 0)))))
    elif type_.name == "DECIMAL":
        plain = payload.str.contains(rf"^-?[0-9]+(?:\.[0-9]{{1,{type_.scale}}})?$" if type_.scale else r"^-?[0-9]+$")
        column = payload.set(~plain, None).cast(type_.polars, strict=False)
        _digits(payload.filter(column.is_not_null()), seen)
    else:
        column = payload.set(~_json_number(payload), None)
        _digits(column.drop_nulls(), seen)
    level.refuse(column.is_null() & payload.is_not_null())
    return column


def _largest(sizes: pl.Series) -> int:
    return int(cast("int", sizes.max()) or 0) if len(sizes) else 0


def _digits(texts: pl.Series, seen: Seen) -> None:
    """The integer digits and scale of numbers from their plain text (an upper bound where there are zeros or an exponent)."""
    if not len(texts):
        return
    seen.fits_bigint = False
    point = texts.str.find(".", literal=True)
    length = texts.str.len_bytes()
    seen.scale = max(seen.scale, _largest(length - point - 1))
    whole = point.fill_null(length) - texts.str.starts_with("-").cast(pl.UInt32)
    seen.integer_digits = max(seen.integer_digits, _largest(whole))


def _json_number(texts: pl.Series) -> pl.Series:
    return texts.str.contains(JSON_NUMBER) & (texts.str.len_bytes() <= MAX_DIGITS)


def _map(node: Node, payloads: _Payloads, at: _At) -> None:
    inside = payloads.series["M"].struct.unnest()
    filled = pl.repeat(False, at.level.height, dtype=pl.Boolean, eager=True)
    for name, below in node.columnar.items():
        filled = filled | _node(below, inside.get_column(name), at.below(name))[0]
    at.level.mark(at.path, "{}", payloads.there["M"] & ~filled)


def _list(node: Node, payloads: _Payloads, at: _At) -> None:
    descriptor = next(d for d in node.accepts if d != "NULL")
    lists = payloads.series[descriptor]
    lengths = lists.list.len()
    at.level.mark(at.path, "[]", lengths == 0)
    members = lists.explode(empty_as_null=False, keep_nulls=False)
    child = Level(len(members), at.level, lengths)
    if node.element is None:
        child.refuse(members.is_null() | members.is_not_null())
    elif descriptor == "L":
        _node(node.element, members, _At(child, (), at.seen.elements(), named=False))
    else:
        _set_members(node.element, descriptor[0], members, child, at.seen.elements())
    child.columns = {index_name(0): child.index, **child.columns}
    child.give_to_parent()
    at.level.children[node.name or ""] = child


def _set_members(element: Node, descriptor: str, members: pl.Series, child: Level, seen: Seen) -> None:
    child.refuse(members.is_null())
    seen.counts[descriptor] += len(members)  # type: ignore[index]
    child.columns[element.name or ""] = scalar(descriptor, members, SqlType.parse(element.type or ""), child, seen)


def _json(node: Node, payloads: _Payloads, at: _At) -> pl.Series:
    """The JSON text of each value; refuses what JSON could not say exactly."""
    texts = [_json_payload(node, descriptor, series, at) for descriptor, series in payloads.series.items()]
    if not texts:
        return pl.repeat(None, at.level.height, dtype=pl.String, eager=True)
    return texts[0] if len(texts) == 1 else pl.select(pl.coalesce(texts)).to_series()


def _json_payload(node: Node, descriptor: str, series: pl.Series, at: _At) -> pl.Series:
    match descriptor:
        case "S":
            size = series.str.len_bytes()
            at.seen.max_bytes = max(at.seen.max_bytes, _largest(size))
            return json_text.quoted(series)
        case "N":
            at.level.refuse(~_json_number(series))
            return series
        case "B":
            at.level.refuse(series.str.decode("base64", strict=False).is_null() & series.is_not_null())
            return json_text.between('"', series, '"')
        case "BOOL":
            return series.cast(pl.String)
        case "NULL":
            return pl.select(pl.when(series).then(pl.lit("null"))).to_series()
        case "M":
            inside = series.struct.unnest()
            fields = [
                (name, _node(below, inside.get_column(name), at.below(name))[1])
                for name, below in node.columnar.items()
            ]
            inner = json_text.members(fields, at.level.height)
            return json_text.between("{", inner.set(series.is_null(), None), "}")
        case "L":
            members = series.explode(empty_as_null=False, keep_nulls=False)
            child = Level(len(members), at.level, series.list.len())
            element = node.element or Node(kind="json", accepts=())
            below = _At(child, (*at.path, None), at.seen.elements(), named=False)
            _, text = _node(element, members, below)
            child.give_to_parent()
            return json_text.array(text, series.list.len())
        case _:
            return _json_set(descriptor, series, at)


def _json_set(descriptor: str, series: pl.Series, at: _At) -> pl.Series:
    lengths = series.list.len()
    members = series.explode(empty_as_null=False, keep_nulls=False)
    child = Level(len(members), at.level, lengths)
    child.refuse(members.is_null())
    seen = at.seen.elements()
    seen.counts[descriptor[0]] += len(members)  # type: ignore[index]
    # one sort of all members by (row, member): polars sorts list by list thirty times slower
    order = [child.row, members.cast(pl.Float64, strict=False), members] if descriptor == "NS" else [child.row, members]
    members = pl.DataFrame([column.alias(str(place)) for place, column in enumerate(order)]).sort(pl.all()).to_series(-1)
    text = _json_payload(Node(kind="json", accepts=()), descriptor[0], members, _At(child, at.path, seen))
    child.give_to_parent()
    return json_text.array(text, lengths)
