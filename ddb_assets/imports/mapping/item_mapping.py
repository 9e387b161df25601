"""Makes items of rows by the rules of an `ImportConfig`, with every value in its declared type.

Pure. No type is guessed here. `bulk/writing/operation.py` checks afterwards whether DynamoDB takes the item.
"""

import base64
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, cast

import orjson

from ddb_assets.aws.table import TableDescription
from ddb_assets.bulk.rows import Cell, Origin
from ddb_assets.bulk.writing.operation import RejectedItemError
from ddb_assets.dynamodb.attribute_value import AttributeValueError, Descriptor, binary, number_text
from ddb_assets.dynamodb.item import Item
from ddb_assets.errors import DdbAssetsError
from ddb_assets.imports.formats.json_rows import parse_json
from ddb_assets.imports.import_config import ImportConfig, Rule
from ddb_assets.imports.mapping.expressions import Expression, ExpressionError
from ddb_assets.imports.mapping.rule_columns import FIELD, choosing_columns, masked_columns, used_columns
from ddb_assets.imports.refused import REFUSED
from ddb_assets.settings import MASK_SECRET

TRUE, FALSE = {"true", "t", "yes", "y", "1"}, {"false", "f", "no", "n", "0"}
Value = dict[str, Any]


class ConversionError(ValueError):
    """A cell cannot be converted to the type of its attribute."""


def as_type(cell: Cell, type_: Descriptor | None, separator: str | None = None) -> Value:
    """A cell with a value, converted to this type. Raises ConversionError.

    Without a type the value keeps its own; a text is S. `separator` divides a text into the members of a set or list; without
    it the text is a JSON array.
    """
    assert cell is not None  # noqa: S101 -- the mapping decides what a cell without a value becomes
    if isinstance(cell, str):
        return {"S": cell} if type_ is None else _from_text(cell, type_, separator)
    ((found, payload),) = cell.items()
    if found == REFUSED:
        raise ConversionError(str(payload[0]))
    if type_ is None or found == type_:
        return cell
    if found == "S":
        return _from_text(payload, type_, separator)
    if type_ == "S" and found in {"N", "B"}:
        return {"S": payload}
    if type_ == "S" and found == "BOOL":
        return {"S": "true" if payload else "false"}
    if found == "L" and type_ in {"SS", "NS", "BS"}:
        return {type_: [_member(member, type_[0]) for member in payload]}
    raise ConversionError(f"{found} cannot become {type_}")


def _from_text(text: str, type_: Descriptor, separator: str | None) -> Value:
    try:
        return _FROM_TEXT[type_](text) if type_ in _FROM_TEXT else _collection(text, type_, separator)
    except AttributeValueError as error:
        raise ConversionError(str(error).removeprefix("(item): ")) from None


def _number(text: str) -> Value:
    return {"N": number_text(text.strip())}


def _boolean(text: str) -> Value:
    word = text.strip().lower()
    if word not in TRUE | FALSE:
        raise ConversionError(f"{text[:60]!r} is neither true nor false")
    return {"BOOL": word in TRUE}


def _binary(text: str) -> Value:
    return {"B": base64.b64encode(binary(text.strip())).decode()}


_FROM_TEXT: dict[str, Callable[[str], Value]] = {
    "S": lambda text: {"S": text},
    "N": _number,
    "BOOL": _boolean,
    "B": _binary,
    "NULL": lambda _: {"NULL": True},
}


def _collection(text: str, type_: Descriptor, separator: str | None) -> Value:
    if separator is not None and type_ != "M":
        members: list[Value] = [{"S": member.strip()} for member in text.split(separator)] if text else []
    else:
        try:
            found = parse_json(text)
        except ValueError as error:
            raise ConversionError(f"{text[:60]!r} is not JSON for {type_}: {error}") from None
        if type_ in found:
            return found
        if type_ == "M" or "L" not in found:
            raise ConversionError(f"{text[:60]!r} is not a JSON {'object' if type_ == 'M' else 'array'} for {type_}")
        members = found["L"]
    return {"L": members} if type_ == "L" else {type_: [_member(member, type_[0]) for member in members]}


