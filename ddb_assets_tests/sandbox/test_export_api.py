"""The three export operations through boto3: states, AWS's error codes, idempotency, lists."""

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ddb_assets.sandbox import export_api
from ddb_assets_tests.sandbox.account import Account

HOUR = timedelta(hours=1)


def refused(call: Any, **arguments: Any) -> tuple[str, str]:
    """The code and message of the error that this call raises."""
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_an_export_is_in_progress_and_then_completed(account: Account) -> None:
    table = account.table()
    account.dynamodb.put_item(TableName=table, Item={"id": {"S": "a"}, "n": {"N": "12"}})
    started = account.dynamodb.export_table_to_point_in_time(
        TableArn=account.arn(table), S3Bucket=account.bucket, S3Prefix="some/where", ClientToken="token of one"
    )["ExportDescription"]
    assert started["ExportStatus"] == "IN_PROGRESS"
    assert "ExportManifest" not in started
    assert started["ExportArn"].startswith(account.arn(table) + "/export/0")
    assert started["ClientToken"] == "token of one"
    done = account.wait(started["ExportArn"])
    described = account.dynamodb.describe_table(TableName=table)["Table"]
    assert done["ExportStatus"] == "COMPLETED"
    assert done["TableId"] == described["TableId"]
    assert done["ItemCount"] == described["ItemCount"] == 1
    assert done["BilledSizeBytes"] == described["TableSizeBytes"] == 2 + 1 + 1 + 2  # "id" "a" "n" 12
    assert done["S3Prefix"] == "some/where"
    assert done["ExportFormat"] == "DYNAMODB_JSON"
    assert done["EndTime"] >= done["StartTime"] == done["ExportTime"]
    export_id = done["ExportArn"].rsplit("/", 1)[1]
    assert done["ExportManifest"] == f"some/where/AWSDynamoDB/{export_id}/manifest-summary.json"


def test_an_unknown_bucket_makes_the_export_fail(account: Account) -> None:
    started = account.dynamodb.export_table_to_point_in_time(TableArn=account.arn(account.table()), S3Bucket="nowhere")
    done = account.wait(started["ExportDescription"]["ExportArn"])
    assert done["ExportStatus"] == "FAILED"
    assert done["FailureCode"] == "S3NoSuchBucket"
    assert done["FailureMessage"]
    assert "ExportManifest" not in done


def test_recovery_must_be_on(account: Account) -> None:
    table = account.table(recovery=False)
    export = account.dynamodb.export_table_to_point_in_time
    code, message = refused(export, TableArn=account.arn(table), S3Bucket=account.bucket)
    assert code == "PointInTimeRecoveryUnavailableException"
    assert message == f"Point in time recovery is not enabled for table '{table}'"


@pytest.mark.parametrize(
    "arn", ["arn:aws:dynamodb:us-east-1:123456789012:table/None", "arn:aws:dynamodb:eu-west-1:1:table/T", "T"]
)
def test_an_unknown_table_is_refused(account: Account, arn: str) -> None:
    export = account.dynamodb.export_table_to_point_in_time
    assert refused(export, TableArn=arn, S3Bucket=account.bucket)[0] == "TableNotFoundException"


def test_a_full_export_time_lies_within_the_restorable_times(account: Account) -> None:
    table = account.table()
    backups = account.dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    recovery = backups["PointInTimeRecoveryDescription"]
    earliest, latest = recovery["EarliestRestorableDateTime"], recovery["LatestRestorableDateTime"]
    assert timedelta(minutes=4.9) < account.now() - latest < timedelta(minutes=5.1)
    for moment in (earliest - timedelta(seconds=2), latest + timedelta(minutes=1)):
        code, message = refused(
            account.dynamodb.export_table_to_point_in_time,
            TableArn=account.arn(table),
            S3Bucket=account.bucket,
            ExportTime=moment,
        )
        assert code == "InvalidExportTimeException"
        assert message == "The specified ExportTime is outside of the point in time recovery window"
    at = latest.replace(microsecond=0)
    assert account.export(table, ExportTime=at).description["ExportTime"] == at


@pytest.mark.parametrize(
    ("start", "length", "problem"),
    [
        (-10 * HOUR, timedelta(minutes=14), "at least 15 minutes"),
        (-30 * HOUR, 24 * HOUR + timedelta(seconds=1), "at most 24 hours"),
        (-10 * HOUR, -HOUR, "at least 15 minutes"),
        (-31 * 24 * HOUR, HOUR, "start time outside PITR window"),
        (-HOUR, HOUR, "end time outside PITR window"),
    ],
)
def test_windows_have_limits(account: Account, start: timedelta, length: timedelta, problem: str) -> None:
    begin = account.now().replace(microsecond=0) + start
    with pytest.raises(ClientError, match=problem) as error:
        account.window(account.table(), begin, begin + length)
    assert error.value.response["Error"]["Code"] == "InvalidExportTimeException"


@pytest.mark.parametrize("length", [timedelta(minutes=15), 24 * HOUR])
def test_windows_of_the_extreme_lengths_are_exported(account: Account, length: timedelta) -> None:
    begin = account.now().replace(microsecond=0) - 25 * HOUR
    assert account.window(account.table(), begin, begin + length).summary["itemCount"] == 0


def test_a_window_without_an_end_goes_to_the_latest_restorable_time(account: Account) -> None:
    begin = account.now().replace(microsecond=0) - HOUR
    export = account.export(
        account.table(),
        ExportType="INCREMENTAL_EXPORT",
        IncrementalExportSpecification={"ExportFromTime": begin},
    )
    end = export.description["IncrementalExportSpecification"]["ExportToTime"]
    assert abs(end - (account.now() - timedelta(minutes=5))) < timedelta(seconds=5)
    assert export.summary["outputView"] == "NEW_AND_OLD_IMAGES"


