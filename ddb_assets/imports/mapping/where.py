"""Which rows an import takes, and which of them are deletes, as an `import.yaml` says it.

Pure. `row_choice.py` applies it to rows.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ddb_assets.dynamodb.attribute_value import AttributeValueError, number

Kind = Literal["S", "N", "BOOL", "date"]
Comparable = str | Decimal | bool
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?)?", re.ASCII)


def _text_of_date(value: object) -> object:
    """YAML reads `2024-05-01` without quotes as a date."""
    return str(value) if isinstance(value, date) else value


Operand = Annotated[bool | int | float | str, BeforeValidator(_text_of_date)]
Pair = Annotated[tuple[Operand, ...], Field(min_length=2, max_length=2)]


class Condition(BaseModel):
    """Exactly one comparison. A missing value fulfils `missing: true` and nothing else, `not_eq` neither, as in SQL.

    `between` includes both ends, and `not_between` neither.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    eq: Operand | None = None
    not_eq: Operand | None = None
    gte: Operand | None = None
    lte: Operand | None = None
    between: Pair | None = None
    not_between: Pair | None = None
    missing: bool | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            allowed = ", ".join(type(self).model_fields)
            raise ValueError(f"give exactly one of {allowed}; here are {', '.join(given) or 'none'}")
        return self

    @property
    def operands(self) -> tuple[Operand, ...]:
        """The values that the column is compared with."""
        pair = self.between or self.not_between
        return pair or tuple(one for one in (self.eq, self.not_eq, self.gte, self.lte) if one is not None)

    def holds(self, kind: Kind) -> Callable[[Comparable], bool]:
        """The condition as a function of a value. Raises ValueError when an operand is not of this kind."""
        first, *more = [comparable(operand, kind) for operand in self.operands]
        if kind == "BOOL" and self.eq is None and self.not_eq is None:
            raise ValueError("true and false have no order: use eq or not_eq")
        known: Any = first  # all values of a kind can be compared
        if self.eq is not None:
            return lambda value: value == known
        if self.not_eq is not None:
            return lambda value: value != known
        if self.gte is not None:
            return lambda value: value >= known
        if self.lte is not None:
            return lambda value: value <= known
        end: Any = more[0]
        if known > end:
            raise ValueError(f"{self.operands[0]!r} is greater than {self.operands[1]!r}: nothing is between them")
        inside = self.between is not None
        return lambda value: (known <= value <= end) == inside


class Filter(BaseModel):
    """What a row's `column` must fulfil: `any` of the conditions.

    `type` is how values are compared: S by their characters, N as numbers, BOOL, or date (`2024-05-01`, `2024-05-01 12:00:00`).
    By default it is the type of the values that are given here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    type: Kind | None = None
    any: Annotated[tuple[Condition, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        for _ in self.tests():
            pass
        return self

    @property
    def kind(self) -> Kind:
        """How values are compared. Raises ValueError when the values given here differ in type."""
        if self.type:
            return self.type
        operands = [operand for condition in self.any for operand in condition.operands]
        kinds: set[Kind] = {
            "BOOL" if isinstance(one, bool) else "S" if isinstance(one, str) else "N" for one in operands
        }
        if len(kinds) > 1:
            raise ValueError("the values are of several types: say with `type` how to compare them")
        return kinds.pop() if kinds else "S"

    def tests(self) -> Iterator[Callable[[Comparable | None], bool]]:
        """Each condition as a function of the column's value. Raises ValueError as `kind` and `holds` do."""
        kind = self.kind
        for condition in self.any:
            if condition.missing is not None:
                yield _missing if condition.missing else _present
            else:
                yield _of_value(condition.holds(kind))


Words = Annotated[tuple[str, ...], Field(min_length=1)]


class Changes(BaseModel):
    """For files of changes: the text in `column` says whether a row puts its item or deletes it. Case does not matter.

    A row with any other text is rejected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    put: Words = ("I", "U", "INSERT", "UPDATE")
    delete: Words = ("D", "DELETE")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if both := {word.upper() for word in self.put} & {word.upper() for word in self.delete}:
            raise ValueError(f"{min(both)!r} cannot both put and delete")
        return self

    @property
    def meanings(self) -> dict[str, bool]:
        """By text in upper case, whether it means a delete."""
        return {word.upper(): False for word in self.put} | {word.upper(): True for word in self.delete}


def _missing(value: Comparable | None) -> bool:
    return value is None


def _present(value: Comparable | None) -> bool:
    return value is not None


def _of_value(holds: Callable[[Comparable], bool]) -> Callable[[Comparable | None], bool]:
    return lambda value: value is not None and holds(value)


def comparable(value: object, kind: Kind) -> Comparable:
    """A value of the configuration or of a cell, in a form that compares as its kind says. Raises ValueError."""
    if kind == "BOOL":
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is neither true nor false")
        return value
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is not of type {kind}")
    if kind == "S":
        return str(value)
    if kind == "date":
        return _moment(str(value))
    try:
        return number(str(value).strip())
    except AttributeValueError:
        raise ValueError(f"{value!r} is not a number") from None


def _moment(text: str) -> str:
    """A text of one length for each moment, so that moments compare as their texts do."""
    found = _MOMENT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text[:60]!r} is not a date such as 2024-05-01 or 2024-05-01 12:00:00")
    day, time, fraction = found.groups("")
    moment = f"{day} {time or '00:00:00'}"
    try:
        datetime.fromisoformat(moment)
    except ValueError as error:
        raise ValueError(f"{text[:60]!r} is not a date: {error}") from None
    return f"{moment}.{fraction:0<9}"
