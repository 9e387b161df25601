"""Waiting for an export: pauses, time-outs, and what ends the wait."""

from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from ddb_assets.aws.errors import AwsError
from ddb_assets.aws.pauses import JITTER, LONGEST_LOOK
from ddb_assets.exports.follow import ExportRef, ExportTimeoutError, wait

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/Orders/export/01695097218000-d6299cbd"
CLIENT = boto3.client(
    "dynamodb",
    "us-east-1",
    aws_access_key_id="x",
    aws_secret_access_key="x",
    config=Config(retries={"total_max_attempts": 1}),
)


class Waiting:
    """A clock that only `sleep` moves, and a client with prepared answers: statuses or error codes."""

    def __init__(self, *answers: str, forever: str = "") -> None:
        self.now = 0.0
        self.sleeps: list[float] = []
        self.seen: list[tuple[ExportRef, timedelta]] = []
        self._stub = Stubber(CLIENT)
        for answer in (*answers, *[forever] * (400 if forever else 0)):
            if answer.isupper():
                self._stub.add_response("describe_export", {"ExportDescription": self.description(answer)})
            else:
                self._stub.add_client_error("describe_export", answer, "why", http_status_code=400)

    @staticmethod
    def description(status: str) -> dict[str, Any]:
        return {"ExportArn": ARN, "ExportStatus": status, "S3Bucket": "b", "S3Prefix": "p"}

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    def run(self, timeout: timedelta) -> ExportRef:
        with self._stub:
            return wait(
                CLIENT,
                ARN,
                timeout=timeout,
                on_progress=lambda ref, waited: self.seen.append((ref, waited)),
                clock=lambda: self.now,
                sleep=self.sleep,
            )


def test_the_delays_grow_and_are_jittered() -> None:
    waiting = Waiting(*["IN_PROGRESS"] * 20, "COMPLETED")
    assert waiting.run(timedelta(hours=1)).status == "COMPLETED"
    bare = [min(0.5 * 1.5**n, LONGEST_LOOK) for n in range(20)]
    assert all(abs(slept / want - 1) <= JITTER for slept, want in zip(waiting.sleeps, bare, strict=True))
    assert len({slept / want for slept, want in zip(waiting.sleeps, bare, strict=True)}) > 1
    assert [waited.total_seconds() for _, waited in waiting.seen] == pytest.approx(
        [sum(waiting.sleeps[:n]) for n in range(20)], abs=1e-3
    )


def test_the_wait_ends_while_the_export_continues() -> None:
    waiting = Waiting(forever="IN_PROGRESS")
    with pytest.raises(ExportTimeoutError, match=f"{ARN} was not done after 600 s.*AWS continues.*no second one"):
        waiting.run(timedelta(minutes=10))
    assert sum(waiting.sleeps) == pytest.approx(600)


def test_the_log_says_when_the_export_changes_and_ends(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "ddb_assets.exports"):
        Waiting("IN_PROGRESS", "COMPLETED").run(timedelta(hours=1))
    begun, running, ended = (record.getMessage() for record in caplog.records)
    assert begun == f"waiting up to 3600 s for export {ARN}"
    assert running == f"export {ARN} is IN_PROGRESS after 0 s"
    assert ended.startswith(f"export {ARN} is COMPLETED after")


def test_an_unknown_status_is_waited_for() -> None:
    assert Waiting("PENDING", "QUEUED", "COMPLETED").run(timedelta(minutes=1)).status == "COMPLETED"


def test_aws_out_of_reach_is_waited_for() -> None:
    waiting = Waiting("ThrottlingException", "IN_PROGRESS", "ThrottlingException", "COMPLETED")
    assert waiting.run(timedelta(minutes=1)).status == "COMPLETED"
    assert len(waiting.seen) == 1
    with pytest.raises(ExportTimeoutError, match="AWS is busy"):
        Waiting(forever="ThrottlingException").run(timedelta(minutes=1))


def test_an_error_that_waiting_does_not_solve_is_raised_at_once() -> None:
    waiting = Waiting("AccessDeniedException")
    with pytest.raises(AwsError, match=f"AWS refuses dynamodb:DescribeExport on {ARN}"):
        waiting.run(timedelta(minutes=1))
    assert waiting.sleeps == []


@pytest.mark.parametrize(
    ("prefix", "manifest", "key"),
    [
        ("", None, "AWSDynamoDB/01695097218000-d6299cbd/manifest-summary.json"),
        ("p", None, "p/AWSDynamoDB/01695097218000-d6299cbd/manifest-summary.json"),
        ("p", "AWSDynamoDB/x/manifest-summary.json", "p/AWSDynamoDB/x/manifest-summary.json"),
        ("p", "p/AWSDynamoDB/x/manifest-summary.json", "p/AWSDynamoDB/x/manifest-summary.json"),
        ("", "AWSDynamoDB/x/manifest-summary.json", "AWSDynamoDB/x/manifest-summary.json"),
    ],
)
def test_where_the_summary_is(prefix: str, manifest: str | None, key: str) -> None:
    description: Any = {"ExportArn": ARN, "ExportStatus": "COMPLETED", "S3Bucket": "b", "S3Prefix": prefix}
    if manifest:
        description["ExportManifest"] = manifest
    assert ExportRef.of(description).summary_uri == f"s3://b/{key}"