@pytest.mark.parametrize(
    "options",
    [
        {"ExportFormat": "ION"},
        {"FilterSpecification": {"FilterExpression": "a = b"}},
        {"ExportType": "INCREMENTAL_EXPORT"},
    ],
    ids=["ion", "filter", "no window"],
)
def test_what_the_sandbox_cannot_do_is_refused(account: Account, options: dict[str, Any]) -> None:
    export = account.dynamodb.export_table_to_point_in_time
    arn = account.arn(account.table())
    assert refused(export, TableArn=arn, S3Bucket=account.bucket, **options)[0] == "ValidationException"


def test_a_client_token_is_idempotent_for_eight_hours_after_the_end(account: Account) -> None:
    table = account.table()
    token = f"token of {table}"
    first = account.export(table, ClientToken=token).description["ExportArn"]
    assert account.export(table, ClientToken=token).description["ExportArn"] == first
    code, _ = refused(
        account.dynamodb.export_table_to_point_in_time,
        TableArn=account.arn(table),
        S3Bucket=account.bucket,
        S3Prefix="elsewhere",
        ClientToken=token,
    )
    assert code == "ExportConflictException"
    account.sandbox.clock.advance(9 * HOUR)
    assert account.export(table, ClientToken=token).description["ExportArn"] != first


def test_exports_are_listed_in_reverse_order_page_by_page(account: Account) -> None:
    tables = [account.table(), account.table()]
    made = [account.export(tables[number % 2]).description["ExportArn"] for number in range(5)]
    mine = account.dynamodb.list_exports(TableArn=account.arn(tables[0]))["ExportSummaries"]
    assert [export["ExportArn"] for export in mine] == sorted(made[::2], reverse=True)
    assert {export["ExportStatus"] for export in mine} == {"COMPLETED"}
    assert {export["ExportType"] for export in mine} == {"FULL_EXPORT"}
    paged: list[str] = []
    token = None
    while token is not None or not paged:
        page = account.dynamodb.list_exports(MaxResults=2, **({"NextToken": token} if token else {}))
        assert len(page["ExportSummaries"]) <= 2
        paged += [export["ExportArn"] for export in page["ExportSummaries"]]
        token = page.get("NextToken")
    assert paged == sorted(paged, reverse=True)
    assert set(made) <= set(paged)
    assert len(paged) == len(set(paged))


def test_there_are_not_too_many_exports_at_once(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_api, "CONCURRENT_EXPORTS", 0)
    export = account.dynamodb.export_table_to_point_in_time
    arn = account.arn(account.table())
    assert refused(export, TableArn=arn, S3Bucket=account.bucket)[0] == "LimitExceededException"


def test_an_unknown_export_is_not_found(account: Account) -> None:
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/T/export/01695353076000-a1b2c3d4"
    assert refused(account.dynamodb.describe_export, ExportArn=arn)[0] == "ExportNotFoundException"


def test_recovery_switched_off_and_on_again_forgets_what_was_before(account: Account) -> None:
    table = account.table()
    for enabled in (False, True):
        answer = account.dynamodb.update_continuous_backups(
            TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": enabled}
        )
    recovery = answer["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert recovery["RecoveryPeriodInDays"] == 35
    assert abs(recovery["EarliestRestorableDateTime"] - account.now()) < timedelta(seconds=5)
    begin = account.now().replace(microsecond=0) - 2 * HOUR
    with pytest.raises(ClientError, match="start time outside PITR window"):
        account.window(table, begin, begin + HOUR)


def test_earliest_restorable_time_moves_with_the_recovery_period(account: Account) -> None:
    table = account.table()
    account.dynamodb.update_continuous_backups(
        TableName=table,
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 2},
    )
    backups = account.dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    earliest = backups["PointInTimeRecoveryDescription"]["EarliestRestorableDateTime"]
    assert abs(account.now() - earliest - timedelta(days=2)) < timedelta(seconds=5)


def test_a_customer_key_is_named_in_the_manifest(account: Account) -> None:
    export = account.export(account.table(), S3SseAlgorithm="KMS", S3SseKmsKeyId="alias/exports")
    assert export.summary["s3SseAlgorithm"] == export.description["S3SseAlgorithm"] == "KMS"
    assert export.summary["s3SseKmsKeyId"] == "alias/exports"


@pytest.mark.parametrize(
    ("name", "value"), [("S3BucketOwner", "12345"), ("S3SseAlgorithm", "aws:kms"), ("S3SseKmsKeyId", "k" * 2049)]
)
def test_owners_algorithms_and_keys_that_the_api_does_not_know_are_refused(
    account: Account, name: str, value: str
) -> None:
    export = account.dynamodb.export_table_to_point_in_time
    place = {"TableArn": account.arn(account.table()), "S3Bucket": account.bucket}
    code, message = refused(export, **place, **{name: value})
    assert code == "ValidationException"
    assert f"at '{name[:1].lower()}{name[1:]}'" in message


def test_a_bucket_of_another_account_than_the_request_names_is_not_written_to(account: Account) -> None:
    assert account.export(account.table(), S3BucketOwner="123456789012").description["S3BucketOwner"] == "123456789012"
    started = account.dynamodb.export_table_to_point_in_time(
        TableArn=account.arn(account.table()), S3Bucket=account.bucket, S3BucketOwner="999999999999"
    )
    done = account.wait(started["ExportDescription"]["ExportArn"])
    assert (done["ExportStatus"], done["FailureCode"]) == ("FAILED", "S3AccessDenied")
