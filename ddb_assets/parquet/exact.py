"""The exact path: one item at a time, every value to its column, to `_ddb_extra`, or the whole line to quarantine.

It gives for an ordinary item what `decode.py` gives, and for every other what the contract says. It is a few times slower
and is meant for the rows that the fast path hands back.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from ddb_assets.dynamodb.attribute_value import (
    Step,
    binary,
    check,
    number,
    number_text,
    plain,
    split,
)
from ddb_assets.parquet.decode import extra_path
from ddb_assets.parquet.schema import ARRAYS, EXTRA, STRINGS, Node, index_name
from ddb_assets.parquet.types import MAX_VARCHAR, SqlType

TYPES = "$types"
"""The member of `_ddb_extra` that names types which plain JSON and the schema do not tell: path -> descriptor."""
INT64 = range(-(1 << 63), 1 << 63)


class DoesNotFitError(Exception):
    """A value is fine but its column cannot hold it."""


@dataclass
class Row:
    """One row in the making: its columns, what fits none of them, and the rows of its lists by relation name."""

    columns: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    extra_values: int = 0
    children: "dict[str, list[Row]]" = field(default_factory=dict)

    def finish(self) -> dict[str, Any]:
        """The row as a dict of columns, `_ddb_extra` included."""
        extra = {**self.extra, TYPES: self.types} if self.types else self.extra
        return {**self.columns, EXTRA: orjson.dumps(extra).decode() if extra else None}

    def all_extra_values(self) -> int:
        """How many values of the row and of its lists' rows fitted no column."""
        return self.extra_values + sum(c.all_extra_values() for rows in self.children.values() for c in rows)


def item_row(root: Node, item: dict[str, Any]) -> Row:
    """An item (attributes in DynamoDB JSON) as a row. Raises AttributeValueError when it is no DynamoDB JSON."""
    row = Row()
    _fields(root, item, (), row)
    return row


def rows_by_relation(row: Row, name: str, keys: dict[str, Any], depth: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """(relation, columns) for the row itself and all the rows of its lists; `keys` are the columns each of them gets."""
    yield name, {**row.finish(), **keys}
    outer = {**keys, index_name(depth): row.columns[index_name(0)]} if depth else keys
    for relation, rows in row.children.items():
        for child in rows:
            yield from rows_by_relation(child, relation, outer, depth + 1)


def _fields(node: Node, members: dict[str, Any], path: tuple[Step, ...], row: Row) -> None:
    for name, value in members.items():
        field_node = node.fields.get(name)
        if field_node is None:
            _to_extra(value, (*path, name), row)
        else:
            _place(field_node, value, (*path, name), row)


def _place(node: Node, value: object, path: tuple[Step, ...], row: Row) -> None:
    descriptor, payload = split(value, path)
    check(descriptor, payload, path)
    if node.kind == "json":
        row.columns[node.name or ""] = orjson.dumps(plain(value, path)).decode()
        _note_types(node, value, path, row.types)
    elif descriptor == "NULL":
        row.extra[extra_path(path)] = None
    elif descriptor not in node.accepts:
        _to_extra(value, path, row)
    elif node.kind == "map":
        if payload:
            _fields(node, payload, path, row)
        else:
            row.extra[extra_path(path)] = {}
    elif node.kind == "list":
        _list(node, descriptor, payload, path, row)
    else:
        try:
            row.columns[node.name or ""] = scalar(descriptor, payload, SqlType.parse(node.type or ""))
        except DoesNotFitError:
            _to_extra(value, path, row)


def _list(node: Node, descriptor: str, payload: list[Any], path: tuple[Step, ...], row: Row) -> None:
    if not payload:
        row.extra[extra_path(path)] = []
        return
    members = payload if descriptor == "L" else [{descriptor[0]: member} for member in payload]
    rows = row.children.setdefault(node.name or "", [])
    for index, member in enumerate(members):
        child = Row({index_name(0): index})
        if node.element is None:
            _to_extra(member, (), child)
        else:
            _place(node.element, member, (), child)
        rows.append(child)


def scalar(descriptor: str, payload: Any, type_: SqlType) -> Any:
    """A payload in its column's type. Raises DoesNotFitError when the column would not hold it exactly."""
    match descriptor:
        case "S":
            if len(payload.encode()) > MAX_VARCHAR:
                raise DoesNotFitError
            return payload
        case "N":
            return _number(payload, type_)
        case "B":
            return binary(payload)
        case _:
            return payload


def _number(payload: str, type_: SqlType) -> int | Decimal | str:
    value = number(payload)
    if type_.name == "VARCHAR":
        return number_text(payload)
    if type_.name == "BIGINT":
        if value.adjusted() > 19 or value != (whole := int(value)) or whole not in INT64:
            raise DoesNotFitError
        return whole
    try:
        scaled = value.quantize(Decimal(1).scaleb(-type_.scale))
    except InvalidOperation:
        raise DoesNotFitError from None
    if scaled != value or (value and value.adjusted() >= type_.size - type_.scale):
        raise DoesNotFitError
    return scaled


def _to_extra(value: object, path: tuple[Step, ...], row: Row) -> None:
    row.extra[extra_path(path)] = plain(value, path)
    row.extra_values += 1
    _note_types(Node(kind="json", accepts=()), value, path, row.types)


def _note_types(node: Node, value: object, path: tuple[Step | int, ...], types: dict[str, str]) -> None:
    """Names every type below a JSON value that neither JSON itself nor the schema tells a reader."""
    descriptor, payload = split(value, path)
    strings = STRINGS.intersection(node.accepts) or {"S"}
    arrays = ARRAYS.intersection(node.accepts) or {"L"}
    if (descriptor in STRINGS and descriptor not in strings) or (descriptor in ARRAYS and descriptor not in arrays):
        types[extra_path(path)] = descriptor
    unknown = Node(kind="json", accepts=())
    if descriptor == "M":
        for name, member in payload.items():
            _note_types(node.fields.get(name, unknown), member, (*path, name), types)
    elif descriptor == "L":
        for index, member in enumerate(payload):
            _note_types(node.element or unknown, member, (*path, index), types)
