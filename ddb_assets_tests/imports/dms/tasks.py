"""DMS tasks of tests: rules and table definitions as DMS writes them, with only what a test is about said."""

import json
from pathlib import Path
from typing import Any

from ddb_assets.imports.dms.task import DmsFiles, DmsTask, read_task

Json = dict[str, Any]


def locator(schema: str = "hr", table: str = "employee", **more: str) -> Json:
    """`more`: table_type, column_name."""
    named = {"schema-name": schema, "table-name": table}
    return named | {name.replace("_", "-"): value for name, value in more.items()}


def selection(*filters: Json, action: str = "include", number: int = 1, **where: str) -> Json:
    """A selection rule; its name says its number."""
    rule: Json = {
        "rule-type": "selection",
        "rule-id": str(number),
        "rule-name": f"select-{number}",
        "rule-action": action,
    }
    return rule | {"object-locator": locator(**where)} | ({"filters": list(filters)} if filters else {})


def source_filter(column: str, *conditions: Json) -> Json:
    """A filter of a selection rule."""
    return {"filter-type": "source", "column-name": column, "filter-conditions": list(conditions)}


def condition(operator: str, *values: str) -> Json:
    """With one value, or with a start and an end."""
    names = ("start-value", "end-value") if len(values) == 2 else ("value",)
    return {"filter-operator": operator} | dict(zip(names, values, strict=False))


def transformation(action: str, target: str = "column", number: int = 7, value: str | None = None, **more: str) -> Json:
    """`more`: where the rule looks (schema, table, column_name), and `old`."""
    old = more.pop("old", None)
    return {
        "rule-type": "transformation",
        "rule-id": str(number),
        "rule-name": f"transform-{number}",
        "rule-target": target,
        "object-locator": locator(**more),
        "rule-action": action,
        "value": value,
        "old-value": old,
    }


def mapping(
    *attributes: Json,
    action: str = "map-record-to-record",
    target: str | None = "Employees",
    number: int = 2,
    **more: Any,
) -> Json:
    """An object-mapping rule. `more`: parameters such as partition_key_name, and where the rule looks (schema, table)."""
    where = {name: more.pop(name) for name in ("schema", "table") if name in more}
    parameters = {name.replace("_", "-"): value for name, value in more.items()}
    if attributes:
        parameters["attribute-mappings"] = list(attributes)
    return {
        "rule-type": "object-mapping",
        "rule-id": str(number),
        "rule-name": f"map-{number}",
        "rule-action": action,
        "object-locator": locator(**where),
        **({"target-table-name": target} if target else {}),
        **({"mapping-parameters": parameters} if parameters else {}),
    }


def scalar(name: str, value: Any, kind: str = "string") -> Json:
    """A scalar of attribute-mappings."""
    return {"target-attribute-name": name, "attribute-type": "scalar", "attribute-sub-type": kind, "value": value}


def document(name: str, value: Any, kind: str = "dynamodb-map") -> Json:
    """A map or list of attribute-mappings."""
    return {"target-attribute-name": name, "attribute-type": "document", "attribute-sub-type": kind, "value": value}


def column(name: str, kind: str = "STRING", **more: str) -> Json:
    """`more`: pk, date_format."""
    found: Json = {"ColumnName": name, "ColumnType": kind}
    if kind == "STRING":
        found["ColumnLength"] = "40"
    if kind == "NUMERIC":
        found |= {"ColumnPrecision": "10", "ColumnScale": "2"}
    if "pk" in more:
        found |= {"ColumnIsPk": more["pk"], "ColumnNullable": "false"}
    if "date_format" in more:
        found["ColumnDateFormat"] = more["date_format"]
    return found


EMPLOYEE = [
    column("Id", "INT8", pk="true"),
    column("LastName"),
    column("FirstName"),
    column("HourlyRate", "NUMERIC"),
    column("HireDate", "DATE", date_format="YYYY-MM-dd"),
    column("Active", "BOOLEAN"),
    column("Photo", "BLOB"),
]
ROWS = (
    "101,Smith,Bob,40.50,2014-06-04,true,\n"
    "102,Jones,Ann,38,2015-10-08,false,\n"
    "103,Smith,,41.25,2017-03-13,true,\n"
    "104,Miller,Eve,,2017-03-13,,\n"
)  # fmt: skip


def table(
    name: str = "employee", columns: list[Json] | None = None, schema: str = "hr", path: str | None = None
) -> Json:
    """One table of an external table definition."""
    found = EMPLOYEE if columns is None else columns
    return {
        "TableName": name,
        "TablePath": path or f"{schema}/{name}/",
        "TableOwner": schema,
        "TableColumns": found,
        "TableColumnsTotal": str(len(found)),
    }


def definition(*tables: Json) -> Json:
    """An external table definition; by default of the table hr.employee."""
    found = tables or (table(),)
    return {"TableCount": str(len(found)), "Tables": list(found)}


BASE = [selection(), mapping(exclude_columns=["Photo"], partition_key_name="Id")]
"""The rules of a task that works."""


def files(folder: Path, rules: Any = BASE, source: Any = None, **more: Any) -> DmsFiles:
    """Written files of a task. `rules` and `source` that are texts are written as they are."""
    told = {"mappings": {"rules": rules} if isinstance(rules, list) else rules, "source": source or definition()}
    for name, content in told.items():
        text = content if isinstance(content, str) else json.dumps(content, indent=1)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return DmsFiles(folder / "mappings.json", folder / "source.json", **more)


def task(folder: Path, rules: Any = BASE, source: Any = None, **more: Any) -> DmsTask:
    """What is read of such files."""
    return read_task(files(folder, rules, source, **more))
