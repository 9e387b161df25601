"""Clients that reach a server of the tests and nothing else. This module loads no server."""

from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.hooks import EventAliaser

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


def remember_event_names() -> None:
    """Lets all clients of this process share what botocore remembers for each client: the names that its events have by now.

    There are more than a hundred for a new client, and working them out takes a quarter of its time.
    """
    aliaser: Any = EventAliaser
    shared = cache(aliaser(None)._alias_event_name)
    aliaser._alias_event_name = lambda _, name: shared(name)
