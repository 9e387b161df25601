"""What AWS, or something on the way to it, says instead of an answer: a real client asks a server that answers so."""

import contextlib
import socket
import socketserver
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.config import Config

from ddb_assets.aws import clients
from ddb_assets.aws.clients import AWS
from ddb_assets.aws.errors import AwsError, AwsUnavailableError
from ddb_assets.aws.storage import BrokenOffError, FileTakenError, MissingFileError, Storage, StorageError
from ddb_assets.bulk.raw_call import BULK_CLIENT, RawClient, RetryableRequestError
from ddb_assets.contract.export_target import ExportTarget
from ddb_assets.errors import DdbAssetsError
from ddb_assets.exports.follow import describe
from ddb_assets.exports.notifications import Notifications
from ddb_assets.settings import SettingError
from ddb_assets.warehouse.connect import open_warehouse
from ddb_assets_tests.support.clients import s3_client
from ddb_assets_tests.support.http_answers import answering, serving

URI = "s3://bucket/folder/key"
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/T/export/01695097218000-d6299cbd"
LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head><body><p>Who are you?</body></html>"
XHTML = b"<html><body>Log in</body></html>"


@contextlib.contextmanager
def s3_says(status: int, code: str, message: str, **headers: str) -> Iterator[Storage]:
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    by_aws = {"Content-Type": "application/xml", "x-amz-request-id": "4442587FB7D0A2F9"}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    with answering(lambda _: (status, xml.encode(), by_aws | given)) as url:
        yield Storage(s3_client(url))


def asked(storage: Storage, file: Path) -> tuple[Callable[[], object], ...]:
    """Everything that a storage asks S3 for."""
    return (
        lambda: storage.size(URI),
        lambda: storage.exists(URI),
        lambda: storage.read(URI),
        lambda: storage.write(URI, b"x"),
        lambda: storage.create(URI, b"x"),
        lambda: storage.upload(file, URI),
        lambda: list(storage.list(URI)),
        lambda: list(storage.folders(URI)),
        lambda: storage.delete([URI]),
    )


REFUSALS: list[tuple[int, str, str, str]] = [
    (400, "ExpiredToken", "The provided token has expired.", "credentials have expired: log in again"),
    (403, "RequestTimeTooSkewed", "The difference is too large.", "clock is wrong: set it"),
    (403, "InvalidAccessKeyId", "It does not exist in our records.", "does not know this access key"),
    (400, "InvalidToken", "The provided token is malformed.", "does not know this access key or session token"),
    (403, "SignatureDoesNotMatch", "The signature we calculated does not match.", "secret key does not belong"),
    (
        403,
        "AccessDenied",
        "User: arn:aws:iam::1:user/u is not authorized to perform: kms:Decrypt on the resource associated with this "
        "ciphertext because no identity-based policy allows the kms:Decrypt action",
        "allow kms:Decrypt with the key that encrypts it",
    ),
    (400, "KMS.DisabledException", "arn:aws:kms:us-east-1:1:key/k is disabled.", "look at the KMS key"),
    (403, "AccessDenied", "User: u is not authorized to perform: s3:GetObject on resource: x", "grant s3:GetObject"),
    (403, "AccessDenied", "Access Denied", "a bucket in which requesters pay looks the same"),
    (403, "AccessDenied", "Bucket is requester pays bucket but no requester pays header", "has to pay for reading"),
    (403, "AccessDenied", "User: u is not authorized to perform: sts:AssumeRole on resource: r", "assume the role"),
    (403, "AllAccessDisabled", "All access to this object has been disabled.", "All access to this object"),
    (301, "PermanentRedirect", "Use the endpoint.", "is in another Region: set AWS_DEFAULT_REGION to eu-west-3"),
    (403, "InvalidObjectState", "The operation is not valid for the object's storage class", "is archived"),
    (503, "SlowDown", "Please reduce your request rate.", "S3 is busy"),
    (404, "NoSuchBucket", "The specified bucket does not exist", "there is no bucket 'bucket'"),
    (400, "Whatever", "Nobody has heard of this.", "Nobody has heard of this"),
]


@pytest.mark.parametrize(("status", "code", "message", "said"), REFUSALS, ids=[f"{r[1]}-{r[3][:20]}" for r in REFUSALS])
def test_s3s_reason_and_what_to_do_reach_the_user_whatever_was_asked(
    status: int, code: str, message: str, said: str, tmp_path: Path
) -> None:
    """Even where the question was HEAD, to which S3 gives no reason."""
    (tmp_path / "file").write_bytes(b"x")
    with s3_says(status, code, message, x_amz_bucket_region="eu-west-3") as storage:
        for ask in asked(storage, tmp_path / "file"):
            with pytest.raises(StorageError) as caught:
                ask()
            assert said in str(caught.value)
            assert "bucket" in str(caught.value)
            assert not isinstance(caught.value, MissingFileError | FileTakenError)


