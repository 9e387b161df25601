"""Places for files: a local folder, and a bucket of moto's server, which a real client reaches over HTTP.

A conftest.py imports the fixtures that the tests of its folder use.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moto.core.botocore_stubber import BotocoreStubber

from ddb_assets.aws.storage import Storage
from ddb_assets.sandbox.http_server import served
from ddb_assets.sandbox.moto_speed import Dispatcher, remembered
from ddb_assets_tests.support.clients import s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@contextmanager
def s3_server() -> Iterator["S3Client"]:
    with socket.create_server(("127.0.0.1", 0)) as listening, remembered():
        host, port = listening.getsockname()
        with served(Dispatcher(), listening):
            yield s3_client(f"http://{host}:{port}")


@contextmanager
def s3_in_process() -> Iterator["S3Client"]:
    """The buckets of the servers of this process, without HTTP, which takes half of the time of a request."""
    moto = BotocoreStubber()
    moto.enabled = True
    client = s3_client("http://s3.us-east-1.amazonaws.com")
    client.meta.events.register("before-send", moto)  # type: ignore[arg-type]  # what it returns is the answer
    with remembered():
        yield client


@dataclass(frozen=True)
class Place:
    """A bucket's root and the storage that reaches it."""

    storage: Storage
    root: str
