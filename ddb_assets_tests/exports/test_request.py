"""Requesting exports from the sandbox: a request finds its export again, and errors say what to do."""

import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from ddb_assets.aws.errors import AwsError
from ddb_assets.aws.storage import Storage
from ddb_assets.contract.export_target import ExportTarget
from ddb_assets.contract.windows import Cadence, Window
from ddb_assets.exports.data_file import read_blocks
from ddb_assets.exports.follow import ExportFailedError, ExportRef, wait
from ddb_assets.exports.manifest import read_export
from ddb_assets.exports.request import (
    Destination,
    FullExport,
    Increment,
    NotRestorableError,
    PitrDisabledError,
    RequestError,
    TableExports,
)
from ddb_assets.microseconds import from_micros
from ddb_assets.sandbox.server import Sandbox, Write

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BUCKET = "exports-of-tests"
HERE = Destination(BUCKET, "daily")
SOON = timedelta(seconds=30)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(export_delay=timedelta(seconds=0.05)) as sandbox:
        sandbox.s3().create_bucket(Bucket=BUCKET)
        yield sandbox


@pytest.fixture(scope="module")
def client(sandbox: Sandbox) -> "DynamoDBClient":
    return sandbox.dynamodb()


@pytest.fixture(scope="module")
def storage(sandbox: Sandbox) -> Storage:
    return Storage(sandbox.s3())


@pytest.fixture(scope="module")
def stubbed() -> "DynamoDBClient":
    """A client without a server, for answers that the sandbox does not give: missing permissions and limits."""
    return boto3.client("dynamodb", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


def create(client: "DynamoDBClient", name: str) -> None:
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )


def now(sandbox: Sandbox) -> datetime:
    return from_micros(sandbox.clock.micros())


@pytest.fixture
def table(sandbox: Sandbox, client: "DynamoDBClient") -> str:
    """A table with two days of history: three items two days ago, one of them changed three hours ago."""
    name = f"Orders-{uuid.uuid4().hex[:8]}"
    create(client, name)
    sandbox.enable_recovery(name, now(sandbox) - timedelta(days=2))
    old, recent = now(sandbox) - timedelta(days=2), now(sandbox) - timedelta(hours=3)
    history = [Write(old, {"id": {"S": key}}) for key in "abc"]
    sandbox.seed(name, [*history, Write(recent, {"id": {"S": "b"}, "n": {"N": "1"}})])
    return name


def window_of_change(sandbox: Sandbox) -> Window:
    return Cadence.parse("hourly").window_at(now(sandbox) - timedelta(hours=3))


def finished(client: "DynamoDBClient", arn: str) -> ExportRef:
    return wait(client, arn, timeout=SOON, sleep=lambda seconds: time.sleep(seconds / 10))


def full_export() -> FullExport:
    return FullExport(uuid.uuid4().hex)


def items(storage: Storage, ref: ExportRef) -> int:
    export = read_export(storage, ref.summary_uri)
    lines = [line for file in export.files for block, _ in read_blocks(storage, file) for line in block.splitlines()]
    assert len(lines) == export.item_count == ref.item_count
    assert (export.arn, export.id, export.billed_bytes) == (ref.arn, ref.id, ref.billed_bytes)
    return export.item_count


def test_a_full_export_from_the_request_to_its_items(client: "DynamoDBClient", table: str, storage: Storage) -> None:
    asked = TableExports(client, table).request(full_export(), HERE)
    assert asked.status == "IN_PROGRESS"
    assert asked.summary_uri == f"s3://{BUCKET}/daily/AWSDynamoDB/{asked.id}/manifest-summary.json"
    seen: list[ExportRef] = []
    done = wait(client, asked.arn, timeout=SOON, on_progress=lambda ref, _: seen.append(ref))
    assert (done.status, done.arn, done.summary_uri) == ("COMPLETED", asked.arn, asked.summary_uri)
    assert {ref.status for ref in seen} <= {"IN_PROGRESS"}
    assert items(storage, done) == 3


