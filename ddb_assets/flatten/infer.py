"""Grows a schema by what was seen. Only this module decides what an attribute path becomes.

Growing never removes anything that is stored: columns are added or widened, and more descriptors are accepted. A value of a
type that its column cannot widen to does not change the column; flattening keeps the value in `_ddb_extra`.
The result depends on what was seen, not on the order within one call.
"""

from collections import Counter
from collections.abc import Collection
from copy import deepcopy
from dataclasses import replace

from ddb_assets.contract.column_type import SqlType, join, storable, varchar
from ddb_assets.contract.policy import Policy
from ddb_assets.contract.table import Table
from ddb_assets.dynamodb.attribute_value import Descriptor, Step, format_path
from ddb_assets.flatten.key_type import check_declared_keys
from ddb_assets.flatten.names import column_name, relation_name
from ddb_assets.flatten.observed_type import (
    HOLDS,
    KEY_HOLDS,
    ORDER,
    SCALARS,
    declared_form,
    fits,
    observed_type,
    primary,
    scalar_of,
    time_form,
)
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.rules import MASKED
from ddb_assets.flatten.schema import (
    ARRAYS,
    DELETED,
    EXTRA,
    PLAIN,
    STRINGS,
    VERSION,
    Node,
    Schema,
    SchemaChange,
    SchemaError,
    index_name,
    walk,
)
from ddb_assets.flatten.visible import visible

DYNAMIC_KEYS = 16
DYNAMIC_KEYS_FILL = 0.1
"""A map has dynamic keys (user ids, dates) if it has at least this many names and fewer than a tenth are in each map."""
MAX_COLUMNS = 1590
"""The most columns of one relation: a Redshift table can have 1,600 (Redshift, "Quotas and limits"), and
widening a column needs another one."""

MAX_JSON_PATHS = 1000
"""The most paths below one JSON column that the schema names; with more, it is opaque."""


def extend(schema: Schema, seen: Seen, table: Table, export_id: str | None = None) -> Schema:
    """The schema with everything in `seen` that it can hold; the same object when there is nothing new.

    `version` does not change (`next_version` does that). `changes` gets an entry per changed path, with the key of an item
    that showed it. A column gets the type that the contract declares, even if it had another type. Raises SchemaError when
    that changes a stored key, and KeyTypeError for a key type that is not allowed or holds none of the key's values.
    """
    check_declared_keys(schema, table, seen)
    growth = _Growth(schema, table, export_id)
    root = growth.fields(schema.root, visible(seen, table), (), ())
    if root == schema.root:
        return schema
    return schema.model_copy(update={"root": root, "changes": (*schema.changes, *growth.changes)})


def agreed(schema: Schema, table: Table, export_id: str | None = None) -> Schema:
    """The schema adapted to the present contract: the types of masks and declarations, and the declared lists and maps.

    A list or map that was not seen yet is added with its first value (`extend`). Masks and types apply under every contract
    mode. Returns the same object when there is nothing to change.
    """
    growth = _Growth(schema, table, export_id)
    root = growth.agreed(schema.root, ())
    if root == schema.root:
        return schema
    return schema.model_copy(update={"root": root, "changes": (*schema.changes, *growth.changes)})


def decided(schema: Schema, stored: Schema, table: Table) -> Schema:
    """The schema in which every column that had values in `stored` reads some type again, so that it is not empty.

    If the contract changes the kind of a column's type, the next values decide what the column reads (`agreed`). If the
    export had no such values, the column reads the first descriptor that its type holds.
    """
    read = {path for path, _, node in stored.columns() if not node.is_empty}
    root = _Growth(schema, table, None).decided(schema.root, (), read)
    return schema if root == schema.root else schema.model_copy(update={"root": root})


