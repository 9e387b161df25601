"""How a schema grows by what was seen: the only place that decides what an attribute path becomes.

Growing never takes anything away: a column is added or widened, a descriptor is accepted in addition. A value of a type
that its column cannot widen to is left out of the schema on purpose; flattening keeps it in `_ddb_extra`.
The result depends on what was seen, not on the order in which it was seen within one call.
"""

from collections.abc import Callable
from copy import deepcopy

from ddb_assets.dynamodb.attribute_value import Descriptor, Step, format_path
from ddb_assets.parquet.names import column_name, relation_name
from ddb_assets.parquet.profile import Seen
from ddb_assets.parquet.schema import ARRAYS, DELETED, EXTRA, STRINGS, VERSION, Change, Node, Schema, index_name, walk
from ddb_assets.parquet.types import SqlType, join, numeric, storable, varbyte, varchar
from ddb_assets.table import Table

ORDER: tuple[Descriptor, ...] = ("S", "N", "BOOL", "B", "M", "L", "SS", "NS", "BS", "NULL")
"""Which type a path takes when several were seen equally often."""
SCALARS: frozenset[Descriptor] = frozenset({"S", "N", "BOOL", "B"})
MAX_FLATTEN_DEPTH = 8
MAX_MAP_WIDTH = 100
"""A map with more names than this has data for names (user ids, dates): it becomes one JSON column."""


def extend(schema: Schema, seen: Seen, table: Table, export_id: str | None = None) -> Schema:
    """The schema with everything in `seen` that it can take up; the same object when there is nothing new.

    `version` stays (storing gives the next one); `changes` gains one entry per path, with the key of an item that had it.
    """
    growth = _Growth(schema, table, export_id)
    root = growth.map_fields(schema.root, seen, (), ())
    if root == schema.root:
        return schema
    return schema.model_copy(update={"root": root, "changes": (*schema.changes, *growth.changes)})