def _member(value: Value, type_: str) -> str:
    member: str = as_type(value, cast("Descriptor", type_))[type_]
    return member


Cells = Mapping[str, Cell]
Make = Callable[[Cells, Origin], Value | None]


class MappingError(DdbAssetsError):
    """The rules cannot make items of these columns for this table."""


def hidden_columns(config: ImportConfig) -> frozenset[str]:
    """The columns that are excluded, except those without which it is not known what becomes of a row."""
    return frozenset(config.exclude).difference(
        choosing_columns(config), *map(used_columns, config.attributes.values())
    )


class ItemMapping:
    """Makes items of rows. `types` of columns are declared or, for CSV, inferred; keys, of indexes too, have the table's types.

    `exact`: the cells are whole attributes. Only rules change them, and a key of another type is not converted. `secret` is
    that of the mask `hmac`. Raises MappingError when no rule makes a key attribute, or the secret is missing.
    """

    def __init__(
        self,
        config: ImportConfig,
        target: TableDescription,
        types: Mapping[str, Descriptor] | None = None,
        *,
        exact: bool = False,
        secret: bytes | None = None,
    ) -> None:
        self._secret = secret
        self._masked = masked_columns(config)
        deletes = config.mode == "delete"  # for which only the table's key matters
        key_types = target.attribute_types if not deletes else {one.name: one.type for one in target.key}
        self._said = {} if deletes else _index_names(target)
        known: Any = {**(types or {}), **config.types, **({} if exact else key_types)}
        self._types: dict[str, Descriptor] = known
        self._nulls: Value | None = {"NULL": True} if config.write_nulls else None
        self._rules = {
            name: self._compiled(rule, self._said.get(name, name), key_types.get(name))
            for name, rule in config.attributes.items()
        }
        self._takes_rest = config.takes_rest
        self._used = set().union(*map(used_columns, config.attributes.values()), config.exclude, config.attributes)
        self._used |= {config.changes.column} if config.changes else set()
        missing = [name for name in target.key_names if name not in config.attributes]
        if missing and (not self._takes_rest or set(missing) & set(config.exclude)):
            raise MappingError(f"no rule in `attributes` makes the key attribute {missing[0]!r}: add one")
        self._untouched = exact and self._takes_rest and not self._types and not self._used

    def item(self, cells: Cells, origin: Origin) -> Item:
        """Of a row that stood at `origin`. Raises RejectedItemError naming the attribute that cannot be made."""
        if self._untouched:
            return dict(cells)
        item: Item = {}
        for name, rule in self._rules.items():
            value = rule(cells, origin)
            if value is not None:
                item[name] = value
        if self._takes_rest:
            for name, cell in cells.items():
                if name not in self._used:
                    value = self._nulls if cell is None else self._converted(cell, name)
                    if value is not None:
                        item[name] = value
        return item

    def _converted(self, cell: Cell, name: str) -> Value:
        return _converted(cell, self._types.get(name), None, self._said.get(name, name))

    def _compiled(self, rule: Rule, name: str, key_type: str | None) -> Make:
        """The rule as a function of a row. None: there is no attribute."""
        make = self._source(rule, name, key_type)
        default = None if rule.default is None else _constant(rule.default, rule.type, name)

        def value(cells: Cells, origin: Origin) -> Value | None:
            found = make(cells, origin)
            if found is not None:
                return found
            if default is not None:
                return default
            if rule.required:
                raise RejectedItemError(f"{name}: there is no value, and the rule says `required`")
            return self._nulls

        return value

    def _source(self, rule: Rule, name: str, key_type: str | None) -> Make:
        if rule.map is not None:
            members = {k: self._compiled(inner, f"{name}.{k}", None) for k, inner in rule.map.items()}
            return lambda cells, origin: {
                "M": {k: v for k, make in members.items() if (v := make(cells, origin)) is not None}
            }
        if rule.list is not None:
            makes = [self._compiled(inner, f"{name}[{i}]", None) for i, inner in enumerate(rule.list)]
            return lambda cells, origin: {"L": [v for make in makes if (v := make(cells, origin)) is not None]}
        type_: Any = rule.type or key_type
        if rule.template is not None:
            filled = _template(rule.template, type_, rule.separator, name)
            return lambda cells, _: filled(cells)
        if rule.expression is not None:
            return self._computed(Expression.of(rule.expression), type_, rule.separator, name)
        if rule.column is None:
            constant = _constant(rule.constant, type_, name)
            return lambda _, __: constant
        column, column_type = rule.column, type_ or self._types.get(rule.column)

        def from_column(cells: Cells, _: Origin) -> Value | None:
            cell = cells.get(column)
            return None if cell is None else _converted(cell, column_type, rule.separator, name)

        return from_column

    def _computed(self, expression: Expression, type_: Descriptor | None, separator: str | None, name: str) -> Make:
        if "hmac" in expression.functions and not self._secret:
            raise MappingError(
                f"attribute {name!r} has a mask hmac(), but {MASK_SECRET} is not set: set it to a secret"
            )

        def computed(cells: Cells, origin: Origin) -> Value | None:
            try:
                found = expression.value(
                    {c: self._typed(cells.get(c), c) for c in expression.columns}, origin, self._secret
                )
            except ExpressionError as error:
                raise RejectedItemError(f"{name}: {expression.text}: {error}") from None
            return None if found is None else _converted(found, type_, separator, name)

        return computed

    def _typed(self, cell: Cell, column: str) -> Value | None:
        """The cell in the type of its column. Raises ExpressionError, without the value of a masked column."""
        if cell is None:
            return None
        try:
            return as_type(cell, self._types.get(column))
        except ConversionError as error:
            masked = column in self._masked
            raise ExpressionError(
                f"{column}: the value cannot become {self._types.get(column)}" if masked else f"{column}: {error}"
            ) from None