@pytest.mark.parametrize(
    ("status", "code"), [(500, "Whatever"), (502, "BadGateway"), (503, "ServiceUnavailableException")]
)
def test_an_error_of_s3s_own_may_be_tried_again(status: int, code: str, tmp_path: Path) -> None:
    """Also one whose code nobody has listed."""
    (tmp_path / "file").write_bytes(b"x")
    with s3_says(status, code, "Something went wrong on our side.") as storage:
        for ask in asked(storage, tmp_path / "file"):
            with pytest.raises(BrokenOffError, match="try again later"):
                ask()


def test_a_file_that_is_not_there_is_no_refusal() -> None:
    with s3_says(404, "NoSuchKey", "The specified key does not exist.") as storage:
        assert not storage.exists(URI)


def test_whether_files_are_there_takes_one_request_each_in_a_bucket_that_exists() -> None:
    def answer(operation: str) -> tuple[int, bytes, dict[str, str]]:
        requests.append(operation)
        return 404, b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>", {"x-amz-request-id": "R"}

    requests: list[str] = []
    with answering(answer) as url:
        storage = Storage(s3_client(url))
        assert not any(storage.exists(f"s3://bucket/{number}") for number in range(5))
        assert len(requests) == 6  # one more for the bucket
        assert not storage.exists("s3://another/0")
        assert len(requests) == 8


PAGES = [(200, LOGIN_PAGE), (200, XHTML), (403, LOGIN_PAGE), (502, LOGIN_PAGE), (404, XHTML)]


@pytest.mark.parametrize(("status", "page"), PAGES)
def test_a_web_page_is_no_answer_of_s3s(status: int, page: bytes, tmp_path: Path) -> None:
    """A proxy's: botocore takes XHTML for an empty bucket, a write that it swallowed for done, a missing page for no file."""
    (tmp_path / "file").write_bytes(b"x")
    with answering(lambda _: (status, page, {"Content-Type": "text/html; charset=utf-8"})) as url:
        storage = Storage(s3_client(url))
        for ask in asked(storage, tmp_path / "file"):
            with pytest.raises(StorageError, match="look for a proxy") as caught:
                ask()
            assert not isinstance(caught.value, MissingFileError)


def test_a_redirection_to_nowhere_ends() -> None:
    with s3_says(301, "PermanentRedirect", "Use the endpoint.") as storage:
        for ask in (lambda: storage.exists(URI), lambda: storage.read(URI), lambda: list(storage.list(URI))):
            with pytest.raises(StorageError, match="look for a proxy") as caught:
                ask()
            assert not isinstance(caught.value, MissingFileError)


@pytest.fixture
def logged_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], AWS]:
    """AWS as the environment has it, at this URL."""

    def at(url: str) -> AWS:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "DDB_ASSETS_ROLE_ARN"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": url,
            "AWS_MAX_ATTEMPTS": "1",
        }.items():
            monkeypatch.setenv(name, value)
        return AWS()

    return at


BY_DYNAMODB = {"Content-Type": "application/x-amz-json-1.0", "x-amzn-RequestId": "R"}


