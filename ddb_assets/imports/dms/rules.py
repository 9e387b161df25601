"""The rules of a task's table mappings, as DMS writes them, and those that an import cannot follow.

Pure. Facts: DMS User Guide, "Selection rules and actions", "Transformation rules and actions", "Using source filters", "Using
Amazon DynamoDB as a target".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AliasGenerator, ConfigDict, Field

from ddb_assets.imports.dms.document import DmsError, Part, part, shown


def _hyphens(name: str) -> str:
    return name.replace("_", "-")


class _Part(Part):
    model_config = ConfigDict(alias_generator=AliasGenerator(alias=_hyphens))


class Locator(_Part):
    """Which tables a rule is about. `%` stands for any text, `_` for one character, `[ab]` for one of these."""

    schema_name: Annotated[str, Field(min_length=1)]
    table_name: Annotated[str, Field(min_length=1)] = "%"
    table_type: Literal["table", "view", "all"] | None = None
    column_name: str | None = None


class FilterCondition(_Part):
    """One comparison of a filter."""

    filter_operator: Literal["eq", "noteq", "gte", "lte", "ste", "between", "notbetween", "null", "notnull"]
    value: str | None = None
    start_value: str | None = None
    end_value: str | None = None


class SourceFilter(_Part):
    """What a column must fulfil: one of the conditions."""

    filter_type: Literal["source"] = "source"
    column_name: str
    filter_conditions: Annotated[tuple[FilterCondition, ...], Field(min_length=1)]


class _Rule(_Part):
    rule_id: str
    rule_name: str
    object_locator: Locator


class SelectionRule(_Rule):
    """Tables that the task takes or leaves out."""

    rule_type: Literal["selection"]
    rule_action: Literal["include", "exclude", "explicit"]
    filters: tuple[SourceFilter, ...] | None = None
    load_order: str | None = None


class TransformationRule(_Rule):
    """How schemas, tables or columns are called at the target."""

    rule_type: Literal["transformation"]
    rule_target: Literal["schema", "table", "column"]
    rule_action: Literal[
        "rename", "remove-column", "convert-lowercase", "convert-uppercase", "add-prefix", "remove-prefix", "replace-prefix",
        "add-suffix", "remove-suffix", "replace-suffix",
    ]  # fmt: skip
    value: str | None = None
    old_value: str | None = None


class AttributeMapping(_Part):
    """One attribute: a template, or a map or list in DynamoDB JSON with templates in it."""

    target_attribute_name: Annotated[str, Field(min_length=1)]
    attribute_type: Literal["scalar", "document"]
    attribute_sub_type: Literal["string", "number", "boolean", "dynamodb-map", "dynamodb-list"]
    value: Any


class ConditionExpression(_Part):
    """A condition under which DynamoDB writes an item."""

    expression: str
    expression_attribute_names: Any = None
    expression_attribute_values: Any = None
    apply_during_cdc: bool = False
    apply_during_full_load: bool = True


class MappingParameters(_Part):
    """Keys and attributes of the items."""

    partition_key_name: str | None = None
    sort_key_name: str | None = None
    exclude_columns: tuple[str, ...] = ()
    attribute_mappings: tuple[AttributeMapping, ...] = ()
    condition_expression: ConditionExpression | None = None


class MappingRule(_Rule):
    """How the rows of a table become items."""

    rule_type: Literal["object-mapping"]
    rule_action: Literal["map-record-to-record", "map-record-to-document"]
    target_table_name: str | None = None
    mapping_parameters: MappingParameters = MappingParameters()


Rule = SelectionRule | TransformationRule | MappingRule
KINDS: Mapping[str, type[SelectionRule] | type[TransformationRule] | type[MappingRule]] = {
    "selection": SelectionRule,
    "transformation": TransformationRule,
    "object-mapping": MappingRule,
}
FASTER = {"rule-type", "rule-id", "rule-name", "object-locator", "parallel-load"}
"""What a rule of the type table-settings may have without changing what is read."""
REFUSED_ACTIONS = {
    "include-column": "name the columns that you do not want in exclude-columns",
    "add-column": "make the attribute in attribute-mappings, if no SQL is needed for it",
    "change-data-type": "give the attribute its type in attribute-mappings",
    "define-primary-key": "give partition-key-name and sort-key-name in the object-mapping rule",
    "add-before-image-columns": "delete the rule: files have no earlier values",
    "data-masking-digits-mask": "mask the values in the files",
    "data-masking-digits-randomize": "mask the values in the files",
    "data-masking-hash-mask": "mask the values in the files",
}
"""Actions of transformation rules that an import cannot do, and what to do instead."""


@dataclass(frozen=True)
class Place:
    """How messages call a rule: its file, id and name."""

    name: str

    def refuse(self, why: str) -> NoReturn:
        """Raises DmsError with the rule's name."""
        raise DmsError(f"{self.name}: {why}")


@dataclass(frozen=True)
class TaskRules:
    """All rules of a task, by kind. `notes`: what changes nothing here."""

    selections: tuple[tuple[SelectionRule, Place], ...]
    transformations: tuple[tuple[TransformationRule, Place], ...]
    mappings: tuple[tuple[MappingRule, Place], ...]
    notes: tuple[str, ...] = ()


def task_rules(document: object, file: str) -> TaskRules:
    """The rules of a file of table mappings. Raises DmsError with the file and the rule for each that cannot be followed."""
    if not isinstance(document, dict) or not isinstance(document.get("rules"), list):
        raise DmsError(f"{file}: these are no table mappings of a DMS task: a list `rules` is missing")
    if extra := sorted(document.keys() - {"rules"}):
        raise DmsError(f"{file}: {extra[0]}: only `rules` is known here: delete it if it does not matter")
    notes: list[str] = []
    rules = [found for n, raw in enumerate(document["rules"]) if (found := _rule(raw, n, file, notes))]
    return TaskRules(
        tuple((rule, place) for rule, place in rules if isinstance(rule, SelectionRule)),
        tuple((rule, place) for rule, place in rules if isinstance(rule, TransformationRule)),
        tuple((rule, place) for rule, place in rules if isinstance(rule, MappingRule)),
        tuple(notes),
    )


def _rule(raw: object, number: int, file: str, notes: list[str]) -> tuple[Rule, Place] | None:
    if not isinstance(raw, dict):
        raise DmsError(f"{file}: rules[{number}] is {shown(raw)}, not a rule")
    said = [str(raw.get(key, "without " + key)) for key in ("rule-id", "rule-name")]
    place = f"{file}: rule {said[0][:60]} ({said[1][:60]})"
    kind = raw.get("rule-type")
    if kind == "table-settings" and raw.keys() <= FASTER:
        notes.append(f"{place}: table-settings say how DMS reads a database; they change nothing here")
        return None
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise DmsError(f"{place}: rule-type {shown(kind)} cannot be followed; {', '.join(KINDS)} can: delete the rule")
    action = raw.get("rule-action")
    if model is TransformationRule and isinstance(action, str) and action in REFUSED_ACTIONS:
        raise DmsError(f"{place}: the action {action} cannot be followed: {REFUSED_ACTIONS[action]}")
    return part(model, raw, place, _hyphens), Place(place)