class _Growth:
    """One walk over the schema and what was seen. It keeps the names that are in use.

    `path` is the path in the item; `local` are its names after the last list, from which a column's name is made.
    """

    def __init__(self, schema: Schema, table: Table, export_id: str | None) -> None:
        self.schema, self.table, self.export_id = schema, table, export_id
        self.changes: list[SchemaChange] = []
        self.relations = {schema.table} | {n.name for _, n in walk(schema.root) if n.kind == "list" and n.name}
        self.order = 1 + max((n.order or 0 for _, n in walk(schema.root)), default=0)
        self.names: dict[tuple[str, ...], set[str]] = {}
        for path, _, node in schema.columns():
            self.taken(path).add(node.name or "")

    def taken(self, path: tuple[Step, ...]) -> set[str]:
        """The column names in use in the relation of this path."""
        lists = [position for position, step in enumerate(path) if step is None]
        key_names = {n.name for a in self.schema.key if (n := self.schema.root.fields.get(a)) and n.name}
        start = {VERSION, DELETED, EXTRA, *(index_name(depth) for depth in range(len(lists) + 1)), *key_names}
        return self.names.setdefault(tuple(s or "" for s in path[: lists[-1] + 1]) if lists else (), set(start))

    def grow(self, node: Node | None, seen: Seen, path: tuple[Step, ...], local: tuple[str, ...]) -> Node | None:
        """The node with `seen` added; None when the path gets no node."""
        policy = self.table.policy(path)
        if not seen.total:
            return node
        if self.schema.version and policy.contract != "evolve":
            return node and self.nullable(node, seen, path)
        if node is not None and self.is_open(node, seen, policy):
            self.taken(path).discard(node.name or "")
            if "NULL" in node.accepts:
                seen = deepcopy(seen)
                seen.counts["NULL"] += 1
            node = None
        if node is None:
            node = self.new(seen, path, local, policy)
            if node is None or not self.redeclares(node, seen.counts, path):
                return node
        if descriptor := self.redeclares(node, seen.counts, path):
            node = self.redeclared(node, descriptor, path, seen)
        if node.former and node.former.kind == "value":
            node = node.model_copy(update={"former": self.value(node.former, seen, path, policy)})
        match node.kind:
            case "value":
                return self.beside(self.value(node, seen, path, policy), seen, path)
            case "map":
                return self.beside(self.map(node, seen, path, local), seen, path)
            case "list":
                return self.beside(self.list(node, seen, path), seen, path)
            case _:
                return self.column_of_json(node, seen, path)

    def beside(self, node: Node, seen: Seen, path: tuple[Step, ...]) -> Node:
        """The node with the shape (`other`) of the values at its path that fit no column, as far as plain JSON shows types."""
        here = PLAIN - {*node.accepts, *(node.former.accepts if node.former else ()), "NULL"}
        left = replace(seen, counts=Counter({d: count for d, count in seen.counts.items() if d in here}))
        if node.kind == "json" or not left.total:
            return node
        left.fields = seen.fields if left.counts["M"] else {}
        left.element = seen.element if left.counts["L"] else None
        other = self.json(node.other or Node(kind="json", accepts=()), left, path, among=PLAIN)
        if node.other is None:
            self.note(path, f"{', '.join(other.accepts)} fits no column and is kept in {EXTRA}", seen)
        return node.model_copy(update={"other": other})

    def is_open(self, node: Node, seen: Seen, policy: Policy) -> bool:
        """Whether a path counts as new: it was excluded, or it had only NULL, which any column can hold."""
        if node.kind == "json" and node.name is None:
            return not policy.exclude
        return node.is_empty and policy.type in {None, "SUPER"} and seen.total > seen.counts["NULL"]

    def agreed(self, node: Node, path: tuple[Step, ...]) -> Node:
        """The node and everything below it, adapted as the function `agreed` says."""
        if node.name and node.kind != "list":
            descriptor = self.redeclares(node, Counter(dict.fromkeys(node.readers, 1)), path)
            column = self.retyped(node, path)
            return self.redeclared(column, descriptor, path, Seen()) if descriptor else column
        fields = {name: self.agreed(field, (*path, name)) for name, field in node.fields.items()}
        element = node.element and self.agreed(node.element, (*path, None))
        former = node.former and self.retyped(node.former, path)
        return node.model_copy(update={"fields": fields, "element": element, "former": former})

    def retyped(self, node: Node, path: tuple[Step, ...]) -> Node:
        """A stored column with the type of its mask or its declaration.

        If the kind of type changes, the next values decide what the column reads, unless the contract does not allow growth.
        """
        policy = self.table.policy(path)
        if node.kind != "value" or not _column_type(policy):
            return node.model_copy(update={"other": None}) if node.is_empty else node  # it counts as new (`is_open`)
        if policy.contract == "evolve":
            return self.value(node, Seen(), path, policy)
        column = self.value(node, Seen(counts=Counter(node.accepts)), path, policy)
        return column if node.is_empty else self.decided(column, path, {path})

    def decided(self, node: Node, path: tuple[Step, ...], read: Collection[tuple[Step, ...]]) -> Node:
        """The node and everything below it, changed as the function `decided` says."""
        if node.kind == "value" and node.is_empty and path in read:
            type_, keyed = SqlType.parse(node.type or ""), len(path) == 1 and path[0] in self.schema.key
            found = (KEY_HOLDS if keyed else HOLDS)[type_.name][0]
            form = None if self.table.policy(path).mask else declared_form(Seen(), found, type_, node.form)
            return node.model_copy(update={"accepts": (found, *node.accepts), "form": form})
        fields = {name: self.decided(field, (*path, name), read) for name, field in node.fields.items()}
        element = node.element and self.decided(node.element, (*path, None), read)
        former = node.former and self.decided(node.former, path, read)
        return node.model_copy(update={"fields": fields, "element": element, "former": former})

    def redeclares(self, node: Node, counts: Counter[Descriptor], path: tuple[Step, ...]) -> Descriptor | None:
        """The most frequent type of values that no longer belong in this column by the contract's `nested`; None if none."""
        if node.kind not in {"value", "json"} or node.name is None:
            return None
        match self.table.nested_at(path):
            case "child":
                return max((d for d in ORDER if d in ARRAYS and counts[d]), key=lambda d: counts[d], default=None)
            case "flatten" if counts["M"]:
                return "M"
        return None

    def redeclared(self, node: Node, descriptor: Descriptor, path: tuple[Step, ...], seen: Seen) -> Node:
        """A list or map, as the contract says. The present column stays as its `former` node and keeps its values."""
        if descriptor == "M":
            self.note(path, f"maps are columns from now on, other values stay in {node.name}", seen)
            return Node(kind="map", accepts=("M",), former=node)
        name = relation_name(self.schema.table, [s for s in path if s is not None], self.relations)
        self.relations.add(name)
        self.note(path, f"new child relation {name}; other values stay in {node.name}", seen)
        return Node(kind="list", accepts=(descriptor,), name=name, former=node)

    def nullable(self, node: Node, seen: Seen, path: tuple[Step, ...]) -> Node:
        """The node with NULL accepted, which every column can hold, even if the contract does not allow growth."""
        if node.kind == "json":
            return node
        accepts = self.with_null(tuple(d for d in node.accepts if d != "NULL"), node, seen, path)
        return node.model_copy(update={"accepts": accepts})

    def new(self, seen: Seen, path: tuple[Step, ...], local: tuple[str, ...], policy: Policy) -> Node | None:
        """The node of a new path; None when its relation already has the most columns that a table can have."""
        kind = self.kind(seen, path, policy)
        if kind == "map":
            return self.fields(Node(kind="map", accepts=self.with_null(("M",), None, seen, path)), seen, path, local)
        if kind == "list":
            name = relation_name(self.schema.table, [s for s in path if s is not None], self.relations)
            self.relations.add(name)
            self.note(path, f"new child relation {name}", seen)
            return self.list(Node(kind="list", accepts=(primary(seen),), name=name), seen, path)
        if policy.exclude:
            self.note(path, "excluded", seen)
            return self.column_of_json(Node(kind="json", accepts=()), seen, path)
        if len(self.taken(path)) >= MAX_COLUMNS:
            return None
        name = policy.rename or column_name(local or ("value",), self.taken(path))
        if policy.rename in self.taken(path):
            raise SchemaError(f"{format_path(path)}: `rename: {policy.rename}` is the name of another column")
        self.taken(path).add(name)
        self.order += 1
        if kind == "json":
            self.note(path, f"new column {name} SUPER", seen)
            return self.column_of_json(
                Node(kind="json", accepts=(), name=name, type="SUPER", order=self.order - 1), seen, path
            )
        return self.value(Node(kind="value", accepts=(), name=name, order=self.order - 1), seen, path, policy)

    def kind(self, seen: Seen, path: tuple[Step, ...], policy: Policy) -> str:
        """The kind of node for a new path: what the contract declares, else by the type that was seen most often."""
        declared, found = self.table.nested_at(path), primary(seen)
        if policy.exclude or declared == "json" or policy.type == "SUPER":
            return "json"
        if declared == "child" and found in ARRAYS:
            return "list"
        if policy.type:
            return "value"
        if found == "M":
            return "map" if self.is_flat(seen, path) else "json"
        return "value" if found in SCALARS or found == "NULL" else "json"

    def is_flat(self, seen: Seen, path: tuple[Step, ...]) -> bool:
        """Whether the members of a map become columns: it is declared so, or not too deep, too wide or with dynamic keys."""
        if self.table.nested_at(path) == "flatten":
            return True
        depth = len(path) - max((i + 1 for i, s in enumerate(path) if s is None), default=0)
        return depth <= self.table.max_depth and not self.is_crowded(seen)

    def is_crowded(self, seen: Seen) -> bool:
        """Whether a map has dynamic keys or more names than `max_width`."""
        fill = sum(field.total for field in seen.fields.values()) / max(1, len(seen.fields) * seen.counts["M"])
        dynamic_keys = len(seen.fields) >= DYNAMIC_KEYS and fill < DYNAMIC_KEYS_FILL
        return dynamic_keys or seen.width > self.table.max_width

    def value(self, node: Node, seen: Seen, path: tuple[Step, ...], policy: Policy) -> Node:
        """A column of scalars: the first type stays, sizes grow, NULL is accepted in addition."""
        found: Descriptor | None = next((d for d in node.accepts if d != "NULL"), None)
        keyed = len(path) == 1 and path[0] in self.schema.key
        holds = KEY_HOLDS if keyed else HOLDS
        if found is None:
            found = scalar_of(seen, policy, holds)
        stored = SqlType.parse(node.type) if node.type else None
        type_, form = stored or varchar(0), node.form
        if wanted := _column_type(policy):
            type_ = self.declared(node, stored, wanted, path, keyed=keyed)
            if stored and not policy.mask and join(stored, type_) != type_:  # another kind of type
                found, node = scalar_of(seen, policy, holds), node.model_copy(update={"form": None, "other": None})
            form = None if policy.mask else declared_form(seen, found, type_, node.form)
        elif found and seen.counts[found]:
            type_, form = self.observed(node, found, seen, may_be_time=self.table.timestamps and not keyed)
        if str(type_) != node.type:
            self.note(
                path, f"{node.name} {node.type} -> {type_}" if node.type else f"new column {node.name} {type_}", seen
            )
        accepts = self.with_null((found,) if found else (), node, seen, path)
        return node.model_copy(update={"accepts": accepts, "type": str(type_), "form": form})

    def declared(
        self, node: Node, stored: SqlType | None, wanted: SqlType, path: tuple[Step, ...], *, keyed: bool
    ) -> SqlType:
        """The type that the contract gives a column. A mask stays in an existing text column, even a wider one."""
        joined = join(stored, wanted) if stored else wanted
        if stored is None or (node.order or 0) > self.schema.settled or joined == wanted:
            return wanted
        if keyed:
            raise SchemaError(
                f"{format_path(path)}: key column {node.name} is {stored} in the stored schema and cannot become {wanted}: "
                "existing rows would not be found; give the table another name with `name`"
            )
        return joined if joined and wanted == MASKED and stored.name == "VARCHAR" else wanted

    def observed(self, node: Node, found: Descriptor, seen: Seen, *, may_be_time: bool) -> tuple[SqlType, str | None]:
        """The type that holds the column's values and what was seen, and the form of its times, if it has times."""
        stored = SqlType.parse(node.type) if node.type else None
        if found == "S" and (node.form or (may_be_time and stored is None)):
            form = time_form(seen, stored, node.form)
            settled = node.form and (node.order or 0) <= self.schema.settled
            if form and (settled or not seen.forms[""]):
                return observed_type("S", seen, form), form
            stored = None  # not all texts are times, and no value of the column is stored yet
        if stored and fits(stored, found, seen):
            return stored, None
        wanted = observed_type(found, seen, None)
        joined = join(stored, wanted) if stored else wanted
        return storable(joined or stored or wanted), None

    def map(self, node: Node, seen: Seen, path: tuple[Step, ...], local: tuple[str, ...]) -> Node:
        """A flattened map: its fields grow and new ones are added. A new map that is too wide becomes JSON instead."""
        width = max(len(node.fields.keys() | seen.fields.keys()), seen.width)
        stored = any((n.order or 0) <= self.schema.settled for _, n in walk(node) if n.order)
        if width > self.table.max_width and not stored and self.table.nested_at(path) != "flatten":
            return self.new(seen, path, local, self.table.policy(path)) or node
        return self.fields(node, seen, path, local)

    def fields(self, node: Node, seen: Seen, path: tuple[Step, ...], local: tuple[str, ...]) -> Node:
        """A flattened map, or the item itself, with its fields grown.

        New ones have an order: key attributes, then declared ones as in the contract, then the others by name.
        """
        fields = dict(node.fields)
        keys = self.schema.key if not path else ()
        limit = self.table.max_width if path and self.table.nested_at(path) != "flatten" else None
        rank = {name: place for place, name in enumerate(dict.fromkeys((*keys, *self.table.declared_below(path))))}
        for name in sorted(seen.fields, key=lambda n: (rank.get(n, len(rank)), n)):
            if limit is not None and name not in fields and len(fields) >= limit:
                continue
            grown = self.grow(fields.get(name), seen.fields[name], (*path, name), (*local, name))
            if grown:
                fields[name] = grown
        accepts = self.with_null(("M",), node, seen, path) if path else node.accepts
        return node.model_copy(update={"accepts": accepts, "fields": fields})

    def list(self, node: Node, seen: Seen, path: tuple[Step, ...]) -> Node:
        """A child relation with its elements grown. Column names there are independent of those above it."""
        accepts = self.with_null(tuple(d for d in node.accepts if d != "NULL"), node, seen, path)
        element = node.element
        if seen.element and any(seen.counts[d] for d in node.accepts):
            element = self.grow(element, seen.element, (*path, None), ())
        return node.model_copy(update={"accepts": accepts, "element": element})

    def column_of_json(self, node: Node, seen: Seen, path: tuple[Step, ...]) -> Node:
        """A JSON column, grown. It becomes opaque if it has dynamic keys, very many paths, or excluded paths."""
        if node.opaque:
            return node
        grown = self.json(node, seen, path)
        paths = sum(1 for _ in walk(grown))
        crowded = paths > MAX_JSON_PATHS or any(self.is_crowded(here) for _, here in seen.walk())
        secret = self.table.policy(path).exclude and bool(seen.counts["M"] + seen.counts["L"])
        return grown.model_copy(update={"opaque": (crowded and node.name is not None) or secret})

    def json(self, node: Node, seen: Seen, path: tuple[Step, ...], among: Collection[Descriptor] = ORDER) -> Node:
        """A JSON column or a node below one. It accepts every type that plain JSON distinguishes from the accepted ones."""
        accepts = set(node.accepts)
        for descriptor in sorted(seen.counts, key=lambda d: (-seen.counts[d], ORDER.index(d))):
            alike = next((group for group in (STRINGS, ARRAYS) if descriptor in group), frozenset())
            if seen.counts[descriptor] and descriptor in among and not accepts & alike:
                accepts.add(descriptor)
        fields, element = dict(node.fields), node.element
        for name in sorted(seen.fields):
            if name in fields or len(fields) < self.table.max_width:
                start = fields.get(name) or Node(kind="json", accepts=())
                fields[name] = self.json(start, seen.fields[name], (*path, name), among)
        if seen.element:
            element = self.json(element or Node(kind="json", accepts=()), seen.element, (*path, None), among)
        ordered = tuple(d for d in ORDER if d in accepts)
        if node.accepts and ordered != node.accepts:
            self.note(path, f"may also be {', '.join(d for d in ordered if d not in node.accepts)}", seen)
        return node.model_copy(update={"accepts": ordered, "fields": fields, "element": element})

    def with_null(
        self, accepts: tuple[Descriptor, ...], node: Node | None, seen: Seen, path: tuple[Step, ...]
    ) -> tuple[Descriptor, ...]:
        """The descriptors, with NULL if it was accepted before or was seen."""
        if node is not None and "NULL" in node.accepts:
            return (*accepts, "NULL")
        if not seen.counts["NULL"]:
            return accepts
        if node is not None and node.accepts:
            self.note(path, "may also be NULL", seen)
        return (*accepts, "NULL")

    def note(self, path: tuple[Step, ...], what: str, seen: Seen) -> None:
        """Records a change with the key of the item that showed it."""
        self.changes.append(
            SchemaChange(path=format_path(path), what=what, example=seen.example, export_id=self.export_id)
        )


def _column_type(policy: Policy) -> SqlType | None:
    """The type that the contract gives a column of scalars: that of the mask, else the declared one, else None."""
    if policy.mask:
        return MASKED
    return storable(SqlType.parse(policy.type)) if policy.type and policy.type != "SUPER" else None
