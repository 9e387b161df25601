"""AWS is busy or out of reach for a moment, at any call: `import` and `copy` end as if nothing had happened."""

import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import EndpointConnectionError
from click.testing import CliRunner, Result
from urllib3 import HTTPResponse

from ddb_assets.aws import clients, pauses
from ddb_assets.aws.errors import _CODES, only_aws_answers
from ddb_assets.aws.retries import ATTEMPTS
from ddb_assets.cli import main
from ddb_assets.imports.bulk_put import writer
from ddb_assets.imports.tables import new_table
from ddb_assets.microseconds import from_micros
from ddb_assets.sandbox.server import Sandbox

LOST = "no connection"
PASSES = (*_CODES["throttled"], *_CODES["failing"], "UnknownToUs", LOST)
"""What passes by itself. An error with a code that we do not know and the status 500 does too."""
MOMENTS = (PASSES[: ATTEMPTS - 1], PASSES[ATTEMPTS - 1 :])
"""So many at once that the last attempt of a call succeeds."""
assert all(len(codes) < ATTEMPTS for codes in MOMENTS)
moment = pytest.mark.parametrize("codes", MOMENTS, ids=lambda codes: codes[0])


class Busy:
    """The first requests of every kind are answered with these errors, or with none, one after the other.

    With `ever`, every request of that kind is answered with the only error.
    """

    def __init__(self, *codes: str, ever: str = "") -> None:
        self._codes, self._ever = codes, ever
        self._lock = threading.Lock()
        self.requests: Counter[str] = Counter()

    def __call__(self, request: Any, event_name: str, **_: object) -> AWSResponse | None:
        """botocore's hook `before-send.SERVICE.OPERATION`."""
        with self._lock:
            self.requests[event_name] += 1
            count = self.requests[event_name]
        if self._ever:
            count = 1 if event_name.endswith(f".{self._ever}") else len(self._codes) + 1
        if count > len(self._codes):
            return None
        code = self._codes[count - 1]
        if code == LOST:
            raise EndpointConnectionError(endpoint_url=request.url)
        own = code in {*_CODES["failing"], "UnknownToUs"} and not code.endswith("ConflictException")
        said = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "a moment"}
        body = json.dumps(said).encode()
        if ".s3." in event_name:
            body = f"<Error><Code>{code}</Code><Message>a moment</Message></Error>".encode()
        headers = HTTPHeaders()
        headers["x-amzn-RequestId"] = headers["x-amz-request-id"] = "R"
        status = 503 if ".s3." in event_name else 500 if own else 400
        return AWSResponse(request.url, status, headers, HTTPResponse(BytesIO(body), preload_content=False))


@pytest.fixture(scope="module")
def account() -> Iterator[Sandbox]:
    with Sandbox(export_delay=timedelta(seconds=0.05)) as sandbox:
        sandbox.s3().create_bucket(Bucket="lake")
        sandbox.s3().put_object(Bucket="lake", Key="rows/a.jsonl", Body=b'{"id": "a"}\n{"id": "b"}\n')
        yield sandbox


