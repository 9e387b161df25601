"""AWS clients: the Region of an ARN, a role that is assumed, and what is said when access is not set up."""

from typing import TYPE_CHECKING, Any, cast

import botocore.session
import pytest
from botocore.loaders import Loader

from ddb_assets.aws.clients import AWS
from ddb_assets.aws.service_models import boto3_session
from ddb_assets.sandbox.server import Sandbox
from ddb_assets.settings import SettingError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ARN = "arn:aws:dynamodb:eu-north-1:123456789012:table/Orders"
ROLE = "arn:aws:iam::123456789012:role/reader"


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE", "DDB_ASSETS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")


def test_a_tables_arn_decides_the_region(sandboxed: Sandbox) -> None:
    assert AWS().dynamodb(ARN).meta.region_name == "eu-north-1"
    assert AWS().dynamodb("Orders").meta.region_name == "us-east-1"
    assert AWS(region="eu-west-3").dynamodb("Orders").meta.region_name == "eu-west-3"


def test_the_endpoint_is_the_fields_before_the_environments(sandboxed: Sandbox) -> None:
    assert AWS().s3().meta.endpoint_url == sandboxed.endpoint_url
    assert AWS(endpoint="http://127.0.0.1:9").s3().meta.endpoint_url == "http://127.0.0.1:9"


def test_the_client_for_s3_is_made_once(sandboxed: Sandbox) -> None:
    aws = AWS()
    assert aws.s3() is aws.s3()
    assert AWS().s3() is not aws.s3()


@pytest.mark.parametrize("by_environment", [True, False])
def test_a_role_is_assumed(sandboxed: Sandbox, monkeypatch: pytest.MonkeyPatch, by_environment: bool) -> None:
    own = AWS().s3()
    if by_environment:
        monkeypatch.setenv("DDB_ASSETS_ROLE_ARN", ROLE)
    assumed = AWS(role_arn="" if by_environment else ROLE).s3()
    assert "sandbox" not in key_of(assumed)
    assert key_of(own) == "sandbox"
    assert assumed.list_buckets()["Buckets"]


def key_of(client: "S3Client") -> str:
    """The access key that the client's requests are signed with."""
    signed: list[str] = []

    def look(request: Any, **_: object) -> None:
        signed.append(request.headers["Authorization"].decode())

    client.meta.events.register("before-send.s3", look)
    client.list_buckets()
    return signed[0].partition("Credential=")[2].partition("/")[0]


@pytest.mark.parametrize(
    ("aws", "said"), [(AWS(), "AWS_DEFAULT_REGION"), (AWS(profile="nobody-has-this"), "nobody-has-this")]
)
def test_what_is_missing_is_named(nothing_set: None, aws: AWS, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        aws.dynamodb("Orders")


def test_sessions_share_the_descriptions_of_services_and_nothing_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    def loader() -> Loader:
        client = boto3_session(core := botocore.session.Session()).client("sqs")
        assert client.meta.service_model.service_name == "sqs"
        return cast("Loader", core.get_component("data_loader"))

    first = loader()
    paths = list(first.search_paths)
    assert loader() is first
    assert first.search_paths == paths
