"""What a DMS task says and an import cannot do is refused by file and rule. Nothing is ignored silently."""

import re
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.imports.dms.document import MOST_BYTES, DmsError, read_json
from ddb_assets.imports.dms.rules import REFUSED_ACTIONS
from ddb_assets_tests.imports.dms.tasks import (
    BASE,
    EMPLOYEE,
    Json,
    column,
    condition,
    definition,
    document,
    mapping,
    scalar,
    selection,
    source_filter,
    table,
    task,
    transformation,
)


def mapped(*made: Json, **more: Any) -> list[Json]:
    """Rules with these attribute mappings."""
    return [selection(), mapping(*made, **{"exclude_columns": ["Photo"], "partition_key_name": "Id"} | more)]


def filtered(name: str, *conditions: Json, **more: Any) -> list[Json]:
    """Rules with a filter."""
    return [selection(source_filter(name, *conditions), **more), BASE[1]]


def named(**more: Any) -> list[Json]:
    """Rules with a transformation."""
    return [*BASE, transformation(**{"action": "rename", "column_name": "LastName", "value": "x"} | more)]


def without(rule: Json, key: str) -> Json:
    return {name: value for name, value in rule.items() if name != key}


def nested(depth: int) -> Json:
    """A map in a map in a map."""
    found: Json = {"S": "x"}
    for _ in range(depth):
        found = {"M": {"x": found}}
    return found