@pytest.mark.parametrize(
    ("status", "code", "message", "said"),
    [
        (400, "AccessDeniedException", "no identity-based policy allows it", "allow this action in IAM"),
        (400, "ExpiredTokenException", "The security token is expired", "have expired: log in again"),
        (400, "UnrecognizedClientException", "The security token is invalid.", "does not know this access key"),
        (400, "InvalidSignatureException", "Signature expired: 2026 is now earlier than", "clock is wrong"),
        (400, "InvalidSignatureException", "The signature does not match", "secret key does not belong"),
    ],
)
def test_dynamodbs_reasons_are_told_apart(
    logged_in: Callable[[str], AWS], status: int, code: str, message: str, said: str
) -> None:
    body = f'{{"__type":"com.amazon.coral.service#{code}","message":"{message}"}}'
    with answering(lambda _: (status, body.encode(), BY_DYNAMODB)) as url, pytest.raises(AwsError) as caught:
        describe(logged_in(url).dynamodb(), ARN)
    assert said in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (LOGIN_PAGE, "text/html"),
        (b"", "application/json"),
        (b"{}", "application/json"),
        (b"[]", "application/json"),
        (b"not json", "text/plain"),
        (b'{"ExportDescription":"no"}', "application/json"),
        (b'{"ExportDescription":{}}', "application/json"),
        (b'{"ExportDescription":{"ExportArn":"a","ExportTime":"?"}}', "application/json"),
        (b'{"Messages":[{}]}', "application/json"),
        (b'{"Messages":{}}', "application/json"),
    ],
)
def test_what_is_no_answer_of_awss_is_said_to_be_none(logged_in: Callable[[str], AWS], body: bytes, kind: str) -> None:
    with answering(lambda _: (200, body, {"Content-Type": kind})) as url:
        aws = logged_in(url)
        with pytest.raises(AwsUnavailableError, match="look for a proxy"):
            describe(aws.dynamodb(), ARN)
        queue = Notifications(aws.sqs(), f"{url}/queue", ExportTarget(bucket="bucket"))
        with contextlib.suppress(DdbAssetsError):
            assert queue.receive(10) == ([], ())


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, LOGIN_PAGE, "text/html"),
        (200, b"not json", "text/plain"),
        (502, LOGIN_PAGE, "text/html"),
        (400, b'{"__type":"com.amazonaws.dynamodb.v20120810#TransactionConflictException","message":"no"}', ""),
    ],
)
def test_an_item_is_written_again_after_what_may_pass(
    logged_in: Callable[[str], AWS], status: int, body: bytes, kind: str
) -> None:
    with answering(lambda _: (status, body, {"Content-Type": kind} if kind else BY_DYNAMODB)) as url:
        client = RawClient(logged_in(url).dynamodb("", BULK_CLIENT))
        with pytest.raises(RetryableRequestError):
            client.call("PutItem", "T", b"{}")


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (400, b'{"__type":"ThrottlingException","message":"Rate exceeded"}', AwsUnavailableError, "AWS is busy"),
        (503, b"", AwsUnavailableError, "AWS is busy"),
        (200, b"not json", AwsUnavailableError, "look for a proxy"),
        (200, b"{}", AwsUnavailableError, "look for a proxy"),
        (400, b'{"__type":"AccessDeniedException","message":"no"}', AwsError, "allow this action in IAM"),
        (400, b'{"__type":"ResourceNotFoundException","message":"no"}', AwsError, "there is no secret 'loader'"),
        (200, b'{"Name":"loader","SecretBinary":"AA=="}', SettingError, "is binary"),
    ],
)
def test_why_a_secret_cannot_be_read_is_said(
    logged_in: Callable[[str], AWS],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: bytes,
    kind: type[DdbAssetsError],
    said: str,
) -> None:
    monkeypatch.setattr(clients, "CLIENT", Config(retries={"total_max_attempts": 1}))
    with answering(lambda _: (status, body, BY_DYNAMODB)) as url, pytest.raises(DdbAssetsError) as caught:
        logged_in(url).secret("loader")
    assert type(caught.value) is kind
    assert said in str(caught.value)


@pytest.mark.parametrize("way", ["cluster=sales", "workgroup=sales"])
@pytest.mark.parametrize(
    ("code", "said"), [("AccessDenied", "allow this action in IAM"), ("ExpiredToken", "have expired: log in again")]
)
def test_what_iam_refuses_redshift_is_said(logged_in: Callable[[str], AWS], way: str, code: str, said: str) -> None:
    """The driver asks IAM for the password by itself, and hands its errors on."""
    xml = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
    json = f'{{"__type":"{code}","message":"no"}}'
    serverless = way.startswith("workgroup")
    with answering(lambda _: (400, (json if serverless else xml).encode(), {"x-amzn-RequestId": "R"})) as url:
        aws = logged_in(url)
        warehouse = open_warehouse(f"redshift://me@/db?{way}&region=us-east-1&iam_role=default", aws=aws)
        with (
            pytest.raises(AwsError, match=r"redshift(-serverless)?:Get\w*Credentials on sales/db") as caught,
            warehouse,
        ):
            pass
    assert said in str(caught.value)


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b"", b"R\0\0\0\x08"])
def test_what_is_no_redshift_is_said_to_be_none(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDB_ASSETS_REDSHIFT_PASSWORD", "p")

    class Greeting(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(said)
            self.request.shutdown(socket.SHUT_WR)

    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeting)) as place:
        warehouse = open_warehouse(f"redshift://me@{place}/db?sslmode=disable&iam_role=default")
        with pytest.raises(DdbAssetsError, match=r"127\.0\.0\.1/db"), warehouse:
            pass


def test_a_bucket_that_cannot_be_one_is_no_lost_connection() -> None:
    storage = Storage(s3_client("http://127.0.0.1:1"))
    for uri in ("s3://no bucket/key", "s3://bucket", "s3://[x/key", "s3://bucket?x/key"):
        with pytest.raises(StorageError, match="cannot be a file on S3") as caught:
            storage.read(uri)
        assert not isinstance(caught.value, BrokenOffError)
