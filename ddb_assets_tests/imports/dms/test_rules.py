"""What each rule of a DMS task becomes in an import's configuration."""

import json
from pathlib import Path
from typing import Any

import pytest

from ddb_assets.imports.dms.document import DmsError
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

PLAIN = {name: name for name in ("Id", "LastName", "FirstName", "HourlyRate", "HireDate", "Active")}
SETTINGS = {
    "format": "csv",
    "csv": {"delimiter": ",", "columns": [one["ColumnName"] for one in EMPLOYEE]},
    "types": {"Id": "N", "LastName": "S", "FirstName": "S", "HourlyRate": "N", "HireDate": "S", "Active": "BOOL"},
    "attributes": PLAIN,
    "exclude": ["Photo"],
}


def attributes(folder: Path, *made: Json, rules: list[Json] = [], **more: Any) -> Any:  # noqa: B006 -- not changed
    """Those of an object-mapping rule with these attribute mappings."""
    told = {"exclude_columns": ["Photo"], "partition_key_name": "Id"} | more
    return task(folder, [selection(), mapping(*made, **told), *rules]).settings["attributes"]


def test_every_column_becomes_an_attribute_of_its_type(tmp_path: Path) -> None:
    found = task(tmp_path)
    assert found.settings == SETTINGS
    assert (found.source_table, found.target_table, found.folder) == ("hr.employee", "Employees", "hr/employee")
    assert found.files("s3://bucket/folder/") == "s3://bucket/folder/hr/employee/"


def test_a_column_that_a_mapping_uses_becomes_an_attribute_too_unless_it_is_excluded(tmp_path: Path) -> None:
    name = scalar("Name", "${FirstName} ${LastName}")
    assert attributes(tmp_path, name) == {"Name": {"template": "${FirstName} ${LastName}"}} | PLAIN
    found = attributes(tmp_path, name, exclude_columns=["Photo", "FirstName", "LastName"])
    assert found.keys() == {"Name", "Id", "HourlyRate", "HireDate", "Active"}


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (scalar("Id", "${Id}", "number"), "Id"),
        (scalar("Id", "${Id}"), {"column": "Id", "type": "S"}),
        (scalar("Id", "EMP#${Id}"), {"template": "EMP#${Id}"}),
        (scalar("Id", "$ ${Id}$"), {"template": "$$ ${Id}$$"}),
        (scalar("Id", "${Id}${Id}", "number"), {"template": "${Id}${Id}", "type": "N"}),
        (scalar("Id", "#TABLE_$${Id}"), {"template": "#TABLE_${Id}"}),
        (scalar("Id", "A constant $"), {"constant": "A constant $"}),
        (scalar("Id", "5", "number"), {"constant": "5", "type": "N"}),
        (scalar("Id", "${Active}", "boolean"), "Active"),
        (scalar("Id", '{"id":"${Id}"}'), {"template": '{"id":"${Id}"}'}),
        (
            document(
                "Id", {"M": {"S": {"S": "${LastName}"}, "T": {"S": "x${Id}"}, "L": {"L": [{"N": "${HourlyRate}"}]}}}
            ),
            {"map": {"S": "LastName", "T": {"template": "x${Id}"}, "L": {"list": ["HourlyRate"]}}},
        ),
        (
            document("Id", '{"L": [{"N": 5}, {"BOOL": true}, {"NULL": true}, {"M": {}}]}', "dynamodb-list"),
            {"list": [{"constant": 5}, {"constant": True}, {"constant": None}, {"map": {}}]},
        ),
    ],
)
def test_a_mapping_becomes_a_rule(tmp_path: Path, made: Json, rule: Any) -> None:
    assert attributes(tmp_path, made)["Id"] == rule


def test_a_dollar_that_terraform_needs_is_taken_away_and_that_is_said(tmp_path: Path) -> None:
    rules = [selection(), mapping(scalar("Id", "$${Id}"), exclude_columns=["Photo"], partition_key_name="Id")]
    (note,) = [note for note in task(tmp_path, rules).notes if "Terraform" in note]
    assert "rule 2 (map-2): Id: " in note


def test_a_column_that_a_mapping_hides_is_said(tmp_path: Path) -> None:
    made = [scalar("Id", "${Id}"), scalar("LastName", "nobody"), scalar("FirstName", "${FirstName} ${LastName}")]
    read = task(tmp_path, [selection(), mapping(*made, exclude_columns=["Photo"], partition_key_name="Id")])
    assert not [note for note in read.notes if "is not written" in note]
    read = task(tmp_path, [selection(), mapping(*made[:2], exclude_columns=["Photo"], partition_key_name="Id")])
    assert [note.partition(", because")[0] for note in read.notes if "is not written" in note] == [
        f"{tmp_path}/mappings.json: rule 2 (map-2): the column 'LastName' itself is not written"
    ]