@pytest.mark.parametrize("view", ["NEW_IMAGE", "NEW_AND_OLD_IMAGES"])
def test_a_window(sandbox: Sandbox, client: "DynamoDBClient", table: str, view: Any, storage: Storage) -> None:
    window = window_of_change(sandbox)
    done = finished(client, TableExports(client, table).request(Increment(window, view), HERE).arn)
    export = read_export(storage, done.summary_uri, expected_table=table)
    assert (export.kind, export.view, export.from_time, export.to_time) == (
        "incremental",
        view,
        window.start,
        window.end,
    )
    assert items(storage, done) == 1


def test_a_time(sandbox: Sandbox, client: "DynamoDBClient", table: str, storage: Storage) -> None:
    moment = now(sandbox) - timedelta(hours=5)
    done = finished(client, TableExports(client, table).request(FullExport("x", moment), HERE).arn)
    exported = read_export(storage, done.summary_uri).export_time
    assert exported is not None
    assert abs(exported - moment) < timedelta(milliseconds=1)


def test_a_table_by_its_arn(client: "DynamoDBClient", table: str) -> None:
    arn = client.describe_table(TableName=table)["Table"]["TableArn"]
    what = full_export()
    assert TableExports(client, table).request(what, HERE).arn == TableExports(client, arn).request(what, HERE).arn


def each_kind(sandbox: Sandbox) -> list[FullExport | Increment]:
    return [
        FullExport("run-1"),
        FullExport("run-1", now(sandbox) - timedelta(hours=5)),
        Increment(window_of_change(sandbox), "NEW_IMAGE"),
    ]


@pytest.mark.parametrize("kind", range(3))
@pytest.mark.parametrize("later", [timedelta(0), timedelta(hours=9)])
def test_asked_again_the_same_export_is_the_answer(
    sandbox: Sandbox, client: "DynamoDBClient", table: str, kind: int, later: timedelta
) -> None:
    what = each_kind(sandbox)[kind]
    first = TableExports(client, table).request(what, HERE)
    running = TableExports(client, table).request(what, HERE)
    done = finished(client, first.arn)
    sandbox.clock.advance(later)  # DynamoDB forgets ClientTokens after 8 hours
    exports = TableExports(client, table)
    completed = exports.request(what, HERE)
    assert running.arn == completed.arn == first.arn
    assert completed == exports.request(what, HERE) == done
    assert len(client.list_exports(TableArn=exports.arn)["ExportSummaries"]) == 1


def test_the_log_says_whether_an_export_was_requested_or_found(
    client: "DynamoDBClient", table: str, caplog: pytest.LogCaptureFixture
) -> None:
    exports = TableExports(client, table)
    with caplog.at_level("INFO", "ddb_assets.exports"):
        arn = exports.request(FullExport("run-1"), HERE).arn
        exports.request(FullExport("run-1"), HERE)
    requested, found = (record.getMessage() for record in caplog.records)
    assert requested == f"table {table}: requested export {arn} of the latest time, 0 earlier ones failed"
    assert found.startswith(f"table {table}: found export {arn} of the latest time, ")


