"""Checks that a schema document is one that flattening can have written, so that no other code has to.

`schema.py` defines the fields. A document that was edited or damaged is refused, with the path that is wrong.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ddb_assets.contract.column_type import SqlType
from ddb_assets.dynamodb.attribute_value import AttributeValueError, Step, format_path

if TYPE_CHECKING:
    from ddb_assets.flatten.schema import Node, Schema

MAX_NAME_BYTES = 127
_FORM = re.compile(r"date|s|ms|us|[T ]\.[0-9](Z|\+00:00)?")
_TIMES = {"DATE", "TIMESTAMP", "TIMESTAMPTZ"}
_OF_TYPES = {
    "BIGINT": {"N", "S"},
    "DECIMAL": {"N", "S"},
    "DOUBLE PRECISION": {"N", "S"},
    "BOOLEAN": {"BOOL"},
    "VARBYTE": {"B"},
    "DATE": {"S"},
    "TIMESTAMP": {"S", "N"},
    "TIMESTAMPTZ": {"S", "N"},
}
"""The descriptors that a column of a type can read; text columns can read any scalar."""


def check(schema: "Schema") -> None:
    """Raises ValueError, which names the path, when the document is not consistent."""
    if len(set(schema.key)) < len(schema.key) or not all(schema.key) or len(schema.key) > 2:
        raise ValueError(f"the key is {schema.key}: one attribute or two different ones")
    if schema.root.kind != "map":
        raise ValueError("its root is not a map")
    for attribute in schema.key:
        node = schema.root.fields.get(attribute)
        if node and not (node.kind == "value" and node.name):
            raise ValueError(f"the key attribute {attribute!r} is not a column")
    _check_node(schema.root, ())
    for relation in schema.relations(incremental=True):
        _check_distinct([column.name for column in relation.columns], f"columns of {relation.name!r}")
    _check_distinct([relation.name for relation in schema.relations()], "relations")


def _check_distinct(names: list[str], what: str) -> None:
    for name, times in Counter(name.lower() for name in names).items():
        if times > 1 or not name or len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES or "\0" in name:
            raise ValueError(f"{times} {what} are called {name!r}")


def _check_node(node: "Node", path: tuple[Step, ...], *, in_json: bool = False) -> None:
    for problem in _problems(node, in_json=in_json):
        raise ValueError(f"{_said(path)}: {problem}")
    below = in_json or node.kind == "json"
    for name, field in node.fields.items():
        _check_node(field, (*path, name), in_json=below)
    if node.element:
        _check_node(node.element, (*path, None), in_json=below)
    if node.other:
        _check_node(node.other, path, in_json=True)
    if node.former:
        _check_node(node.former, path)


def _problems(node: "Node", *, in_json: bool) -> Iterator[str]:
    if in_json:
        if node.kind != "json" or node.name:
            yield "a node below JSON must be JSON without a column"
        return
    if node.kind == "list" and not (node.name and {*node.accepts} & {"L", "SS", "NS", "BS"}):
        yield "a list must have a relation's name, and read lists or sets"
    if node.kind == "map" and (node.name or node.type or "M" not in node.accepts):
        yield "a map is not a column"
    if node.former and not node.former.name:
        yield "its former column has no name"
    if node.kind == "value" and not node.name:
        yield "a column has no name"
    if node.former and (node.kind not in {"map", "list"} or node.former.kind not in {"value", "json"}):
        yield "only a list or a map can have a former column"
    if node.kind in {"value", "json"} and node.name:
        yield from _column_problems(node)


def _column_problems(node: "Node") -> Iterator[str]:
    try:
        type_ = SqlType.parse(node.type or "")
    except ValueError as error:
        yield str(error)
        return
    if node.order is None:
        yield "a column has no order"
    if node.kind == "json" and type_.name != "SUPER":
        yield f"a JSON column is of type {type_}"
    if node.kind == "value" and not {*node.accepts} - {"NULL"} <= _OF_TYPES.get(type_.name, {"S", "N", "B", "BOOL"}):
        yield f"a column of type {type_} cannot read {', '.join(node.accepts)}"
    if node.form and not (_FORM.fullmatch(node.form) and type_.name in _TIMES):
        yield f"{node.form!r} is not a form of {type_}"


def _said(path: tuple[Step, ...]) -> str:
    try:
        return format_path(path) if path else "the root"
    except AttributeValueError:
        return repr(path)
