"""The fast path: decodes whole columns of DynamoDB JSON into the columns of the relations, and refuses unusual rows.

The result is always that of the exact path. A row with anything unusual (a name that the schema does not know, a type that
it does not accept, a number that does not fit) is marked and left to the exact path (`exact.py`).

The proof that nothing was lost is a count per row. Every decoded JSON key is counted: name and descriptor of each value, or
only the descriptor of a list's element. The text of the line shows how many keys it has (`parse.count_keys`). Decoding never
adds keys, so equal counts mean that every key was decoded.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson
import polars as pl

from ddb_assets.contract.column_type import MAX_VARCHAR, SqlType
from ddb_assets.contract.policy import Policy
from ddb_assets.dynamodb.attribute_value import AttributeValueError, Descriptor, Step, check_all, format_path
from ddb_assets.flatten.exact import ExactPath, is_beside
from ddb_assets.flatten.fast import json_text
from ddb_assets.flatten.fast.columns import (
    add_digits,
    binary_texts,
    is_super_number,
    largest,
    number_column,
    number_texts,
    time_column,
)
from ddb_assets.flatten.fast.payloads import At, Payloads, count, falses
from ddb_assets.flatten.level import Level
from ddb_assets.flatten.observed_type import HOLDS
from ddb_assets.flatten.polars_types import polars_type
from ddb_assets.flatten.profile import Seen
from ddb_assets.flatten.record import count_names
from ddb_assets.flatten.rules import WHAT_HAPPENS, Rules
from ddb_assets.flatten.schema import Node, index_name, walk
from ddb_assets.flatten.timestamps import EPOCH_UNITS, epoch_column, loose_column

UNKNOWN = Node(kind="json", accepts=())


@dataclass
class _Opaque:
    """The values of one opaque column: their JSON texts, the number of keys of each, and the counts of their types."""

    texts: list[str | None] = field(default_factory=list)
    names: list[int] = field(default_factory=list)
    counts: Counter[Descriptor] = field(default_factory=Counter)


@dataclass(frozen=True)
class FastPath:
    """Decodes one column of whole items (structs of attributes) by a schema's root and a contract's rules.

    `decoded` has this column, named `image`, and the original lines as `line`. `counting`: only count the keys, because
    nothing of the image is kept.
    """

    root: Node
    rules: Rules
    decoded: pl.DataFrame
    image: str
    counting: bool = False

    def items(self, level: Level, seen: Seen) -> None:
        """Decodes the items into the columns of the level; a null image gives nulls."""
        image = self.decoded[self.image]
        seen.counts["M"] += len(image) - image.null_count()
        level.count(image.is_not_null())
        for name, node, values in _fields(self.root, image):
            self._field(node, values, At(level, (name,), (name,), seen.at(name), counting=self.counting))

    def _field(self, node: Node, values: pl.Series, at: At) -> None:
        """`_node` for a path that needs a column. A path that was excluded until now has none, so its rows are refused."""
        if node.kind == "json" and node.name is None and not at.counting and not self.rules.policy(at.where).exclude:
            at.level.refuse(values.is_not_null())
        self._node(node, values, at)

    def _node(self, node: Node, values: pl.Series, at: At) -> pl.Series | None:
        """Decodes one path; returns the JSON texts of a JSON node whose values are kept, else None."""
        policy = self.rules.policy(at.where)
        if node.opaque:
            self._opaque(node, values.is_not_null(), at)
            return None
        payloads = count(node, values, at)
        _refuse_hidden(payloads, at, policy)
        if "NULL" in payloads.series:
            at.level.refuse(~payloads.series["NULL"])  # DynamoDB has no {"NULL": false}
        if at.counting or policy.exclude:
            self._count_below(node, payloads, At(at.level, at.path, at.where, at.seen, counting=True))
            return None
        if node.kind == "json":
            text = self._json(node, payloads, at, policy)
            if node.name:
                at.level.columns[node.name] = text
            return text
        if "NULL" in payloads.there:
            at.level.mark(at.path, "null", payloads.there["NULL"])
        if node.other:
            self._misfit(node, node.other, payloads, at, policy)
        match node.kind:
            case "value":
                self._value(node, payloads, at, policy)
            case "map":
                self._map(node, payloads, at)
            case "list":
                self._list(node, payloads, at)
        return None

    def _opaque(self, node: Node, present: pl.Series, at: At) -> None:
        """Adds an opaque column, or only counts its keys if it is not kept."""
        read = self._opaques[at.where]
        text = pl.Series(read.texts, dtype=pl.String)
        at.level.count(pl.Series(read.names, dtype=pl.Int64))
        at.seen.counts.update(read.counts)
        if not self._only_counts(at.where):
            at.level.refuse(present & text.is_null())
            at.level.columns[node.name or ""] = text

    def _only_counts(self, where: tuple[Step, ...]) -> bool:
        return self.counting or self.rules.policy(where).exclude

    @cached_property
    def _opaques(self) -> "dict[tuple[Step, ...], _Opaque]":
        """The values of all opaque columns, by path. Each line is parsed once."""
        exact = ExactPath(self.root, self.rules)
        former = {id(node.former) for _, node in walk(self.root) if node.former}  # only the exact path reads these
        columns = [
            (path, node, self._only_counts(path), _Opaque())
            for path, node in walk(self.root)
            if node.opaque and id(node) not in former
        ]
        for line in self.decoded["line"]:
            image = _image(line, self.image)
            for path, node, only_counts, read in columns:
                value = _value_at(image, path)
                names = _names(value)
                text = exact.json_text(node, value, path) if names and not only_counts else None
                read.names.append(names)
                read.texts.append(text)
                if isinstance(value, dict) and (text is not None or only_counts):
                    read.counts.update(value.keys())
        return {path: read for path, _, _, read in columns}

    def _misfit(self, node: Node, other: Node, payloads: Payloads, at: At, policy: Policy) -> None:
        """Treats values of types that the column does not take as the contract says."""
        for descriptor in other.accepts:
            if node.kind == "value" and is_beside(node, descriptor, policy):
                at.level.refuse(payloads.there[descriptor])
        texts = self._json(other, payloads, at, policy)
        if policy.contract == "discard_row":
            at.level.refuse(texts.is_not_null())
        else:
            at.level.misfit(at.path, texts, (WHAT_HAPPENS[policy.contract], format_path(at.where)))

    def _count_below(self, node: Node, payloads: Payloads, at: At) -> None:
        """Counts the keys below a value of which nothing is kept."""
        readers = node.readers
        if "M" in payloads.series:
            for name, below, values in _fields(readers["M"], payloads.series["M"]):
                self._node(below, values, at.below(name))
        if "L" in payloads.series:
            lists = payloads.series["L"]
            members = lists.explode(empty_as_null=False, keep_nulls=False)
            child = Level(len(members), at.level, lists.list.len())
            self._node(readers["L"].element or UNKNOWN, members, at.into(child, at.path))
            child.give_to_parent()

    def _value(self, node: Node, payloads: Payloads, at: At, policy: Policy) -> None:
        type_ = SqlType.parse(node.type or "")
        descriptor = next((d for d in node.accepts if d != "NULL"), None)
        if descriptor is None:
            column = pl.repeat(None, at.level.height, dtype=polars_type(type_), eager=True)
        else:
            column = self._scalar(node, descriptor, payloads.series[descriptor], type_, at, policy)
        at.level.columns[node.name or ""] = column

    def _scalar(
        self, node: Node, descriptor: str, payload: pl.Series, type_: SqlType, at: At, policy: Policy
    ) -> pl.Series:
        """A column of payloads as values of its type. Rows that do not fit are refused; `seen` gets the sizes."""
        if policy.mask:
            return self._masked(descriptor, payload, at, policy)
        # schemas of earlier versions have no form for numbers
        formless = polars_type(type_).is_temporal() and not node.form
        if formless or descriptor not in HOLDS.get(type_.name, ()):
            at.level.refuse(payload.is_not_null())
            return pl.repeat(None, len(payload), dtype=polars_type(type_), eager=True)
        match descriptor:
            case "S" | "N" if node.form:
                column = self._times(node.form, payload, type_, at, policy)
                at.level.refuse(column.is_null() & payload.is_not_null())
                at.seen.forms[node.form] += len(payload) - payload.null_count()
                at.seen.max_bytes = max(at.seen.max_bytes, largest(payload.str.len_bytes()))
                return column
            case "S" if type_.name != "VARCHAR":
                return self._numbers(payload, type_, at)
            case "S":
                self._sizes(payload, self.rules.limit(policy, type_), at)
                return payload
            case "N":
                column = number_column(payload, type_, at.seen)
                if column.null_count() > payload.null_count():
                    at.level.refuse(column.is_null() & payload.is_not_null())
                if type_.name == "VARCHAR":
                    at.level.refuse(column.str.len_bytes() > self.rules.limit(policy, type_))
                return column
            case "B":
                column = payload.str.decode("base64", strict=False)
                size = column.bin.size()
                at.level.refuse((column.is_null() & payload.is_not_null()) | (size > self.rules.limit(policy, type_)))
                at.seen.max_bytes = max(at.seen.max_bytes, largest(size))
                return column
            case _:
                return payload

    def _times(self, form: str, payload: pl.Series, type_: SqlType, at: At, policy: Policy) -> pl.Series:
        """Times in the form of their column. Declared columns take other forms too; `_ddb_extra` gets the original text."""
        if form in EPOCH_UNITS:
            return epoch_column(payload, type_, form)
        column = time_column(payload, type_, form)
        other = payload.set(column.is_not_null(), None)
        if other.null_count() == len(other) or not (policy.type or type_.name == "TIMESTAMPTZ"):
            return column
        loose = loose_column(other, type_, epochs=policy.type is not None)
        at.level.beside(at.path, json_text.quoted(other.set(loose.is_null(), None)))
        return pl.select(pl.coalesce(column, loose)).to_series()

    def _numbers(self, payload: pl.Series, type_: SqlType, at: At) -> pl.Series:
        """Numbers from texts of a declared column. `_ddb_extra` gets each text that differs from the number's own text."""
        column = number_column(payload, type_, Seen())
        at.level.refuse(column.is_null() & payload.is_not_null())
        same = column.cast(pl.String) == payload if type_.name != "DOUBLE PRECISION" else column.is_null()
        at.level.beside(at.path, json_text.quoted(payload.set(column.is_null() | same, None)))
        return column

    def _sizes(self, texts: pl.Series, limit: int, at: At) -> None:
        size = texts.str.len_bytes()
        longest = largest(size)
        at.seen.max_bytes = max(at.seen.max_bytes, longest)
        if longest > limit:
            at.level.refuse(size > limit)

    def _masked(self, descriptor: str, payload: pl.Series, at: At, policy: Policy) -> pl.Series:
        if policy.mask is None:
            raise ValueError("the policy has no mask")
        texts = payload.cast(pl.String)
        if descriptor in {"N", "B"}:
            texts = number_texts(texts) if descriptor == "N" else binary_texts(texts)
            at.level.refuse(texts.is_null() & payload.is_not_null())
        return self.rules.masked_column(policy.mask, texts)

    def _map(self, node: Node, payloads: Payloads, at: At) -> None:
        filled = falses(at.level.height)
        for name, below, values in _fields(node, payloads.series["M"]):
            filled = filled | values.is_not_null()  # excluded members count too
            self._field(below, values, at.below(name))
        at.level.mark(at.path, "{}", payloads.there["M"] & ~filled)

    def _list(self, node: Node, payloads: Payloads, at: At) -> None:
        descriptor = next(d for d in node.accepts if d != "NULL")
        lists = payloads.series[descriptor]
        lengths = lists.list.len()
        at.level.mark(at.path, "[]", lengths == 0)
        members = lists.explode(empty_as_null=False, keep_nulls=False)
        child = Level(len(members), at.level, lengths)
        below = at.into(child, ())
        element = node.element
        if element is None:
            child.refuse(members.is_null() | members.is_not_null())
        elif descriptor == "L":
            self._field(element, members, below)
        else:
            self._members(element, descriptor[0], members, below)
        child.columns = {index_name(0): child.index, **child.columns}
        child.give_to_parent()
        at.level.children[node.name or ""] = child

    def _members(self, element: Node, descriptor: str, members: pl.Series, at: At) -> None:
        """Decodes the members of sets as rows of a child relation."""
        at.level.refuse(members.is_null())
        at.seen.counts[descriptor] += len(members)  # type: ignore[index]
        policy = self.rules.policy(at.where).of(descriptor)
        if descriptor not in element.accepts or element.name is None or policy.exclude or policy.whole:
            at.level.refuse(members.is_not_null())
        elif element.kind == "json":
            at.level.columns[element.name] = self._json_payload(element, descriptor, members, at, policy)
        else:
            type_ = SqlType.parse(element.type or "")
            at.level.columns[element.name] = self._scalar(element, descriptor, members, type_, at, policy)

    def _json(self, node: Node, payloads: Payloads, at: At, policy: Policy) -> pl.Series:
        """The JSON text of each value; rows that JSON cannot represent exactly are refused."""
        texts = [self._json_payload(node, d, payloads.series[d], at, policy) for d in node.accepts]
        if not texts:
            return pl.repeat(None, at.level.height, dtype=pl.String, eager=True)
        return texts[0] if len(texts) == 1 else pl.select(pl.coalesce(texts)).to_series()

    def _json_payload(self, node: Node, descriptor: str, series: pl.Series, at: At, policy: Policy) -> pl.Series:
        if policy.mask and descriptor in {"S", "N", "B", "BOOL"}:
            hashed = json_text.quoted(self._masked(descriptor, series, at, policy))
            return pl.select(pl.when(series.is_not_null()).then(hashed.fill_null("null"))).to_series()
        match descriptor:
            case "S":
                self._sizes(series, MAX_VARCHAR, at)
                return json_text.quoted(series)
            case "N":
                texts = number_texts(series)
                at.level.refuse(series.is_not_null() & ~is_super_number(texts).fill_null(False))
                add_digits(at.seen, texts.drop_nulls())
                return texts
            case "B":
                texts = binary_texts(series)
                at.level.refuse((texts.is_null() & series.is_not_null()) | (texts.str.len_bytes() > MAX_VARCHAR))
                return json_text.between('"', texts, '"')
            case "BOOL":
                return series.cast(pl.String)
            case "NULL":
                return pl.select(pl.when(series).then(pl.lit("null"))).to_series()
            case "M":
                return self._json_map(node, series, at)
            case "L":
                members = series.explode(empty_as_null=False, keep_nulls=False)
                child = Level(len(members), at.level, series.list.len())
                text = self._node(node.element or UNKNOWN, members, at.into(child, at.path))
                child.give_to_parent()
                if text is None:  # the elements are excluded, so the list is empty
                    return json_text.array(pl.Series(dtype=pl.String), series.list.len() * 0)
                return json_text.array(text, series.list.len())
            case _:
                return self._json_set(descriptor, series, at)

    def _json_map(self, node: Node, series: pl.Series, at: At) -> pl.Series:
        texts = {name: self._node(below, values, at.below(name)) for name, below, values in _fields(node, series)}
        kept = [(name, text) for name, text in sorted(texts.items()) if text is not None]
        inner = json_text.members(kept, at.level.height)
        return json_text.between("{", inner.set(series.is_null(), None), "}")

    def _json_set(self, descriptor: str, series: pl.Series, at: At) -> pl.Series:
        lengths = series.list.len()
        members = series.explode(empty_as_null=False, keep_nulls=False)
        child = Level(len(members), at.level, lengths)
        child.refuse(members.is_null())
        policy = self.rules.policy((*at.where, None)).of(descriptor[0])
        if policy.exclude or policy.whole:
            child.refuse(members.is_not_null())
        below = At(child, at.path, at.where, at.seen.elements())
        below.seen.counts[descriptor[0]] += len(members)  # type: ignore[index]
        if descriptor in {"NS", "BS"}:
            members = number_texts(members) if descriptor == "NS" else binary_texts(members)
            child.refuse(members.is_null())
        # sorting all members at once by (row, member) is thirty times as fast as sorting list by list
        order = (
            [child.row, members.cast(pl.Float64, strict=False), members] if descriptor == "NS" else [child.row, members]
        )
        members = (
            pl.DataFrame([column.alias(str(place)) for place, column in enumerate(order)]).sort(pl.all()).to_series(-1)
        )
        text = self._json_payload(UNKNOWN, descriptor[0], members, below, policy)
        child.give_to_parent()
        return json_text.array(text, lengths)


