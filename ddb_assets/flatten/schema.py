"""The schema document of a table: for every attribute path, the types that it accepts and the column that it becomes.

A schema is a tree of nodes, one per path. The same tree drives the fast path (`fast_path.py`), the exact path (`exact.py`)
and the relations that the warehouse gets. `infer.py` grows it, `schema_store.py` stores it; nothing else changes it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ddb_assets.contract.durable import DurableFormat
from ddb_assets.contract.identity import Identity
from ddb_assets.contract.report import Column, Relation
from ddb_assets.dynamodb.attribute_value import Descriptor
from ddb_assets.errors import DdbAssetsError
from ddb_assets.flatten.names import RESERVED_PREFIX
from ddb_assets.flatten.schema_check import check

VERSION = f"{RESERVED_PREFIX}version"
DELETED = f"{RESERVED_PREFIX}deleted"
EXTRA = f"{RESERVED_PREFIX}extra"
INDEX = f"{RESERVED_PREFIX}index"
HASH = f"{RESERVED_PREFIX}hash"
OLD_HASH = f"{RESERVED_PREFIX}old_hash"
HASH_TYPE = "VARCHAR(32)"

FORMAT = DurableFormat("a schema document")

STRINGS: frozenset[Descriptor] = frozenset({"S", "B"})
ARRAYS: frozenset[Descriptor] = frozenset({"L", "SS", "NS", "BS"})
"""Groups of descriptors that look alike in plain JSON. A JSON node accepts one of each, so that its JSON can be read back."""
PLAIN: frozenset[Descriptor] = frozenset({"S", "N", "BOOL", "NULL", "M", "L"})
"""The descriptors that plain JSON shows by itself."""


class SchemaError(DdbAssetsError):
    """The stored schema of a table does not match the identity or the contract of a run."""


class _SchemaModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Node(_SchemaModel):
    """One attribute path.

    kind value: a scalar column `name` of `type`. map: a map whose `fields` are columns of the same relation. list: a list or
    set whose elements are rows of the child relation `name`; `element` describes them. json: any value, as plain JSON in the
    SUPER column `name`; nodes below a JSON column have no name and no type.
    `accepts` has the descriptors that the fast path reads here. A value of another type goes to `_ddb_extra`; the fast path
    knows the shape of such values from `other`, a JSON node without a name. Without that, the row takes the exact path.
    `opaque`: a JSON column whose maps have dynamic keys, so the fast path takes names that are not among its `fields`.
    `former`: the column that the path had before the contract's `nested` applied. Values that are not the declared list or
    map still go there.
    `order` numbers the columns of the table by when they were first seen. `form` is the form in which the texts of a time
    column are written (`timestamps.py`).
    """

    kind: Literal["value", "map", "list", "json"]
    accepts: tuple[Descriptor, ...]
    name: str | None = None
    type: str | None = None
    form: str | None = None
    order: int | None = None
    fields: dict[str, "Node"] = {}
    element: "Node | None" = None
    other: "Node | None" = None
    former: "Node | None" = None
    opaque: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether this is a column that had only NULL so far, so that its type is provisional."""
        return self.kind == "value" and self.accepts in {(), ("NULL",)}

    @property
    def readers(self) -> "dict[Descriptor, Node]":
        """Every descriptor that the fast path reads here, with the node for what is below it."""
        beside = dict.fromkeys(self.other.accepts, self.other) if self.other else {}
        return {**dict.fromkeys(self.accepts, self), **beside}


class SchemaChange(_SchemaModel):
    """One change of a schema version: what changed at which path, and the item and export that showed it."""

    path: str
    what: str
    example: str | None = None
    export_id: str | None = None