def test_the_rest_goes_into_one_map_when_records_become_documents(tmp_path: Path) -> None:
    told: Json = {"action": "map-record-to-document", "exclude_columns": ["Photo", "Id", "LastName"]}
    found = attributes(tmp_path, scalar("Id", "${Id}", "number"), **told)
    inner = {name: name for name in ("FirstName", "HourlyRate", "HireDate", "Active")}
    assert found == {"Id": "Id", "_doc": {"map": inner}}


@pytest.mark.parametrize(
    ("action", "values", "name"),
    [
        ("rename", {"value": "Surname"}, "Surname"),
        ("convert-lowercase", {}, "lastname"),
        ("convert-uppercase", {}, "LASTNAME"),
        ("add-prefix", {"value": "x_"}, "x_LastName"),
        ("add-suffix", {"value": "_x"}, "LastName_x"),
        ("remove-prefix", {"value": "Last"}, "Name"),
        ("remove-suffix", {"value": "Name"}, "Last"),
        ("remove-prefix", {"value": "First"}, "LastName"),
        ("replace-prefix", {"value": "Family", "old": "Last"}, "FamilyName"),
        ("replace-suffix", {"value": "One", "old": "Name"}, "LastOne"),
        ("replace-suffix", {"value": "One", "old": "name"}, "LastName"),
    ],
)
def test_transformations_name_the_attribute_and_templates_name_the_column(
    tmp_path: Path, action: str, values: Json, name: str
) -> None:
    rule = transformation(action, column_name="LastName", **values)
    found = attributes(tmp_path, scalar("Upper", "${LastName}"), rules=[rule])
    assert list(found) == ["Upper", "Id", name, "FirstName", "HourlyRate", "HireDate", "Active"]
    assert found[name] == found["Upper"] == "LastName"


def test_a_column_that_is_removed_is_not_written_and_not_kept_in_the_reject_file(tmp_path: Path) -> None:
    rules = [selection(), mapping(partition_key_name="Id"), transformation("remove-column", column_name="Photo")]
    found = task(tmp_path, rules)
    assert (found.settings["attributes"], found.settings["exclude"]) == (PLAIN, ["Photo"])


@pytest.mark.parametrize("pattern", ["%", "%a%", "[LF]%", "L%Name", "Last_ame"])
def test_a_pattern_names_columns(tmp_path: Path, pattern: str) -> None:
    found = attributes(
        tmp_path, rules=[transformation("add-prefix", column_name=pattern, value="x.")], partition_key_name=None
    )
    assert "x.LastName" in found
    assert ("x.Id" in found) == (pattern == "%")


def test_a_table_without_a_mapping_is_taken_as_it_is_under_its_transformed_name(tmp_path: Path) -> None:
    columns = [one for one in EMPLOYEE if one["ColumnName"] != "Photo"]
    lower = [transformation("convert-uppercase", "schema", 8), transformation("convert-uppercase", "table", 9)]
    found = task(tmp_path, [selection(), *lower], definition(table(columns=columns)))
    assert (found.target_table, found.settings["attributes"]) == ("EMPLOYEE", PLAIN)
    assert [note for note in found.notes if "rule 8 (transform-8): it changes the name of a schema" in note]
    mapped = task(tmp_path, [*BASE, *lower])
    assert mapped.target_table == "Employees"
    assert [note for note in mapped.notes if "rule 9 (transform-9): it changes the name of a table" in note]


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        ([selection(table="%")], ["employee", "employee_old", "team"]),
        ([selection(table="employee%"), selection(number=2, table="%_old", action="exclude")], ["employee"]),
        ([selection(table="te_m"), selection(number=2, table="employee[_]old")], ["employee_old", "team"]),
        ([selection(table="employee_old", action="explicit")], ["employee_old"]),
        ([selection(schema="%", table="[s-u]eam")], ["team"]),
        ([selection(schema="HR", table="%"), selection(number=2, table="Team")], []),
    ],
)
def test_selection_rules_say_which_tables_are_taken(tmp_path: Path, rules: list[Json], names: list[str]) -> None:
    columns = [column("Id", pk="true")]
    source = definition(*[table(name, columns) for name in ("employee", "employee_old", "team")])
    for name in ("employee", "employee_old", "team"):
        if name in names:
            assert task(tmp_path, rules, source, table=f"hr.{name}").source_table == f"hr.{name}"
        else:
            with pytest.raises(DmsError, match="takes"):
                task(tmp_path, rules, source, table=f"hr.{name}")
    if len(names) > 1:
        listed = ", ".join(f"hr.{name}" for name in names)
        with pytest.raises(DmsError, match=rf"several tables \({listed}\): say with --dms-table"):
            task(tmp_path, rules, source)


