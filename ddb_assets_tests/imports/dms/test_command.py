"""`import --dms` and `dms convert` as a shell sees them, on files that lie on S3 as DMS reads them."""

import json
from decimal import Decimal
from pathlib import Path

import click.testing
import polars as pl
import pytest

from ddb_assets.cli import main
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.imports.dms import tasks
from ddb_assets_tests.imports.dms.tasks import (
    ROWS,
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
    transformation,
)
from ddb_assets_tests.imports.importing import imported
from ddb_assets_tests.support.tables import items_of, new_table

RULES = [
    selection(
        source_filter("Id", condition("between", "101", "103")),
        source_filter("HireDate", condition("gte", "2014-06-04")),
    ),
    mapping(
        scalar("pk", "EMP#${Id}"),
        scalar("Rate", "${HourlyRate}", "number"),
        document("Name", {"M": {"First": {"S": "${FirstName}"}, "Last": {"S": "${LastName}"}}}),
        partition_key_name="pk",
        exclude_columns=["Photo", "FirstName", "HourlyRate"],
    ),
    transformation("convert-lowercase", column_name="A%"),
]
ITEMS: list[Json] = [
    {
        "pk": {"S": f"EMP#{number}"},
        "Rate": {"N": rate},
        "Name": {"M": {**({"First": {"S": first}} if first else {}), "Last": {"S": last}}},
        "Id": {"N": str(number)},
        "LastName": {"S": last},
        "HireDate": {"S": hired},
        "active": {"BOOL": active},
    }
    for number, rate, first, last, hired, active in (
        (101, "40.5", "Bob", "Smith", "2014-06-04", True),
        (102, "38", "Ann", "Jones", "2015-10-08", False),
        (103, "41.25", "", "Smith", "2017-03-13", True),
    )
]


