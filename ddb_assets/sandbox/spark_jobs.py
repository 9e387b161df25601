"""All job runs of a sandbox: starts them, finds them again, and ends them with the sandbox."""

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ddb_assets.sandbox.api_error import ApiError
from ddb_assets.sandbox.spark_job import Command, SparkJob
from ddb_assets.spark_home import NoSparkError, spark_submit

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEPT = ("PATH", "HOME", "JAVA_HOME", "JAVA_TOOL_OPTIONS", "SPARK_HOME", "TMPDIR", "LANG", "LC_ALL")
"""What a job sees of the environment of the sandbox. A job on AWS sees nothing of Dagster's either."""
_BASE_PYTHON = str(Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}"))


class SparkJobs:
    """The runs, in a temporary folder. `environment` leads to the sandbox; `s3` makes a client that signs with an access key.

    A job acts as its role, which also reads the script and the archives: the role's name is the access key.
    """

    def __init__(self, s3: "Callable[[str], S3Client]", environment: Callable[[], Mapping[str, str]]) -> None:
        self._s3, self._environment = s3, environment
        self._temporary = tempfile.TemporaryDirectory(prefix="ddb-assets-jobs-", ignore_cleanup_errors=True)
        self._folder = Path(self._temporary.name)
        self.runs: dict[str, SparkJob] = {}
        """By their ids."""
        self._fetching = threading.Lock()
        self.expires = False
        """Whether further runs get no capacity, and expire."""

    def start(
        self, run_id: str, prepare: Callable[[Path], Command], keep_logs: Callable[[bytes, bytes], None]
    ) -> SparkJob:
        """Starts a run. Raises ApiError when this machine has no Spark."""
        try:
            job = SparkJob(spark_submit(), self._folder / run_id, prepare, keep_logs)
        except NoSparkError as error:
            raise ApiError("InternalServiceException", f"The sandbox cannot run jobs: {error}") from error
        self.runs[run_id] = job
        if self.expires:
            job.expire()
        else:
            job.start()
        return job

    def stop(self) -> None:
        """Ends all runs, waits until they have ended, and deletes their folders."""
        for job in self.runs.values():
            job.stop()
        for job in self.runs.values():
            job.wait(30)
        self._temporary.cleanup()

    def environment(
        self, role: str, bundled: Path | None = None, more: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """The environment of a job with the role of this ARN: what leads to the sandbox, and `more`.

        With a folder of bundled packages the job sees these alone, as it does on AWS: the interpreter is the one that this
        environment was made from. Without one it sees our packages as we do.
        """
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        python, path = (
            (_BASE_PYTHON, str(bundled)) if bundled else (sys.executable, os.pathsep.join(filter(None, sys.path)))
        )
        return {
            **kept,
            **self._environment(),
            "AWS_ACCESS_KEY_ID": _key(role),
            **(more or {}),
            "PYTHONPATH": path,
            "PYSPARK_PYTHON": python,
            "PYSPARK_DRIVER_PYTHON": python,
        }

    def fetched(self, role: str, uri: str) -> Path:
        """A file of S3 on this machine, fetched once for each content."""
        parts, s3 = urlsplit(uri), self._s3(_key(role))
        found = s3.head_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))
        path = self._folder / "fetched" / found["ETag"].strip('"') / Path(parts.path).name
        with self._fetching:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(parts.netloc, parts.path.lstrip("/"), str(path))
        return path

    def unpacked(self, role: str, uri: str, unpack: Callable[[Path, Path], None]) -> Path:
        """A folder with what `unpack(file, folder)` makes of a file of S3, made once for each content."""
        file = self.fetched(role, uri)
        folder = file.parent / "unpacked"
        with self._fetching:
            if not folder.exists():
                made = file.parent / "unpacking"
                shutil.rmtree(made, ignore_errors=True)
                made.mkdir()
                unpack(file, made)
                made.rename(folder)
        return folder


def _key(role: str) -> str:
    return role.rpartition("/")[2]
