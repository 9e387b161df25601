"""Rebuilds the items of a flattened export, only from its report, its schema document and its Parquet."""

import base64
import io
import json
import re
from decimal import Decimal
from typing import Any

import polars as pl

from ddb_assets.aws.storage import Storage
from ddb_assets.contract.report import Relation, Report
from ddb_assets.flatten import timestamps
from ddb_assets.flatten.schema import EXTRA, INDEX, Node, Schema
from ddb_assets_tests.flatten.texts import N, number_text

ABSENT = object()


def rebuild(out: str, *, texts: bool = False) -> list[dict[str, Any]]:
    """Every item as Python values: str, Decimal, bytes, bool, None, set, list, dict. A deleted row gives only its key.

    With `texts`, a number is an `N` with its text in the Parquet.
    """
    storage = Storage()
    report = Report.model_validate_json(storage.read(f"{out}/report.json"))
    schema = Schema.model_validate_json(storage.read(f"{out}/schema.json"))
    tables = {relation.name: _rows(storage, relation) for relation in report.relations}
    return items_in(schema, report.root, tables, texts=texts)


def items_in(
    schema: Schema, root: Relation, tables: dict[str, list[dict[str, Any]]], *, texts: bool = False
) -> list[dict[str, Any]]:
    """The items of rows by relation name; the rows may come from Parquet or from a warehouse."""
    keys = [column.name for column in root.keys]
    items = [_item(schema.root, row, tables, {k: row[k] for k in keys}, 0, EXTRA) for row in tables[root.name]]
    return items if texts else [by_value(item) for item in items]


def by_value(value: Any) -> Any:
    """Items that were rebuilt with `texts`, with their numbers as Decimals."""
    match value:
        case N():
            return Decimal(value.text)
        case dict():
            return {name: by_value(member) for name, member in value.items()}
        case list() | set():
            return type(value)(map(by_value, value))
        case _:
            return value


def _as_found(value: Any) -> N:
    """A number of a column: its text in a text column, else the text of its value."""
    return N(value if isinstance(value, str) else number_text(str(value)))


def _rows(storage: Storage, relation: Relation) -> list[dict[str, Any]]:
    frames = [pl.read_parquet(io.BytesIO(storage.read(part.uri))) for part in relation.parts]
    for frame in frames:
        assert frame.columns == [column.name for column in relation.columns]
    return [row for frame in frames for row in frame.to_dicts()]


def _item(
    node: Node, row: dict[str, Any], tables: dict[str, Any], where: dict[str, Any], depth: int, extra: str
) -> Any:
    loaded = json.loads(row[extra], parse_float=N, parse_int=N) if row[extra] else {}
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
    return [int(index) if index else re.sub(r"\\(.)", _unescaped, name, flags=re.DOTALL) for index, name in found]


def _unescaped(found: re.Match[str]) -> str:
    return "\0" if found[1] == "0" else found[1]


def _put(value: Any, path: list[str | int], new: Any) -> Any:
    if not path:
        return new
    step, *rest = path
    if isinstance(step, int):
        return [_put(member, rest, new) if place == step else member for place, member in enumerate(value)]
    return {**value, step: _put(value.get(step, {}), rest, new)}


def _value(node: Node, row: Any, tables: Any, where: Any, depth: int, types: Any, path: tuple[Any, ...]) -> Any:
    if node.former and row[node.former.name] is not None:
        return _value(node.former, row, tables, where, depth, types, path)
    if node.kind == "value":
        return _scalar(node, row[node.name])
    if node.kind == "json":
        text = row[node.name]
        if text is None:
            return ABSENT
        plain = json.loads(text, parse_float=N, parse_int=N)
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
    if isinstance(value, float) and "N" in node.accepts:
        return _as_found(repr(value))
    if "N" in node.accepts:
        return _as_found(value)
    return str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


def _unplain(plain: Any, path: tuple[Any, ...], node: Node, row: Any, types: dict[str, str], base: str | None) -> Any:
    """A plain JSON value with its DynamoDB type: from `$types`, else from the schema's node."""
    from ddb_assets.dynamodb.attribute_value import format_path

    if base is not None:
        key = base + (format_path(("x", *path)).removeprefix("x") if path else "")
        if base == "$value" and path:
            key = format_path(path)
    else:
        key = format_path(path) if path else "$value"
    noted = types.get(key)
    if isinstance(plain, str):
        if noted == "S64":
            return base64.b64decode(plain).decode()
        if noted == "N":
            return _as_found(plain)
        kind = noted or ("B" if "B" in node.accepts and "S" not in node.accepts else "S")
        return base64.b64decode(plain) if kind == "B" else plain
    if isinstance(plain, list):
        if noted in {"S[]", "S64[]"}:
            whole = "".join(plain)
            return whole if noted == "S[]" else base64.b64decode(whole).decode()
        if noted == "B[]":
            return base64.b64decode("".join(plain))
        kind = noted or next((d for d in node.accepts if d in {"L", "SS", "NS", "BS"}), "L")
        unknown = Node(kind="json", accepts=())
        if kind != "L":  # members of a set can have types as well
            member = Node(kind="json", accepts=("B",)) if kind == "BS" else unknown
            return {_unplain(p, (*path, i), member, row, types, base) for i, p in enumerate(plain)}
        return [_unplain(p, (*path, i), node.element or unknown, row, types, base) for i, p in enumerate(plain)]
    if isinstance(plain, dict):
        unknown = Node(kind="json", accepts=())
        if noted == "M0":
            plain = {re.sub(r"\\(.)", _unescaped, name, flags=re.DOTALL): p for name, p in plain.items()}
        return {n: _unplain(p, (*path, n), node.fields.get(n, unknown), row, types, base) for n, p in plain.items()}
    return plain
