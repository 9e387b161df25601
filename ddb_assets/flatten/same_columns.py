"""Whether rows that were made with one schema are those of another one, apart from the widths of their columns.

While blocks are read, a schema grows in the order in which they come. What all items have together may decide otherwise: the
type of most values, the names that a map has. Then the rows must be made again.
"""

from ddb_assets.flatten.exact import UNKNOWN
from ddb_assets.flatten.schema import ARRAYS, STRINGS, Node, Schema


def same_columns(one: Schema, other: Schema) -> bool:
    """Whether both put every value in the same place. Numbers may be wider in one of them (`parts.align` makes them so)."""
    return _same(one.root, other.root)


def ordered_as(schema: Schema, like: Schema) -> Schema:
    """The schema with its columns in the order of another one that has the same columns."""
    return schema.model_copy(update={"root": _ordered(schema.root, like.root)})


def _same(one: Node, other: Node) -> bool:
    if (one.kind, one.name, one.form) != (other.kind, other.name, other.form):
        return False
    if one.kind == "json":
        return _same_json(one, other)
    if not _same_or_none(one.former, other.former) or not _same_or_none(one.element, other.element):
        return False
    reads, others = (tuple(d for d in node.accepts if d != "NULL") for node in (one, other))
    if reads != others or one.fields.keys() != other.fields.keys():
        return False
    return all(_same(field, other.fields[name]) for name, field in one.fields.items())


def _same_or_none(one: Node | None, other: Node | None) -> bool:
    return one is other if one is None or other is None else _same(one, other)


def _same_json(one: Node, other: Node) -> bool:
    """JSON shows a value whatever the schema knows of it, but for types that look alike the schema says which one it is.

    What the schema does not know reads as an S or an L, as in `ExactPath`.
    """
    for alike, usual in ((STRINGS, {"S"}), (ARRAYS, {"L"})):
        if ({*one.accepts} & alike or usual) != ({*other.accepts} & alike or usual):
            return False
    if (one.element or other.element) and not _same_json(one.element or UNKNOWN, other.element or UNKNOWN):
        return False
    names = one.fields.keys() | other.fields.keys()
    return all(_same_json(one.fields.get(name, UNKNOWN), other.fields.get(name, UNKNOWN)) for name in names)


def _ordered(node: Node, like: Node) -> Node:
    if node.kind == "json":
        return node.model_copy(update={"order": like.order})
    fields = {name: _ordered(field, like.fields[name]) for name, field in node.fields.items()}
    element = node.element and like.element and _ordered(node.element, like.element)
    former = node.former and like.former and _ordered(node.former, like.former)
    return node.model_copy(update={"order": like.order, "fields": fields, "element": element, "former": former})
