"""The exact path: one item at a time, every value to its column, to `_ddb_extra`, or the whole line to quarantine.

It gives for an ordinary item what `decode.py` gives, and for every other what the contract says. It is a few times slower
and is meant for the rows that the fast path hands back.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Context, Decimal, InvalidOperation
from functools import partial
from typing import Any

import orjson

from ddb_assets.contract.column_type import MAX_VARCHAR, SqlType
from ddb_assets.contract.policy import Policy
from ddb_assets.dynamodb.attribute_value import (
    NUL,
    AttributeValueError,
    Descriptor,
    Step,
    binary,
    binary_text,
    check,
    check_all,
    format_path,
    number,
    number_text,
    sorted_members,
    split,
)
from ddb_assets.flatten import timestamps
from ddb_assets.flatten.level import extra_path
from ddb_assets.flatten.observed_type import HOLDS
from ddb_assets.flatten.rules import DISCARDED, WHAT_HAPPENS, Misfits, Rules, cut
from ddb_assets.flatten.schema import ARRAYS, EXTRA, STRINGS, Node, index_name
from ddb_assets.flatten.super_value import plain_map, plain_scalar, plain_text

TYPES = "$types"
"""The member of `_ddb_extra` that names types which plain JSON and the schema do not tell: path -> descriptor."""
INT64 = range(-(1 << 63), 1 << 63)
WIDE = Context(prec=200)
"""Python's own precision of 28 digits would refuse numbers that DynamoDB and DECIMAL(38,s) hold."""
UNKNOWN = Node(kind="json", accepts=())


class DoesNotFitError(Exception):
    """A value is fine but its column cannot hold it."""


class TooLongError(DoesNotFitError):
    """A text is longer than its column can be; the argument is the limit in bytes."""


@dataclass
class Row:
    """One row in the making: its columns, what fits none of them, and the rows of its lists by relation name.

    `where` is the path of its relation's items or elements in the whole item.
    """

    where: tuple[Step, ...] = ()
    columns: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    children: "dict[str, list[Row]]" = field(default_factory=dict)

    def finish(self) -> dict[str, Any]:
        """The row as a dict of columns, `_ddb_extra` included."""
        extra = {**self.extra, TYPES: self.types} if self.types else self.extra
        return {**self.columns, EXTRA: orjson.dumps(extra, option=orjson.OPT_SORT_KEYS).decode() if extra else None}


