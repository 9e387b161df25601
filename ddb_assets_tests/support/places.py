"""Places for files: a local folder, and a bucket of moto's server, which a real client reaches over HTTP.

A conftest.py imports the fixtures that the tests of its folder use.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from ddb_assets.aws.storage import Storage

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def s3_client(endpoint_url: str) -> "S3Client":
    """A client that does not use this machine's AWS configuration, and gives up soon."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5),
    )


@contextmanager
def s3_server() -> Iterator["S3Client"]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield s3_client(f"http://{host}:{port}")
    finally:
        server.stop()


@dataclass(frozen=True)
class Place:
    """A bucket's root and the storage that reaches it."""

    storage: Storage
    root: str


@pytest.fixture(scope="session")
def s3() -> Iterator["S3Client"]:
    with s3_server() as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    return Place(Storage(), str(tmp_path / "bucket"))


@pytest.fixture
def bucket(s3: "S3Client") -> Place:
    name = f"bucket-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return Place(Storage(s3), f"s3://{name}")


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest) -> Place:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Place)
    return found
