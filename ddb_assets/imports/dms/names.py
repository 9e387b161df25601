"""How a task's transformation rules call tables and columns at the target.

Pure. Templates and `exclude-columns` have the names of the source; only columns that become attributes of their own name are
called as these rules say.
"""

from collections.abc import Mapping

from ddb_assets.imports.dms.rules import Place, TaskRules, TransformationRule
from ddb_assets.imports.dms.selection import is_about, is_pattern, matches, nearest
from ddb_assets.imports.dms.source_tables import SourceTable

NEEDED = {
    "rename": {"value"}, "remove-column": set(), "convert-lowercase": set(), "convert-uppercase": set(),
    "add-prefix": {"value"}, "remove-prefix": {"value"}, "replace-prefix": {"value", "old-value"},
    "add-suffix": {"value"}, "remove-suffix": {"value"}, "replace-suffix": {"value", "old-value"},
}  # fmt: skip
"""The values that each action needs. The console writes others as null."""


def attribute_names(rules: TaskRules, table: SourceTable) -> dict[str, str | None]:
    """By column, the attribute that it becomes if nothing else is said; None: the rules remove the column.

    Raises DmsError for rules that contradict each other.
    """
    names: dict[str, str | None] = {name: name for name in table.columns}
    decided: dict[str, Place] = {}
    for rule, place in rules.transformations:
        if rule.rule_target != "column" or not is_about(rule.object_locator, table):
            continue
        pattern = rule.object_locator.column_name
        if not pattern:
            place.refuse("column-name is missing in the object-locator: name the column, or % for all")
        about = [name for name in names if matches(pattern, name)]
        if not about and not is_pattern(pattern):
            place.refuse(f"{table.name} has no column {pattern!r}{nearest(pattern, names)}")
        for name in about:
            if name in decided:
                place.refuse(
                    f"this rule and {decided[name].name} both change the column {name!r} of {table.name}, and which one DMS "
                    "follows is not said: let one rule change it"
                )
            decided[name] = place
            names[name] = _renamed(rule, name, place)
    _check_distinct(names, decided, table)
    return names


def _check_distinct(names: Mapping[str, str | None], decided: Mapping[str, Place], table: SourceTable) -> None:
    taken: dict[str, str] = {}
    for column, name in names.items():
        if name is None:
            continue
        if name in taken:
            place = decided.get(column) or decided[taken[name]]
            place.refuse(f"the columns {taken[name]!r} and {column!r} of {table.name} would both be called {name!r}")
        if not name:
            decided[column].refuse(f"nothing is left of the name of the column {column!r} of {table.name}")
        taken[name] = column


def target_table(rules: TaskRules, table: SourceTable) -> str:
    """The DynamoDB table of a source table for which no object-mapping rule names one."""
    about = [
        (rule, place)
        for rule, place in rules.transformations
        if rule.rule_target == "table" and is_about(rule.object_locator, table)
    ]
    if not about:
        return table.table_name
    rule, place = about[-1]
    if len(about) > 1:
        place.refuse(f"this rule and {about[0][1].name} both change the name of {table.name}: let one rule change it")
    return _renamed(rule, table.table_name, place) or place.refuse("nothing is left of the table's name")


def _check_values(rule: TransformationRule, place: Place) -> None:
    action = rule.rule_action
    given = {"value": rule.value, "old-value": rule.old_value}
    if missing := sorted(key for key in NEEDED[action] if given[key] is None):
        place.refuse(f"{action} needs {missing[0]}")
    if idle := sorted(key for key, value in given.items() if value and key not in NEEDED[action]):
        place.refuse(f"{action} takes no {idle[0]}: delete it")


def _renamed(rule: TransformationRule, name: str, place: Place) -> str | None:
    """The new name; None when the rule removes what has it."""
    _check_values(rule, place)
    value, old = rule.value or "", rule.old_value or ""
    match rule.rule_action:
        case "rename":
            return value
        case "remove-column":
            return None
        case "convert-lowercase":
            return name.lower()
        case "convert-uppercase":
            return name.upper()
        case "add-prefix":
            return value + name
        case "add-suffix":
            return name + value
        case "remove-prefix":
            return name.removeprefix(value)
        case "remove-suffix":
            return name.removesuffix(value)
        case "replace-prefix":
            return value + name[len(old) :] if name.startswith(old) else name
        case "replace-suffix":
            return name[: len(name) - len(old)] + value if name.endswith(old) else name
