"""A ClickHouse on a loopback port: the real engine behind a front for its HTTP interface (`front.py`), in a process of its own.

One process can hold one engine, and an engine takes hundreds of megabytes, so neither is in the process that starts it.
"""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from ddb_assets.errors import DdbAssetsError

HOST = "127.0.0.1"
DATABASE = "dev"
USER, PASSWORD = "default", "sandbox"  # only this machine can reach the server


class ClickHouseStartError(DdbAssetsError):
    """The server cannot start."""


class ClickHouseServer:
    """The server, as a context manager. It starts empty, with its files in a new temporary folder, which goes when it ends.

    `port` 0 takes a free one. `environment` is added to that of the process: `s3()` reads with its credentials of AWS.
    A statement has at most so many `threads`; 0 means one for each core.

    Raises ClickHouseStartError when it cannot start.
    """

    def __init__(self, *, port: int = 0, environment: dict[str, str] | None = None, threads: int = 0) -> None:
        self.host, self.port, self.pid = HOST, port, 0
        self.database, self.user, self.password = DATABASE, USER, PASSWORD
        self._environment, self._threads = environment or {}, threads
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if find_spec("chdb") is None:
            raise ClickHouseStartError(
                "ClickHouse's engine is not installed: pip install 'ddb-assets[clickhouse]' chdb"
            )
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ddb_assets-clickhouse-"))
            log = stack.enter_context(Path(folder, "log").open("w+b"))
            process = subprocess.Popen(  # noqa: S603 -- our own module
                [sys.executable, "-m", "ddb_assets.sandbox.clickhouse", folder, str(self.port), str(self._threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self._environment},
            )
            stack.callback(_end, process)
            said = process.stdout.readline().strip() if process.stdout else b""
            if not said.isdigit():
                log.seek(0)
                raise ClickHouseStartError(f"ClickHouse cannot start: {log.read().decode(errors='replace')[-2000:]}")
            self.port, self.pid = int(said), process.pid
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Its warehouse URL, without the password."""
        return f"clickhouse://{self.user}@{self.host}:{self.port}/{self.database}?secure=0"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Closes the input, at whose end the process ends, also if we are killed."""
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
