"""Tables that an import makes: what is staged, what becomes of it, and what is said when AWS took only a part."""

import json
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import boto3
import click.testing
import pytest
import yaml
from botocore.exceptions import ClientError, ReadTimeoutError

import ddb_assets
from ddb_assets.aws.clients import AWS
from ddb_assets.aws.table import UnfitTableError
from ddb_assets.cli import main
from ddb_assets.imports.account import ImportReport
from ddb_assets.imports.import_config import ImportConfig, JobOptions, Mode
from ddb_assets.imports.prepare import NewTable, prepare_import
from ddb_assets.imports.tables import new_table, staged_items
from ddb_assets.imports.tables.new_table import LOG_GROUP
from ddb_assets.sandbox import demo_files
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.support.tables import client_of, items_of, target_of
from ddb_assets_tests.support.tables import new_table as existing_table

KEY = (("id", "S"), ("n", "N"))


@pytest.fixture
def staging(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {**sandbox.environment(), "DDB_ASSETS_STATE": str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(new_table, "FIRST_LOOK", 0.05)
    bucket = f"b-{uuid.uuid4().hex}"
    sandbox.s3().create_bucket(Bucket=bucket)
    return f"s3://{bucket}/staging"


def run(table: str, path: Path, staging: str, config: ImportConfig | None = None, **options: Any) -> ImportReport:
    job = prepare_import(
        AWS(), table, str(path), config or ImportConfig(), JobOptions(**options), new_table=NewTable(KEY, staging)
    )
    return job.run()


def staged(sandbox: Sandbox, staging: str) -> list[str]:
    found = sandbox.s3().list_objects_v2(Bucket=staging.split("/")[2])
    return [entry["Key"] for entry in found.get("Contents", [])]


def test_the_table_is_made_with_every_type_that_the_mapping_gives(
    sandbox: Sandbox, staging: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged_items, "PART_BYTES", 2000)
    path = tmp_path / "rows.csv"
    path.write_text("id,n,paid,zip\n" + "".join(f"k{n},{n},true,0{n}\n" for n in range(100)) + ",7,true,1\n")
    report = run("Made", path, staging, max_rejects=1, verify=10)
    assert (report.problem, report.written, report.rejected, report.consumed_wcu) == (None, 100, 1, 0)
    assert report.verified
    assert (report.verified.read, report.verified.different) == (10, [])
    items = items_of(sandbox, target_of(sandbox, "Made"))
    assert len(items) == 100
    assert {"id": {"S": "k7"}, "n": {"N": "7"}, "paid": {"BOOL": True}, "zip": {"S": "07"}} in items
    assert not staged(sandbox, staging)


def test_the_whole_price_list_arrives(sandbox: Sandbox, staging: str, tmp_path: Path) -> None:
    """The demo's file, as its YAML says: maps, sets, quotes, a thousand rows. moto's own ImportTable loses most of them."""
    declared = yaml.safe_load((Path(ddb_assets.__file__).parent / "defs/imports/products_import/defs.yaml").read_text())
    config = ImportConfig.model_validate({name: declared["attributes"][name] for name in ("csv", "attributes")})
    path = tmp_path / "prices.csv"
    path.write_text(demo_files.price_list())
    new = NewTable((("sku", "S"),), staging)
    options = JobOptions(verify=2000)
    report = prepare_import(AWS(), f"t-{uuid.uuid4().hex}", str(path), config, options, new_table=new).run()
    assert (report.problem, report.rejected, report.written) == (None, 0, report.rows)
    assert report.verified
    assert (report.verified.read, report.verified.different) == (report.rows, [])
    assert report.rows > 900


def test_a_bucket_of_another_account_is_named(sandbox: Sandbox, staging: str, two_rows: Path) -> None:
    aws, requests = AWS(), []
    aws.dynamodb("Owned").meta.events.register(
        "before-parameter-build.dynamodb.ImportTable", lambda params, **_: requests.append(params)
    )
    made = NewTable(KEY, staging, "123456789012")
    assert prepare_import(aws, "Owned", str(two_rows), ImportConfig(), JobOptions(), new_table=made).run().written == 2
    assert [request["S3BucketSource"]["S3BucketOwner"] for request in requests] == ["123456789012"]


def test_a_table_that_is_there_is_not_touched(sandbox: Sandbox, staging: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a", "n": 1}\n')
    with pytest.raises(UnfitTableError, match="exists already"):
        run(existing_table(sandbox).name, path, staging)


def test_two_items_with_one_key_are_found_before_the_table_is_made(
    sandbox: Sandbox, staging: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a", "n": 1, "v": 1}\n{"id": "a", "n": 2}\n{"id": "a", "n": 1.0, "v": 2}\n')
    report = run("Twice", path, staging)
    assert report.problem
    assert "1 items have a key that another item has" in report.problem
    assert "Twice" not in sandbox.dynamodb().list_tables()["TableNames"]
    assert not staged(sandbox, staging)


def test_a_dry_run_makes_nothing_and_costs_no_wcus(sandbox: Sandbox, staging: str, two_rows: Path) -> None:
    report = run("Dry", two_rows, staging, dry_run=True)
    assert (report.problem, report.written, report.consumed_wcu, report.expected_seconds) == (None, 2, 0, None)
    assert "Dry" not in sandbox.dynamodb().list_tables()["TableNames"]


DELETION = '{"Metadata":{"WriteTimestampMicros":{"N":"1"}},"Keys":{"id":{"S":"a"},"n":{"N":"1"}}}\n'


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ('{"id": "a", "n": 1}\n{"id": "a", "n": 1.0}\n', "put", "1 items have a key that another item has"),
        (DELETION, "put", "ImportTable only puts items, and this is a delete"),
        ('{"id": "a", "n": 1}\n', "delete", "there is nothing to delete"),
        ('{"id": "a", "n": 1}\n', "if-not-exists", "ImportTable only puts items"),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_dry_run_refuses_what_the_import_refuses(
    sandbox: Sandbox, staging: str, tmp_path: Path, text: str, mode: Mode, said: str, dry_run: bool
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    try:
        problem = run("Refused", path, staging, ImportConfig(mode=mode), dry_run=dry_run).problem
    except UnfitTableError as error:
        problem = str(error)
    assert said in str(problem)
    assert "Refused" not in sandbox.dynamodb().list_tables()["TableNames"]
    assert not staged(sandbox, staging)


ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/Partly/import/01700000000000-abcdef01"
STREAM = "01700000000000-abcdef01/error"


@pytest.fixture
def partly(sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """AWS's answers for an import that left an item out, for the sandbox takes whatever was checked here."""
    ended = {"ImportArn": ARN, "ImportStatus": "FAILED", "FailureCode": "ItemValidationError", "ErrorCount": 1}
    answers = [
        {"ImportArn": ARN, "ImportStatus": "IN_PROGRESS"},
        {**ended, "ImportedItemCount": 1, "FailureMessage": "Some items failed"},
    ]
    client: Any = boto3.client("dynamodb", config=client_of(sandbox.endpoint_url).meta.config)
    busy = ["the import is still going on"]

    def answer(**_: Any) -> Any:
        if len(answers) == 1 and busy:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": busy.pop()}}, "DescribeImport")
        return Answered(), {"ImportTableDescription": answers.pop(0)}

    for call in ("ImportTable", "DescribeImport"):
        client.meta.events.register(f"before-call.dynamodb.{call}", answer)
    monkeypatch.setattr(AWS, "dynamodb", lambda *_: client)
    return answers


@pytest.fixture
def two_rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a", "n": 1}\n{"id": "b", "n": 1}\n')
    return path


@pytest.mark.usefixtures("partly")
def test_a_failed_import_says_what_is_there_and_what_its_log_says(
    sandbox: Sandbox, staging: str, two_rows: Path
) -> None:
    logs = AWS().logs()
    logs.create_log_group(logGroupName=LOG_GROUP)
    logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName=STREAM)
    pointer = {"bucket": "b", "key": "staging/000000.json.gz", "itemIndex": 1}
    said = {"itemS3Pointer": pointer, "importArn": ARN, "errorMessages": ["One or more parameter values are invalid"]}
    events = [{"timestamp": int(time.time() * 1000), "message": json.dumps(said)}]
    logs.put_log_events(logGroupName=LOG_GROUP, logStreamName=STREAM, logEvents=events)
    report = run("Partly", two_rows, staging)
    logs.delete_log_group(logGroupName=LOG_GROUP)
    assert report.problem
    assert (report.written, report.unprocessed, report.complete) == (1, 1, False)
    assert (
        "ended FAILED (ItemValidationError: Some items failed); the table exists, with 1 of 2 items" in report.problem
    )
    place = "item 1 of s3://b/staging/000000.json.gz: One or more parameter values are invalid"
    assert f"Of 1 errors: {place} (CloudWatch log group /aws-dynamodb/imports, stream {STREAM})" in report.problem
    assert not staged(sandbox, staging)


@pytest.mark.usefixtures("partly")
def test_a_log_that_is_not_there_is_named_all_the_same(staging: str, two_rows: Path) -> None:
    problem = run("Partly", two_rows, staging).problem
    assert problem
    assert "Of 1 errors: the log cannot be read (logs:GetLogEvents" in problem
    assert f"see CloudWatch log group /aws-dynamodb/imports, stream {STREAM}" in problem


def test_what_aws_still_reads_is_not_deleted_when_the_job_ends(
    sandbox: Sandbox, staging: str, two_rows: Path, partly: list[Any]
) -> None:
    partly[:] = [partly[0]] * 1000
    job = prepare_import(AWS(), "Partly", str(two_rows), ImportConfig(), JobOptions(), new_table=NewTable(KEY, staging))
    timer = threading.Timer(0.3, job.interrupt, ["ended by SIGINT"])
    timer.start()
    report = job.run()
    assert report.problem
    assert f"ended by SIGINT; AWS continues the import {ARN}, whose files are in {staging}/Partly-" in report.problem
    assert (report.written, report.unprocessed) == (0, 2)
    assert len(staged(sandbox, staging)) == 1


@pytest.fixture
def unanswered(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The tokens of the requests to import, none of which is answered unless it is taken out of `left`."""
    client: Any = boto3.client("dynamodb", config=client_of(sandbox.endpoint_url).meta.config)
    tokens: list[str] = []
    lost = [True] * 100

    def answer(params: Any, **_: Any) -> Any:
        tokens.append(json.loads(params["body"])["ClientToken"])
        if lost:
            lost.pop()
            raise ReadTimeoutError(endpoint_url="https://dynamodb")
        found = {"ImportArn": ARN, "ImportStatus": "COMPLETED", "ImportedItemCount": 2, "ErrorCount": 0}
        return Answered(), {"ImportTableDescription": found}

    client.meta.events.register("before-call.dynamodb.ImportTable", answer)
    monkeypatch.setattr(AWS, "dynamodb", lambda *_: client)
    return tokens, lost


def test_an_import_whose_answer_is_lost_is_asked_for_again_as_the_same_one(
    sandbox: Sandbox, staging: str, two_rows: Path, unanswered: Any
) -> None:
    tokens, lost = unanswered
    lost[:] = [True] * 2
    assert run("Lost", two_rows, staging).problem is None
    assert len(tokens) == 3
    assert len(set(tokens)) == 1
    assert not staged(sandbox, staging)


def test_files_that_aws_may_be_reading_are_not_deleted_when_no_answer_comes(
    sandbox: Sandbox, staging: str, two_rows: Path, unanswered: Any
) -> None:
    report = run("Lost", two_rows, staging)
    assert report.problem
    assert "dynamodb:ImportTable on Lost: AWS cannot be reached" in report.problem
    assert f"AWS may still have begun the import, so its files stay in {staging}/Lost-" in report.problem
    assert (report.written, report.unprocessed, len(set(unanswered[0]))) == (0, 2, 1)
    assert len(staged(sandbox, staging)) == 1


@pytest.mark.parametrize(
    ("codes", "kept"),
    [
        (["AccessDeniedException"], False),
        (["ResourceInUseException"], True),
        (["ImportConflictException"], True),
        (["InternalServerError", "AccessDeniedException"], True),
    ],
)
def test_files_are_deleted_only_if_no_attempt_can_have_begun_the_import(
    sandbox: Sandbox, staging: str, two_rows: Path, monkeypatch: pytest.MonkeyPatch, codes: list[str], kept: bool
) -> None:
    client: Any = boto3.client("dynamodb", config=client_of(sandbox.endpoint_url).meta.config)
    left = list(codes)

    def refuse(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": left.pop(0), "Message": "no"}}, "ImportTable")

    client.meta.events.register("before-call.dynamodb.ImportTable", refuse)
    monkeypatch.setattr(AWS, "dynamodb", lambda *_: client)
    problem = str(run("Refused", two_rows, staging).problem)
    assert codes[-1] in problem or "allow this action in IAM" in problem
    assert ("so its files stay in" in problem) == kept
    assert len(staged(sandbox, staging)) == kept


class Answered:
    """What botocore takes for an HTTP response."""

    status_code = 200


INDEXES: dict[str, Any] = {
    "by-zip": {"key": "zip:S,n:N"},
    "by-city": {"key": "city:S", "project": "keys"},
    "by-price": {"key": "price:N", "project": ["city", "zip"]},
}


def test_the_table_is_made_with_the_indexes_that_the_configuration_declares(
    sandbox: Sandbox, staging: str, tmp_path: Path
) -> None:
    """And the attributes of their keys have the declared types. An item whose index key has another type is rejected."""
    path = tmp_path / "rows.csv"
    path.write_text("id,n,zip,city,price\na,1,10115,Berlin,4.50\nb,2,75001,Paris,dear\nc,3,,,\n")
    config = ImportConfig.model_validate({"indexes": INDEXES})
    report = run("Indexed", path, staging, config, max_rejects=1)
    assert (report.problem, report.written, report.rejected) == (None, 2, 1)
    assert "index by-price" in report.rejects[0].reason
    table = sandbox.dynamodb().describe_table(TableName="Indexed")["Table"]
    made = {index["IndexName"]: index for index in table["GlobalSecondaryIndexes"]}
    assert {name: index["Projection"] for name, index in made.items()} == {
        "by-zip": {"ProjectionType": "ALL"},
        "by-city": {"ProjectionType": "KEYS_ONLY"},
        "by-price": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["city", "zip"]},
    }
    assert made["by-zip"]["KeySchema"] == [
        {"AttributeName": "zip", "KeyType": "HASH"},
        {"AttributeName": "n", "KeyType": "RANGE"},
    ]
    found = sandbox.dynamodb().query(
        TableName="Indexed",
        IndexName="by-zip",
        KeyConditionExpression="zip = :z",
        ExpressionAttributeValues={":z": {"S": "10115"}},
    )["Items"]
    assert found == [
        {"id": {"S": "a"}, "n": {"N": "1"}, "zip": {"S": "10115"}, "city": {"S": "Berlin"}, "price": {"N": "4.5"}}
    ]
    again = prepare_import(AWS(), "Indexed", str(path), config, JobOptions(max_rejects=3)).run()
    assert again.problem is None
    other = ImportConfig.model_validate({"indexes": {"by-city": {"key": "city:B"}, "by-x": {"key": "x:S"}}})
    with pytest.raises(
        UnfitTableError, match=r"by-city has the key city:B, and table Indexed has it with the key city:S"
    ):
        prepare_import(AWS(), "Indexed", str(path), other, JobOptions())


@pytest.mark.parametrize(
    ("indexes", "said"),
    [
        ('{by-n: {key: "n:S"}}', "n is S in index by-n, and N in the key of the table: it has one type"),
        ('{"x": {key: "n:N"}}', "'x' is no name of an index"),
        ('{by-a: {key: "a:S"}, by-b: {key: "b:S,a:N"}}', "a is N in index by-b, and S in index by-a: it has one type"),
        ('{by-a: {key: "a"}}', "'a' is not PK:TYPE or PK:TYPE,SK:TYPE"),
        ('{by-a: {key: "a:S,a:S"}}', "has one attribute twice"),
        ('{by-a: {key: "a:S", project: []}}', "at least 1 item"),
        (
            str({f"by-{n}": {"key": "a:S", "project": [f"p{n}-{m}" for m in range(20)]} for n in range(6)}),
            "120 attributes are projected by name",
        ),
        (str({f"by-{n}": {"key": "a:S"} for n in range(21)}), "a table has at most 20"),
    ],
)
def test_indexes_that_contradict_each_other_are_refused_where_they_are_declared(
    sandbox: Sandbox, staging: str, tmp_path: Path, indexes: str, said: str
) -> None:
    rows, config = tmp_path / "rows.jsonl", tmp_path / "import.yaml"
    rows.write_text('{"id": "a", "n": 1}\n')
    config.write_text(f"# how the files are read\nindexes: {indexes}\n")
    done = click.testing.CliRunner().invoke(
        main,
        [
            "import", str(rows), "--table", "Contradicted", "--new-table", "id:S,n:N",
            "--staging", staging, "--config", str(config),
        ],
    )  # fmt: skip
    assert done.exit_code == 1
    assert said in done.output
    assert f"{config}:2: indexes" in done.output or "table Contradicted cannot be made" in done.output
    assert "Contradicted" not in sandbox.dynamodb().list_tables()["TableNames"]