@pytest.fixture(autouse=True)
def impatient(account: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "DDB_ASSETS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**account.environment(), "DDB_ASSETS_STATE": str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.002)
    monkeypatch.setattr(pauses, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(new_table, "FIRST_LOOK", 0.05)
    monkeypatch.setattr(writer, "FIRST_LOOK", 0.05)


def met(monkeypatch: pytest.MonkeyPatch, busy: Busy, *command: str) -> Result:
    """The command, when all its clients meet these faults."""

    def also(events: Any) -> None:
        only_aws_answers(events)
        events.register("before-send", busy)

    with monkeypatch.context() as patch:
        patch.setattr(clients, "only_aws_answers", also)
        return CliRunner().invoke(main, list(command))


def table(account: Sandbox, *ids: str) -> str:
    client = account.dynamodb()
    client.create_table(
        TableName=(name := f"T-{uuid.uuid4().hex[:8]}"),
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for one in ids:
        client.put_item(TableName=name, Item={"id": {"S": one}})
    return name


def ids(account: Sandbox, name: str) -> list[str]:
    return sorted(item["id"]["S"] for item in account.dynamodb().scan(TableName=name)["Items"])


def called(busy: Busy) -> set[str]:
    return {event.rpartition(".")[2] for event in busy.requests}


@pytest.mark.slow
@moment
def test_an_import_does_not_end_by_a_moments_fault(
    account: Sandbox, monkeypatch: pytest.MonkeyPatch, codes: tuple[str, ...]
) -> None:
    for source in ("s3://lake/rows/", "s3://lake/rows/a.jsonl"):
        name = table(account, "extra")
        busy = Busy(*codes)
        done = met(monkeypatch, busy, "import", source, "--table", name, "--verify", "all", "--report-extra", "--json")
        assert done.exit_code == 0, done.output
        report = json.loads(done.stdout)
        assert (report["written"], report["verified"]["read"], report["only_in_table"]["count"]) == (2, 2, 1)
        assert ids(account, name) == ["a", "b", "extra"]
        assert called(busy) >= {"DescribeTable", "GetObject", "BatchWriteItem", "BatchGetItem", "Scan"}
    assert "HeadObject" in called(busy)


@pytest.mark.slow
@moment
@pytest.mark.parametrize(
    ("method", "calls"),
    [
        ("import-table", {"ImportTable", "PutObject", "DeleteObjects"}),
        ("batch-write", {"CreateTable", "BatchWriteItem"}),
    ],
)
def test_a_new_table_is_made_in_spite_of_a_moments_fault(
    account: Sandbox, monkeypatch: pytest.MonkeyPatch, codes: tuple[str, ...], method: str, calls: set[str]
) -> None:
    name, busy = f"N-{uuid.uuid4().hex[:8]}", Busy(*codes)
    words = ["import", "s3://lake/rows/", "--table", name, "--new-table", "id:S", "--method", method]
    if method == "import-table":
        words += ["--staging", "s3://lake/staging"]
    done = met(monkeypatch, busy, *words)
    assert done.exit_code == 0, done.output
    assert ids(account, name) == ["a", "b"]
    assert not account.s3().list_objects_v2(Bucket="lake", Prefix="staging/").get("Contents")
    assert called(busy) >= {"DescribeTable", *calls}


@moment
def test_a_bulk_put_does_not_end_by_a_moments_fault(
    account: Sandbox, monkeypatch: pytest.MonkeyPatch, codes: tuple[str, ...]
) -> None:
    name, busy = table(account), Busy(*codes)
    words = ["import", "s3://lake/rows/", "--table", name, "--method", "bulk-put", "--staging", "s3://lake/staging"]
    done = met(monkeypatch, busy, *words, "--verify", "all")
    assert done.exit_code == 0, done.output
    assert ids(account, name) == ["a", "b"]
    assert not account.s3().list_objects_v2(Bucket="lake", Prefix="staging/").get("Contents")
    assert called(busy) >= {"StartBulkPutItems", "DescribeBulkOperation", "PutObject", "DeleteObjects"}


@pytest.mark.slow
@moment
def test_a_copy_does_not_end_by_a_moments_fault(
    account: Sandbox, monkeypatch: pytest.MonkeyPatch, codes: tuple[str, ...]
) -> None:
    source, destination = table(account, "a", "b"), table(account, "over")
    busy = Busy(*codes)
    done = met(monkeypatch, busy, "copy", source, destination, "--clean=extra", "--yes", "--verify", "all")
    assert done.exit_code == 0, done.output
    assert ids(account, destination) == ["a", "b"]
    assert "not known" not in done.output
    assert called(busy) >= {"DescribeTable", "DescribeTimeToLive", "ListTagsOfResource", "DescribeContinuousBackups"}


@pytest.mark.slow
@moment
def test_a_restore_does_not_end_by_a_moments_fault(
    account: Sandbox, monkeypatch: pytest.MonkeyPatch, codes: tuple[str, ...]
) -> None:
    name = table(account, "a", "b")
    account.enable_recovery(name, datetime(2026, 1, 1, tzinfo=UTC))
    account.clock.advance(timedelta(minutes=10))
    then = from_micros(account.clock.micros()).replace(microsecond=0)
    account.clock.advance(timedelta(minutes=10))
    account.dynamodb().delete_item(TableName=name, Key={"id": {"S": "a"}})
    busy = Busy(*codes)
    done = met(monkeypatch, busy, "copy", name, name, "--from-point-in-time", then.isoformat())
    assert done.exit_code == 0, done.output
    assert ids(account, name) == ["a", "b"]
    assert called(busy) >= {"RestoreTableToPointInTime", "DescribeContinuousBackups", "DeleteTable"}
    assert not [other for other in account.dynamodb().list_tables()["TableNames"] if other.startswith(f"{name}-")]


@pytest.mark.parametrize(
    ("operation", "command"),
    [
        ("DescribeTable", "import"),
        ("BatchWriteItem", "import"),
        ("BatchGetItem", "import"),
        ("GetObject", "import"),
        ("DescribeTable", "copy"),
        ("Scan", "copy"),
        ("BatchWriteItem", "copy"),
        ("DescribeContinuousBackups", "restore"),
    ],
)
def test_what_is_not_allowed_ends_it_at_once(
    account: Sandbox, monkeypatch: pytest.MonkeyPatch, operation: str, command: str
) -> None:
    source, destination = table(account, "a"), table(account)
    words = {
        "import": ("import", "s3://lake/rows/", "--table", destination, "--verify", "all"),
        "copy": ("copy", source, destination, "--workers", "1"),
        "restore": ("copy", source, destination, "--from-point-in-time", "2026-01-31T12:00:00Z"),
    }[command]
    busy = Busy("AccessDenied" if operation == "GetObject" else "AccessDeniedException", ever=operation)
    done = met(monkeypatch, busy, *words)
    assert done.exit_code == 1
    assert "AccessDenied" in done.output or "IAM" in done.output
    asked = {event: count for event, count in busy.requests.items() if event.endswith(f".{operation}")}
    assert list(asked.values()) == [1]