SELECT, MAP, TRANSFORM = "rule 1 (select-1): ", "rule 2 (map-2): ", "rule 7 (transform-7): "
RULES: list[tuple[Any, str]] = [
    # kinds and keys
    ([*BASE, {"rule-type": "validation", "rule-id": 9, "rule-name": "v"}], 'rule 9 (v): rule-type "validation" cannot'),
    ([*BASE, {"rule-type": "table-settings", "rule-id": 9, "rule-name": "v", "lob-settings": {}}], "rule 9 (v): rule-type"),
    ([*BASE, {"rule-id": 9}], "rule 9 (without rule-name): rule-type null"),
    ([*BASE, "rule"], 'rules[2] is "rule", not a rule'),
    ([selection(), BASE[1] | {"kafka-target-topic": "t"}], MAP + "kafka-target-topic: this key is not known; known are "),
    (mapped(partition_key_type="schema-table"), MAP + "mapping-parameters.partition-key-type: this key is not known"),
    ([without(selection(), "rule-action")], SELECT + "rule-action: this key is missing"),
    ([selection() | {"load-order": [1]}], SELECT + "load-order: "),
    ([without(selection(), "object-locator")], SELECT + "object-locator: this key is missing"),
    ([selection(action="skip")], SELECT + "rule-action: "),
    ([selection(), without(BASE[1], "rule-action") | {"rule-target": "table"}], MAP + "rule-target: this key is not known"),
    ([selection(), without(BASE[1], "rule-action")], MAP + "rule-action: this key is missing"),
    ([selection(), BASE[1] | {"rule-action": "explicit"}], MAP + "rule-action: "),
    # selection
    ([BASE[1]], "no selection rule takes a table of "),
    ([selection(action="explicit"), selection(number=2, action="exclude"), BASE[1]], SELECT + "this rule takes hr.employee"),
    # filters
    (filtered("Name", condition("eq", "x")), SELECT + "the filter names a column 'Name', which hr.employee does not have"),
    (filtered("Id", condition("eq", "x"), table="%"), SELECT + "filters need the exact names"),
    ([*filtered("Id", condition("eq", "5")), selection(number=3)], SELECT + "hr.employee is selected by several rules"),
    (filtered("Id", condition("eq", "x")), SELECT + "the filter on Id: "),
    (filtered("Id", condition("eq")), SELECT + "the filter on Id: eq has no value, and needs value"),
    (filtered("Id", condition("null", "5")), SELECT + "the filter on Id: null has value, and needs no value"),
    (filtered("Id", condition("between", "5")), SELECT + "the filter on Id: between has value, and needs end-value, s"),
    (filtered("Id", condition("noteq", "5"), condition("eq", "5")), SELECT + "the filter on Id has noteq beside other"),
    (filtered("Photo", condition("eq", "5")), SELECT + "the filter compares Photo, which is a BLOB"),
    (filtered("Active", condition("eq", "maybe")), SELECT + "the filter on Active compares with 'maybe'"),
    (filtered("HireDate", condition("gte", "soon")), SELECT + "the filter on HireDate: 'soon' is not a date"),
    (filtered("LastName", condition("between", "b", "a")), SELECT + "the filter on LastName: 'b' is greater than 'a'"),
    (filtered("Active", condition("gte", "1")), SELECT + "the filter on Active: true and false have no order"),
    (filtered("Id", condition("like", "5")), SELECT + "filters.0.filter-conditions.0.filter-operator: "),
    ([selection({"column-name": "Id"}), BASE[1]], SELECT + "filters.0.filter-conditions: this key is missing"),
    # transformations
    *[(named(action=action), f"{TRANSFORM}the action {action} cannot be followed: ") for action in REFUSED_ACTIONS],
    (named(action="shout"), TRANSFORM + "rule-action: "),
    (named(target="index-tablespace"), TRANSFORM + "rule-target: "),
    ([*BASE, transformation("rename", value="x")], TRANSFORM + "column-name is missing"),
    (named(value=None), TRANSFORM + "rename needs value"),
    (named(action="convert-lowercase"), TRANSFORM + "convert-lowercase takes no value"),
    (named(action="replace-prefix"), TRANSFORM + "replace-prefix needs old-value"),
    (named(column_name="Lastname"), TRANSFORM + "hr.employee has no column 'Lastname' (the nearest is 'LastName')"),
    (named(column_name="%"), TRANSFORM + "the columns 'Id' and 'LastName' of hr.employee would both be called 'x'"),
    (named(value="Id"), TRANSFORM + "the columns 'Id' and 'LastName' of hr.employee would both be called 'Id'"),
    (named(action="remove-prefix", value="LastName"), TRANSFORM + "nothing is left of the name"),
    ([*named(), transformation("convert-lowercase", number=8, column_name="%")], "rule 8 (transform-8): this rule and "),
    ([*mapped(scalar("a", "${LastName}")), transformation("remove-column", column_name="LastName")], MAP + "a uses the column"),
    # attributes
    ([*BASE, mapping(number=4)], MAP + "this rule and "),
    (mapped(exclude_columns=["Foto"]), MAP + "exclude-columns names a column 'Foto', which hr.employee does not have"),
    (mapped(exclude_columns=[]), MAP + "the column 'Photo' is a BLOB, which cannot become an attribute"),
    (mapped(scalar("a", "${Photo}")), MAP + "the column 'Photo' is a BLOB"),
    (mapped(scalar("a", "x"), scalar("a", "y")), MAP + "attribute-mappings make the attribute 'a' twice"),
    (mapped(scalar("a", "${lastName}")), MAP + "a names a column 'lastName', which hr.employee does n"),
    (mapped(scalar("a", "${Last\nName}")), MAP + "a names a column 'Last\\nName'"),
    (mapped(scalar("a", "x ${LastName")), MAP + 'a: in "x ${LastName" a `${` is not closed'),
    (mapped(scalar("a", 5)), MAP + "a: the value of a scalar is a text such as ${Column}, not 5"),
    (mapped(scalar("a", "x", "dynamodb-map")), MAP + "a: a scalar is a string, number or boolean"),
    (mapped(scalar("a", "x", "binary")), MAP + "mapping-parameters.attribute-mappings.0.attribute-sub-type: "),
    (mapped(document("a", {"M": {}}, "string")), MAP + "a: a document is a dynamodb-map or a dynamodb-list"),
    (mapped(document("a", {"L": []})), MAP + 'a: the value of a dynamodb-map is {"M": …}, not {"L": []}'),
    (mapped(document("a", "{'M'")), MAP + "a:1:2: this is not JSON"),
    (mapped(document("a", {"M": {"b": "x"}})), MAP + 'a.b: "x" is not a value in DynamoDB JSON'),
    (mapped(document("a", {"M": {"b": {"SS": ["x"]}}})), MAP + 'a.b: {"SS": ["x"]} cannot be made'),
    (mapped(document("a", {"M": {"b": {"B": "AAEC"}}})), MAP + 'a.b: {"B": "AAEC"} cannot be made'),
    (mapped(document("a", {"M": {"b": {"BOOL": 5}}})), MAP + "a.b: "),
    (mapped(document("a", {"L": [{"L": [{"S": "${x}"}]}]}, "dynamodb-list")), MAP + "a[0][0] names a column 'x'"),
    (mapped(document("a", nested(33))), MAP + "a" + ".x" * 32 + ": DynamoDB takes no deeper nesting than 32"),
    (mapped(scalar("_doc", "x"), action="map-record-to-document"), MAP + "an attribute mapping makes _doc"),
    (mapped(action="map-record-to-document"), MAP + "nothing makes the attribute 'Id' of partition-key-name, and map-record-t"),
    (mapped(partition_key_name="id"), MAP + "nothing makes the attribute 'id' of partition-key-name: add it to"),
    (mapped(sort_key_name="at"), MAP + "nothing makes the attribute 'at' of sort-key-name"),
    (mapped(partition_key_name=None, sort_key_name="LastName"), MAP + "there is no partition-key-name, and hr.employee"),
    (mapped(exclude_columns=["Photo", "Id"]), MAP + "nothing makes the attribute 'Id'"),
    *[
        (mapped(condition_expression=told), MAP + "the condition-expression ")
        for told in (
            {"expression": "attribute_exists(Id)"},
            {"expression": "attribute_not_exists(LastName)"},
            {"expression": "attribute_not_exists(#k)"},
            {"expression": "attribute_not_exists(Id) OR a < :b", "expression-attribute-values": [{"name": ":b", "value": 1}]},
        )
    ],
    # what is no such file at all
    ({"Rules": []}, "these are no table mappings of a DMS task"),
    ({"rules": BASE, "version": 1}, "version: only `rules` is known here"),
    ("[]", "these are no table mappings"),
    ('{"rules": [}', "mappings.json:1:12: this is not JSON"),
    ('{"rules": [],}', "this is not JSON"),
    ('{"rules": [{"value": "${\nstat3_val}"}]}', "mappings.json:1:25: this is not JSON: Invalid control character"),
    ('{"rules": [{"M": {"Name": {"S": "a"}"Home": {}}}]}', "mappings.json:1:37: this is not JSON: Expecting ',' delimiter"),
    ('{"rules": [], "rules": []}', "an object has the key 'rules' twice"),
    ('{"rules": NaN}', "NaN is not JSON"),
    ("[" * 100_000, "nested too deeply"),
    ('{"rules": ' + "9" * 10_000 + "}", "has too long a number"),
    (" " * (MOST_BYTES + 1), f"has more than {MOST_BYTES:,} bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "said"), RULES)
def test_a_rule_that_cannot_be_followed_is_refused_by_its_name(tmp_path: Path, rules: Any, said: str) -> None:
    with pytest.raises(DmsError) as refused:
        task(tmp_path, rules)
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"{tmp_path}/mappings.json")


def changed(**more: Any) -> Json:
    """A definition whose only table differs in these keys."""
    return definition(table() | more)


SOURCES: list[tuple[Any, str]] = [
    ({"Table": "employee", "Schema": "hr", "Version": 1, "TableColumns": []}, "this is no external table definition"),
    ({"rules": BASE}, "this is no external table definition"),
    ("[]", "this is no external table definition"),
    (definition() | {"TableCount": "2"}, "TableCount is 2, but there are 1 tables"),
    (definition() | {"Version": "2"}, "Version: this key is not known; known are TableCount, Tables"),
    ({"TableCount": "0", "Tables": []}, "Tables: "),
    (definition(table(), table()), "the table hr.employee is defined more than once"),
    ({"Tables": [5]}, "table Tables[0]: an object is expected here, not 5"),
    (changed(TableColumnsTotal="3"), "table employee: TableColumnsTotal is 3, but there are 7 columns"),
    (changed(TablePath="../hr/"), "table employee: TablePath '../hr/' is not the path of a folder"),
    (changed(TablePath="hr/*/"), "table employee: TablePath 'hr/*/' is not"),
    (changed(TablePath="/"), "table employee: TablePath '/' is not"),
    (changed(TableKind="view"), "table employee: TableKind: this key is not known"),
    (definition(without(table(), "TableOwner")), "table employee: TableOwner: this key is missing"),
    (definition(table(columns=[*EMPLOYEE, column("Id")])), "table employee: the column 'Id' is there more than once"),
    (definition(table(columns=[column("Id", "VARCHAR")])), "TableColumns.0: ColumnType VARCHAR is not one of STRING, DATE"),
    (definition(table(columns=[column("Id", "DATE", date_format="dd.MM.YYYY")])), "TableColumns.0: ColumnDateFormat 'dd"),
    (definition(table(columns=[column("Id") | {"ColumnIsPk": "maybe"}])), "TableColumns.0.ColumnIsPk: "),
    (definition(table(columns=[column("Id") | {"ColumnLength": "long"}])), "TableColumns.0.ColumnLength: "),
    (definition(table(columns=[column("Id") | {"ColumnNull": "true"}])), "TableColumns.0.ColumnNull: this key is not known"),
    ({"ExternalTableDefinition": "{"}, "ExternalTableDefinition:1:2: this is not JSON"),
    ({"ExternalTableDefinition": definition(), "CsvQuote": "'"}, "the setting CsvQuote is not known"),
    ({"ExternalTableDefinition": definition(), "CsvDelimiter": "||"}, "CsvDelimiter is '||': a delimiter of one character"),
    ({"ExternalTableDefinition": definition(), "CsvDelimiter": '"'}, "such CSV files cannot be read: delimiter and q"),
    ({"ExternalTableDefinition": definition(), "CsvDelimiter": "\\n"}, "such CSV files cannot be read: "),
    ({"ExternalTableDefinition": definition(), "CsvRowDelimiter": ";"}, "CsvRowDelimiter is ';': rows that end with"),
    ({"ExternalTableDefinition": definition(), "Rfc4180": "maybe"}, "Rfc4180 is 'maybe', neither true nor false"),
    ({"ExternalTableDefinition": definition(), "IgnoreHeaderRows": 2}, "IgnoreHeaderRows is '2', neither true nor false"),
    ({"ExternalTableDefinition": definition(), "DataFormat": "orc"}, "DataFormat is 'orc'"),
    ({"ExternalTableDefinition": definition(), "CsvDelimiter": [","]}, 'CsvDelimiter is [","], not a text'),
    ({"S3Settings": 5}, "S3Settings is 5, not an object"),
    ({"S3Settings": {"ExternalTableDefinition": definition()}, "EndpointType": "source"}, "only S3Settings is read"),
    ({"ExternalTableDefinition": definition(), "csvdelimiter": ";", "CsvDelimiter": ","}, "a setting is there twice"),
    ({"ExternalTableDefinition": definition(), "CdcPath": "/hr/employee/cdc/"}, "below hr/employee/, and those of changes (C"),
    (definition(table(), table("old", path="hr/employee/old")), "the files of hr.employee are below hr/employee/, and those"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "said"), SOURCES)
def test_a_source_that_cannot_be_read_is_refused_by_its_table_or_setting(
    tmp_path: Path, source: Any, said: str
) -> None:
    with pytest.raises(DmsError, match=re.escape(said)) as refused:
        task(tmp_path, source=source)
    assert str(refused.value).startswith(f"{tmp_path}/source.json")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("csvDelimiter", "--dms-settings: 'csvDelimiter' is not name=value"),
        ("csvDelimiter=|;csvdelimiter=,", "--dms-settings: csvdelimiter is there twice"),
        ("externalTableDefinition={}", "--dms-settings: externalTableDefinition cannot be given here"),
        ("csvQuote='", "--dms-settings: the setting csvQuote is not known"),
        ("csvDelimiter=", "--dms-settings: CsvDelimiter is ''"),
    ],
)
def test_connection_attributes_that_cannot_be_read_are_refused(tmp_path: Path, settings: str, said: str) -> None:
    with pytest.raises(DmsError, match=re.escape(said)):
        task(tmp_path, settings=settings)