class _Growth:
    """One walk over schema and sightings; holds the names given so far."""

    def __init__(self, schema: Schema, table: Table, export_id: str | None) -> None:
        self.schema, self.table, self.export_id = schema, table, export_id
        self.changes: list[Change] = []
        self.relations = {schema.table} | {n.name for _, n in walk(schema.root) if n.kind == "list" and n.name}
        self.order = 1 + max((n.order or 0 for _, n in walk(schema.root)), default=0)
        self.names: dict[tuple[str, ...], set[str]] = {}
        for path, node in schema.columns():
            self.taken(path).add(node.name or "")

    def taken(self, path: tuple[Step, ...]) -> set[str]:
        """The column names in use in the relation that a column at this path belongs to."""
        lists = [position for position, step in enumerate(path) if step is None]
        key_names = {n.name for a in self.schema.key if (n := self.schema.root.fields.get(a)) and n.name}
        start = {VERSION, DELETED, EXTRA, *(index_name(depth) for depth in range(len(lists) + 1)), *key_names}
        return self.names.setdefault(tuple(s or "" for s in path[: lists[-1] + 1]) if lists else (), set(start))

    def grow(self, node: Node | None, seen: Seen, path: tuple[Step, ...], local: tuple[str, ...]) -> Node | None:
        """The node after seeing `seen`; None when no value of any type was there."""
        news = seen.total > seen.counts["NULL"]
        if node is not None and _null_only(node) and news and (node.order or 0) > self.schema.settled:
            self.taken(path).discard(node.name or "")  # nothing stored yet: the path is as good as new
            seen = deepcopy(seen)
            seen.counts["NULL"] += 1
            node = None
        if node is not None:
            steps: dict[str, Callable[..., Node]] = {
                "value": self.value, "map": self.map_fields, "list": self.list_elements, "json": self.json
            }  # fmt: skip
            return steps[node.kind](node, seen, path, local)
        if not seen.total:
            return None
        kind = self.kind(seen, path)
        if kind == "map":
            return self.map_fields(Node(kind="map", accepts=("M",)), seen, path, local)
        if kind == "list":
            primary = _primary(seen)
            name = relation_name(self.schema.table, [s for s in path if s is not None], self.relations)
            self.relations.add(name)
            self.note(path, f"new child relation {name}", seen)
            return self.list_elements(Node(kind="list", accepts=(primary,), name=name), seen, path, local)
        name = column_name(local or ("value",), self.taken(path))
        self.taken(path).add(name)
        if kind == "json":
            new = Node(kind="json", accepts=(), name=name, type="SUPER", order=self.next_order())
            self.note(path, f"new column {name} SUPER", seen)
            return self.json(new, seen, path, local)
        new = Node(kind="value", accepts=(), name=name, order=self.next_order())
        return self.value(new, seen, path, local)

    def kind(self, seen: Seen, path: tuple[Step, ...]) -> str:
        """What a new path becomes: the contract's word first, then the type that is seen most."""
        declared = self.table.nested_at(path)
        primary = _primary(seen)
        if declared == "child" and primary in ARRAYS:
            return "list"
        if primary == "M" and declared != "json":
            depth = len(path) - max((i + 1 for i, s in enumerate(path) if s is None), default=0)
            roomy = depth <= MAX_FLATTEN_DEPTH and len(seen.fields) <= MAX_MAP_WIDTH
            return "map" if roomy or declared == "flatten" else "json"
        return "value" if primary in SCALARS or primary == "NULL" else "json"

    def value(self, node: Node, seen: Seen, path: tuple[Step, ...], local: tuple[str, ...]) -> Node:
        """A scalar: its first type stays; sizes grow; NULL is taken up beside it."""
        primary = next((d for d in node.accepts if d != "NULL"), None)
        if primary is None:
            candidates = (
                ("S", "N") if node.type else ("S", "N", "BOOL", "B")
            )  # a NULL-only column is VARCHAR and stays it
            primary = max((d for d in candidates if seen.counts[d]), key=lambda d: seen.counts[d], default=None)
        accepts = _with_null(tuple(filter(None, [primary])), node, seen)
        type_ = SqlType.parse(node.type) if node.type else None
        if primary and seen.counts[primary] and not (type_ and _fits(type_, primary, seen)):
            wanted = _type_of(primary, seen)
            joined = join(type_, wanted) if type_ else wanted
            type_ = storable(joined) if joined else type_
        elif type_ is None:
            type_ = varchar(0)
        if node.type != str(type_):
            self.note(
                path, f"{node.name} {node.type} -> {type_}" if node.type else f"new column {node.name} {type_}", seen
            )
        return node.model_copy(update={"accepts": accepts, "type": str(type_)})

    def map_fields(self, node: Node, seen: Seen, path: tuple[Step, ...], local: tuple[str, ...]) -> Node:
        """A flattened map: known fields grow, new ones are added, until it is too wide to be a map of attributes."""
        fields = dict(node.fields)
        ahead = set(self.schema.key) if not path else set()
        for name in sorted(
            seen.fields, key=lambda n: (n not in ahead, self.schema.key.index(n) if n in ahead else 0, n)
        ):
            if name not in fields and len(fields) >= MAX_MAP_WIDTH and path and self.table.nested_at(path) != "flatten":
                continue
            grown = self.grow(fields.get(name), seen.fields[name], (*path, name), (*local, name))
            if grown:
                fields[name] = grown
        return node.model_copy(update={"accepts": _with_null(("M",), node, seen) if path else ("M",), "fields": fields})

    def list_elements(self, node: Node, seen: Seen, path: tuple[Step, ...], local: tuple[str, ...]) -> Node:  # noqa: ARG002
        """A child relation: its elements start a relation of their own, so names start anew."""
        accepts = _with_null(tuple(d for d in node.accepts if d != "NULL"), node, seen)
        element = node.element
        if seen.element and any(seen.counts[d] for d in node.accepts):
            element = self.grow(element, seen.element, (*path, None), ())
        return node.model_copy(update={"accepts": accepts, "element": element})

    def json(self, node: Node, seen: Seen, path: tuple[Step, ...], local: tuple[str, ...]) -> Node:
        """A JSON column or a node below one: takes every type that plain JSON can tell from those it takes already."""
        accepts = set(node.accepts)
        for descriptor in sorted(seen.counts, key=lambda d: (-seen.counts[d], ORDER.index(d))):
            alike = next((group for group in (STRINGS, ARRAYS) if descriptor in group), frozenset())
            if seen.counts[descriptor] and not accepts & alike:
                accepts.add(descriptor)
        fields, element = dict(node.fields), node.element
        for name in sorted(seen.fields):
            if name in fields or len(fields) < MAX_MAP_WIDTH:
                start = fields.get(name) or Node(kind="json", accepts=())
                fields[name] = self.json(start, seen.fields[name], (*path, name), local)
        if seen.element:
            element = self.json(element or Node(kind="json", accepts=()), seen.element, (*path, None), local)
        ordered = tuple(d for d in ORDER if d in accepts)
        return node.model_copy(update={"accepts": ordered, "fields": fields, "element": element})

    def next_order(self) -> int:
        """The place of a new column among all of the table's."""
        self.order += 1
        return self.order - 1

    def note(self, path: tuple[Step, ...], what: str, seen: Seen) -> None:
        """Keeps what changed and the item that showed it."""
        self.changes.append(Change(path=format_path(path), what=what, example=seen.example, export_id=self.export_id))


def _primary(seen: Seen) -> Descriptor:
    """The type seen most often, NULL only if nothing else was."""
    return min(
        (d for d in ORDER if seen.counts[d]),
        key=lambda d: (d == "NULL", -seen.counts[d], ORDER.index(d)),
        default="NULL",
    )


def _null_only(node: Node) -> bool:
    return node.kind == "value" and node.accepts == ("NULL",)


def _fits(type_: SqlType, descriptor: Descriptor, seen: Seen) -> bool:
    """Whether the column already holds all that was seen, so that headroom is not added on top of headroom."""
    if type_.name == "BIGINT":
        return seen.fits_bigint
    if type_.name == "DECIMAL":
        return seen.scale <= type_.scale and seen.integer_digits <= type_.size - type_.scale
    return descriptor == "BOOL" or seen.max_bytes <= type_.size


def _with_null(accepts: tuple[Descriptor, ...], node: Node, seen: Seen) -> tuple[Descriptor, ...]:
    return (*accepts, "NULL") if "NULL" in node.accepts or seen.counts["NULL"] else accepts


def _type_of(descriptor: Descriptor, seen: Seen) -> SqlType:
    match descriptor:
        case "N":
            exact = numeric(seen.integer_digits, seen.scale, fits_bigint=seen.fits_bigint)
            return varchar(seen.max_bytes) if exact.name == "VARCHAR" else exact
        case "B":
            return varbyte(seen.max_bytes)
        case "BOOL":
            return SqlType("BOOLEAN")
        case _:
            return varchar(seen.max_bytes)
