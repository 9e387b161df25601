"""Tables that AWS fills from S3: what is staged, which items failed, and that no operation is begun twice."""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.errors import AwsError, AwsUnavailableError
from ddb_assets.aws.storage import Storage, StorageError
from ddb_assets.aws.table import TableDescription, UnfitTableError
from ddb_assets.bulk.checkpoint import Checkpoint, CheckpointError
from ddb_assets.bulk.reject_file import RejectFile
from ddb_assets.bulk.writing.outcome import WriterStoppedError
from ddb_assets.cli import main
from ddb_assets.dynamodb.attribute_value import AttributeValueError
from ddb_assets.imports import prepare
from ddb_assets.imports.account import ImportReport, Progress
from ddb_assets.imports.bulk_put import writer
from ddb_assets.imports.bulk_put.calls import BulkPutCalls
from ddb_assets.imports.files.source import open_source
from ddb_assets.imports.import_config import ImportConfig, JobOptions
from ddb_assets.imports.import_job import ImportJob
from ddb_assets.imports.prepare import Staging, prepare_import
from ddb_assets.imports.tables import staged_items
from ddb_assets.imports.tables.staged_items import StagedItems
from ddb_assets.sandbox import bulk_put
from ddb_assets.sandbox.server import Sandbox
from ddb_assets_tests.support.tables import items_of, new_table

MANY = 100