def test_asked_by_many_at_once_there_is_one_export(sandbox: Sandbox, client: "DynamoDBClient", table: str) -> None:
    what = Increment(window_of_change(sandbox), "NEW_IMAGE")
    arns: list[str] = []
    threads = [
        threading.Thread(target=lambda: arns.append(TableExports(client, table).request(what, HERE).arn))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(arns) == 6
    assert len(set(arns)) == 1


@pytest.mark.parametrize("kind", [1, 2])
def test_an_export_that_somebody_else_made_is_found(
    sandbox: Sandbox, client: "DynamoDBClient", table: str, kind: int
) -> None:
    what = each_kind(sandbox)[kind]
    exports = TableExports(client, table)
    arguments: dict[str, Any] = {"TableArn": exports.arn, "S3Bucket": BUCKET, "S3Prefix": "daily/"}
    if isinstance(what, Increment):
        arguments["ExportType"] = "INCREMENTAL_EXPORT"
        arguments["IncrementalExportSpecification"] = {
            "ExportFromTime": what.window.start,
            "ExportToTime": what.window.end,
            "ExportViewType": "NEW_IMAGE",
        }
    else:
        arguments["ExportTime"] = what.time
    theirs = client.export_table_to_point_in_time(**arguments)["ExportDescription"]["ExportArn"]
    assert exports.request(what, HERE).arn == theirs
    assert exports.request(what, HERE, attempt=1).arn != theirs


def test_a_full_export_of_now_is_not_somebody_elses(client: "DynamoDBClient", table: str) -> None:
    exports = TableExports(client, table)
    assert exports.request(FullExport("run-1"), HERE).arn != exports.request(FullExport("run-2"), HERE).arn


def test_other_requests_are_other_exports(sandbox: Sandbox, client: "DynamoDBClient", table: str) -> None:
    window = window_of_change(sandbox)
    earlier = Cadence.parse("hourly").window_at(window.start - timedelta(minutes=1))
    exports = TableExports(client, table)
    requests = [
        exports.request(Increment(window, "NEW_IMAGE"), HERE),
        exports.request(Increment(window, "NEW_AND_OLD_IMAGES"), HERE),
        exports.request(Increment(earlier, "NEW_IMAGE"), HERE),
        exports.request(Increment(window, "NEW_IMAGE"), Destination(BUCKET, "other")),
        exports.request(Increment(window, "NEW_IMAGE"), Destination(BUCKET)),
        exports.request(FullExport("run-1"), HERE),
        exports.request(Increment(window, "NEW_IMAGE"), HERE, attempt=1),
        exports.request(Increment(window, "NEW_IMAGE"), HERE, attempt=2),
    ]
    assert len({request.arn for request in requests}) == len(requests)
    assert exports.request(Increment(window, "NEW_IMAGE"), HERE, attempt=1).arn == requests[6].arn


def test_a_recreated_table_has_no_exports_yet(sandbox: Sandbox, client: "DynamoDBClient", table: str) -> None:
    moment = now(sandbox) - timedelta(hours=5)
    before = TableExports(client, table)
    old = before.request(FullExport("x", moment), HERE)
    finished(client, old.arn)
    client.delete_table(TableName=table)
    create(client, table)
    sandbox.enable_recovery(table, moment - timedelta(hours=1))
    after = TableExports(client, table)
    assert (after.arn, after.table_id == before.table_id) == (before.arn, False)
    assert after.request(FullExport("x", moment), HERE).arn != old.arn


def test_an_export_is_found_behind_many_others(sandbox: Sandbox, client: "DynamoDBClient", table: str) -> None:
    exports = TableExports(client, table)
    first = finished(client, exports.request(FullExport("the first"), HERE).arn)
    sandbox.clock.advance(timedelta(hours=9))  # the token no longer helps
    for _ in range(26):  # more than a page of ListExports
        client.export_table_to_point_in_time(TableArn=exports.arn, S3Bucket=BUCKET)
    assert exports.request(FullExport("the first"), HERE).arn == first.arn


def test_exports_older_than_the_window_are_not_looked_into(
    sandbox: Sandbox, client: "DynamoDBClient", table: str
) -> None:
    exports = TableExports(client, table)
    for number in range(5):
        start = window_of_change(sandbox).start - timedelta(hours=number + 1)
        exports.request(Increment(Window(start, start + timedelta(hours=1)), "NEW_IMAGE"), HERE)
    sandbox.clock.advance(timedelta(hours=2))
    looked: list[str] = []
    client.meta.events.register("before-call.dynamodb.DescribeExport", lambda **_: looked.append("DescribeExport"))
    window = Cadence.parse("hourly").window_at(now(sandbox) - timedelta(minutes=66))
    exports.request(Increment(window, "NEW_IMAGE"), HERE)
    assert looked == []


def test_a_failed_export_says_why_and_is_asked_for_again(
    sandbox: Sandbox, client: "DynamoDBClient", table: str, storage: Storage
) -> None:
    what, there = full_export(), Destination(f"not-yet-{uuid.uuid4().hex}")
    failed = TableExports(client, table).request(what, there)
    with pytest.raises(ExportFailedError, match=f"{failed.arn}: S3NoSuchBucket: .*requests a new export"):
        finished(client, failed.arn)
    failed_too = TableExports(client, table).request(what, there)
    with pytest.raises(ExportFailedError):
        finished(client, failed_too.arn)
    sandbox.s3().create_bucket(Bucket=there.bucket)
    again = TableExports(client, table).request(what, there)
    assert len({failed.arn, failed_too.arn, again.arn}) == 3
    assert items(storage, finished(client, again.arn)) == 3


def test_recovery_switched_off(client: "DynamoDBClient") -> None:
    name = f"Orders-{uuid.uuid4().hex[:8]}"
    create(client, name)
    for ask in (TableExports(client, name).restorable, lambda: TableExports(client, name).request(full_export(), HERE)):
        with pytest.raises(PitrDisabledError) as caught:
            ask()
        assert (
            f"aws dynamodb update-continuous-backups --region us-east-1 --table-name {name} "
            "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
        ) in str(caught.value)


def test_an_export_made_before_recovery_was_switched_off_is_still_found(
    sandbox: Sandbox, client: "DynamoDBClient", table: str
) -> None:
    what = Increment(window_of_change(sandbox), "NEW_IMAGE")
    made = finished(client, TableExports(client, table).request(what, HERE).arn)
    off = {"PointInTimeRecoveryEnabled": False}
    client.update_continuous_backups(TableName=table, PointInTimeRecoverySpecification=off)  # type: ignore[arg-type]
    assert TableExports(client, table).request(what, HERE) == made


def test_the_restorable_period(client: "DynamoDBClient", table: str) -> None:
    period = TableExports(client, table).restorable()
    assert period.earliest.tzinfo is UTC
    assert period.latest.tzinfo is UTC
    assert timedelta(hours=47) < period.latest - period.earliest < timedelta(hours=48)


def test_windows_and_times_outside_the_period(client: "DynamoDBClient", table: str) -> None:
    exports = TableExports(client, table)
    period = exports.restorable()
    hour, second = timedelta(hours=1), timedelta(seconds=1)
    too_old = Window(period.earliest - second, period.earliest + hour)
    for what in (Increment(too_old, "NEW_IMAGE"), FullExport("x", period.earliest - second)):
        with pytest.raises(NotRestorableError, match=r"history begins at .* make a new full export"):
            exports.request(what, HERE)
    too_new = Window(period.latest - hour, period.latest + timedelta(minutes=1))
    for what in (Increment(too_new, "NEW_IMAGE"), FullExport("x", period.latest + timedelta(minutes=1))):
        with pytest.raises(NotRestorableError, match=r"yet: it is restorable until .* try again later"):
            exports.request(what, HERE)
    assert client.list_exports(TableArn=exports.arn)["ExportSummaries"] == []


def test_no_such_table(client: "DynamoDBClient") -> None:
    with pytest.raises(AwsError, match="dynamodb:DescribeTable: there is no Nothing"):
        TableExports(client, "Nothing")


@pytest.mark.parametrize(
    ("prefixes", "normal"), [(["", "/", "//"], ""), (["a", "a/", "/a", "//a//"], "a"), (["a/b", "/a//b/"], "a/b")]
)
def test_one_normal_prefix(prefixes: list[str], normal: str) -> None:
    assert {Destination(BUCKET, prefix).prefix for prefix in prefixes} == {normal}


@pytest.mark.parametrize("prefix", ["..", "a/../b", "./a"])
def test_prefixes_of_dots(prefix: str) -> None:
    with pytest.raises(RequestError, match="only dots"):
        Destination(BUCKET, prefix)


@pytest.mark.parametrize("prefix", ["", "/a"])
def test_the_prefix_is_where_the_export_is_found(
    client: "DynamoDBClient", table: str, prefix: str, storage: Storage
) -> None:
    ref = TableExports(client, table).request(full_export(), Destination(BUCKET, prefix))
    done = finished(client, ref.arn)
    folder = "a/AWSDynamoDB" if prefix else "AWSDynamoDB"
    assert done.summary_uri == f"s3://{BUCKET}/{folder}/{ref.id}/manifest-summary.json"
    assert items(storage, done) == 3


def test_encryption_and_owner_are_passed_on() -> None:
    plain = {"S3Bucket": "b", "S3SseAlgorithm": "AES256"}
    assert Destination("b").arguments == plain
    assert Destination("b", "p", "123456789012", "a-key").arguments == {
        "S3Bucket": "b",
        "S3Prefix": "p",
        "S3BucketOwner": "123456789012",
        "S3SseAlgorithm": "KMS",
        "S3SseKmsKeyId": "a-key",
    }


def test_an_export_is_encrypted_with_the_key_of_the_contract(client: "DynamoDBClient", table: str) -> None:
    """An existing export without KMS encryption is not used, although it is of the same time and place."""
    exports = TableExports(client, table)
    when = exports.restorable().latest
    plain = finished(client, exports.request(FullExport("plain", when), HERE).arn)
    target = ExportTarget(bucket=BUCKET, prefix="daily", bucket_owner="123456789012", kms_key="alias/exports")
    made = finished(client, exports.request(FullExport("kms", when), Destination.of(target)).arn)
    assert made.arn != plain.arn
    described = client.describe_export(ExportArn=made.arn)["ExportDescription"]
    assert (described["S3BucketOwner"], described["S3SseAlgorithm"]) == ("123456789012", "KMS")
    assert described["S3SseKmsKeyId"] == "alias/exports"


TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/Orders"
CALLS: list[tuple[str, dict[str, Any]]] = [
    (
        "describe_table",
        {
            "Table": {
                "TableName": "Orders",
                "TableArn": TABLE_ARN,
                "TableId": "one",
                "TableStatus": "ACTIVE",
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            }
        },
    ),
    ("list_exports", {"ExportSummaries": []}),
    (
        "describe_continuous_backups",
        {
            "ContinuousBackupsDescription": {
                "ContinuousBackupsStatus": "ENABLED",
                "PointInTimeRecoveryDescription": {
                    "PointInTimeRecoveryStatus": "ENABLED",
                    "EarliestRestorableDateTime": datetime(2026, 1, 1, tzinfo=UTC),
                    "LatestRestorableDateTime": datetime(2026, 1, 2, tzinfo=UTC),
                },
            }
        },
    ),
    ("export_table_to_point_in_time", {}),
]


@pytest.mark.parametrize("denied", range(len(CALLS)))
def test_a_missing_permission_is_named(stubbed: "DynamoDBClient", denied: int) -> None:
    with Stubber(stubbed) as stub:
        for operation, answer in CALLS[:denied]:
            stub.add_response(operation, answer)
        stub.add_client_error(CALLS[denied][0], "AccessDeniedException", "User: x is not authorized")
        action = "".join(map(str.title, CALLS[denied][0].split("_")))
        with pytest.raises(AwsError, match=f"AWS refuses dynamodb:{action} on Orders: allow this action in IAM"):
            TableExports(stubbed, "Orders").request(full_export(), HERE)


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        ("PointInTimeRecoveryUnavailableException", PitrDisabledError, "Switch point-in-time recovery on"),
        ("InvalidExportTimeException", NotRestorableError, "Try again in a minute"),
        ("LimitExceededException", RequestError, "may run at once"),
        ("ExportConflictException", AwsError, "ExportConflictException"),
    ],
)
def test_what_dynamodb_refuses_in_the_end(
    stubbed: "DynamoDBClient", code: str, kind: type[Exception], said: str
) -> None:
    with Stubber(stubbed) as stub:
        for operation, answer in CALLS[:-1]:
            stub.add_response(operation, answer)
        stub.add_client_error("export_table_to_point_in_time", code, "no")
        with pytest.raises(kind, match=said):
            TableExports(stubbed, "Orders").request(full_export(), HERE)