def test_filters_on_dates_need_dates_that_can_be_compared(tmp_path: Path) -> None:
    for told in ({}, {"date_format": "MM/dd/YYYY"}, {"date_format": "YYYYMMdd"}):
        columns = [column("Id", "INT8", pk="true"), column("At", "DATETIME", **told)]
        for operator in ("eq", "noteq", "gte"):
            rules = [selection(source_filter("At", condition(operator, "2024-01-01")))]
            with pytest.raises(
                DmsError, match=r"rule 1 \(select-1\): the filter compares At, which is a DATETIME: that needs"
            ):
                task(tmp_path, rules, definition(table(columns=columns)))


def test_a_table_without_a_mapping_has_one_name(tmp_path: Path) -> None:
    source = definition(table(columns=[column("Id", pk="true")]))
    twice = [transformation("add-prefix", "table", number, "x") for number in (6, 7)]
    with pytest.raises(
        DmsError, match=r"rule 7 \(transform-7\): this rule and .* rule 6 \(transform-6\) both change the name"
    ):
        task(tmp_path, [selection(), *twice], source)
    with pytest.raises(DmsError, match=r"rule 7 \(transform-7\): nothing is left of the table's name"):
        task(tmp_path, [selection(), transformation("remove-column", "table")], source)


def test_a_composite_key_needs_a_mapping(tmp_path: Path) -> None:
    columns = [column("Id", pk="true"), column("At", pk="true")]
    with pytest.raises(
        DmsError, match=r"hr\.employee, for which there is no object-mapping rule: there is no partition-key-name"
    ):
        task(tmp_path, [selection()], definition(table(columns=columns)))


def test_every_mistake_of_a_rule_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(DmsError) as refused:
        task(tmp_path, [selection() | {"a": 1, "b": 2}])
    assert len(str(refused.value).splitlines()) == 2


def test_a_file_that_is_not_text_or_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "mappings.json").write_bytes(b"\xff\xfe{")
    for name in ("mappings.json", "missing.json"):
        with pytest.raises(DmsError, match=f"cannot read .*{name}"):
            read_json(tmp_path / name)
