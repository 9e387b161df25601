"""Rebuilds the items from a flattened export, from nothing but its report, its schema document and its Parquet."""

import base64
import io
import json
import re
from decimal import Decimal
from typing import Any

import polars as pl

from ddb_assets.parquet import timestamps
from ddb_assets.parquet.report import Relation, Report
from ddb_assets.parquet.schema import EXTRA, INDEX, Node, Schema
from ddb_assets.resources.storage import Storage

ABSENT = object()


def rebuild(out: str) -> list[dict[str, Any]]:
    """Every item as Python values: str, Decimal, bytes, bool, None, set, list, dict. Deleted rows give their key only."""
    storage = Storage()
    report = Report.model_validate_json(storage.read(f"{out}/report.json"))
    schema = Schema.model_validate_json(storage.read(f"{out}/schema.json"))
    tables = {relation.name: _rows(storage, relation) for relation in report.relations}
    return items_in(schema, report.root, tables)


def items_in(schema: Schema, root: Relation, tables: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The items of rows by relation name, wherever the rows were read."""
    keys = [column.name for column in root.keys]
    return [_item(schema.root, row, tables, {k: row[k] for k in keys}, 0, EXTRA) for row in tables[root.name]]


def _rows(storage: Storage, relation: Relation) -> list[dict[str, Any]]:
    frames = [pl.read_parquet(io.BytesIO(storage.read(part.uri))) for part in relation.parts]
    for frame in frames:
        assert frame.columns == [column.name for column in relation.columns]
    return [row for frame in frames for row in frame.to_dicts()]


def _item(
    node: Node, row: dict[str, Any], tables: dict[str, Any], where: dict[str, Any], depth: int, extra: str
) -> Any:
    loaded = json.loads(row[extra], parse_float=Decimal, parse_int=Decimal) if row[extra] else {}
    types = loaded.pop("$types", {})
    value = _value(node, row, tables, where, depth, types, ())
    for text, plain in loaded.items():
        rebuilt = _unplain(plain, (), Node(kind="json", accepts=()), {}, types, text)
        value = _put({} if value is ABSENT else value, steps(text), rebuilt)
    return value


def steps(text: str) -> list[str | int]:
    """`a\\.b[3].c` -> ["a.b", 3, "c"]; `$value` -> []."""
    if text == "$value":
        return []
    found = re.findall(r"\[([0-9]+)\]|(?:^|\.)((?:\\.|[^.\[\\])*)", text, re.DOTALL)
    return [int(index) if index else re.sub(r"\\(.)", r"\1", name, flags=re.DOTALL) for index, name in found]


def _put(value: Any, path: list[str | int], new: Any) -> Any:
    if not path:
        return new
    step, *rest = path
    if isinstance(step, int):
        return [_put(member, rest, new) if place == step else member for place, member in enumerate(value)]
    return {**value, step: _put(value.get(step, {}), rest, new)}


def _value(node: Node, row: Any, tables: Any, where: Any, depth: int, types: Any, path: tuple[Any, ...]) -> Any:
    if node.kind == "value":
        return _scalar(node, row[node.name])
    if node.kind == "json":
        text = row[node.name]
        if text is None:
            return ABSENT
        plain = json.loads(text, parse_float=Decimal, parse_int=Decimal)
        return _unplain(plain, path, node, row, types, None)
    if node.kind == "map":
        fields = {
            name: value
            for name, below in node.fields.items()
            if (value := _value(below, row, tables, where, depth, types, (*path, name))) is not ABSENT
        }
        return fields if fields or not path else ABSENT
    rows = [r for r in tables[node.name] if all(r[k] == v for k, v in where.items())]
    if not rows:
        return ABSENT
    members = []
    for child in sorted(rows, key=lambda r: r[INDEX]):
        inner = {**where, f"{INDEX}_{depth + 1}": child[INDEX]}
        members.append(_item(node.element or Node(kind="json", accepts=()), child, tables, inner, depth + 1, EXTRA))
    assert [r[INDEX] for r in sorted(rows, key=lambda r: r[INDEX])] == list(range(len(rows)))
    return set(members) if node.accepts[0] != "L" else members


def _scalar(node: Node, value: Any) -> Any:
    if value is None:
        return ABSENT
    if node.form:
        text = timestamps.write(value, node.form)
        return Decimal(text) if "N" in node.accepts else text
    if "N" in node.accepts:
        return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


def _unplain(plain: Any, path: tuple[Any, ...], node: Node, row: Any, types: dict[str, str], base: str | None) -> Any:
    """A plain JSON value with its DynamoDB type: from `$types`, else as the schema's node says."""
    from ddb_assets.dynamodb.attribute_value import format_path

    if base is not None:
        key = base + (format_path(("x", *path)).removeprefix("x") if path else "")
        if base == "$value" and path:
            key = format_path(path)
    else:
        key = format_path(path) if path else "$value"
    told = types.get(key)
    if isinstance(plain, str):
        kind = told or ("B" if "B" in node.accepts and "S" not in node.accepts else "S")
        return base64.b64decode(plain) if kind == "B" else plain
    if isinstance(plain, list):
        if told == "S[]":
            return "".join(plain)
        kind = told or next((d for d in node.accepts if d in {"L", "SS", "NS", "BS"}), "L")
        if kind == "BS":
            return {base64.b64decode(p) for p in plain}
        if kind != "L":
            return set(plain)
        unknown = Node(kind="json", accepts=())
        return [_unplain(p, (*path, i), node.element or unknown, row, types, base) for i, p in enumerate(plain)]
    if isinstance(plain, dict):
        unknown = Node(kind="json", accepts=())
        return {n: _unplain(p, (*path, n), node.fields.get(n, unknown), row, types, base) for n, p in plain.items()}
    return Decimal(plain) if isinstance(plain, int | Decimal) and not isinstance(plain, bool) else plain
