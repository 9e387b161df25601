"""The requests to S3 that are counted, on a server, and what they cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.storage import BrokenOffError
from ddb_assets.costs.prices import prices
from ddb_assets.costs.s3_requests import S3Requests
from ddb_assets_tests.support.places import Place

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MIB = 1 << 20


@pytest.fixture
def aws(s3: "S3Client", monkeypatch: pytest.MonkeyPatch) -> AWS:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "x")
    return AWS(endpoint=s3.meta.endpoint_url, region="us-east-1")


def test_requests_are_counted_by_their_price(aws: AWS, lake: Place, tmp_path: Path) -> None:
    storage, uri = aws.storage(), f"{lake.root}/x"
    made = []

    def since() -> tuple[int, int]:
        made.append(aws.s3_count.now)
        spent = made[-1] - (made[-2] if len(made) > 1 else S3Requests())
        return spent.writes, spent.reads

    storage.write(uri, b"one")
    assert since() == (1, 0)
    assert storage.read(uri) == b"one"
    assert since() == (0, 1)
    assert storage.size(uri) == 3
    assert since() == (0, 1)
    assert not storage.exists(f"{lake.root}/y")
    assert since() == (0, 2), "HEAD says 404, and GET says why"
    assert list(storage.list(lake.root))
    assert since() == (1, 0)
    large = tmp_path / "large"
    large.write_bytes(bytes(17 * MIB))
    storage.upload(large, f"{lake.root}/large")
    assert since() == (1 + 3 + 1, 0), (
        "it is begun, comes in three pieces of 8 MB, from several threads, and is completed"
    )
    storage.delete([uri, f"{lake.root}/large"])
    assert since() == (0, 0), "to delete costs nothing"
    assert aws.s3_count.now == S3Requests(7, 4)


def test_an_attempt_that_s3_refuses_as_busy_costs_nothing(
    aws: AWS, lake: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddb_assets.aws.retries.backoff", lambda _: 0.0)
    asked = []

    def busy(request: object, **_: object) -> AWSResponse | None:
        asked.append(request)
        return None if len(asked) == 3 else AWSResponse("http://s3", 503, HTTPHeaders(), _Empty())

    events: Any = aws.s3().meta.events
    events.register("before-send.s3", busy)
    aws.storage().write(f"{lake.root}/x", b"one")
    assert (len(asked), aws.s3_count.now) == (3, S3Requests(1, 0))


def test_without_an_answer_nothing_is_counted(aws: AWS, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddb_assets.aws.retries.ATTEMPTS", 1)
    silent = AWS(endpoint="http://127.0.0.1:9", region="us-east-1")
    with pytest.raises(BrokenOffError):
        silent.storage().read("s3://bucket/x")
    assert silent.s3_count.now == aws.s3_count.now == S3Requests()


class _Empty:
    content = b""

    def stream(self) -> list[bytes]:
        return []


def test_every_operation_has_the_price_of_its_method() -> None:
    """But for lists, which are GET requests at the price of PUT. Ours send no POST that AWS counts as GET."""
    model = boto3.client("s3", region_name="us-east-1").meta.service_model
    free = {"DeleteObject", "DeleteObjects", "AbortMultipartUpload"}
    reading = {"GetObject", "HeadObject", "HeadBucket"}
    pieces = {"CreateMultipartUpload", "UploadPart", "UploadPartCopy", "CompleteMultipartUpload"}
    for name in free | reading | pieces | {"PutObject", "CopyObject", "ListObjectsV2"}:
        writing = model.operation_model(name).http["method"] in {"PUT", "POST"} or name.startswith("List")
        expected = (0, 0) if name in free else (1, 0) if writing else (0, 1)
        found = S3Requests.of(name)
        assert (found.writes, found.reads) == expected, name


def test_the_cost_by_hand() -> None:
    assert S3Requests(2000, 10_000).usd(prices()) == pytest.approx(2 * 0.005 + 10 * 0.0004)