def _index_names(target: TableDescription) -> dict[str, str]:
    """How messages call the attributes that are keys of indexes alone."""
    keys = {one.name: index.name for index in target.indexes for one in index.key if one.name not in target.key_names}
    return {name: f"{name} (key of index {index})" for name, index in keys.items()}


def _template(
    template: str, type_: Descriptor | None, separator: str | None, name: str
) -> Callable[[Cells], Value | None]:
    def filled(cells: Cells) -> Value | None:
        try:
            text = FIELD.sub(lambda match: "$" if match[1] is None else _text(cells.get(match[1]), name), template)
        except _NoValueError:
            return None
        return _converted(text, type_, separator, name)

    return filled


class _NoValueError(Exception):
    """A column that a template names has no value in this row, so the template has none."""


def _text(cell: Cell, name: str) -> str:
    if cell is None:
        raise _NoValueError
    text: str = _converted(cell, "S", None, name)["S"]
    return text


def _converted(cell: Cell, type_: Descriptor | None, separator: str | None, name: str) -> Value:
    try:
        return as_type(cell, type_, separator)
    except ConversionError as error:
        raise RejectedItemError(f"{name}: {error}") from None


def _constant(value: object, type_: Descriptor | None, name: str) -> Value:
    """A value of the YAML file. Raises MappingError when it cannot be converted to the type."""
    try:
        found = parse_json(orjson.dumps(value, default=_exact).decode())
        if type_ == "NULL":
            return {"NULL": True}
        return as_type(found, type_)
    except (ConversionError, ValueError, TypeError) as error:
        raise MappingError(f"attribute {name!r}: {value!r} cannot be of type {type_}: {error}") from error


def _exact(value: object) -> object:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    return str(value)  # dates, which YAML has and DynamoDB has not