@pytest.fixture
def staging(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("AWS_PROFILE", "DDB_ASSETS_ROLE_ARN", "DDB_ASSETS_LAKE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**sandbox.environment(), "DDB_ASSETS_STATE": str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(writer, "FIRST_LOOK", 0.05)
    monkeypatch.chdir(tmp_path)
    bucket = f"b-{uuid.uuid4().hex}"
    sandbox.s3().create_bucket(Bucket=bucket)
    return f"s3://{bucket}/staging"


def rows(*found: Mapping[str, object], name: str = "rows.jsonl") -> Path:
    path = Path(name)
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


def words(path: Path | str, target: TableDescription, staging: str, *more: str) -> list[str]:
    return ["import", str(path), "--table", target.name, "--method", "bulk-put", "--staging", staging, *more]


def call(path: Path, target: TableDescription, staging: str, *more: str) -> Result:
    return CliRunner().invoke(main, words(path, target, staging, *more))


def job(
    path: Path, target: TableDescription, staging: str, config: ImportConfig | None = None, **options: Any
) -> ImportJob:
    on_progress: Callable[[Progress], object] | None = options.pop("on_progress", None)
    owner = options.pop("owner", "")
    return prepare_import(
        AWS(),
        target.address,
        str(path),
        config or ImportConfig(),
        JobOptions(**options),
        on_progress=on_progress,
        bulk_put=Staging(staging, owner),
    )


def run(*told: Any, **named: Any) -> ImportReport:
    return job(*told, **named).run()


def objects(sandbox: Sandbox, staging: str) -> list[str]:
    found = sandbox.s3().list_objects_v2(Bucket=staging.split("/")[2])
    return [entry["Key"] for entry in found.get("Contents", [])]


def operations(sandbox: Sandbox, target: TableDescription) -> list[dict[str, Any]]:
    """Those of this table, the first one last."""
    client: Any = sandbox.dynamodb()
    listed = client.list_bulk_operations(MaxResults=25)["BulkOperationsSummaryList"]
    arns = [one["BulkOperationArn"] for one in listed if one["BulkOperationArn"].startswith(target.arn + "/")]
    return [client.describe_bulk_operation(BulkOperationArn=arn)["BulkOperationDescription"] for arn in arns]


def stricter(sandbox: Sandbox, target: TableDescription, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody gives the table an index when the import has looked at it: its items need a number `n`, or none."""
    real = open_source

    def opened(*told: Any, **named: Any) -> Any:
        index: Any = {
            "IndexName": "by-n",
            "KeySchema": [{"AttributeName": "n", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
        sandbox.dynamodb().update_table(
            TableName=target.name,
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "n", "AttributeType": "N"},
            ],
            GlobalSecondaryIndexUpdates=[{"Create": index}],
        )
        return real(*told, **named)

    monkeypatch.setattr(prepare, "open_source", opened)


def test_a_table_is_filled_with_every_type_and_read_back(
    sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged_items, "PART_BYTES", 2000)
    target = new_table(sandbox)
    sandbox.dynamodb().put_item(TableName=target.name, Item={"pk": {"S": "k7"}, "old": {"N": "1"}})
    Path("rows.csv").write_text(
        "pk,n,paid,zip\n" + "".join(f"k{n},{n},true,0{n}\n" for n in range(100)) + ",7,true,1\n"
    )
    done = call(Path("rows.csv"), target, staging, "--verify", "all", "--max-rejects", "1")
    assert done.exit_code == 0, done.output
    assert "by bulk-put: it was asked for" in done.stderr
    assert "bulk-put $" not in done.stderr
    (operation,) = operations(sandbox, target)
    assert f"AWS puts the items: {operation['BulkOperationArn']}" in done.stderr
    assert f"put by {operation['BulkOperationArn']}" in done.stdout
    assert "100 items read back, 0 differ" in done.stdout
    assert operation["ProcessedItemCount"] == 100
    assert "MaxWriteRequestUnits" not in operation
    items = items_of(sandbox, target)
    assert len(items) == 100
    assert {"pk": {"S": "k7"}, "n": {"N": "7"}, "paid": {"BOOL": True}, "zip": {"S": "07"}} in items
    assert not objects(sandbox, staging)


def test_the_report_has_the_operation_and_its_bytes(sandbox: Sandbox, staging: str) -> None:
    target = new_table(sandbox)
    report = json.loads(call(rows({"pk": "a"}), target, staging, "--json", "--max-wcu", "5000").stdout)
    (operation,) = operations(sandbox, target)
    assert (report["written"], report["rows"], report["consumed_wcu"], report["bulk_put_bytes"]) == (1, 1, 0, 3)
    assert report["bulk_operation"] == operation["BulkOperationArn"]
    assert report["plan"]["method"] == "bulk-put"
    assert operation["MaxWriteRequestUnits"] == 5000
    assert not list(Path("state/imports").glob("*.json"))


def test_items_that_fail_are_rejected_and_redriven(
    sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = new_table(sandbox)
    path = rows(*({"pk": f"k{n}", "n": "text" if n % 10 == 3 else n} for n in range(50)), {"pk": ""})
    with monkeypatch.context() as patch:
        stricter(sandbox, target, patch)
        done = call(path, target, staging, "--rejects", "left.jsonl", "--verify", "all", "--json")
    report = json.loads(done.stdout)
    assert done.exit_code == 1
    assert "6 rows were rejected: mend them in left.jsonl" in report["problem"]
    assert (report["rows"], report["written"], report["rejected"]) == (51, 45, 6)
    assert (report["verified"]["read"], report["verified"]["different_count"]) == (45, 0)
    entries = [json.loads(line) for line in Path("left.jsonl").read_text().splitlines()[1:]]
    failed = sorted((e for e in entries if e["number"] < 50), key=lambda e: e["number"])
    assert [(e["number"], e["line"], e["fate"]) for e in failed] == [(n, n + 1, "rejected") for n in range(3, 50, 10)]
    assert "must be of type N" in failed[0]["reason"]
    assert len(items_of(sandbox, target)) == 45
    assert [key for key in objects(sandbox, staging) if "/items/" in key] == []
    assert [key for key in objects(sandbox, staging) if "/failed/" in key], "what AWS wrote is not ours to delete"
    mended = Path("left.jsonl").read_text().replace(r"\"text\"", "7").replace(r"\"pk\": \"\"", r"\"pk\": \"e\"")
    Path("left.jsonl").write_text(mended)
    again = CliRunner().invoke(
        main, ["import", "--redrive", "left.jsonl", "--method", "bulk-put", "--staging", staging]
    )
    assert again.exit_code == 0, again.output
    assert len(items_of(sandbox, target)) == 51


def slow(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> tuple[TableDescription, Path]:
    """Items of which the sandbox puts about five a second at the lowest rate, until `hurry`."""
    monkeypatch.setattr(bulk_put, "UNIT_BYTES", 1)
    return new_table(sandbox), rows(*({"pk": f"k{n}", "x": "x" * 200} for n in range(MANY)))


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_put, "UNIT_BYTES", 1 << 20)


def interrupted(target: TableDescription, path: Path, staging: str) -> ImportReport:
    """The report of a run that ends while AWS goes on."""
    first: list[ImportJob] = []

    def interrupt(now: Progress) -> None:
        if now.totals.written:
            first[0].interrupt("ended by SIGINT")

    first.append(job(path, target, staging, max_wcu=1024, on_progress=interrupt))
    return first[0].run()


@pytest.mark.slow
def test_a_killed_import_follows_its_operation(sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, path = slow(sandbox, monkeypatch)
    command = [sys.executable, "-m", "ddb_assets.cli", *words(path, target, staging, "--max-wcu", "1024")]
    process = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (found := operations(sandbox, target)) or not found[0]["ProcessedItemCount"]:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    plain = CliRunner().invoke(main, ["import", str(path), "--table", target.name])
    assert plain.exit_code == 1
    assert 'method: "bulk-put" before, nothing now' in plain.output
    begun_again = CliRunner().invoke(main, ["import", str(path), "--table", target.name, "--restart"])
    assert begun_again.exit_code == 1
    assert "of the run before is IN_PROGRESS, and would put its items over those of this one" in begun_again.output
    hurry(monkeypatch)
    done = call(path, target, staging, "--max-wcu", "9999", "--verify", "all", "--json")
    report = json.loads(done.stdout)
    assert (report["written"], report["problem"], report["verified"]["different_count"]) == (MANY, None, 0)
    (operation,) = operations(sandbox, target)
    assert report["bulk_operation"] == operation["BulkOperationArn"] == found[0]["BulkOperationArn"]
    assert not objects(sandbox, staging)
    assert call(path, target, staging).exit_code == 0
    assert len(operations(sandbox, target)) == 2, "it was done, so the same command does it again"


def test_staged_items_that_cannot_be_deleted_are_deleted_by_the_same_command(
    sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, path = new_table(sandbox), rows({"pk": "a"}, {"n": 1})

    def refused(*_: object) -> None:
        raise StorageError("s3:DeleteObject is not allowed")

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "delete", refused)
        done = call(path, target, staging, "--max-rejects", "1", "--rejects", f"{staging}/left.jsonl")
    assert done.exit_code == 1
    assert "s3:DeleteObject is not allowed; run the same command again to continue" in done.output
    assert len(items_of(sandbox, target)) == 1
    assert f"{staging}/left.jsonl".endswith(next(key for key in objects(sandbox, staging) if "left" in key))
    (operation,) = operations(sandbox, target)
    report = run(path, target, staging, max_rejects=1, rejects=f"{staging}/left.jsonl", verify="all")
    assert (report.problem, report.written, report.rejected) == (None, 1, 1)
    assert report.bulk_operation == operation["BulkOperationArn"]
    assert [key.rpartition("/")[2] for key in objects(sandbox, staging)] == ["left.jsonl"]


class Killed(BaseException):
    """As SIGKILL: nothing is saved after it."""


def kill(path: Path, target: TableDescription, staging: str, **options: Any) -> None:
    dying = job(path, target, staging, **options)
    dying._output.finish = lambda *_, **__: None  # type: ignore[method-assign]
    with pytest.raises(Killed):
        dying.run()


STEPS = (
    *((Checkpoint, name) for name in ("save", "remove")),
    *((Storage, name) for name in ("upload", "delete", "list")),
    *((BulkPutCalls, name) for name in ("start", "describe", "find")),
    (RejectFile, "sync"),
)


class Mortal:
    """Dies after one of the steps that others can see. Whoever is dead takes no steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.dead = 0, False
        for owner, name in STEPS:
            monkeypatch.setattr(owner, name, self._step(getattr(owner, name)))

    def _step(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*told: Any, **named: Any) -> Any:
            self.left -= 1
            if self.dead:
                raise Killed
            done = real(*told, **named)
            self.dead = self.left == 0
            if self.dead:
                raise Killed
            return done

        return step


@pytest.mark.slow
def test_it_can_be_killed_at_every_step(
    sandbox: Sandbox, staging: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One item fails at AWS, and one row is no item."""

    def checked(target: TableDescription, item: dict[str, Any]) -> int:
        if item["pk"] == {"S": "bad"}:
            raise AttributeValueError("it is bad")
        return real(target, item)

    real = bulk_put._checked
    monkeypatch.setattr(bulk_put, "_checked", checked)
    path = rows({"pk": "a"}, {"n": 1}, {"pk": "bad"}, {"pk": "b"})
    mortal = Mortal(monkeypatch)
    step = 0
    while True:
        step += 1
        target, rejects = new_table(sandbox), tmp_path / f"left-{step}.jsonl"
        mortal.left, mortal.dead = step, False
        dying = job(path, target, staging, max_rejects=2, rejects=str(rejects))
        try:
            dying.run()
        except Killed:
            mortal.left, mortal.dead = 0, False
        else:
            break
        checkpoint = bool(list(Path("state/imports").glob(f"{target.name}-*.json")))
        rejected = rejects.exists()
        if checkpoint or not rejected:  # without one it was done, and would begin again
            report = run(path, target, staging, max_rejects=2, rejects=str(rejects))
            assert (report.problem, report.written, report.rejected) == (None, 2, 2), step
        entries = [json.loads(line) for line in rejects.read_text().splitlines()[1:]]
        assert sorted((entry["number"], entry["fate"]) for entry in entries) == [(1, "rejected"), (2, "rejected")], step
        assert {item["pk"]["S"] for item in items_of(sandbox, target)} == {"a", "b"}
        assert len(operations(sandbox, target)) == 1, step
    assert step > 12, "all steps were met"


@pytest.mark.parametrize("hours", [0, 9])
@pytest.mark.parametrize("sent", [False, True])
def test_a_request_without_an_answer_begins_one_operation(
    sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch, hours: int, sent: bool
) -> None:
    target, path = new_table(sandbox), rows({"pk": "a"}, {"pk": "b"})
    real = BulkPutCalls.start

    def start(calls: BulkPutCalls, request: Any) -> Any:
        if sent:
            real(calls, request)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(BulkPutCalls, "start", start)
        kill(path, target, staging)
    if hours:  # AWS no longer knows the token
        monkeypatch.setattr(writer, "TOKEN_LIFETIME", timedelta(0))
        monkeypatch.setattr("ddb_assets.sandbox.bulk_put_api.TOKEN_LIFETIME", -1)
    report = run(path, target, staging)
    assert (report.problem, report.written) == (None, 2)
    (operation,) = operations(sandbox, target)
    assert report.bulk_operation == operation["BulkOperationArn"]


def test_what_a_killed_run_has_staged_is_deleted(
    sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, path = new_table(sandbox), rows({"pk": "a"}, {"pk": "b"})
    real = StagedItems.finish

    def finish(staged: StagedItems) -> None:
        real(staged)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(StagedItems, "finish", finish)
        patch.setattr(StagedItems, "delete", lambda _: None)
        kill(path, target, staging)
    assert len(objects(sandbox, staging)) == 1
    assert run(path, target, staging).written == 2
    assert not objects(sandbox, staging)


@pytest.mark.slow
def test_an_interrupted_import_says_how_to_cancel_and_can_be_continued(
    sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, path = slow(sandbox, monkeypatch)
    report = interrupted(target, path, staging)
    (operation,) = operations(sandbox, target)
    assert report.problem
    assert (
        f"ended by SIGINT; AWS continues the bulk operation {operation['BulkOperationArn']}, which has put"
        in report.problem
    )
    assert "aws dynamodb cancel-bulk-operation --region us-east-1 --bulk-operation-arn" in report.problem
    assert (report.complete, report.written + report.unprocessed) == (False, MANY)
    hurry(monkeypatch)
    assert run(path, target, staging).written == MANY
    assert len(operations(sandbox, target)) == 1


def test_a_cancelled_operation_is_told_and_the_next_run_puts_everything(
    sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, path = slow(sandbox, monkeypatch)
    client: Any = sandbox.dynamodb()

    def cancel(now: Progress) -> None:
        if now.totals.written:
            client.cancel_bulk_operation(BulkOperationArn=operations(sandbox, target)[0]["BulkOperationArn"])

    report = run(path, target, staging, max_wcu=1024, on_progress=cancel)
    assert report.problem
    assert "ended CANCELLED" in report.problem
    assert 0 < report.written == len(items_of(sandbox, target)) < MANY
    assert report.unprocessed == MANY - report.written
    assert not objects(sandbox, staging)
    hurry(monkeypatch)
    again = run(path, target, staging)
    assert (again.problem, again.written) == (None, MANY)
    assert len(operations(sandbox, target)) == 2


def test_output_that_cannot_be_read_fails_the_run_and_names_it(
    sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, path = new_table(sandbox), rows({"pk": "a", "n": "text"}, {"pk": "b", "n": 1})
    stricter(sandbox, target, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(bulk_put, "_problem", lambda *_: {"itemS3Pointer": {"itemIndex": 0}})
        report = run(path, target, staging)
    (key,) = [key for key in objects(sandbox, staging) if "/failed/" in key]
    assert report.problem
    assert "1 items failed, and 0 of them are known by their keys, because 1 records in s3://" in report.problem
    assert key.rpartition("/AWSDynamoDB")[0] in report.problem
    assert (report.complete, report.written, report.unprocessed) == (False, 1, 1)


def test_nothing_is_begun_for_no_items(sandbox: Sandbox, staging: str) -> None:
    target = new_table(sandbox)
    report = run(rows({"pk": ""}), target, staging, max_rejects=1)
    assert (report.problem, report.rejected, report.bulk_operation) == (None, 1, None)
    assert not operations(sandbox, target)


def test_a_dry_run_stages_nothing(sandbox: Sandbox, staging: str) -> None:
    target, path = new_table(sandbox), rows({"pk": "a"}, {"pk": "a"})
    report = run(path, target, staging, dry_run=True)
    assert "1 items have a key that another item has" in str(report.problem)
    assert run(rows({"pk": "a"}), target, staging, dry_run=True).written == 1
    assert not objects(sandbox, staging)
    assert not items_of(sandbox, target)


def foreign(staged: StagedItems) -> None:
    REAL(staged)
    staged._storage.write(f"{staged.folder}/other.json", b"{}")


def lost(staged: StagedItems) -> None:
    REAL(staged)
    staged._storage.delete(staged.uris)


REAL = StagedItems.finish


@pytest.mark.parametrize(
    ("finish", "said"), [(foreign, "holds 1 files that ddb_assets has not"), (lost, "is not there")]
)
def test_aws_reads_what_was_staged_and_nothing_else(
    sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch, finish: Callable[[StagedItems], None], said: str
) -> None:
    target, path = new_table(sandbox), rows({"pk": "a"})
    with monkeypatch.context() as patch:
        patch.setattr(StagedItems, "finish", finish)
        report = run(path, target, staging)
    assert said in str(report.problem)
    assert not operations(sandbox, target)
    assert not [key for key in objects(sandbox, staging) if not key.endswith("other.json")]
    assert run(path, target, staging).written == 1


def test_more_objects_than_aws_takes_are_refused(
    sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged_items, "part_bytes", lambda _: 1)
    monkeypatch.setattr(staged_items, "MAX_OBJECTS", 2)
    target = new_table(sandbox)
    report = run(rows({"pk": "a"}, {"pk": "b"}, {"pk": "c"}), target, staging)
    assert "fill more than 2 objects" in str(report.problem)
    assert not operations(sandbox, target)
    assert not objects(sandbox, staging)


def test_a_bucket_of_another_account_is_named(sandbox: Sandbox, staging: str) -> None:
    target, path = new_table(sandbox), rows({"pk": "a"})
    done = call(path, target, staging, "--staging-owner", "123456789012")
    assert done.exit_code == 0, done.output
    (operation,) = operations(sandbox, target)
    for place in ("InputS3Configuration", "OutputS3Configuration"):
        assert operation[place]["S3BucketOwner"] == "123456789012"
    wrong = call(path, target, staging, "--staging-owner", "210987654321")
    assert wrong.exit_code == 1
    assert "ended FAILED (S3AccessDenied: Access Denied)" in wrong.output


def refused(*told: Any, **named: Any) -> str:
    with pytest.raises(UnfitTableError) as error:
        job(*told, **named)
    return str(error.value)


@pytest.mark.parametrize(
    ("config", "options", "said"),
    [
        ({"mode": "delete"}, {}, "only puts items, and the mode is delete"),
        ({"mode": "if-not-exists"}, {}, "only puts items, and the mode is if-not-exists"),
        ({"changes": {"column": "op"}}, {}, "files of changes delete some"),
        ({}, {"keep_before": "before/"}, "there are no before-images: leave keep_before out"),
        ({}, {"max_wcu": 1023}, "at least 1,024 write capacity units per second, and this import may take 1,023"),
    ],
)
def test_what_a_bulk_put_does_not_do_is_refused(
    sandbox: Sandbox, staging: str, config: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    settings = ImportConfig.model_validate(config)
    assert said in refused(rows({"pk": "a"}), new_table(sandbox), staging, settings, **options)


def test_tables_that_take_no_bulk_put_are_refused(
    sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, target = rows({"pk": "a"}), new_table(sandbox)
    sandbox.replicate(target.name, "eu-west-1")
    assert "it is a global table, with a replica in eu-west-1" in refused(path, target, staging)
    small: Any = {
        "BillingMode": "PROVISIONED",
        "ProvisionedThroughput": {"ReadCapacityUnits": 9, "WriteCapacityUnits": 9},
    }
    assert "this import may take 4: allow more with max_wcu" in refused(path, new_table(sandbox, **small), staging)
    assert "it needs a folder on S3" in refused(path, new_table(sandbox), "here")
    monkeypatch.setattr(prepare, "OPERATION", "no_such_operation")
    assert "does not know StartBulkPutItems: pip install --upgrade boto3" in refused(path, new_table(sandbox), staging)


def test_a_delete_in_the_files_stops_it_before_anything_is_put(sandbox: Sandbox, staging: str) -> None:
    change = '{"Metadata":{"WriteTimestampMicros":{"N":"1"}},"Keys":{"pk":{"S":"%s"}}%s}\n'
    path = Path("rows.json")
    path.write_text(change % ("b", ',"NewImage":{"pk":{"S":"b"}}') + change % ("a", ""))
    target = new_table(sandbox)
    assert "only puts items, and this is a delete" in str(run(path, target, staging).problem)
    assert not items_of(sandbox, target)
    assert not objects(sandbox, staging)


def test_a_table_that_takes_none_now_is_told_and_nothing_is_left(
    sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It became a global table since the import looked."""
    path, target = rows({"pk": "a"}), new_table(sandbox)
    ready = job(path, target, staging)
    sandbox.replicate(target.name, "eu-west-1")
    report = ready.run()
    assert "does not support global tables" in str(report.problem)
    assert not objects(sandbox, staging)
    sandbox.replicate(target.name)
    assert run(path, target, staging).written == 1


@pytest.mark.slow
def test_an_operation_that_the_table_has_already_is_waited_for(
    sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, path = slow(sandbox, monkeypatch)
    interrupted(target, path, staging)
    threading.Timer(0.3, hurry, [monkeypatch]).start()
    assert run(rows({"pk": "z"}, name="other.jsonl"), target, staging).written == 1
    assert run(path, target, staging).written == MANY
    assert len(operations(sandbox, target)) == 2


BUSY = AwsUnavailableError("AWS is busy", "LimitExceededException")
REFUSED = AwsError("AWS refuses it", "IdempotentParameterMismatchException")


@pytest.mark.parametrize("arrived", [False, True])
def test_a_busy_aws_is_asked_again_and_then_by_the_next_run(
    sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch, *, arrived: bool
) -> None:
    target, path = new_table(sandbox), rows({"pk": "a"})
    tokens: list[str] = []
    real = BulkPutCalls.start

    def start(calls: BulkPutCalls, request: Any) -> Any:
        tokens.append(request["ClientToken"])
        if arrived:
            real(calls, request)
        raise BUSY

    monkeypatch.setattr(writer, "FIRST_LOOK", 0.001)
    with monkeypatch.context() as patch:
        patch.setattr(BulkPutCalls, "start", start)
        report = run(path, target, staging)
    assert (len(tokens), len(set(tokens))) == (writer.ATTEMPTS, 1)
    assert f"AWS is busy; AWS may have begun the bulk operation with the token {tokens[0]}" in str(report.problem)
    assert run(path, target, staging).written == 1
    (operation,) = operations(sandbox, target)
    assert operation["ClientToken"] == tokens[0]


@pytest.mark.parametrize("arrived", [False, True])
def test_a_refusal_after_a_lost_answer_does_not_hide_the_operation(
    sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch, *, arrived: bool
) -> None:
    target, path = new_table(sandbox), rows({"pk": "a"})
    errors = [BUSY, REFUSED]
    real = BulkPutCalls.start

    def start(calls: BulkPutCalls, request: Any) -> Any:
        if arrived and len(errors) == 2:
            real(calls, request)
        raise errors.pop(0)

    with monkeypatch.context() as patch:
        patch.setattr(BulkPutCalls, "start", start)
        report = run(path, target, staging)
    assert (report.written, report.problem) == ((1, None) if arrived else (0, str(REFUSED)))
    assert not objects(sandbox, staging)
    assert run(path, target, staging).written == 1
    assert len(operations(sandbox, target)) == (2 if arrived else 1)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BUSY, "AWS is busy; AWS continues the bulk operation arn:"),
        (AwsError("denied", "AccessDeniedException"), "denied; AWS continues the bulk operation arn:"),
        (AwsError("gone", "ResourceNotFoundException"), "; if AWS no longer knows it, start over with --restart"),
    ],
)
def test_an_operation_whose_state_is_unknown_is_not_begun_again(
    sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch, error: AwsError, said: str
) -> None:
    target, path = new_table(sandbox), rows({"pk": "a"})

    def describe(*_: object) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(BulkPutCalls, "describe", describe)
        report = run(path, target, staging, deadline=0.1)
        if said.endswith("--restart"):
            assert run(path, target, staging, deadline=0.1, restart=True).problem
    assert said in str(report.problem)
    while operations(sandbox, target)[0]["BulkOperationStatus"] == "IN_PROGRESS":
        time.sleep(0.05)
    assert run(path, target, staging).written == 1
    assert len(operations(sandbox, target)) == (2 if said.endswith("--restart") else 1)
    assert not objects(sandbox, staging)


@pytest.mark.slow
def test_a_restart_after_the_operation_has_ended_begins_another(
    sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, path = slow(sandbox, monkeypatch)
    interrupted(target, path, staging)
    with pytest.raises(WriterStoppedError, match="is IN_PROGRESS"):
        run(path, target, staging, restart=True)
    hurry(monkeypatch)
    while operations(sandbox, target)[0]["BulkOperationStatus"] == "IN_PROGRESS":
        time.sleep(0.05)
    assert run(path, target, staging, restart=True).written == MANY
    assert len(operations(sandbox, target)) == 2
    assert not objects(sandbox, staging)


def test_changed_files_are_another_import(sandbox: Sandbox, staging: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, path = slow(sandbox, monkeypatch)
    interrupted(target, path, staging)
    rows({"pk": "other"})
    with pytest.raises(CheckpointError, match="something differs"):
        run(path, target, staging)
    hurry(monkeypatch)


def test_options_that_do_nothing_are_refused() -> None:
    bulk = ("--method", "bulk-put")
    for given, said in (
        ((*bulk, "--new-table", "id:S"), "--method bulk-put fills a table that exists"),
        ((*bulk, "--in-flight", "2"), "--in-flight does nothing with --method bulk-put"),
        ((*bulk, "--price", "1"), "--price does nothing with --method bulk-put"),
        ((*bulk, "--staging-owner", "12"), "--staging-owner is an AWS account, 12 digits"),
        (("--staging-owner", "123456789012"), "--staging-owner is for --new-table, or for --method bulk-put"),
        (
            ("--new-table", "id:S", "--method", "batch-write", "--staging-owner", "123456789012"),
            "--staging-owner does nothing",
        ),
    ):
        done = CliRunner().invoke(main, ["import", "a.csv", "--table", "T", *given])
        assert done.exit_code == 2
        assert said in " ".join(done.output.split())
