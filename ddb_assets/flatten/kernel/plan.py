"""Compiles a schema and a contract to the plan of the kernel: what becomes of each type of value at each attribute path.

A plan only says what is ordinary. For everything else its action is `HAND_BACK`: the line goes to the exact path
(`exact.py`), whose result the kernel must have for every line that it keeps. `spec.py` has the parts of a plan.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ddb_assets.contract.column_type import SqlType
from ddb_assets.contract.policy import Policy
from ddb_assets.dynamodb.attribute_value import Descriptor, Step, format_path, parse_path
from ddb_assets.flatten.exact import UNKNOWN, is_beside
from ddb_assets.flatten.kernel.spec import DESCRIPTORS, NONE, NOT_A_KEY, UNSEEN, Action, NodeSpec, RelationSpec
from ddb_assets.flatten.observed_type import HOLDS, SCALARS
from ddb_assets.flatten.rules import DISCARDED, WHAT_HAPPENS, Rules
from ddb_assets.flatten.schema import ARRAYS, DELETED, PLAIN, STRINGS, VERSION, Node, Schema
from ddb_assets.flatten.super_value import extra_path


@dataclass
class Plan:
    """A compiled plan: its nodes, relations, the meaning of its counters, and the whole as tuples for the kernel."""

    nodes: list[NodeSpec] = field(default_factory=list)
    relations: list[RelationSpec] = field(default_factory=list)
    misfits: list[tuple[str, str]] = field(default_factory=list)
    packed: tuple[object, ...] = ()


def compile_plan(schema: Schema, rules: Rules, *, incremental: bool, times: tuple[int, int]) -> Plan:
    """The plan for the lines of an export. `times` are the bounds of the versions, in microseconds since 1970."""
    return _Compiler(schema, rules).plan(incremental=incremental, times=times)


class _Compiler:
    def __init__(self, schema: Schema, rules: Rules) -> None:
        self.schema, self.rules = schema, rules
        self.made = Plan()
        self.named = [parse_path(path) for path in rules.table.columns]

    def plan(self, *, incremental: bool, times: tuple[int, int]) -> Plan:
        made = self.made
        root_relation = RelationSpec(self.schema.table)
        made.relations.append(root_relation)
        root = self._add(NodeSpec((), {"M": Action.FIELDS}))
        self._fields(root, self.schema.root, (), 0)
        version = deleted = NONE
        if incremental:
            version = root_relation.add(VERSION, SqlType("BIGINT"))
            deleted = root_relation.add(DELETED, SqlType("BOOLEAN"))
        made.packed = (
            tuple(node.packed() for node in made.nodes),
            tuple(relation.packed() for relation in made.relations),
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

    def _add(self, spec: NodeSpec) -> NodeSpec:
        self.made.nodes.append(spec)
        return spec

    def _number(self) -> int:
        """The number of the node that is added next."""
        return len(self.made.nodes)

    def _fields(self, spec: NodeSpec, node: Node, path: tuple[str, ...], relation: int) -> None:
        for name, below in node.fields.items():
            spec.fields[name] = self._number()
            self._placed(below, (*spec.where, name), (*path, name), relation)

    def _placed(self, node: Node, where: tuple[Step, ...], path: tuple[str, ...], relation: int) -> None:
        """Adds a node whose values are columns or rows, as `ExactPath._place` treats them; `path` is within the row."""
        spec = self._add(NodeSpec(where, path=extra_path(path)))
        policies = {descriptor: self.rules.policy(where).of(descriptor) for descriptor in DESCRIPTORS}
        for descriptor, policy in policies.items():
            spec.actions[descriptor] = self._action(node, descriptor, policy)
        present = set(spec.actions.values())
        if Action.SCALAR in present:
            self._scalar(spec, node, policies, relation)
        if Action.JSON in present:
            spec.column = self.made.relations[relation].add(node.name or "", SqlType("SUPER"))
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
            shown = node.name is not None and descriptor in _plain_in(node, open_=node.opaque)
            return Action.JSON if shown else Action.HAND_BACK
        if node.kind == "value" and is_beside(node, descriptor, policy):
            return Action.HAND_BACK
        if descriptor == "NULL":
            return Action.MARK if "NULL" in node.readers else Action.HAND_BACK
        if descriptor in node.accepts:
            whole = {"map": Action.FIELDS, "list": Action.ROWS}.get(node.kind)
            return _scalar_action(node, descriptor, policy) if whole is None else whole
        if node.other and descriptor in node.other.accepts and descriptor in PLAIN and policy.contract in WHAT_HAPPENS:
            return Action.DISCARD if WHAT_HAPPENS[policy.contract] == DISCARDED else Action.EXTRA
        return Action.HAND_BACK

    def _scalar(self, spec: NodeSpec, node: Node, policies: dict[Descriptor, Policy], relation: int) -> None:
        descriptor = next(d for d, action in spec.actions.items() if action is Action.SCALAR)
        policy, type_ = policies[descriptor], SqlType.parse(node.type or "")
        spec.type, spec.form, spec.mask, spec.key_attribute = type_, node.form, policy.mask, policy.key
        spec.limit = self.rules.limit(policy, type_)
        spec.epochs = policy.type is not None
        # in a new column, a text of another form decides that the column is one of texts (`infer.py`)
        settled = (node.order or 0) <= self.schema.settled
        spec.loose = policy.type is not None or (type_.name == "TIMESTAMPTZ" and settled)
        spec.column = self.made.relations[relation].add(node.name or "", type_)

    def _rows(self, spec: NodeSpec, node: Node, relation: int) -> None:
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
        spec = self._add(NodeSpec(where, omitted=policy.exclude, mask=policy.mask))
        accepts = _plain_in(node, open_=open_)
        for descriptor in DESCRIPTORS:
            if policy.of(descriptor).whole or (descriptor not in PLAIN and plain):
                continue
            if policy.exclude:
                spec.actions[descriptor] = Action.SKIP
            elif descriptor in accepts:
                spec.actions[descriptor] = Action.JSON
        self._json_below(spec, node, plain=plain, open_=open_)

    def _json_below(self, spec: NodeSpec, node: Node, *, plain: bool = False, open_: bool = False) -> None:
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
            self._add(NodeSpec((*spec.where, None), dict.fromkeys(SCALARS, Action.JSON), mask=spec.mask))

    def _skipped(self, spec: NodeSpec, node: Node) -> None:
        """Adds what is below a node that is left out, so that it is counted."""
        if not spec.fields:
            for name, below in node.fields.items():
                spec.fields[name] = self._number()
                self._json(below, (*spec.where, name))
        if node.element and spec.element == NONE:
            spec.element = self._number()
            self._json(node.element, (*spec.where, None))


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
