"""The exact path: flattens one item at a time; each value goes to its column or to `_ddb_extra`, or the item to quarantine.

For an ordinary item the result is that of the fast path (`fast_path.py`); for any other item it is what the contract says.
It is many times slower and handles the lines that the fast path hands back.
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
from ddb_assets.flatten.observed_type import HOLDS
from ddb_assets.flatten.rules import DISCARDED, WHAT_HAPPENS, Misfits, Rules, cut
from ddb_assets.flatten.schema import ARRAYS, EXTRA, STRINGS, Node, index_name
from ddb_assets.flatten.super_value import extra_path, plain_map, plain_scalar, plain_text

TYPES = "$types"
"""The member of `_ddb_extra` with the types that neither plain JSON nor the schema shows: path -> descriptor."""
INT64 = range(-(1 << 63), 1 << 63)
WIDE = Context(prec=200)
"""Python's default precision of 28 digits is too small for numbers of DynamoDB and DECIMAL(38,s)."""
MAX_SUPER = 16 << 20
"""The most bytes of a SUPER value (Redshift Database Developer Guide, "SUPER type")."""
UNKNOWN = Node(kind="json", accepts=())


class DoesNotFitError(Exception):
    """A valid value does not fit its column."""


class TooLongError(DoesNotFitError):
    """A text is longer than the maximum of its column; the argument is the limit in bytes."""


@dataclass
class FlatRow:
    """A row while it is built: its columns, the values that fit no column, and the child rows by relation name.

    `where` is the path in the whole item of the relation's elements; `()` for the root.
    """

    where: tuple[Step, ...] = ()
    columns: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    children: "dict[str, list[FlatRow]]" = field(default_factory=dict)

    def finish(self) -> dict[str, Any]:
        """The row as a dict of columns, with `_ddb_extra`. Raises AttributeValueError when SUPER cannot hold that."""
        extra = {**self.extra, TYPES: self.types} if self.types else self.extra
        text = orjson.dumps(extra, option=orjson.OPT_SORT_KEYS) if extra else b""
        if len(text) > MAX_SUPER:
            raise AttributeValueError(f"what fits no column has {len(text)} bytes as JSON, and SUPER holds {MAX_SUPER}")
        return {**self.columns, EXTRA: text.decode() if extra else None}