def _fields(node: Node, structs: pl.Series) -> Iterator[tuple[str, Node, pl.Series]]:
    """The name, node and values of every field. The series has no name: polars would read a name such as `*` as a pattern."""
    columns = structs.struct.unnest()  # `struct.field` would read names as patterns too
    for name, below in node.columnar.items():
        yield name, below, columns.get_column(name).alias("")


def _image(line: str, name: str) -> Any:
    """The image of a line as JSON; None if there is none or the line is nested too deep, which the exact path reports."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return record.get(name) if isinstance(record, dict) else None


def _names(value: Any) -> int:
    """The number of JSON keys of a value, with its name; 0 for no value or an invalid one."""
    if value is None:
        return 0
    try:
        names = 1 + count_names(value)
        check_all(value)
    except AttributeValueError:
        return 0
    return names


def _refuse_hidden(payloads: Payloads, at: At, policy: Policy) -> None:
    """Refuses rows with values that are hidden as a whole; the exact path handles them."""
    for descriptor, there in payloads.there.items():
        if not at.counting and policy.of(descriptor).whole:
            at.level.refuse(there)


def _value_at(image: Any, path: tuple[Step, ...]) -> Any:
    """The attribute value at a path of names; None if there is none."""
    value: Any = {"M": image}
    for name in path:
        members = value.get("M") if isinstance(value, dict) else None
        value = members.get(name) if isinstance(members, dict) else None
    return value
