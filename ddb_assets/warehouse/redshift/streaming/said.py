"""The queries of a table's tail over the records of its stream: the same tables that a drained tail has, as views.

    records of the table ─► typed keys and times ─► newest of each key ─► deletes
                                                                      └─► items ─► columns ─► and what they do not hold

A row has its values in columns where SQL can type them exactly (`typed.py`). To know that nothing is missing, the bytes of the
attributes that columns hold are added up: if that is less than the whole item has, the item is in `_ddb_extra` as `$raw`, as
the record has it. So an attribute that nobody has seen before is never lost.
"""
# ruff: noqa: S608  -- names come from quoted(), types from SqlType, texts from literal()

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.report import Relation
from ddb_assets.flatten.schema import EXTRA, VERSION, Node, Schema, index_name
from ddb_assets.warehouse.redshift.streaming.typed import member, text, value
from ddb_assets.warehouse.sql.statements import MAX_NAME, TableName, literal, quoted

RAW = "$raw"
"""The member of `_ddb_extra` with an item or a list element in DynamoDB JSON."""
_KEY_BYTES = (
    2048  # the longest key (DynamoDB Developer Guide, "Quotas"): a longer one than the table has must not be cut
)
_WHOLE = "image"  # the column of these queries with an item or element as the record has it


@dataclass(frozen=True)
class Records:
    """Where the records of a table are: the materialized view, the table's name in DynamoDB, and the table of its limit."""

    view: TableName
    table: str
    settled: TableName


def micros(record: str) -> str:
    """The time of a record's write in microseconds; NULL without one. The size of the number shows its unit."""
    stamp = text(member(member(record, "dynamodb"), "ApproximateCreationDateTime"))
    return (
        f"CASE WHEN {stamp} ~ '^[0-9]{{16,17}}$' THEN CAST({stamp} AS BIGINT) "
        f"WHEN {stamp} ~ '^[0-9]{{1,15}}$' THEN CAST({stamp} AS BIGINT) * 1000 END"
    )


def _dated(records: Records, schema: Schema, types: Mapping[str, SqlType]) -> str:
    """The records of the table: its key columns, the time of the write, and the item after it."""
    record = 'm."record"'
    change = member(record, "dynamodb")
    keys = "".join(
        f", {_key(member(member(change, 'Keys'), name), schema.root.fields[name], types)} AS {quoted(name_of(schema, name))}"
        for name in schema.key
    )
    return (
        f'SELECT m."sequence_number", {text(member(record, "eventName"))} AS "event", {micros(record)} AS "{VERSION}", '
        f'{member(change, "NewImage")} AS "{_WHOLE}"{keys} FROM {records.view} AS m '
        f"WHERE {text(member(record, 'tableName'))} = {literal(records.table)}"
    )


def name_of(schema: Schema, key: str) -> str:
    """The column of a key attribute."""
    return schema.root.fields[key].name or ""


def _key(reference: str, node: Node, types: Mapping[str, SqlType]) -> str:
    kind = types[node.name or ""]
    wide = SqlType("VARCHAR", _KEY_BYTES) if kind.name == "VARCHAR" else kind
    return value(reference, node.accepts, node.form, wide) or f"CAST(NULL AS {wide})"


def _readable(schema: Schema) -> str:
    keys = "".join(f" AND {quoted(name_of(schema, name))} IS NOT NULL" for name in schema.key)
    put = f"\"event\" IN ('INSERT', 'MODIFY') AND JSON_TYPEOF(\"{_WHOLE}\") = 'object'"
    return f'"{VERSION}" IS NOT NULL{keys} AND ("event" = \'REMOVE\' AND "{_WHOLE}" IS NULL OR {put})'


def count_unreadable(records: Records, schema: Schema, types: Mapping[str, SqlType]) -> str:
    """How many records of the table are no changes, or have a key that its key columns do not hold."""
    found = _readable(schema)
    return f"SELECT COUNT(*) - COUNT(CASE WHEN {found} THEN 1 END) FROM ({_dated(records, schema, types)}) AS r"


def _newest(records: Records, schema: Schema, types: Mapping[str, SqlType]) -> str:
    """The newest record of each key, of those that exports do not cover yet."""
    keys = ", ".join(quoted(name_of(schema, name)) for name in schema.key)
    order = f'"{VERSION}" DESC, LPAD("sequence_number", 128, \'0\') DESC'
    late = f'"{VERSION}" >= (SELECT COALESCE(MAX("settled_before"), 0) FROM {records.settled})'
    return (
        f"SELECT * FROM ({_dated(records, schema, types)}) AS r WHERE {late} AND {_readable(schema)} "
        f"QUALIFY ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {order}) = 1"
    )


def deletes(records: Records, schema: Schema, types: Mapping[str, SqlType]) -> str:
    """The query of the tail's deletes: keys and the time of the delete."""
    names = ", ".join([*(quoted(name_of(schema, name)) for name in schema.key), f'"{VERSION}"'])
    return f"SELECT {names} FROM ({_newest(records, schema, types)}) AS n WHERE \"event\" = 'REMOVE'"


