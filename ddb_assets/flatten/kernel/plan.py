"""Compiles a schema and a contract to the plan of the kernel: what becomes of each type of value at each attribute path.

A plan only says what is ordinary. For everything else its action is `HAND_BACK`: the line goes to the exact path
(`exact.py`), whose result the kernel must have for every line that it keeps. `kernel.cpp` reads the tuples made here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

import orjson

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.policy import Policy
from ddb_assets.contract.report import Column
from ddb_assets.dynamodb.attribute_value import Descriptor, Step, format_path, parse_path
from ddb_assets.flatten.exact import UNKNOWN, is_beside
from ddb_assets.flatten.observed_type import HOLDS, SCALARS
from ddb_assets.flatten.rules import DISCARDED, WHAT_HAPPENS, Rules
from ddb_assets.flatten.schema import ARRAYS, DELETED, PLAIN, STRINGS, VERSION, Node, Schema
from ddb_assets.flatten.super_value import extra_path
from ddb_assets.flatten.timestamps import DATE_FORM, EPOCH_UNITS

DESCRIPTORS: tuple[Descriptor, ...] = ("S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS")
"""In the order of `plan.hpp`, as are the members of the enumerations below."""
TYPES = ("BIGINT", "DECIMAL", "DOUBLE PRECISION", "BOOLEAN", "VARCHAR", "VARBYTE", "TIMESTAMP", "TIMESTAMPTZ", "DATE")
MASKS = (None, "sha256", "hmac", "drop")
FORMS = (None, DATE_FORM, "", *EPOCH_UNITS)
ZONES = ("", "Z", "+00:00")
UNSEEN, NOT_A_KEY = -1, -2
"""Slots of a key attribute that has no column: no line had it, or its column cannot be a key's."""
NONE = -1
LAYOUT = 1
"""The number of the tuples' layout; that of the compiled module must be the same (`plan.hpp`)."""


class Action(IntEnum):
    """What becomes of a value."""

    HAND_BACK, SKIP, SCALAR, FIELDS, ROWS, JSON, MARK, EXTRA, DISCARD = range(9)


@dataclass
class Spec:
    """A node of the plan. The fields are those of `Node` in `plan.hpp`, whose comments say what they mean."""

    where: tuple[Step, ...]
    actions: dict[Descriptor, Action] = field(default_factory=dict)
    type: SqlType | None = None
    limit: int = 0
    form: str | None = None
    loose: bool = False
    epochs: bool = False
    mask: str | None = None
    key_attribute: bool = False
    omitted: bool = False
    open: bool = False
    column: int = NONE
    relation: int = NONE
    element: int = NONE
    other: int = NONE
    misfit: int = NONE
    path: str | None = None
    fields: dict[str, int] = field(default_factory=dict)

    def packed(self) -> tuple[object, ...]:
        """The tuple that `kernel.cpp` reads."""
        type_ = self.type or SqlType("VARCHAR")
        decimal = type_.name == "DECIMAL"
        path = "" if self.path is None else self.path
        return (
            bytes(self.actions.get(descriptor, Action.HAND_BACK) for descriptor in DESCRIPTORS),
            type_number(type_),
            type_.size if decimal else 0,
            type_.scale if decimal else 0,
            self.limit,
            *_form(self.form),
            int(self.loose),
            int(self.epochs),
            MASKS.index(self.mask),
            int(self.key_attribute),
            int(self.omitted),
            int(self.open),
            self.column,
            self.relation,
            self.element,
            self.other,
            self.misfit,
            path.encode(),
            orjson.dumps(path) + b":",
            tuple(name.encode() for name in self.fields),
            tuple(self.fields.values()),
        )


@dataclass
class RelationSpec:
    """A relation of the plan: its name, its parent's number, and its columns by slot, without `_ddb_extra`."""

    name: str
    parent: int
    columns: list[Column] = field(default_factory=list)


@dataclass
class Plan:
    """A compiled plan: its nodes, relations, the meaning of its counters, and the whole as tuples for the kernel."""

    nodes: list[Spec] = field(default_factory=list)
    relations: list[RelationSpec] = field(default_factory=list)
    misfits: list[tuple[str, str]] = field(default_factory=list)
    packed: tuple[object, ...] = ()


def compile_plan(schema: Schema, rules: Rules, *, incremental: bool, times: tuple[int, int]) -> Plan:
    """The plan for the lines of an export. `times` are the bounds of the versions, in microseconds since 1970."""
    return _Compiler(schema, rules).plan(incremental=incremental, times=times)


def type_number(type_: SqlType) -> int:
    """The number of a column's type in `columns.hpp`; SUPER is text."""
    return TYPES.index("VARCHAR" if type_.name == "SUPER" else type_.name)


def _form(form: str | None) -> tuple[int, int, int, int]:
    """Kind, joint, digits of a second and zone of a form of times (`timestamps.py`)."""
    if form in FORMS:
        return FORMS.index(form), 0, 0, 0
    text = form or ""
    return FORMS.index(""), ord(text[0]), int(text[2]), ZONES.index(text[3:])


