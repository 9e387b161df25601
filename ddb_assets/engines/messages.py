"""Reads what a job tells Dagster: through files on S3 in a folder of the lake, or through a local file.

Both readers keep what has arrived, because the Pipes clients drop it when a job fails, and the reason may be among it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster_aws.pipes import PipesS3MessageReader

from ddb_assets.aws.storage import split_s3
from ddb_assets.jobs.arguments import Reported, reported

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

INTERVAL = 5.0
"""Seconds between two looks for messages."""


class S3Messages(PipesS3MessageReader):
    """Messages below `folder`, an S3 URI. Its base would put them into a random folder at the root of the bucket.

    What the driver prints comes as messages, too, and goes to the step's logs.
    """

    def __init__(self, client: "S3Client", folder: str) -> None:
        self.folder = folder
        bucket, self._prefix = split_s3(folder)
        super().__init__(bucket=bucket, client=client, interval=INTERVAL, include_stdio_in_messages=True)
        self._handler: Any = None

    @contextmanager
    def get_params(self) -> Iterator[dict[str, Any]]:
        """Where the job writes its messages."""
        with super().get_params() as params:
            yield {**params, "key_prefix": self._prefix}

    @contextmanager
    def read_messages(self, handler: Any) -> Iterator[Any]:
        """Reads until the job has closed its side, or has ended."""
        self._handler = handler
        with super().read_messages(handler) as params:
            yield params

    @property
    def reported(self) -> Reported:
        """What has arrived."""
        return reported(self._handler.get_custom_messages()) if self._handler else Reported()


class LocalMessages(dg.PipesTempFileMessageReader):
    """Messages of a driver on this machine."""

    def __init__(self) -> None:
        super().__init__()
        self._handler: Any = None

    @contextmanager
    def read_messages(self, handler: Any) -> Iterator[Any]:
        """Reads until the process has ended."""
        self._handler = handler
        with super().read_messages(handler) as params:
            yield params

    @property
    def reported(self) -> Reported:
        """What has arrived."""
        return reported(self._handler.get_custom_messages()) if self._handler else Reported()