def rows_by_relation(row: Row, name: str, keys: dict[str, Any], depth: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """(relation, columns) for the row itself and all the rows of its lists; `keys` are the columns each of them gets."""
    yield name, {**row.finish(), **keys}
    outer = {**keys, index_name(depth): row.columns[index_name(0)]} if depth else keys
    for relation, rows in row.children.items():
        for child in rows:
            yield from rows_by_relation(child, relation, outer, depth + 1)


@dataclass
class ExactPath:
    """Flattens items one by one and counts in `misfits` what did not go where the schema has a place for it."""

    root: Node
    rules: Rules
    misfits: Misfits = field(default_factory=Misfits)

    def item(self, attributes: dict[str, Any]) -> Row:
        """An item (attributes in DynamoDB JSON) as a row. Raises AttributeValueError when it belongs in quarantine."""
        row = Row()
        self._fields(self.root, attributes, (), row)
        return row

    def json_text(self, node: Node, value: object, path: tuple[Step, ...]) -> str | None:
        """A value of a JSON column of the root; None when its row needs more than this value, which `item` then does."""
        row, before = Row(), self.misfits.copy()
        if isinstance(value, dict) and any(self.rules.policy(path).of(descriptor).whole for descriptor in value):
            return None
        try:
            plain = self._plain(value, path, node, row, path)
        except AttributeValueError:
            return None
        if row.types or row.extra or self.misfits != before:
            self.misfits = before
            return None
        return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS).decode()

    def _fields(self, node: Node, members: dict[str, Any], path: tuple[Step, ...], row: Row) -> None:
        for name, value in members.items():
            self._place(node.fields.get(name), value, (*path, name), row)

    def _place(self, node: Node | None, value: object, path: tuple[Step, ...], row: Row) -> None:
        """Puts one value where it belongs; `path` is its place in the row, without list elements."""
        descriptor, payload = split(value, path)
        check(descriptor, payload, path)
        policy = self.rules.policy((*row.where, *path)).of(descriptor)
        if node and node.former and descriptor in node.former.accepts and descriptor not in node.accepts:
            node = node.former
        if policy.exclude:
            check_all(value, path)
            self._count_hidden(policy, (*row.where, *path))
        elif node is None or (node.kind == "json" and node.name is None):
            self._misfit(value, path, row, policy, "has no column")
        elif policy.whole and node.kind != "json":
            self._misfit(value, path, row, policy, f"is of type {descriptor}, and something below it is hidden")
        elif node.kind == "json":
            text = self._plain(value, path, node, row, (*row.where, *path))
            row.columns[node.name or ""] = orjson.dumps(text, option=orjson.OPT_SORT_KEYS).decode()
        elif descriptor == "NULL":
            row.extra[extra_path(path)] = None
        elif node.kind == "value" and is_beside(node, descriptor, policy):
            self._scalar(node, descriptor, payload, path, row, policy)
        elif descriptor not in node.accepts:
            self._misfit(value, path, row, policy, f"is of type {descriptor}, its column is not")
        elif node.kind == "map":
            if payload:
                self._fields(node, payload, path, row)
            else:
                row.extra[extra_path(path)] = {}
        elif node.kind == "list":
            self._list(node, descriptor, payload, path, row)
        else:
            self._scalar(node, descriptor, payload, path, row, policy)

    def _scalar(
        self, node: Node, descriptor: str, payload: Any, path: tuple[Step, ...], row: Row, policy: Policy
    ) -> None:
        type_ = SqlType.parse(node.type or "")
        if policy.mask:
            row.columns[node.name or ""] = self.rules.masked(policy.mask, mask_text(descriptor, payload))
            return
        try:
            value = scalar(
                descriptor, payload, type_, self.rules.limit(policy, type_), declared=policy.type is not None
            )
            row.columns[node.name or ""] = value
        except TooLongError as error:
            row.columns[node.name or ""] = self._too_long(payload, path, row, policy, error.args[0])
        except DoesNotFitError:
            self._misfit({descriptor: payload}, path, row, policy, f"does not fit {type_}")
        else:
            if not _tells(node, descriptor, payload, value):
                row.extra[extra_path(path)] = plain_scalar(descriptor, payload, path, row.types)  # as it was written

    def _list(self, node: Node, descriptor: str, payload: list[Any], path: tuple[Step, ...], row: Row) -> None:
        if not payload:
            row.extra[extra_path(path)] = []
            return
        members = payload if descriptor == "L" else [{descriptor[0]: member} for member in payload]
        rows = row.children.setdefault(node.name or "", [])
        for index, member in enumerate(members):
            child = Row((*row.where, *path, None), {index_name(0): index})
            self._place(node.element, member, (), child)
            rows.append(child)

    def _count_hidden(self, policy: Policy, where: tuple[Step, ...]) -> None:
        """Counts a value that was left out because the contract does not expect its type."""
        if policy.whole:
            self.misfits["hidden", format_path(where)] += 1

    def _misfit(self, value: object, path: tuple[Step, ...], row: Row, policy: Policy, why: str) -> None:
        """A value for which the schema has no place, by the contract."""
        where = (*row.where, *path)
        if policy.contract == "discard_row":
            raise AttributeValueError(f"{{path}} {why}, and the contract is discard_row", where)
        what = WHAT_HAPPENS[policy.contract]
        if what == DISCARDED:
            check_all(value, path)
        else:
            row.extra[extra_path(path)] = self._plain(value, path, UNKNOWN, row, where, in_extra=True)
        self.misfits[what, format_path(where)] += 1

    def _too_long(self, text: str, path: tuple[Step | int, ...], row: Row, policy: Policy, limit: int) -> str | None:
        """What stands in the place of a text that is too long, by the contract."""
        where = format_path((*row.where, *path))
        match policy.oversize:
            case "quarantine":
                reason = f"{{path}} has {len(text.encode())} bytes, its column can have {limit}"
                raise AttributeValueError(reason, (*row.where, *path))
            case "truncate":
                self.misfits["truncated", where] += 1
                return cut(text, limit)
            case "spill":
                self.misfits["spilled", where] += 1
                return self.rules.spill(text)
        self.misfits["extra", where] += 1
        row.extra[extra_path(path)] = plain_text(text, path, row.types)
        return None

    def _plain(
        self,
        value: object,
        path: tuple[Step | int, ...],
        node: Node,
        row: Row,
        where: tuple[Step, ...],
        *,
        in_extra: bool = False,
    ) -> Any:
        """A value as plain JSON; types that a reader could not tell are noted in `row.types`."""
        descriptor, payload = split(value, path)
        check(descriptor, payload, path)
        policy = self.rules.policy(where).of(descriptor)
        strings = STRINGS.intersection(node.accepts) or {"S"}
        arrays = ARRAYS.intersection(node.accepts) or {"L"}
        evident = descriptor in strings | arrays or descriptor not in STRINGS | ARRAYS
        if policy.mask and (policy.whole or descriptor not in {"NULL", "M", *ARRAYS}):
            check_all(value, path)
            return self.rules.masked(policy.mask, mask_text(descriptor, payload))
        members = self.rules.policy((*where, None)).of(descriptor[0])
        if descriptor in ARRAYS - {"L"} and (members.exclude or members.mask):
            return self._hidden_set(descriptor, payload, members, where)
        if not evident:
            row.types[extra_path(path)] = descriptor
        if descriptor == "S":
            if len(payload.encode()) > MAX_VARCHAR and not in_extra:
                return self._too_long(payload, path, row, policy, MAX_VARCHAR)
            return plain_text(payload, path, row.types)
        if descriptor in {"M", "L"}:
            kept: dict[str | int, Any] = {}
            for step, member in payload.items() if descriptor == "M" else enumerate(payload):
                below, inner = _below(node, step, where)
                hides = self.rules.policy(inner).of(split(member, (*path, step))[0])
                if hides.exclude:
                    check_all(member, (*path, step))
                    self._count_hidden(hides, inner)
                    if hides.whole and descriptor == "L":
                        kept[step] = None  # the others keep their places
                else:
                    kept[step] = self._plain(member, (*path, step), below, row, inner, in_extra=in_extra)
            return plain_map(kept, path, row.types) if descriptor == "M" else list(kept.values())
        return plain_scalar(descriptor, payload, path, row.types)

    def _hidden_set(self, descriptor: Descriptor, payload: list[str], policy: Policy, where: tuple[Step, ...]) -> Any:
        """A set of which each member is hidden."""
        if policy.exclude or policy.mask is None:
            self._count_hidden(policy, (*where, None))
            return []
        return [self.rules.masked(policy.mask, text) for text in sorted_members(descriptor, payload)]