@pytest.mark.parametrize(
    ("found", "where"),
    [
        (
            source_filter("LastName", condition("eq", "Smith"), condition("eq", "5")),
            {"any": [{"eq": "Smith"}, {"eq": "5"}]},
        ),
        (source_filter("LastName", condition("noteq", "Smith")), {"any": [{"not_eq": "Smith"}]}),
        (source_filter("LastName", condition("null")), {"any": [{"missing": True}]}),
        (source_filter("HireDate", condition("notnull")), {"any": [{"missing": False}]}),
        (
            source_filter("Id", condition("lte", "5"), condition("ste", "007"), condition("gte", "1.50")),
            {"type": "N", "any": [{"lte": 5}, {"lte": 7}, {"gte": "1.5"}]},
        ),
        (source_filter("Id", condition("between", "1", "9")), {"type": "N", "any": [{"between": [1, 9]}]}),
        (source_filter("Id", condition("notbetween", "-1", "9")), {"type": "N", "any": [{"not_between": [-1, 9]}]}),
        (
            source_filter("HireDate", condition("gte", "2015-01-01"), condition("null")),
            {"type": "date", "any": [{"gte": "2015-01-01"}, {"missing": True}]},
        ),
        (source_filter("Active", condition("eq", "1")), {"type": "BOOL", "any": [{"eq": True}]}),
    ],
)
def test_a_filter_says_which_rows_are_taken(tmp_path: Path, found: Json, where: Json) -> None:
    read = task(tmp_path, [selection(found, source_filter("Id", condition("notnull"))), BASE[1]])
    expected = [{"column": found["column-name"], **where}, {"column": "Id", "any": [{"missing": False}]}]
    assert read.settings["where"] == expected
    assert len(read.config.where) == 2


@pytest.mark.parametrize("operator", ["null", "notnull"])
def test_whether_there_is_a_value_can_be_asked_of_any_column(tmp_path: Path, operator: str) -> None:
    columns = [column("Id", pk="true"), column("At", "DATETIME"), column("Photo", "BLOB"), column("Note", "CLOB")]
    filters = [source_filter(name, condition(operator)) for name in ("At", "Photo", "Note")]
    rules = [selection(*filters), mapping(exclude_columns=["Photo"], partition_key_name="Id")]
    where = task(tmp_path, rules, definition(table(columns=columns))).settings["where"]
    asked = [{"missing": operator == "null"}]
    assert where == [{"column": name, "any": asked} for name in ("At", "Photo", "Note")]


@pytest.mark.parametrize(
    ("told", "mode"),
    [
        ({"expression": "attribute_not_exists(Id)"}, "if-not-exists"),
        ({"expression": "attribute_not_exists( #k )", "expression-attribute-names": {"#k": "Id"}}, "if-not-exists"),
        ({"expression": "a < :b", "apply-during-full-load": False, "apply-during-cdc": True}, None),
    ],
)
def test_a_condition_keeps_items_that_exist(tmp_path: Path, told: Json, mode: str | None) -> None:
    rule = mapping(exclude_columns=["Photo"], partition_key_name="Id", condition_expression=told)
    assert task(tmp_path, [selection(), rule]).settings.get("mode") == mode


def test_settings_of_the_endpoint_say_how_the_files_are_written(tmp_path: Path) -> None:
    settings = {
        "BucketName": "files",
        "BucketFolder": "from/erp",
        "CdcPath": "changes",
        "CsvDelimiter": "\\t",
        "CsvRowDelimiter": "\\r\\n",
        "IgnoreHeaderRows": 1,
        "Rfc4180": True,
        "CsvNullValue": "NULL",
        "CompressionType": "GZIP",
        "ServiceAccessRoleArn": "arn:aws:iam::123456789012:role/reads",
        "ExternalTableDefinition": json.dumps(definition()),
    }
    for source in (settings, {"S3Settings": settings}, {name[0].lower() + name[1:]: v for name, v in settings.items()}):
        found = task(tmp_path, source=source)
        columns = SETTINGS["csv"]["columns"]  # type: ignore[index]
        assert found.settings["csv"] == {"delimiter": "\t", "header": True, "columns": columns, "no_value": ["NULL"]}
        assert found.files(None) == "s3://files/from/erp/hr/employee/"
        assert found.files("copy") == "copy/hr/employee/"
        said = "\n".join(found.notes)
        assert "CdcPath changes are not read" in said
        assert "these settings change nothing here: compressiontype, serviceaccessrolearn" in said.lower()
    more = task(tmp_path, source=settings, settings="csvDelimiter=;;csvNullValue=;ignoreHeaderRows=0")
    assert more.settings["csv"] == SETTINGS["csv"] | {"delimiter": ";"}  # type: ignore[operator]
    parquet = task(tmp_path, settings="dataFormat=parquet").settings
    assert (parquet["format"], "csv" in parquet) == ("parquet", False)


def test_files_with_a_mark_of_order_and_tabs_are_read(tmp_path: Path) -> None:
    text = "\ufeff" + json.dumps({"rules": BASE}, indent="\t")
    assert task(tmp_path, text).settings == SETTINGS


def test_settings_of_tables_that_only_make_reading_faster_are_noted(tmp_path: Path) -> None:
    rule = {
        "rule-type": "table-settings",
        "rule-id": 3,
        "rule-name": "faster",
        "object-locator": {"schema-name": "hr", "table-name": "%"},
        "parallel-load": {"type": "partitions-auto"},
    }
    assert any("rule 3 (faster): table-settings" in note for note in task(tmp_path, [*BASE, rule]).notes)
