"""The attributes that an object-mapping rule makes of a table's columns, as an `import.yaml` says them.

Pure. Facts: DMS User Guide, "Using object mapping to migrate data to DynamoDB".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ddb_assets.dynamodb.attribute_value import MAX_DEPTH
from ddb_assets.imports.dms.document import parse_json, shown
from ddb_assets.imports.dms.rules import AttributeMapping, ConditionExpression, MappingParameters, Place
from ddb_assets.imports.dms.selection import nearest
from ddb_assets.imports.dms.source_tables import SourceTable

DOCUMENT = "_doc"
SCALARS = {"string": "S", "number": "N", "boolean": "BOOL"}
DOCUMENTS = {"dynamodb-map": "M", "dynamodb-list": "L"}
_FIELD = re.compile(r"\$\{([^}]*)\}")
_ESCAPED = re.compile(r"\$(?=\$\{)")
_ABSENT = re.compile(r"\s*attribute_not_exists\s*\(\s*(#?[\w.-]+)\s*\)\s*", re.IGNORECASE)
Rule = dict[str, Any] | str


@dataclass
class Attributes:
    """`rules` by attribute, `excluded` columns, and the `mode` of the import. `notes`: what a user should know."""

    rules: dict[str, Rule] = field(default_factory=dict)
    excluded: list[str] = field(default_factory=list)
    mode: str = "put"
    notes: list[str] = field(default_factory=list)


def attributes(
    parameters: MappingParameters,
    action: str,
    place: Place,
    table: SourceTable,
    names: Mapping[str, str | None],
    *,
    changes: bool = False,
) -> Attributes:
    """`place` is the rule's; `names` has by column the attribute that it becomes by itself, None for none. `changes`:
    the rows are changes, and not those of a full load. Raises DmsError.
    """
    return _Maker(place, table, names, changes=changes).made(parameters, action)


class _Maker:
    """Makes the attributes of one table."""

    def __init__(self, place: Place, table: SourceTable, names: Mapping[str, str | None], *, changes: bool) -> None:
        self._place, self._table, self._names, self._changes = place, table, names, changes
        self._made = Attributes()
        self._used: set[str] = set()  # columns in templates

    def made(self, parameters: MappingParameters, action: str) -> Attributes:
        """See `attributes`."""
        for name in parameters.exclude_columns:
            self._check_column(name, "exclude-columns")
        removed = [name for name, attribute in self._names.items() if attribute is None]
        self._made.excluded = list(dict.fromkeys([*parameters.exclude_columns, *removed]))
        for mapping in parameters.attribute_mappings:
            name = mapping.target_attribute_name
            if name in self._made.rules:
                self._place.refuse(f"attribute-mappings make the attribute {name!r} twice: delete one of them")
            self._made.rules[name] = self._mapped(mapping)
        self._add_others(action)
        self._check_keys(parameters, action)
        if parameters.condition_expression:
            self._made.mode = self._mode(parameters.condition_expression, parameters.partition_key_name)
        return self._made

    def _add_others(self, action: str) -> None:
        """The columns that are not excluded become attributes too, whether or not a mapping uses them."""
        excluded = set(self._made.excluded)
        rules = self._made.rules
        others: dict[str, Rule] = {}
        for column, name in self._names.items():
            if name is None or column in excluded:
                continue
            if action == "map-record-to-document" or name not in rules:
                self._check_held(column)
                others[name] = column
            elif column not in self._used:
                self._made.notes.append(
                    f"{self._place.name}: the column {column!r} itself is not written, because attribute-mappings make the "
                    f"attribute {name!r} of something else"
                )
        if action != "map-record-to-document":
            rules.update(others)
        elif DOCUMENT in rules:
            self._place.refuse(
                f"an attribute mapping makes {DOCUMENT}, which map-record-to-document makes too: name it otherwise"
            )
        elif others:
            rules[DOCUMENT] = {"map": others}

    def _check_keys(self, parameters: MappingParameters, action: str) -> None:
        keys = {"partition-key-name": parameters.partition_key_name, "sort-key-name": parameters.sort_key_name}
        if parameters.partition_key_name is None:
            primary = [name for name, column in self._table.columns.items() if column.column_is_pk == "true"]
            if len(primary) != 1 or parameters.sort_key_name is not None:
                self._place.refuse(
                    f"there is no partition-key-name, and {self._table.name} has {len(primary)} columns with ColumnIsPk: name "
                    "the partition key, and the sort key if there is one"
                )
            keys["partition-key-name"] = self._names[primary[0]] or primary[0]
        for key, name in keys.items():
            if name is not None and name not in self._made.rules:
                document = (
                    f", and {action} leaves the columns to {DOCUMENT}" if action == "map-record-to-document" else ""
                )
                self._place.refuse(
                    f"nothing makes the attribute {name!r} of {key}{document}: add it to attribute-mappings"
                    f"{nearest(name, self._made.rules)}"
                )

    def _mode(self, condition: ConditionExpression, partition_key: str | None) -> str:
        """Only that there is no such item is a condition that an import knows."""
        applies = condition.apply_during_cdc if self._changes else condition.apply_during_full_load
        if not applies:
            other = "the full load" if self._changes else "changes"
            self._made.notes.append(
                f"{self._place.name}: the condition-expression is for {other} only; it changes nothing here"
            )
            return "put"
        found = _ABSENT.fullmatch(condition.expression)
        name = found[1] if found else None
        if name and name.startswith("#"):
            named = condition.expression_attribute_names
            name = named.get(name) if isinstance(named, dict) else None
        if name is None or name != partition_key or condition.expression_attribute_values or self._changes:
            self._place.refuse(
                f"the condition-expression {shown(condition.expression)} cannot be followed; the only one that can is "
                f"attribute_not_exists({partition_key}), which keeps items that exist: delete it, or import without it"
            )
        return "if-not-exists"

    def _mapped(self, mapping: AttributeMapping) -> Rule:
        name, sub_type, value = mapping.target_attribute_name, mapping.attribute_sub_type, mapping.value
        if mapping.attribute_type == "scalar":
            if sub_type not in SCALARS:
                self._place.refuse(f"{name}: a scalar is a string, number or boolean, not a {sub_type}")
            if not isinstance(value, str):
                self._place.refuse(f"{name}: the value of a scalar is a text such as ${{Column}}, not {shown(value)}")
            return self._scalar(value, SCALARS[sub_type], name)
        type_ = DOCUMENTS.get(sub_type)
        if type_ is None:
            self._place.refuse(f"{name}: a document is a dynamodb-map or a dynamodb-list, not a {sub_type}")
        if isinstance(value, str):
            value = parse_json(value, f"{self._place.name}: {name}")
        if not isinstance(value, dict) or value.keys() != {type_}:
            self._place.refuse(f'{name}: the value of a {sub_type} is {{"{type_}": …}}, not {shown(value)}')
        return self._document(value, name, 1)

    def _document(self, value: object, where: str, depth: int) -> Rule:
        """A value in DynamoDB JSON, with templates where it has texts."""
        if not isinstance(value, dict) or len(value) != 1:
            self._place.refuse(
                f"{where}: {shown(value)} is not a value in DynamoDB JSON, which is one type and its value"
            )
        if depth > MAX_DEPTH:
            self._place.refuse(f"{where}: DynamoDB takes no deeper nesting than {MAX_DEPTH}")
        ((type_, payload),) = value.items()
        match type_, payload:
            case "M", dict():
                return {"map": {k: self._document(v, f"{where}.{k}", depth + 1) for k, v in payload.items()}}
            case "L", list():
                return {"list": [self._document(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(payload)]}
            case (("S" | "N" | "BOOL"), str()):
                return self._scalar(payload, type_, where)
            case "N", int() if not isinstance(payload, bool):
                return {"constant": payload}
            case "BOOL", bool():
                return {"constant": payload}
            case "NULL", True:
                return {"constant": None}
        return self._place.refuse(f"{where}: {shown(value)} cannot be made; S, N, BOOL, NULL, M and L can")

    def _scalar(self, text: str, type_: str, where: str) -> Rule:
        plain = _ESCAPED.sub("", text)
        if plain != text:
            self._made.notes.append(
                f"{self._place.name}: {where}: `$${{` is read as `${{`, because Terraform writes it so; for a dollar before a "
                "column, use --config"
            )
        fields: list[str] = _FIELD.findall(plain)
        if len(fields) < plain.count("${"):
            self._place.refuse(f"{where}: in {shown(text)} a `${{` is not closed")
        for column in fields:
            self._check_column(column, where)
            self._check_held(column)
        self._used.update(fields)
        typed = {"type": type_} if type_ != "S" else {}
        if not fields:
            return {"constant": text, **typed}
        if plain == f"${{{fields[0]}}}":
            own = self._table.columns[fields[0]].type == type_
            return fields[0] if own else {"column": fields[0], "type": type_}
        escaped = [part.replace("$", "$$") for part in _FIELD.split(plain)[::2]]
        template = (
            "".join(f"{before}${{{column}}}" for before, column in zip(escaped, fields, strict=False)) + escaped[-1]
        )
        return {"template": template, **typed}

    def _check_column(self, name: str, where: str) -> None:
        if name not in self._table.columns:
            self._place.refuse(
                f"{where} names a column {name!r}, which {self._table.name} does not have{nearest(name, self._table.columns)}"
            )
        if self._names[name] is None and where != "exclude-columns":
            self._place.refuse(
                f"{where} uses the column {name!r}, which a transformation rule removes: delete one of them"
            )

    def _check_held(self, name: str) -> None:
        column = self._table.columns[name]
        if column.type is None:
            self._place.refuse(
                f"the column {name!r} is a {column.column_type}, which cannot become an attribute: name it in exclude-columns"
            )