class Schema(_SchemaModel):
    """One version of a table's schema; version 0 is the empty schema, which is not stored.

    Columns with an `order` up to `settled` are in a stored version, so they may contain data. `id` identifies the history:
    all versions that grew from the same first one. `identity` is that of the rows written with this version.
    """

    format: Literal[1] = 1
    table: str
    id: str = ""
    table_arn: str = ""
    identity: Identity | None = None
    version: Annotated[int, Field(ge=0)] = 0
    settled: Annotated[int, Field(ge=0)] = 0
    key: tuple[str, ...]
    root: Node = Node(kind="map", accepts=("M",))
    changes: tuple[SchemaChange, ...] = ()
    created_at: datetime | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        check(self)
        return self

    def relations(self, *, incremental: bool = False, hashed: bool = False) -> tuple[Relation, ...]:
        """The relations, root first, then the child relations in tree order, with their columns as in Parquet.

        Order of columns: key, index, values by `order`, `_ddb_version`, `_ddb_deleted` (only in the root relation of an
        incremental export), `_ddb_extra`, and if the images are `hashed`, `_ddb_hash` and `_ddb_old_hash` of the root.
        """
        keys = tuple(
            Column(name=node.name or "", path=(attribute,), type=node.type or "", role="key")
            for attribute in self.key
            if (node := self.root.fields.get(attribute))
        )
        deleted = (Column(name=DELETED, path=(), type="BOOLEAN", role="deleted"),) if incremental else ()
        hashes = hash_columns(incremental=incremental) if hashed else ()
        root = Relation(
            name=self.table, path=(), columns=(*keys, *_values(self.root, self.key), *_bookkeeping(deleted), *hashes)
        )
        return (root, *_children(self.root, (), keys, ()))

    def columns(self) -> Iterator[tuple[tuple[str | None, ...], str, Node]]:
        """(path, relation, node) of every node that is a column."""
        return _columns(self.root, (), self.table)


def _columns(
    node: Node, path: tuple[str | None, ...], relation: str
) -> Iterator[tuple[tuple[str | None, ...], str, Node]]:
    if node.former:
        yield path, relation, node.former
    if node.kind == "list":
        if node.element:
            yield from _columns(node.element, (*path, None), node.name or "")
    elif node.kind == "map":
        for name, field in node.fields.items():
            yield from _columns(field, (*path, name), relation)
    elif node.name:  # an excluded path has no column
        yield path, relation, node


def walk(node: Node, path: tuple[str | None, ...] = ()) -> Iterator[tuple[tuple[str | None, ...], Node]]:
    """Every node with its path, parents first; former columns after the node that replaced them."""
    yield path, node
    if node.former:
        yield path, node.former
    for name, field in node.fields.items():
        yield from walk(field, (*path, name))
    if node.element:
        yield from walk(node.element, (*path, None))


def index_name(depth: int) -> str:
    """`_ddb_index`: the position in the row's own list; `_ddb_index_1`: that of its ancestor in the outermost list."""
    return INDEX if depth == 0 else f"{INDEX}_{depth}"


def columns_below(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
    """The columns of a relation below its item or element node: values and JSON, through maps but not into lists."""
    if node.former:
        yield path, node.former
    if node.kind in {"value", "json"}:
        if node.name:  # an excluded path has none
            yield path, node
    elif node.kind == "map":
        for name, field in node.fields.items():
            yield from columns_below(field, (*path, name))


def lists_below(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
    """The child relations below an item or element node: lists, through maps but not into other lists."""
    if node.kind == "list":
        yield path, node
    elif node.kind == "map":
        for name, field in node.fields.items():
            yield from lists_below(field, (*path, name))


def _values(node: Node, key: tuple[str, ...] = ()) -> tuple[Column, ...]:
    found = [(path, n) for path, n in columns_below(node) if not (len(path) == 1 and path[0] in key)]
    return tuple(
        Column(name=n.name or "", path=path, type=n.type or "", empty=n.is_empty)
        for path, n in sorted(found, key=lambda f: f[1].order or 0)
    )


def _bookkeeping(deleted: tuple[Column, ...] = ()) -> tuple[Column, ...]:
    version = Column(name=VERSION, path=(), type="BIGINT", role="version")
    return (version, *deleted, Column(name=EXTRA, path=(), type="SUPER", role="extra"))


def hash_columns(*, incremental: bool) -> tuple[Column, ...]:
    """The columns of the images' hashes; a full export has no image from before it."""
    old = (Column(name=OLD_HASH, path=(), type=HASH_TYPE, role="old_hash"),) if incremental else ()
    return (Column(name=HASH, path=(), type=HASH_TYPE, role="hash"), *old)


def _children(
    node: Node, path: tuple[str, ...], keys: tuple[Column, ...], outer: tuple[Column, ...]
) -> Iterator[Relation]:
    for below, found in lists_below(node):
        element = found.element or Node(kind="map", accepts=("M",))
        own = Column(name=index_name(0), path=(), type="BIGINT", role="index")
        here = (*path, *below)
        columns = (*keys, *outer, own, *_values(element), *_bookkeeping())
        yield Relation(name=found.name or "", path=here, columns=columns)
        ancestor = Column(name=index_name(len(outer) + 1), path=(), type="BIGINT", role="index")
        yield from _children(element, here, keys, (*outer, ancestor))