def rows(
    records: Records,
    schema: Schema,
    root_types: Mapping[str, SqlType],
    relation: Relation,
    types: Mapping[str, SqlType],
) -> str:
    """The query of a relation's rows, with the columns `types` in order."""
    node, items = _items(schema, relation, _newest(records, schema, root_types))
    held = list(_held(node, f'u."{_WHOLE}"', f'v."{_WHOLE}"', types, element=bool(relation.path)))
    own = {one.column: one.typed for one in held if one.column}
    keys = [name_of(schema, name) for name in schema.key]
    indexes = [column.name for column in relation.columns if column.role == "index"]
    passed = ", ".join(f"u.{quoted(name)}" for name in [*keys, *indexes, VERSION, _WHOLE])
    typed = "".join(f", {sql} AS {quoted(name)}" for name, sql in own.items() if name not in keys)
    whole = f'v."{_WHOLE}"'
    total = " + ".join([_base(node, relation), *(one.bytes for one in held)])
    extra = f"CASE WHEN {_size(whole)} <> {total} THEN OBJECT({literal(RAW)}, {whole}) END"
    known = {*keys, *indexes, VERSION, *own}
    columns = ", ".join(
        f"{extra} AS {quoted(name)}"
        if name == EXTRA
        else f"v.{quoted(name)}"
        if name in known
        else f"CAST(NULL AS {kind}) AS {quoted(name)}"
        for name, kind in types.items()
    )
    return f"SELECT {columns} FROM (SELECT {passed}{typed} FROM ({items}) AS u) AS v"


def _items(schema: Schema, relation: Relation, newest: str) -> tuple[Node, str]:
    """The node of a relation's rows, and the query of its items or list elements, one to a row."""
    present = f"({newest}) AS n"
    put = "n.\"event\" <> 'REMOVE'"
    if not relation.path:
        return schema.root, f"SELECT * FROM {present} WHERE {put}"
    node, at, members = schema.root, "", f'n."{_WHOLE}"'
    unnested, depth = "", 0
    for found, steps in _lists(schema.root, relation.name):
        for step in steps:
            at = member(members, step)
            members = member(at, "M")
        depth += 1
        unnested += f", {member(at, 'L')} AS e{depth} AT i{depth}"
        node, at, members = found, f"e{depth}", member(f"e{depth}", "M")
    names = ", ".join(f"n.{quoted(name)}" for name in [*(name_of(schema, key) for key in schema.key), VERSION])
    places = ", ".join(f"i{depth - place} AS {quoted(index_name(place))}" for place in range(depth))
    return node, f'SELECT {names}, {places}, e{depth} AS "{_WHOLE}" FROM {present}{unnested} WHERE {put}'


def _lists(node: Node, name: str) -> list[tuple[Node, tuple[str, ...]]]:
    """The lists that lead to the child relation of this name: each with the path from the element of the one before."""
    for path, found in _below(node):
        if found.name == name:
            return [(found, path)]
        if found.element and (inner := _lists(found.element, name)):
            return [(found, path), *inner]
    return []


def _below(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
    if node.kind == "list":
        yield path, node
    elif node.kind == "map":
        for name, field in node.fields.items():
            yield from _below(field, (*path, name))


@dataclass(frozen=True)
class _Held:
    """What columns hold of an item: how many bytes, and for a scalar the column and its value."""

    bytes: str
    column: str = ""
    typed: str = ""


def _base(node: Node, relation: Relation) -> str:
    """The bytes of an item, or of a list element that is a map, around its attributes."""
    if not relation.path:
        return "1"
    element = node.element
    return "7" if element and element.kind == "map" else "0"


def _held(
    node: Node, inner: str, outer: str, types: Mapping[str, SqlType], *, element: bool = False
) -> Iterator[_Held]:
    """What columns hold below an item, or below an element of a list.

    `inner` refers to it where columns are made, `outer` where bytes are counted.
    """
    if not element:
        yield from _fields(node, inner, outer, types)
    elif node.element and node.element.kind == "map":
        yield from _fields(node.element, member(inner, "M"), member(outer, "M"), types)
    elif node.element:
        yield from _one(node.element, inner, outer, 0, types)


def _fields(node: Node, inner: str, outer: str, types: Mapping[str, SqlType]) -> Iterator[_Held]:
    for name, field in node.fields.items():
        if name and "\0" not in name and len(name.encode()) <= MAX_NAME:  # SQL has no longer names
            around = len(json.dumps(name, ensure_ascii=False).encode()) + 2  # a colon, and a comma or brace
            yield from _one(field, member(inner, name), member(outer, name), around, types)


def _one(node: Node, inner: str, outer: str, around: int, types: Mapping[str, SqlType]) -> Iterator[_Held]:
    if node.kind == "map":
        yield _Held(f"CASE WHEN {member(outer, 'M')} IS NOT NULL THEN {around + 7} ELSE 0 END")
        yield from _fields(node, member(inner, "M"), member(outer, "M"), types)
    elif node.kind == "list" and "L" in node.accepts:
        some = f"GET_ARRAY_LENGTH({member(outer, 'L')}) > 0"
        yield _Held(f"CASE WHEN {some} THEN {_size(outer)} + {around} ELSE 0 END")
    elif node.kind == "value" and node.name and node.name in types:
        sql = value(inner, node.accepts, node.form, types[node.name])
        if sql:
            whole = f"CASE WHEN v.{quoted(node.name)} IS NOT NULL THEN {_size(outer)} + {around} ELSE 0 END"
            yield _Held(whole, node.name, sql)


def _size(reference: str) -> str:
    return f"OCTET_LENGTH(JSON_SERIALIZE_TO_VARBYTE({reference}))"