class _Compiler:
    def __init__(self, schema: Schema, rules: Rules) -> None:
        self.schema, self.rules = schema, rules
        self.made = Plan()
        self.named = [parse_path(path) for path in rules.table.columns]

    def plan(self, *, incremental: bool, times: tuple[int, int]) -> Plan:
        made = self.made
        made.relations.append(RelationSpec(self.schema.table, NONE))
        root = self._add(Spec((), {"M": Action.FIELDS}))
        self._fields(root, self.schema.root, (), 0)
        version = deleted = NONE
        if incremental:
            version = self._column(0, Column(name=VERSION, path=(), type="BIGINT"))
            deleted = self._column(0, Column(name=DELETED, path=(), type="BOOLEAN"))
        relations = tuple(
            tuple(_packed_column(SqlType.parse(column.type)) for column in (*relation.columns, _EXTRA))
            for relation in made.relations
        )
        made.packed = (
            tuple(node.packed() for node in made.nodes),
            relations,
            tuple(self._key()),
            len(made.misfits),
            int(incremental),
            *times,
            version,
            deleted,
            self.rules.secret or b"",
        )
        return made

    def _key(self) -> Iterator[tuple[bytes, int, int, int]]:
        """Name, slot, descriptor and whether it is masked, of each key attribute."""
        for name in self.rules.key:
            node = self.schema.root.fields.get(name)
            types = [d for d in node.accepts if d != "NULL"] if node else []  # an item whose key is NULL is handed back
            if node is None:
                yield name.encode(), UNSEEN, 0, 0
            elif node.name is None or len(types) != 1 or types[0] not in {"S", "N", "B"}:
                yield name.encode(), NOT_A_KEY, 0, 0
            else:
                spec = self.made.nodes[self.made.nodes[0].fields[name]]
                slot = NOT_A_KEY if spec.column == NONE else spec.column
                masked = self.rules.policy((name,)).mask is not None
                yield name.encode(), slot, DESCRIPTORS.index(types[0]), int(masked)

    def _add(self, spec: Spec) -> Spec:
        self.made.nodes.append(spec)
        return spec

    def _number(self) -> int:
        """The number of the node that is added next."""
        return len(self.made.nodes)

    def _column(self, relation: int, column: Column) -> int:
        columns = self.made.relations[relation].columns
        columns.append(column)
        return len(columns) - 1

    def _fields(self, spec: Spec, node: Node, path: tuple[str, ...], relation: int) -> None:
        for name, below in node.fields.items():
            spec.fields[name] = self._number()
            self._placed(below, (*spec.where, name), (*path, name), relation)

    def _placed(self, node: Node, where: tuple[Step, ...], path: tuple[str, ...], relation: int) -> None:
        """Adds a node whose values are columns or rows, as `ExactPath._place` treats them; `path` is within the row."""
        spec = self._add(Spec(where, path=extra_path(path)))
        policies = {descriptor: self.rules.policy(where).of(descriptor) for descriptor in DESCRIPTORS}
        for descriptor, policy in policies.items():
            spec.actions[descriptor] = self._action(node, descriptor, policy)
        present = set(spec.actions.values())
        if Action.SCALAR in present:
            self._scalar(spec, node, policies, relation)
        if Action.JSON in present:
            column = Column(name=node.name or "", path=path, type="SUPER")
            spec.column = self._column(relation, column)
            self._json_below(spec, node, open_=node.opaque)
        if Action.FIELDS in present:
            self._fields(spec, node, path, relation)
        if Action.ROWS in present:
            self._rows(spec, node, relation)
        if present & {Action.EXTRA, Action.DISCARD} and node.other:
            what = WHAT_HAPPENS[self.rules.policy(where).contract]
            spec.misfit = len(self.made.misfits)
            self.made.misfits.append((what, format_path(where)))
            spec.other = self._number()
            self._json(node.other, where, plain=True)
        if Action.SKIP in present:
            self._skipped(spec, node)

    def _action(self, node: Node, descriptor: Descriptor, policy: Policy) -> Action:
        former = node.former is not None and descriptor in node.former.accepts and descriptor not in node.accepts
        if former or policy.whole:
            return Action.HAND_BACK
        if policy.exclude:
            return Action.SKIP
        if node.kind == "json":
            return (
                Action.JSON
                if node.name is not None and descriptor in _plain_in(node, open_=node.opaque)
                else Action.HAND_BACK
            )
        if node.kind == "value" and is_beside(node, descriptor, policy):
            return Action.HAND_BACK
        if descriptor == "NULL":
            return Action.MARK if any("NULL" in reader.accepts for reader in (node, node.other or node)) else Action(0)
        if descriptor in node.accepts:
            return {"map": Action.FIELDS, "list": Action.ROWS}.get(node.kind) or _scalar_action(
                node, descriptor, policy
            )
        if node.other and descriptor in node.other.accepts and descriptor in PLAIN and policy.contract in WHAT_HAPPENS:
            return Action.DISCARD if WHAT_HAPPENS[policy.contract] == DISCARDED else Action.EXTRA
        return Action.HAND_BACK

    def _scalar(self, spec: Spec, node: Node, policies: dict[Descriptor, Policy], relation: int) -> None:
        descriptor = next(d for d, action in spec.actions.items() if action is Action.SCALAR)
        policy, type_ = policies[descriptor], SqlType.parse(node.type or "")
        spec.type, spec.form, spec.mask, spec.key_attribute = type_, node.form, policy.mask, policy.key
        spec.limit = self.rules.limit(policy, type_)
        spec.epochs = policy.type is not None
        # in a new column, a text of another form decides that the column is one of texts (`infer.py`)
        settled = (node.order or 0) <= self.schema.settled
        spec.loose = policy.type is not None or (type_.name == "TIMESTAMPTZ" and settled)
        spec.column = self._column(relation, Column(name=node.name or "", path=(), type=str(type_)))

    def _rows(self, spec: Spec, node: Node, relation: int) -> None:
        spec.relation = len(self.made.relations)
        self.made.relations.append(RelationSpec(node.name or "", relation))
        if node.element:
            spec.element = self._number()
            self._placed(node.element, (*spec.where, None), (), spec.relation)

    def _json(self, node: Node, where: tuple[Step, ...], *, plain: bool = False, open_: bool = False) -> None:
        """Adds a node whose values are written as plain JSON, as `ExactPath._plain` does.

        `plain`: only types that plain JSON shows by itself. `open_`: names are not all known.
        """
        policy = self.rules.policy(where)
        spec = self._add(Spec(where, omitted=policy.exclude, mask=policy.mask))
        accepts = _plain_in(node, open_=open_)
        for descriptor in DESCRIPTORS:
            if policy.of(descriptor).whole or (descriptor not in PLAIN and plain):
                continue
            if policy.exclude:
                spec.actions[descriptor] = Action.SKIP
            elif descriptor in accepts:
                spec.actions[descriptor] = Action.JSON
        self._json_below(spec, node, plain=plain, open_=open_)

    def _json_below(self, spec: Spec, node: Node, *, plain: bool = False, open_: bool = False) -> None:
        """Adds what is below a JSON node. The contract may name paths that no item has shown."""
        spec.mask = self.rules.policy(spec.where).mask
        spec.open = open_ and spec.mask is None  # a mask also applies to the unknown names below it
        steps = {path[len(spec.where)] for path in self.named if path[: len(spec.where)] == spec.where != path}
        unknown = {step: UNKNOWN for step in sorted(filter(None, steps)) if open_ and step not in node.fields}
        for name, below in {**node.fields, **unknown}.items():
            spec.fields[name] = self._number()
            self._json(below, (*spec.where, name), plain=plain, open_=open_)
        if node.element or None in steps:
            spec.element = self._number()
            self._json(node.element or UNKNOWN, (*spec.where, None), plain=plain, open_=open_)
        elif spec.mask:
            spec.element = self._number()  # of the members of sets
            self._add(Spec((*spec.where, None), dict.fromkeys(SCALARS, Action.JSON), mask=spec.mask))

    def _skipped(self, spec: Spec, node: Node) -> None:
        """Adds what is below a node that is left out, so that it is counted."""
        if not spec.fields:
            for name, below in node.fields.items():
                spec.fields[name] = self._number()
                self._json(below, (*spec.where, name))
        if node.element and spec.element == NONE:
            spec.element = self._number()
            self._json(node.element, (*spec.where, None))


_EXTRA = Column(name="", path=(), type="SUPER")


def _packed_column(type_: SqlType) -> tuple[int, int, int]:
    decimal = type_.name == "DECIMAL"
    return type_number(type_), type_.size if decimal else 0, type_.scale if decimal else 0


def _plain_in(node: Node, *, open_: bool) -> frozenset[Descriptor]:
    """The types that this JSON node shows by itself; any others would have to be noted in `$types`."""
    if not open_:
        return frozenset(node.accepts)
    strings = STRINGS.intersection(node.accepts) or frozenset({"S"})
    arrays = ARRAYS.intersection(node.accepts) or frozenset({"L"})
    return (PLAIN - STRINGS - ARRAYS) | strings | arrays


def _scalar_action(node: Node, descriptor: Descriptor, policy: Policy) -> Action:
    if policy.mask:
        return Action.SCALAR
    type_ = SqlType.parse(node.type or "")
    # schemas of earlier versions have no form for numbers
    formless = type_.name in {"TIMESTAMP", "TIMESTAMPTZ", "DATE"} and not node.form
    return Action.HAND_BACK if formless or descriptor not in HOLDS.get(type_.name, ()) else Action.SCALAR