@pytest.fixture(autouse=True)
def environment(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "DDB_ASSETS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**sandbox.environment(), "DDB_ASSETS_STATE": str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(sandbox: Sandbox, tmp_path: Path) -> str:
    """With the files of a full load and of changes."""
    client = sandbox.s3()
    name = f"files-{abs(hash(tmp_path))}"
    client.create_bucket(Bucket=name)
    first, second = ROWS[: ROWS.index("103")], ROWS[ROWS.index("103") :]
    for key, text in {"LOAD00000001.csv": first, "LOAD00000002.csv": second, "_SUCCESS": ""}.items():
        client.put_object(Bucket=name, Key=f"from/erp/hr/employee/{key}", Body=text.encode())
    return name


def call(*arguments: object, code: int = 0) -> click.testing.Result:
    result = click.testing.CliRunner().invoke(main, [str(one) for one in arguments])
    assert result.exit_code == code, result.output
    return result


def by_key(items: list[Json]) -> list[Json]:
    return sorted(items, key=lambda item: str(item["pk"]))


def test_a_tasks_files_and_the_yaml_that_is_made_of_them_import_the_same(
    sandbox: Sandbox, tmp_path: Path, bucket: str
) -> None:
    endpoint = {"BucketName": bucket, "BucketFolder": "from/erp", "ExternalTableDefinition": json.dumps(definition())}
    found = tasks.files(tmp_path, RULES, endpoint)
    target, other = new_table(sandbox, ("pk", "S")), new_table(sandbox, ("pk", "S"))
    done = call("import", "--dms", found.mappings, "--dms-source", found.source, "--table", target.name, "--json")
    report = json.loads(done.stdout)
    assert (report["rows"], report["written"], report["left_out"], report["rejected"]) == (4, 3, 1, 0)
    assert report["source"] == f"s3://{bucket}/from/erp/hr/employee/"
    assert report["unused_columns"] == []
    assert "note: hr.employee: dates become texts" in done.stderr
    assert by_key(items_of(sandbox, target)) == ITEMS
    printed = call("dms", "convert", found.mappings, found.source).stdout
    assert (
        f"# ddb-assets import s3://{bucket}/from/erp/hr/employee/ --table Employees --config import.yaml\n" in printed
    )
    (tmp_path / "import.yaml").write_text(printed)
    call("import", report["source"], "--table", other.name, "--config", tmp_path / "import.yaml", "--verify", "all")
    assert by_key(items_of(sandbox, other)) == ITEMS


def test_the_task_says_the_table_and_source_says_the_bucket(sandbox: Sandbox, tmp_path: Path, bucket: str) -> None:
    target = new_table(sandbox, ("pk", "S"))
    rules = [RULES[0], RULES[1] | {"target-table-name": target.name}]
    found = tasks.files(tmp_path, rules)
    given = ("--dms", found.mappings, "--dms-source", found.source)
    assert "give SOURCE, which is s3://bucket" in call("import", *given, code=1).output
    assert "there is no file with content at" in call("import", f"s3://{bucket}", *given, code=1).output
    call("import", f"s3://{bucket}/from/erp", *given)
    assert len(items_of(sandbox, target)) == 3
    refused = call("import", tmp_path, "--dms", found.mappings, code=2).output
    assert "--dms needs --dms-source" in refused
    more: tuple[str, ...]
    for more in (("--config", "x"), ("--format", "csv")):
        assert "does nothing with --dms" in call("import", tmp_path, *given, *more, code=2).output
    for more in (("--dms-source", "x"), ("--dms-table", "a.b"), ("--dms-settings", "x"), ("--dms-changes",)):
        assert "is for --dms: give that too" in call("import", tmp_path, "--table", "T", *more, code=2).output
    assert "does nothing with --redrive" in call("import", "--redrive", "x", *given, code=2).output
    assert "not stdin" in call("import", "-", *given, code=2).output


def test_a_file_that_is_refused_is_one_message(tmp_path: Path) -> None:
    found = tasks.files(tmp_path, [*RULES, transformation("add-column", number=9, value="x\x1b[31m")])
    given = ("--dms", found.mappings, "--dms-source", found.source)
    said = f"Error: {found.mappings}: rule 9 (transform-9): the action add-column cannot be followed"
    for arguments in (("dms", "convert", found.mappings, found.source), ("import", "d", *given)):
        assert call(*arguments, code=1).output.startswith(said)


def test_files_with_a_header_and_files_of_parquet(sandbox: Sandbox, tmp_path: Path) -> None:
    columns = [column("Id", "INT8", pk="true"), column("Name"), column("Paid", "BOOLEAN"), column("Rate", "NUMERIC")]
    folder = tmp_path / "hr/employee"
    folder.mkdir(parents=True)
    read = tasks.task(tmp_path, [selection()], definition(table(columns=columns)), settings="ignoreHeaderRows=1")
    (folder / "LOAD001.csv").write_text("number,NAME,Id,x\n007,5,1,1.50\n")  # names that do not matter
    expected = [{"Id": {"N": "7"}, "Name": {"S": "5"}, "Paid": {"BOOL": True}, "Rate": {"N": "1.5"}}]
    target = new_table(sandbox, ("Id", "N"))
    imported(sandbox.endpoint_url, target, read.files(str(tmp_path)), read.settings)
    assert items_of(sandbox, target) == expected
    (folder / "LOAD001.csv").write_text('8,5 " wide,1,1.50\n9,"x,1,1\n')
    plain = tasks.task(tmp_path, [selection()], definition(table(columns=columns)), settings="rfc4180=false")
    imported(sandbox.endpoint_url, target, plain.files(str(tmp_path)), plain.settings)
    assert {item["Name"]["S"] for item in items_of(sandbox, target)} == {"5", '5 " wide', '"x'}
    (folder / "LOAD001.csv").unlink()
    rows = pl.DataFrame({"Id": [7], "Name": ["5"], "Paid": [True], "Rate": [Decimal("1.50")]})
    rows.write_parquet(folder / "LOAD001.parquet")
    read = tasks.task(tmp_path, [selection()], definition(table(columns=columns)), settings="dataFormat=parquet")
    target = new_table(sandbox, ("Id", "N"))
    imported(sandbox.endpoint_url, target, read.files(str(tmp_path)), read.settings)
    assert items_of(sandbox, target) == expected


def test_changes_follow_the_full_load(sandbox: Sandbox, tmp_path: Path, bucket: str) -> None:
    target = new_table(sandbox, ("pk", "S"))
    found = tasks.files(tmp_path, RULES)
    told = (
        "--dms",
        found.mappings,
        "--dms-source",
        found.source,
        "--table",
        target.name,
        "--dms-settings",
        "cdcPath=changedata",
    )
    done = call("import", f"s3://{bucket}/from/erp", *told)
    assert (
        "the files of changes in CdcPath changedata are not read: import them afterwards, with --dms-changes"
        in done.stderr
    )
    texts = {
        "CDC00001.csv": "INSERT,employee,hr,100,Too,Low,1,2020-01-01,true,\n"
        "update,employee,hr,101,Smith,Bea,50,2020-01-01,false,\n",
        "CDC00002.csv": "D,employee,hr,102,Jones,,,,,\nI,team,hr,101,x,x,1,2020-01-01,true,\n"
        "UPDATE,employee,hr,101,Smith,Bo,60,2020-01-01,,\n",
        "CDC00003.csv": "DELETE,team,hr,103,,,,,,\n",
    }
    for name, text in texts.items():
        sandbox.s3().put_object(Bucket=bucket, Key=f"from/erp/changedata/{name}", Body=text.encode())
    report = json.loads(call("import", f"s3://{bucket}/from/erp", *told, "--dms-changes", "--json").stdout)
    assert (report["rows"], report["left_out"], report["deleted"]) == (6, 3, 1)
    left = {item["pk"]["S"]: item for item in items_of(sandbox, target)}
    assert left.keys() == {"EMP#101", "EMP#103"}
    assert (left["EMP#101"]["Rate"], left["EMP#101"]["Name"]["M"]["First"]) == ({"N": "60"}, {"S": "Bo"})
    assert "active" not in left["EMP#101"]
    printed = call(
        "dms", "convert", found.mappings, found.source, "--settings", "cdcPath=changedata", "--changes"
    ).stdout
    assert "changes:\n  column: _change\n" in printed
    assert "not read" not in printed


@pytest.mark.parametrize(
    ("source", "given", "said"),
    [
        (definition(), "", "there is no CdcPath"),
        (definition(), "cdcPath=c;dataFormat=parquet", "files of changes are read if they are csv"),
        (definition(table(), table("team", [column("Id")])), "cdcPath=c", "the records of all 2 tables"),
    ],
)
def test_files_of_changes_that_cannot_be_read_are_refused(tmp_path: Path, source: Json, given: str, said: str) -> None:
    found = tasks.files(tmp_path, [selection(), RULES[1]], source)
    arguments = ("dms", "convert", found.mappings, found.source, "--changes", "--settings", given)
    assert said in call(*arguments, code=1).output.replace("\n", " ")


def test_a_column_may_have_the_name_that_changes_would_have(tmp_path: Path) -> None:
    columns = [column("_change", pk="true"), column("_table")]
    source = definition(table(columns=columns))
    read = tasks.task(tmp_path, [selection()], source, changes=True, settings="cdcPath=c")
    assert read.settings["csv"]["columns"] == ["__change", "__table", "_schema", "_change", "_table"]
