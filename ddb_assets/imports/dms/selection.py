"""Which tables of the source a task takes, and which of their rows.

Pure. Facts: DMS User Guide, "Wildcards in table mapping", "Using source filters".
"""

import difflib
import fnmatch
import re
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from ddb_assets.dynamodb.attribute_value import AttributeValueError, number_text
from ddb_assets.imports.dms.rules import FilterCondition, Locator, Place, SelectionRule, SourceFilter, TaskRules
from ddb_assets.imports.dms.source_tables import TIMES, Column, SourceTable
from ddb_assets.imports.mapping.where import Filter

_WILD = re.compile(r"\[[^\]]*\]|[%_*?]")
_IN_FNMATCH = {"%": "*", "_": "?", "*": "[*]", "?": "[?]"}
OPERATORS = {"eq": "eq", "noteq": "not_eq", "gte": "gte", "lte": "lte", "ste": "lte"}
PAIRS = {"between": "between", "notbetween": "not_between"}
NEGATIVE = {"noteq", "notbetween", "notnull"}


def matches(pattern: str, name: str) -> bool:
    """Whether a name of a locator means this name. Case matters."""
    return fnmatch.fnmatchcase(name, _WILD.sub(lambda found: _IN_FNMATCH.get(found[0], found[0]), pattern))


def is_about(locator: Locator, table: SourceTable) -> bool:
    """Whether a rule with this locator is about the table."""
    return matches(locator.schema_name, table.table_owner) and matches(locator.table_name, table.table_name)


def is_pattern(name: str) -> bool:
    """Whether a name of a locator has a wildcard that is meant as one. Most `_` are not."""
    return "%" in name or "[" in name


def nearest(name: str, names: Iterable[str]) -> str:
    """` (the nearest is 'Name')`, for a message about a name that is not there."""
    found = difflib.get_close_matches(name, list(names), 1, 0.0)
    return f" (the nearest is {found[0]!r})" if found else ""


def selected(rules: TaskRules, table: SourceTable) -> list[dict[str, Any]] | None:
    """The rows that the task takes of this table, as `where` has them; None when it takes no row of it.

    Raises DmsError for rules that contradict each other, and for a filter that cannot be followed.
    """
    about = [(rule, place) for rule, place in rules.selections if _selects(rule, table)]
    takes = [one for one in about if one[0].rule_action != "exclude"]
    excludes = [place for rule, place in about if rule.rule_action == "exclude"]
    for rule, place in takes:
        if excludes and rule.rule_action == "explicit":
            place.refuse(f"this rule takes {table.name}, and {excludes[0].name} leaves it out: delete one of them")
    if excludes or not takes:
        return None
    filtered = [(rule, place) for rule, place in takes if rule.filters]
    if not filtered:
        return []
    rule, place = filtered[0]
    if len(takes) > 1:
        place.refuse(f"{table.name} is selected by several rules, and this one has filters: give it one selection rule")
    if is_pattern(rule.object_locator.table_name) or is_pattern(rule.object_locator.schema_name):
        place.refuse("filters need the exact names of schema and table, as in DMS: write them without wildcards")
    return [_where(one, table, place) for one in rule.filters or ()]


def _selects(rule: SelectionRule, table: SourceTable) -> bool:
    locator = rule.object_locator
    if rule.rule_action == "explicit":
        return (locator.schema_name, locator.table_name) == (table.table_owner, table.table_name)
    return is_about(locator, table)


def _where(one: SourceFilter, table: SourceTable, place: Place) -> dict[str, Any]:
    column = table.columns.get(one.column_name)
    if column is None:
        place.refuse(
            f"the filter names a column {one.column_name!r}, which {table.name} does not have"
            f"{nearest(one.column_name, table.columns)}"
        )
    operators = [condition.filter_operator for condition in one.filter_conditions]
    negative = sorted(NEGATIVE.intersection(operators))
    if negative and len(operators) > 1:
        place.refuse(f"the filter on {column.column_name} has {negative[0]} beside other conditions, which DMS forbids")
    compares = any(operator not in {"null", "notnull"} for operator in operators)
    kind = _kind(column, place) if compares else None
    conditions = [_condition(condition, column, kind, place) for condition in one.filter_conditions]
    typed = {"type": kind} if kind not in {None, "S"} else {}
    found = {"column": column.column_name, **typed, "any": conditions}
    try:
        Filter.model_validate(found)
    except ValidationError as error:
        said = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        place.refuse(f"the filter on {column.column_name}: {said}")
    return found


def _kind(column: Column, place: Place) -> str:
    name, type_ = column.column_name, column.column_type
    if type_ in {"CLOB", "BLOB", "BYTE"}:
        place.refuse(f"the filter compares {name}, which is a {type_}: filter by another column")
    if type_ in TIMES:
        if not column.is_moment:
            place.refuse(
                f"the filter compares {name}, which is a {type_}: that needs ColumnDateFormat YYYY-MM-dd, with or without "
                "time, in the external table definition, and dates that are written so"
            )
        return "date"
    return column.type or "S"


def _condition(found: FilterCondition, column: Column, kind: str | None, place: Place) -> dict[str, Any]:
    operator = found.filter_operator
    given = {"value": found.value, "start-value": found.start_value, "end-value": found.end_value}
    names = {name for name, value in given.items() if value is not None}
    needed = {"value"} if operator in OPERATORS else {"start-value", "end-value"} if operator in PAIRS else set()
    if names != needed:
        place.refuse(
            f"the filter on {column.column_name}: {operator} has {', '.join(sorted(names)) or 'no value'}, and needs "
            f"{', '.join(sorted(needed)) or 'no value'}"
        )
    if kind is None or operator in {"null", "notnull"}:
        return {"missing": operator == "null"}

    def operand(text: str | None) -> str | int | bool:
        return _operand(str(text), kind, column, place)

    if operator in OPERATORS:
        return {OPERATORS[operator]: operand(found.value)}
    return {PAIRS[operator]: [operand(found.start_value), operand(found.end_value)]}


def _operand(text: str, kind: str, column: Column, place: Place) -> str | int | bool:
    if kind == "BOOL":
        if text.lower() not in {"true", "false", "1", "0"}:
            place.refuse(f"the filter on {column.column_name} compares with {text!r}, which is neither true nor false")
        return text.lower() in {"true", "1"}
    if kind != "N":
        return text
    try:
        number = number_text(text.strip())
    except AttributeValueError as error:
        place.refuse(f"the filter on {column.column_name}: {error}")
    return int(number) if number.lstrip("-").isdigit() else number