def _below(node: Node, step: Step | int, where: tuple[Step, ...]) -> tuple[Node, tuple[Step, ...]]:
    """The node and the path of a map's member or a list's element."""
    if isinstance(step, str):
        return node.fields.get(step, UNKNOWN), (*where, step)
    return node.element or UNKNOWN, (*where, None)


def is_beside(node: Node, descriptor: str, policy: Policy) -> bool:
    """Whether a declared column takes a value whose type differs from that of its other values."""
    return bool(
        policy.type
        and not policy.mask
        and not policy.key
        and descriptor not in node.accepts
        and descriptor in HOLDS.get(SqlType.parse(node.type or "").name, ())
    )


def _tells(node: Node, descriptor: str, payload: Any, value: Any) -> bool:
    """Whether the column's value shows how it was written; if not, the original is kept in `_ddb_extra`."""
    if descriptor not in node.accepts:
        return False
    if isinstance(value, float):
        return descriptor == "N" and Decimal(repr(value)) == Decimal(payload)
    if node.form in timestamps.EPOCH_UNITS:
        return timestamps.write(value, node.form) == str(payload)
    if node.form:
        return timestamps.form(payload) == node.form
    if isinstance(value, Decimal):
        return descriptor == "N" or f"{value or abs(value):f}" == payload
    return descriptor != "S" or str(value) == payload


def mask_text(descriptor: str, payload: Any) -> str:
    """The text that is hashed for a value: a string itself, a number's or binary's text, else its JSON."""
    if descriptor == "N":
        return number_text(payload)
    if descriptor == "B":
        return binary_text(payload)
    if descriptor == "S":
        return str(payload)
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS).decode()


def scalar(descriptor: str, payload: Any, type_: SqlType, limit: int, *, declared: bool = False) -> Any:
    """A payload in its column's type. Raises DoesNotFitError when the column would not hold it exactly."""
    if descriptor not in HOLDS.get(type_.name, ()):  # as in a text column that had masks of it before
        raise DoesNotFitError
    match descriptor:
        case "S" | "N" if type_.name in {"TIMESTAMP", "TIMESTAMPTZ", "DATE"}:
            loosely = declared or type_.name == "TIMESTAMPTZ"
            parse = partial(timestamps.parse_loosely, epochs=declared) if loosely else timestamps.parse
            time = parse(payload, type_)
            if time is None:
                raise DoesNotFitError
            return time
        case "S" if type_.name in {"BIGINT", "DECIMAL", "DOUBLE PRECISION"}:
            try:
                return _number(payload, type_)
            except AttributeValueError:
                raise DoesNotFitError from None
        case "S":
            if NUL in payload:
                raise DoesNotFitError
            if len(payload.encode()) > limit:
                raise TooLongError(limit)
            return payload
        case "N" if type_.name == "VARCHAR" and len(number_text(payload)) > limit:
            raise DoesNotFitError
        case "N":
            return _number(payload, type_)
        case "B":
            return _binary(payload, limit)
        case _:
            return payload


def _binary(payload: str, limit: int) -> bytes:
    value = binary(payload)
    if len(value) > limit:
        raise DoesNotFitError
    return value


def _number(payload: str, type_: SqlType) -> int | float | Decimal | str:
    value = number(payload)
    if type_.name == "VARCHAR":
        return number_text(payload)
    if type_.name == "DOUBLE PRECISION":
        return float(value)
    if type_.name == "BIGINT":
        if value.adjusted() > 19 or value != (whole := int(value)) or whole not in INT64:
            raise DoesNotFitError
        return whole
    try:
        scaled = value.quantize(Decimal(1).scaleb(-type_.scale), context=WIDE)
    except InvalidOperation:
        raise DoesNotFitError from None
    if scaled != value or (value and value.adjusted() >= type_.size - type_.scale):
        raise DoesNotFitError
    return scaled