def rows_by_relation(
    row: FlatRow, name: str, keys: dict[str, Any], depth: int = 0
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(relation, columns) of the row and of all its child rows; every one of them gets the columns in `keys`."""
    yield name, {**row.finish(), **keys}
    outer = {**keys, index_name(depth): row.columns[index_name(0)]} if depth else keys
    for relation, rows in row.children.items():
        for child in rows:
            yield from rows_by_relation(child, relation, outer, depth + 1)


@dataclass
class ExactPath:
    """Flattens items one by one. `misfits` counts the values that the schema has no place for."""

    root: Node
    rules: Rules
    misfits: Misfits = field(default_factory=Misfits)

    def item(self, attributes: dict[str, Any]) -> FlatRow:
        """The row of an item (attributes in DynamoDB JSON). Raises AttributeValueError when it must be quarantined."""
        row = FlatRow()
        self._fields(self.root, attributes, (), row)
        return row

    def json_text(self, node: Node, value: object, path: tuple[Step, ...]) -> str | None:
        """The JSON text of a value in a JSON column of the root; None when only `item` can handle its row."""
        row, before = FlatRow(), self.misfits.copy()
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

    def _fields(self, node: Node, members: dict[str, Any], path: tuple[Step, ...], row: FlatRow) -> None:
        for name, value in members.items():
            self._place(node.fields.get(name), value, (*path, name), row)

    def _place(self, node: Node | None, value: object, path: tuple[Step, ...], row: FlatRow) -> None:
        """Puts one value into the row. `path` is its path within the row, so it has no list elements."""
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
            self._misfit(
                value, path, row, policy, f"is of type {descriptor}, and the contract hides something below it"
            )
        elif node.kind == "json":
            text = self._plain(value, path, node, row, (*row.where, *path))
            row.columns[node.name or ""] = orjson.dumps(text, option=orjson.OPT_SORT_KEYS).decode()
        elif descriptor == "NULL":
            row.extra[extra_path(path)] = None
        elif node.kind == "value" and is_beside(node, descriptor, policy):
            self._scalar(node, descriptor, payload, path, row, policy)
        elif descriptor not in node.accepts:
            self._misfit(value, path, row, policy, f"is of type {descriptor}, but its column is not")
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
        self, node: Node, descriptor: str, payload: Any, path: tuple[Step, ...], row: FlatRow, policy: Policy
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
                row.extra[extra_path(path)] = plain_scalar(descriptor, payload, path, row.types)  # the original text

    def _list(self, node: Node, descriptor: str, payload: list[Any], path: tuple[Step, ...], row: FlatRow) -> None:
        if not payload:
            row.extra[extra_path(path)] = []
            return
        members = payload if descriptor == "L" else [{descriptor[0]: member} for member in payload]
        rows = row.children.setdefault(node.name or "", [])
        for index, member in enumerate(members):
            child = FlatRow((*row.where, *path, None), {index_name(0): index})
            self._place(node.element, member, (), child)
            rows.append(child)

    def _count_hidden(self, policy: Policy, where: tuple[Step, ...]) -> None:
        """Counts a value that is hidden as a whole, because the contract does not expect its type."""
        if policy.whole:
            self.misfits["hidden", format_path(where)] += 1

    def _misfit(self, value: object, path: tuple[Step, ...], row: FlatRow, policy: Policy, why: str) -> None:
        """Treats a value that the schema has no place for as the contract says."""
        where = (*row.where, *path)
        if policy.contract == "discard_row":
            raise AttributeValueError(f"{{path}} {why}, and the contract says discard_row", where)
        what = WHAT_HAPPENS[policy.contract]
        if what == DISCARDED:
            check_all(value, path)
        else:
            row.extra[extra_path(path)] = self._plain(value, path, UNKNOWN, row, where, in_extra=True)
        self.misfits[what, format_path(where)] += 1

    def _too_long(
        self, text: str, path: tuple[Step | int, ...], row: FlatRow, policy: Policy, limit: int
    ) -> str | None:
        """The column's value for a text that is too long, by the contract's `oversize`."""
        where = format_path((*row.where, *path))
        match policy.oversize:
            case "quarantine":
                reason = f"{{path}} has {len(text.encode())} bytes, but its column can have at most {limit}"
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
        row: FlatRow,
        where: tuple[Step, ...],
        *,
        in_extra: bool = False,
    ) -> Any:
        """A value as plain JSON; `row.types` gets the types that a reader could not tell from it."""
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
                        kept[step] = None  # so that the other elements keep their positions
                else:
                    kept[step] = self._plain(member, (*path, step), below, row, inner, in_extra=in_extra)
            return plain_map(kept, path, row.types) if descriptor == "M" else list(kept.values())
        return plain_scalar(descriptor, payload, path, row.types)

    def _hidden_set(self, descriptor: Descriptor, payload: list[str], policy: Policy, where: tuple[Step, ...]) -> Any:
        """A set whose members are hidden one by one."""
        if policy.exclude or policy.mask is None:
            self._count_hidden(policy, (*where, None))
            return []
        return [self.rules.masked(policy.mask, text) for text in sorted_members(descriptor, payload)]


def _below(node: Node, step: Step | int, where: tuple[Step, ...]) -> tuple[Node, tuple[Step, ...]]:
    """The node and the path of a member of a map or an element of a list."""
    if isinstance(step, str):
        return node.fields.get(step, UNKNOWN), (*where, step)
    return node.element or UNKNOWN, (*where, None)


def is_beside(node: Node, descriptor: str, policy: Policy) -> bool:
    """Whether a declared column takes a value of this type although its other values have another type."""
    return bool(
        policy.type
        and not policy.mask
        and not policy.key
        and descriptor not in node.accepts
        and descriptor in HOLDS.get(SqlType.parse(node.type or "").name, ())
    )


def _tells(node: Node, descriptor: str, payload: Any, value: Any) -> bool:
    """Whether the original text follows from the column's value; if not, the original is kept in `_ddb_extra`."""
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
    """The text that a mask hashes: a string as it is, the canonical text of a number or binary, else the JSON."""
    if descriptor == "N":
        return number_text(payload)
    if descriptor == "B":
        return binary_text(payload)
    if descriptor == "S":
        return str(payload)
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS).decode()


def scalar(descriptor: str, payload: Any, type_: SqlType, limit: int, *, declared: bool = False) -> Any:
    """A payload as a value of its column's type. Raises DoesNotFitError when the column cannot hold it exactly."""
    if descriptor not in HOLDS.get(type_.name, ()):  # possible in a text column that had masks before
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
